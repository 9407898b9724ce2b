import { test } from '@fast-check/vitest'
import { expect } from 'vitest'
import { isHavenError } from '../../src/core/errors.ts'
import { conflictToken, writesToSettle, type Resolution } from '../../src/records/resolution.ts'
import type { Conflict, RecordView } from '../../src/records/visibility.ts'
import type { PlannedWrite } from '../../src/records/writes.ts'
import { randomHistory, replicaOf, type History } from './histories/random-history.ts'
import { anySeed, histories, timeoutMs } from './histories/runs.ts'
import type { Replica } from './histories/simulated-replica.ts'
import { records } from './histories/ward.ts'

const people = ['a1', 'b2'].map((name) => name.repeat(16))

test.prop([anySeed], histories(500))(
  'two people who settle a conflict the same way end with none',
  (seed) => {
    const history = randomHistory(seed, { mixes: false })
    for (const { record, conflict, both } of conflictsOf(history)) {
      const resolution = anyResolution(conflict, history)
      if (!settle(both, { record, conflict, resolutions: [resolution, resolution] })) continue
      for (const replica of both) {
        expect(ofField(replica.view(record), conflict.field)).toBeUndefined()
        expect(replica.contentHash()).toBe(both[0].contentHash())
      }
    }
  },
  timeoutMs,
)

test.prop([anySeed], histories(500))(
  'two people who settle a conflict differently end with another one',
  (seed) => {
    const history = randomHistory(seed, { mixes: false })
    for (const { record, conflict, both } of conflictsOf(history)) {
      const { field } = conflict
      const before = conflictToken(both[0].view(record), conflict)
      const resolutions: [Resolution, Resolution] =
        field === ''
          ? [{ record: 'keep' }, { record: 'delete' }]
          : [{ value: '77' }, { value: '"other"' }]
      const { strategy } = history.reading.ruleOf(record, field)
      if (field !== '' && strategy !== 'mvr' && strategy !== 'lww') continue
      if (!settle(both, { record, conflict, resolutions })) continue
      for (const replica of both) {
        const view = replica.view(record)
        const after = ofField(view, field)!
        expect(conflictToken(view, after)).not.toBe(before)
        if (field === '') expect(after.values).toHaveLength(1)
        else
          expect(new Set(after.values.map(({ value }) => value))).toEqual(
            new Set(['77', '"other"']),
          )
      }
    }
  },
  timeoutMs,
)

interface Found {
  readonly record: string
  readonly conflict: Conflict
  /** Two people who hold all there is. */
  readonly both: readonly [Replica, Replica]
}

/** One of the conflicts that are left. */
function* conflictsOf({ commits, reading, chance }: History): Iterable<Found> {
  const all = replicaOf(commits, reading)
  const found = records.flatMap((record) =>
    // Letters are settled by an edit of theirs: test/device/conflicts.test.ts.
    all
      .view(record)
      .conflicts.filter(({ field }) => field !== 'note')
      .map((conflict) => ({ record, conflict })),
  )
  if (found.length === 0) return
  const { record, conflict } = chance.pick(found)
  yield { record, conflict, both: [all, replicaOf(commits, reading)] }
}

function anyResolution(conflict: Conflict, { chance }: History): Resolution {
  if (conflict.field === '') return { record: chance.pick(['keep', 'delete']) }
  return chance.pick<Resolution>([
    { keep: chance.int(1, conflict.values.length) },
    { value: '77' },
    { value: undefined },
    { keepBoth: true },
  ])
}

/** False where it can't be settled so. Afterwards each knows what the other one decided. */
function settle(
  both: readonly [Replica, Replica],
  decided: {
    readonly record: string
    readonly conflict: Conflict
    readonly resolutions: readonly [Resolution, Resolution]
  },
): boolean {
  const { record, conflict, resolutions } = decided
  for (const [index, replica] of both.entries()) {
    const resolution = resolutions[index]!
    let writes: PlannedWrite[]
    try {
      const { reading } = replica
      writes = writesToSettle(replica.view(record), conflict, { resolution, reading })
    } catch (error) {
      if (isHavenError(error)) return false
      throw error
    }
    replica.write(people[index]!, { records: new Map([[record, { plans: [() => writes] }]]) })
  }
  for (const one of both)
    for (const other of both) for (const commit of other.commits.values()) one.receive(commit)
  return true
}

function ofField({ conflicts }: RecordView, field: string): Conflict | undefined {
  return conflicts.find((each) => each.field === field)
}

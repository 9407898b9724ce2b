import { test } from '@fast-check/vitest'
import { expect } from 'vitest'
import { lostWrites, type Shown } from '../../simulations/checks/lost-writes.ts'
import type { TrueCommit } from '../../simulations/checks/truth.ts'
import type { LiveWrite, RecordView } from '../../src/records/visibility.ts'
import { interleaved, randomHistory, replicaOf, type History } from './histories/random-history.ts'
import { anySeed, histories, timeoutMs } from './histories/runs.ts'
import { Replica } from './histories/simulated-replica.ts'
import { inNewTerms, readings, wishesIn } from './histories/two-versions.ts'
import { records } from './histories/ward.ts'

const [older, newer] = readings

test.prop([anySeed], histories(700))(
  'devices with two versions of a schema hold the same, whatever came first, and each version shows the same everywhere',
  (seed) => {
    const { commits, chance } = historyInTwoVersions(seed)
    const first = replicaOf(commits, older)
    const other = new Replica(newer, { nowMs: first.nowMs, storesBytes: true })
    for (const commit of interleaved(commits, chance)) other.receive(commit)
    expect(other.contentHash()).toBe(first.contentHash())
    for (const record of records) {
      for (const reading of readings) {
        const [view, expected] = [other.view(record, reading), first.view(record, reading)]
        expect(view).toEqual(expected)
        expect([...view.fields]).toEqual([...expected.fields])
      }
    }
  },
  timeoutMs,
)

test.prop([anySeed], histories(600))(
  'what was written in one version of a schema is not lost in the other',
  (seed) => {
    const history = historyInTwoVersions(seed)
    const replica = replicaOf(history.commits, newer)
    const commits = history.commits.map(({ id }) => inVersionTwo(history.truths.get(id)!, history))
    for (const record of records) {
      const shown = inTermsOf(replica.view(record))
      expect(lostWrites({ record, commits, shown })).toEqual([])
    }
  },
  timeoutMs,
)

function historyInTwoVersions(seed: number): History {
  let unique = 0
  return randomHistory(seed, {
    readings,
    names: [],
    mixes: false,
    wishes: (reading, chance) => wishesIn(reading, chance, () => ++unique),
  })
}

function inVersionTwo(commit: TrueCommit, { versionOf }: History): TrueCommit {
  if (versionOf(commit.id) === 2) return commit
  const changes = new Map(
    [...commit.changes].map(([record, { writes, edits }]) => [
      record,
      { writes: writes.flatMap(inNewTerms), edits },
    ]),
  )
  return { ...commit, changes }
}

/** Live writes are listed as they were written, and so is what stands beside a value that can't be said. */
function inTermsOf(view: RecordView): Shown {
  const said = (one: LiveWrite): LiveWrite[] =>
    one.schemaVersion === 2
      ? [one]
      : inNewTerms({ ...one, unseen: [] }).map(({ field, value }) => ({ ...one, field, value }))
  const conflicts = view.conflicts.map((conflict) =>
    conflict.kind === 'schema'
      ? { ...conflict, values: conflict.values.flatMap((one) => [one, ...said(one)]) }
      : conflict,
  )
  return { ...view, conflicts, live: view.live.flatMap(said) }
}

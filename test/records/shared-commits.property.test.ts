import { test } from '@fast-check/vitest'
import { expect } from 'vitest'
import { isHavenError } from '../../src/core/errors.ts'
import { writesFor } from '../../src/records/changes.ts'
import type { RecordView } from '../../src/records/visibility.ts'
import { Chance } from '../sync/support/chance.ts'
import { randomHistory, replicaOf } from './histories/random-history.ts'
import { anySeed, histories, timeoutMs } from './histories/runs.ts'
import type { Change, Replica } from './histories/simulated-replica.ts'
import { fieldNames, records } from './histories/ward.ts'
import { Wishes } from './histories/wishes.ts'

const feed = 'cc'.repeat(16)
const [record] = records as [string, string]

test.prop([anySeed], histories(500))(
  'several callers who share a commit get what each would have got in one of their own',
  (seed) => {
    const { commits, reading, chance } = randomHistory(seed)
    const callers = Array.from({ length: chance.int(2, 4) }, () => chance.int(0, 2 ** 30))
    const shared = replicaOf(commits, reading)
    write(
      shared,
      callers.map((each) => planOf(each, shared)),
    )
    const separate = replicaOf(commits, reading)
    for (const each of callers) write(separate, [planOf(each, separate)])
    expect(shownOf(shared.view(record))).toEqual(shownOf(separate.view(record)))
  },
  timeoutMs,
)

function write(replica: Replica, plans: Change['plans']): void {
  replica.write(feed, { records: new Map([[record, { plans }]]) })
}

/** The same wishes for the same number and view. */
function planOf(number: number, { reading }: Replica): Change['plans'][number] {
  return (view) => {
    const wishes = new Wishes(new Chance(number), { names: fieldNames, deleting: 0.2 })
    try {
      return writesFor(view, wishes.wishes(view), { reading })
    } catch (error) {
      if (isHavenError(error)) return []
      throw error
    }
  }
}

/** All but which commits it came with. */
function shownOf({ deleted, resurrected, exists, fields, kept, conflicts }: RecordView) {
  return {
    deleted,
    resurrected,
    exists,
    fields,
    kept,
    conflicts: conflicts.map(({ field, kind, state, values }) => ({
      field,
      kind,
      state,
      values: values.filter(({ op }) => op !== 'count').map(({ op, value }) => [op, value]),
    })),
  }
}

import { test } from '@fast-check/vitest'
import { expect } from 'vitest'
import { decodeRecordState, encodeRecordState } from '../../src/records/record-bytes.ts'
import { builtInReading } from '../../src/records/schema/schema-book.ts'
import { interleaved, randomHistory, replicaOf } from './histories/random-history.ts'
import { anySeed, histories, timeoutMs } from './histories/runs.ts'
import { Replica } from './histories/simulated-replica.ts'
import { records } from './histories/ward.ts'

test.prop([anySeed], histories(1200))(
  'the order of arrival makes no difference',
  (seed) => {
    const { commits, reading, chance } = randomHistory(seed)
    const first = replicaOf(commits, reading)
    const other = new Replica(reading, { nowMs: first.nowMs, storesBytes: chance.chance(0.5) })
    for (const commit of interleaved(commits, chance)) {
      other.receive(commit)
      if (chance.chance(0.2)) other.receive(chance.pick([...other.commits.values()]))
    }
    const rebuilt = replicaOf(commits, reading)
    rebuilt.rebuild(interleaved(commits, chance))
    for (const one of [other, rebuilt]) {
      expect(one.contentHash()).toBe(first.contentHash())
      for (const record of records) {
        for (const by of [reading, builtInReading]) {
          const [view, expected] = [one.view(record, by), first.view(record, by)]
          expect(view).toEqual(expected)
          expect([...view.fields]).toEqual([...expected.fields])
        }
      }
    }
  },
  timeoutMs,
)

test.prop([anySeed], histories(300))(
  'a state comes back from its bytes as it was',
  (seed) => {
    const { devices } = randomHistory(seed)
    for (const { replica } of devices) {
      for (const record of records) {
        const state = replica.state(record)
        expect(decodeRecordState(encodeRecordState(state))).toEqual(state)
      }
    }
  },
  timeoutMs,
)

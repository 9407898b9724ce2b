import { test } from '@fast-check/vitest'
import { expect } from 'vitest'
import { hasWaitingUpdates } from '../../src/records/settle-free.ts'
import { decodeRecord, encodeRecordState } from '../../src/records/record-bytes.ts'
import { builtInReading } from '../../src/records/schema/schema-book.ts'
import { viewRecord } from '../../src/records/visibility.ts'
import { randomHistory, replicaOf } from './histories/random-history.ts'
import { anySeed, histories, timeoutMs } from './histories/runs.ts'
import { records } from './histories/ward.ts'

test.prop([anySeed], histories(500))(
  'a record is viewed with what is kept with it as with all that its collection knows',
  (seed) => {
    const { commits, reading, devices } = randomHistory(seed)
    const all = replicaOf(commits, reading)
    for (const replica of [all, ...devices.map((device) => device.replica)]) {
      for (const record of records) {
        const settled = replica.settled(record)
        const { state, causality } = decodeRecord(encodeRecordState(settled, replica.causality))
        if (causality === undefined || hasWaitingUpdates(state)) continue
        for (const by of [reading, builtInReading]) {
          const expected = viewRecord(settled, replica.causality, by, replica.nowMs)
          expect(viewRecord(state, causality, by, replica.nowMs)).toEqual(expected)
        }
      }
    }
  },
  timeoutMs,
)

test('most records of several writers have it', () => {
  let several = 0
  let kept = 0
  for (let seed = 0; seed < 100; seed++) {
    const { commits, reading } = randomHistory(seed)
    const replica = replicaOf(commits, reading)
    for (const record of records) {
      const state = replica.state(record)
      if (state.writers.size < 2) continue
      several++
      if (decodeRecord(encodeRecordState(state, replica.causality)).causality !== undefined) kept++
    }
  }
  expect(several).toBeGreaterThan(100)
  expect(kept).toBeGreaterThan(several / 2)
})

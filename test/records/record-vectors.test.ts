import { expect, test } from 'vitest'
import * as Y from 'yjs'

import { hexToBytes } from '../../src/core/bytes.ts'
import { FeedTable } from '../../src/records/feed-table.ts'
import { elementOf, readFieldsUpdate } from '../../src/records/fields-update.ts'
import { decodePayload } from '../../src/records/record-payload.ts'
import vectors from '../vectors/records.json' with { type: 'json' }
import { recordVectors } from './record-vectors.ts'

// When this fails, other versions can't read what this one writes. A vitest -u writes the file anew.
test('everything that devices write of records for each other still gives the same bytes', async () => {
  await expect(`${JSON.stringify(recordVectors(), undefined, 2)}\n`).toMatchFileSnapshot(
    '../vectors/records.json',
  )
})

test.each(vectors.updates)('the recorded update is read as it was: $name', (recorded) => {
  const { clientId } = vectors.array
  const bytes = hexToBytes(recorded.bytes)
  const read = readFieldsUpdate(bytes, clientId, recorded.clock)
  expect(recorded).toMatchObject(
    'problem' in read
      ? { accepted: false, problem: read.problem }
      : { accepted: true, writes: read.writes.map(elementOf) },
  )
})

test.each(vectors.updates.filter(({ accepted, clock }) => accepted && clock === 0))(
  'any Yjs program finds the same in it: $name',
  ({ bytes, writes }) => {
    const doc = new Y.Doc()
    Y.applyUpdate(doc, hexToBytes(bytes))
    expect(doc.getArray(vectors.array.name).toArray()).toEqual(writes)
  },
)

test('the recorded payload is read as it was', () => {
  const { feedsBefore, feedsAfter, bytes, ...rest } = vectors.payload
  const before = FeedTable.empty.naming(feedsBefore)
  const { payload, feeds } = decodePayload(hexToBytes(bytes), before)
  expect(payload).toMatchObject({
    time: rest.time,
    schemaVersion: rest.schemaVersion,
    context: rest.context.map((entry) => ({ ...entry, id: hexToBytes(entry.id) })),
    records: rest.records,
  })
  expect(feedsAfter.map((_, index) => feeds.feedAt(index))).toEqual(feedsAfter)
})

import * as Y from 'yjs'
import { bytesToHex, hexToBytes } from '../../src/core/bytes.ts'
import { ContentSum, recordHash } from '../../src/records/content-hash.ts'
import { FeedTable } from '../../src/records/feed-table.ts'
import {
  arrayName,
  elementOf,
  encodeFieldsUpdate,
  readFieldsUpdate,
} from '../../src/records/fields-update.ts'
import { encodePayload, type RecordPayload } from '../../src/records/record-payload.ts'
import { versionToken } from '../../src/records/record-version.ts'
import type { Write } from '../../src/records/writes.ts'

const clientId = 0x12_3456_789a_bcde
const feed = 'ab'.repeat(16)

/** Updates of fields: bytes, where the writer's array ended before them, and what is read in them or why they change nothing. */
function updates() {
  const put: Write = { field: 'name', op: 'put', value: '"Ngũgĩ"' }
  const written = (...writes: Write[]): Uint8Array =>
    encodeFieldsUpdate(clientId, 0, { writes, deletedClocks: [] })
  const element = (...parts: unknown[]): Uint8Array => {
    const doc = new Y.Doc({ guid: 'vectors' })
    doc.clientID = clientId
    doc.getArray(arrayName(clientId)).push([parts])
    return Y.encodeStateAsUpdate(doc)
  }
  const list: [name: string, bytes: Uint8Array, clock?: number][] = [
    ['put', written(put)],
    ['put without value: the field is removed', written({ ...put, value: undefined })],
    ['number lexemes stay as they are', written({ field: 'weight', op: 'put', value: '70.10' })],
    ['keep', written({ field: 'code', op: 'keep', value: '["a","b"]' })],
    ['add', written({ field: 'allergies', op: 'add', value: '{"code":"penicillin"}' })],
    ['remove', written({ field: 'allergies', op: 'remove', value: '{"code":"penicillin"}' })],
    ['count', written({ field: 'stock', op: 'count', value: '[7,-2]' })],
    ['delete', written({ field: '', op: 'delete', value: undefined })],
    ['restore', written({ field: '', op: 'restore', value: undefined })],
    ['an op of a newer version', written({ field: 'name', op: 'vote', value: '1' })],
    [
      'unseen: commit 3 of the own feed, commit 300 of the feed with index 1',
      written({ ...put, unseen: [0, 3, 2, 300] }),
    ],
    ['several writes, the earlier before the later', written(put, { ...put, field: 'sex' })],
    [
      'further on, in place of older writes',
      encodeFieldsUpdate(clientId, 5, { writes: [put], deletedClocks: [0, 3, 4] }),
      5,
    ],
    ['deletions alone', encodeFieldsUpdate(clientId, 5, { writes: [], deletedClocks: [2] }), 5],
    ['another client', encodeFieldsUpdate(clientId + 1, 0, { writes: [put], deletedClocks: [] })],
    ['a gap', encodeFieldsUpdate(clientId, 5, { writes: [put], deletedClocks: [] }), 4],
    [
      'deletions of another client',
      encodeFieldsUpdate(clientId + 1, 0, { writes: [], deletedClocks: [0] }),
    ],
    ['deletions of what is still to come', Uint8Array.of(0, 1, ...varint(clientId), 1, 0, 1)],
    ['bytes after the end', Uint8Array.of(...written(put), 0)],
    ['white space in a value', element('name', 'put', '[1, 2]')],
    ['a value that is no text', element('name', 'put', 7)],
    ['an add without an element', element('allergies', 'add')],
    ['a count of fractions', element('stock', 'count', '[1.5,1]')],
    ['a count beyond 2^53', element('stock', 'count', '[9007199254740992,1]')],
    ['a keep of one value', element('code', 'keep', '["a"]')],
    ['a restore of a field', element('name', 'restore')],
    ['a put of no field', element('', 'put', '1')],
    ['half a place', element('name', 'put', '1', [0])],
  ]
  return list.map(([name, bytes, clock = 0]) => {
    const read = readFieldsUpdate(bytes, clientId, clock)
    return {
      name,
      bytes: bytesToHex(bytes),
      clock,
      ...('problem' in read
        ? { accepted: false, problem: read.problem }
        : { accepted: true, writes: read.writes.map(elementOf), deleted: read.deletedRanges }),
    }
  })
}

/** As lib0 writes it. */
function varint(number: number): number[] {
  const bytes: number[] = []
  let rest = number
  for (; rest > 0x7f; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80)
  return [...bytes, rest]
}

function payload() {
  const other = 'cd'.repeat(16)
  const value: RecordPayload = {
    time: { ms: 1_800_000_000_000, counter: 3 },
    schemaVersion: 2,
    actor: '',
    context: [
      { feed: other, seq: 9, id: hexToBytes('01020304') },
      { feed, seq: 300, id: hexToBytes('05060708') },
    ],
    records: [
      {
        id: 'Patient/0b9e2b1c-61a5-4a5c-8d1e-6f0f7d1d2c3b',
        back: 8,
        fields: hexToBytes(updates()[0]!.bytes),
      },
      {
        id: 'note-1',
        back: 0,
        free: { stateVector: Uint8Array.of(0), update: Uint8Array.of(0, 0) },
      },
    ],
  }
  const feeds = FeedTable.empty.naming([feed])
  return {
    feedsBefore: [feed],
    feedsAfter: [feed, other],
    time: value.time,
    schemaVersion: value.schemaVersion,
    context: value.context.map((entry) => ({ ...entry, id: bytesToHex(entry.id) })),
    records: value.records.map(({ id, back }) => ({ id, back })),
    bytes: bytesToHex(encodePayload(value, feeds)),
  }
}

/** Live writes in any order: what they are to each other makes no difference. */
function contentHash() {
  const records = [
    {
      id: 'Patient/p1',
      live: [
        { field: 'stock', op: 'count', value: '[7,-2]' },
        { field: 'name', op: 'put', value: '"Ngũgĩ"' },
        { field: 'name', op: 'put', value: '"Wanjirũ"' },
        { field: 'name', op: 'put', value: '"Ngũgĩ"' },
        { field: 'sex', op: 'put', value: undefined },
        { field: '', op: 'delete', value: undefined },
      ],
    },
    { id: 'note-1', live: [], free: '0000' },
  ]
  const sum = new ContentSum()
  const hashed = records.map(({ id, live, free }) => {
    const hash = recordHash(id, { live, free: free === undefined ? undefined : hexToBytes(free) })
    sum.add(hash)
    return {
      id,
      live: live.map((write) => elementOf(write)),
      ...(free !== undefined && { free }),
      hash: bytesToHex(hash),
    }
  })
  return { records: hashed, contentHash: bytesToHex(sum.toBytes()) }
}

/** Everything of records that devices write for each other or compare, from fixed inputs. */
export function recordVectors() {
  const branch = 'ef'.repeat(32)
  return {
    array: { clientId, name: arrayName(clientId) },
    updates: updates(),
    payload: payload(),
    content: contentHash(),
    version: {
      writers: { [feed]: 300, [branch]: 4 },
      token: versionToken(
        new Map([
          [feed, 300],
          [branch, 4],
        ]),
        { collection: 'cd'.repeat(16), id: 'Patient/1' },
      ),
    },
  }
}

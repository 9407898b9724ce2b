import { fc, test } from '@fast-check/vitest'
import { describe, expect } from 'vitest'
import * as Y from 'yjs'
import {
  arrayName,
  elementOf,
  encodeFieldsUpdate,
  readFieldsUpdate,
} from '../../src/records/fields-update.ts'
import type { Write } from '../../src/records/writes.ts'

const client = 0x1f_ffff_ffff_fff1
const anyWrite: fc.Arbitrary<Write> = fc.oneof(
  fc.record({
    field: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }),
    op: fc.constantFrom('put', 'put', 'add'),
    value: fc.option(fc.json({ maxDepth: 2 }), { nil: undefined }),
  }),
  fc.record({
    field: fc.constantFrom('status', 'code'),
    op: fc.constant('put'),
    value: fc.constantFrom('1.00', '"a\\u00e9ü"', undefined),
    unseen: fc
      .array(fc.tuple(fc.nat(200), fc.oneof(fc.nat(70), fc.nat(2 ** 31 - 1), fc.maxSafeNat())), {
        minLength: 1,
        maxLength: 3,
      })
      .map((pairs) => pairs.flat()),
  }),
  fc.constant({ field: '', op: 'delete', value: undefined }),
)
/** Transactions: what each pushes, and which of the older elements it deletes. */
const anyTransactions = fc.array(
  fc.tuple(fc.array(anyWrite, { minLength: 1, maxLength: 5 }), fc.array(fc.nat(20))),
  { minLength: 1, maxLength: 6 },
)

/** The same history through a Y.Doc of that client, and through the encoder. */
function bothWays(transactions: [Write[], number[]][]) {
  const doc = new Y.Doc()
  doc.clientID = client
  const array = doc.getArray(arrayName(client))
  const byYjs: Uint8Array[] = []
  doc.on('update', (update: Uint8Array) => byYjs.push(update))
  const encoded: Uint8Array[] = []
  const alive: number[] = []
  let clock = 0
  for (const [writes, picks] of transactions) {
    const places = [...new Set(picks.map((pick) => pick % Math.max(1, alive.length)))]
      .filter((place) => place < alive.length)
      .toSorted((a, b) => b - a)
    const deletedClocks = places.map((place) => alive[place]!).toSorted((a, b) => a - b)
    doc.transact(() => {
      for (const place of places) array.delete(place)
      array.push(writes.map(elementOf))
    })
    for (const place of places) alive.splice(place, 1)
    encoded.push(encodeFieldsUpdate(client, clock, { writes, deletedClocks }))
    for (let i = 0; i < writes.length; i++) alive.push(clock++)
  }
  return { doc, byYjs, encoded }
}

describe('an encoded update', () => {
  test.prop([anyTransactions])('has the bytes that Yjs itself would give', (transactions) => {
    const { byYjs, encoded } = bothWays(transactions)
    expect(encoded).toEqual(byYjs)
  })

  test.prop([anyTransactions, fc.infiniteStream(fc.nat(1000))])(
    'gives the same array in any order, and twice',
    (transactions, picks) => {
      const { doc, encoded } = bothWays(transactions)
      const target = new Y.Doc()
      const shuffled = [...encoded, ...encoded]
        .map((update) => ({ update, at: picks.next().value }))
        .toSorted((a, b) => a.at - b.at)
      for (const { update } of shuffled) Y.applyUpdate(target, update)
      const name = arrayName(client)
      expect(target.getArray(name).toArray()).toEqual(doc.getArray(name).toArray())
    },
  )

  test.prop([anyTransactions])('is read as what was written', (transactions) => {
    const { encoded } = bothWays(transactions)
    let clock = 0
    for (const [i, [writes]] of transactions.entries()) {
      expect(readFieldsUpdate(encoded[i]!, client, clock)).toMatchObject({ writes })
      clock += writes.length
    }
  })
})

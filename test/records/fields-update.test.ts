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
    op: fc.constantFrom('put', 'put', 'vote'),
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

const put: Write = { field: 'x', op: 'put', value: '1' }
const other = client - 1
const plain = (structs: number[]): Uint8Array => Uint8Array.from(structs)

function yjsUpdate(clientId: number, change: (doc: Y.Doc) => void): Uint8Array {
  const doc = new Y.Doc()
  doc.clientID = clientId
  change(doc)
  return Y.encodeStateAsUpdate(doc)
}

function v2Update(): Uint8Array {
  const doc = new Y.Doc()
  doc.clientID = client
  doc.getArray(arrayName(client)).push([elementOf(put)])
  return Y.encodeStateAsUpdateV2(doc)
}

/** An update of one write, whose element is as given. */
function withElement(element: unknown): Uint8Array {
  return yjsUpdate(client, (doc) => doc.getArray(arrayName(client)).push([element]))
}

/** So many pairs of feed and seq. */
function placesOf(count: number): number[] {
  return Array.from({ length: count }, (_, index) => [1, index + 1]).flat()
}

test.each<[string, unknown[]]>([
  ['an element', ['x', 'add', '{"b":1,"a":2}']],
  ['a removal of an element that nobody added', ['x', 'remove', 'null']],
  ['a count down', ['x', 'count', '[-7,-7]']],
  ['two kept values', ['x', 'keep', '[1,[2]]']],
  ['a restoration', ['', 'restore']],
  ['an op of a newer version, of a field', ['x', 'vote', '1']],
  ['an op of a newer version, of the record', ['', 'vote']],
  ['as many unseen writes as allowed', ['x', 'put', '1', placesOf(256)]],
  ['unseen writes with places up to 2^53', ['x', 'put', '1', [0, 2 ** 53 - 1]]],
])('an update is accepted with %s', (_, element) => {
  expect(readFieldsUpdate(withElement(element), client, 0)).toMatchObject({
    writes: [{ field: element[0], op: element[1] }],
  })
})

describe('an update is not accepted', () => {
  const own = arrayName(client)
  test.each<[string, Uint8Array, number?]>([
    ['empty bytes', plain([])],
    ['garbage', plain([1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 3])],
    ['Yjs V2', v2Update()],
    [
      'structs of another client',
      encodeFieldsUpdate(other, 0, { writes: [put], deletedClocks: [] }),
    ],
    [
      'structs of another client in the own array',
      yjsUpdate(other, (doc) => doc.getArray(own).push([elementOf(put)])),
    ],
    [
      'structs in a foreign array',
      yjsUpdate(client, (doc) => doc.getArray(arrayName(other)).push([elementOf(put)])),
    ],
    ['a gap', encodeFieldsUpdate(client, 5, { writes: [put], deletedClocks: [] }), 4],
    ['an overlap', encodeFieldsUpdate(client, 3, { writes: [put], deletedClocks: [] }), 4],
    [
      'deletions of another client',
      encodeFieldsUpdate(other, 0, { writes: [], deletedClocks: [0] }),
    ],
    [
      'deletions of what does not exist yet',
      encodeFieldsUpdate(client, 4, { writes: [], deletedClocks: [4] }),
      4,
    ],
    [
      'deletions of what it brings',
      encodeFieldsUpdate(client, 4, { writes: [put], deletedClocks: [4] }),
      4,
    ],
    ['a deleted struct', yjsUpdate(client, pushAndDelete)],
    ['a map', yjsUpdate(client, (doc) => doc.getMap(own).set('x', 1))],
    ['text', yjsUpdate(client, (doc) => doc.getText(own).insert(0, 'x'))],
    ['a nested type', yjsUpdate(client, (doc) => doc.getArray(own).push([new Y.Map()]))],
    [
      'bytes after its end',
      plain([...encodeFieldsUpdate(client, 0, { writes: [put], deletedClocks: [] }), 0]),
    ],
    ['a number in a longer form', plain([0x80, 0x00, 0x00])],
    ['a huge number of structs', plain([1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f, 5, 0])],
    ['a huge number of deletions', plain([0, 1, 5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f])],
    ['a write that is no list', withElement('x')],
    ['a write without an op', withElement(['x'])],
    ['a write that is too long', withElement(['x', 'put', '1', [0, 1], 2])],
    ['a field that is no text', withElement([1, 'put', '1'])],
    ['a value that is no JSON', withElement(['x', 'put', '1,"deceased":true'])],
    ['a value with white space', withElement(['x', 'put', '[1, 2]'])],
    ['a value that is no text', withElement(['x', 'put', { a: 1 }])],
    ['null for no value', withElement(['x', 'put', null])],
    ['an odd list of unseen writes', withElement(['x', 'put', '1', [0]])],
    ['negative places', withElement(['x', 'put', '1', [0, -1]])],
    ['fractions', withElement(['x', 'put', '1', [0, 1.5]])],
    ['a put of no field', withElement(['', 'put', '1'])],
    ['a delete of a field', withElement(['x', 'delete'])],
    ['a field name that is too long', withElement(['é'.repeat(129), 'put', '1'])],
    ['an op name that is too long', withElement(['x', 'v'.repeat(33), '1'])],
    ['no op', withElement(['x', '', '1'])],
    ['an add without an element', withElement(['x', 'add'])],
    ['a remove without an element', withElement(['x', 'remove', null, [0, 1]])],
    ['an add of no field', withElement(['', 'add', '1'])],
    ['a count of no field', withElement(['', 'count', '[1,1]'])],
    ['a count without a value', withElement(['x', 'count'])],
    ['a count that is a number', withElement(['x', 'count', '1'])],
    ['a count without a difference', withElement(['x', 'count', '[1]'])],
    ['a count of fractions', withElement(['x', 'count', '[1.5,1.5]'])],
    ['a count with exponents', withElement(['x', 'count', '[1e3,1]'])],
    ['a count with white space', withElement(['x', 'count', '[1, 1]'])],
    ['a total beyond 2^53', withElement(['x', 'count', '[9007199254740992,1]'])],
    ['a difference beyond 2^53', withElement(['x', 'count', '[1,-9007199254740992]'])],
    ['a keep of nothing', withElement(['x', 'keep'])],
    ['a keep of one', withElement(['x', 'keep', '[1]'])],
    ['a keep of an object', withElement(['x', 'keep', '{"a":1,"b":2}'])],
    ['a keep of what is no JSON', withElement(['x', 'keep', '[1,}'])],
    ['a restore of a field', withElement(['x', 'restore'])],
    ['a restore with a value', withElement(['', 'restore', '1'])],
    ['an empty list of unseen writes', withElement(['x', 'put', '1', []])],
    ['unseen writes that are a text', withElement(['x', 'put', '1', '0,1'])],
    ['more unseen writes than one form can miss', withElement(['x', 'put', '1', placesOf(257)])],
    ['unseen writes beyond 2^53', withElement(['x', 'put', '1', [0, 2 ** 53]])],
  ])('with %s', (_, update, clock = 0) => {
    expect(readFieldsUpdate(update, client, clock)).toHaveProperty('problem')
  })

  test.prop([fc.uint8Array({ maxLength: 60 })])(
    'when it is garbage, and nothing throws',
    (bytes) => {
      expect(readFieldsUpdate(bytes, client, 0)).toBeTypeOf('object')
    },
  )

  test.prop([anyTransactions, fc.nat(), fc.integer({ min: 1, max: 255 })])(
    'or means what Yjs reads in it, after one changed byte',
    (transactions, at, change) => {
      const { encoded } = bothWays(transactions)
      const update = encoded[0]!.slice()
      update[at % update.length]! ^= change
      const read = readFieldsUpdate(update, client, 0)
      if ('problem' in read) return
      const doc = new Y.Doc()
      Y.applyUpdate(doc, update)
      expect(doc.getArray(arrayName(client)).toArray()).toEqual(read.writes.map(elementOf))
    },
  )
})

test.prop([
  fc.array(
    // Alike at the beginning, at the end and in length, as records of different kinds may name their fields.
    fc
      .tuple(fc.constantFrom('a', 'b', 'c', 'é', 'a\0'), fc.constantFrom('x', 'é', 'yy'))
      .map(([one, two]) => `n${one}${two}${one}e`),
    { minLength: 1, maxLength: 20 },
  ),
])('names that look alike are told apart, whatever was read before', (names) => {
  for (const field of names) {
    const write = { field, op: 'put', value: '1' }
    const update = encodeFieldsUpdate(client, 0, { writes: [write], deletedClocks: [] })
    expect(readFieldsUpdate(update, client, 0)).toEqual({ writes: [write], deletedRanges: [] })
  }
})

function pushAndDelete(doc: Y.Doc): void {
  doc.getArray(arrayName(client)).push([elementOf(put)])
  doc.getArray(arrayName(client)).delete(0)
}

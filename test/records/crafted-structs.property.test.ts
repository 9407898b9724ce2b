/** Whatever a member may make of the structs of an update: a document of the record can be opened, read and edited. */
import { fc, test } from '@fast-check/vitest'
import { expect } from 'vitest'
import * as Y from 'yjs'
import { docUpdate } from '../../src/records/doc.ts'
import { encodeFreeUpdate, encodeStateVector } from '../../src/records/free-update.ts'
import { applyFreeUpdate, emptyRecord, type Writer } from '../../src/records/record-state.ts'
import { settleFree } from '../../src/records/settle-free.ts'
import { textEdit, textsOf } from '../../src/records/text.ts'

function person(name: string, number: number): Writer {
  const feed = name.repeat(16)
  return { writer: feed, feed, clientId: number * 10, freeClientId: number }
}
const victim = person('aa', 1)
const insider = person('ee', 2)

const types = [
  () => new Y.Array(),
  () => new Y.Map(),
  () => new Y.Text(),
  () => new Y.XmlElement('p'),
  () => new Y.XmlFragment(),
  () => new Y.XmlHook('h'),
  () => new Y.XmlText(),
]

const anyContent: fc.Arbitrary<() => Y.Item['content']> = fc.oneof(
  fc.string({ minLength: 1, maxLength: 3 }).map((text) => () => new Y.ContentString(text)),
  fc.integer({ min: 1, max: 3 }).map((length) => () => new Y.ContentDeleted(length)),
  fc
    .array(fc.jsonValue(), { minLength: 1, maxLength: 2 })
    .map((values) => () => new Y.ContentAny(values)),
  fc.constant(() => new Y.ContentJSON(['x', { a: 1 }])),
  fc.constant(() => new Y.ContentEmbed({ image: 1 })),
  fc.constant(() => new Y.ContentBinary(Uint8Array.of(1))),
  fc.constantFrom('bold', 'ychange').map((key) => () => new Y.ContentFormat(key, {})),
  fc.constantFrom(...types).map((make) => () => new Y.ContentType(make() as Y.Array<unknown>)),
)
const anyPlace = fc.record({ client: fc.constantFrom(1, 2), clock: fc.nat(40) })
const anyStruct = fc.record({
  content: anyContent,
  origin: fc.option(anyPlace, { nil: null }),
  rightOrigin: fc.option(anyPlace, { nil: null }),
  parent: fc.oneof(fc.constantFrom('note', 'm', 'list', 'page'), anyPlace),
  key: fc.option(fc.constantFrom('a', 'b', '__proto__'), { nil: null }),
  gone: fc.constantFrom(false, false, false, true),
})

/** Some of everything, with deletions. */
function honestUpdate(): Uint8Array {
  const doc = new Y.Doc()
  doc.clientID = victim.freeClientId
  doc.getText('note').insert(0, 'hello world', { bold: true })
  doc.getMap('m').set('a', new Y.Map([['x', new Y.Text('deep')]]))
  doc.getArray('list').push([1, 2, new Y.Array()])
  doc.getXmlFragment('page').insert(0, [new Y.XmlElement('p'), new Y.XmlText('abc')])
  doc.getText('note').delete(2, 3)
  return Y.encodeStateAsUpdate(doc)
}

const honest = honestUpdate()
const top = Y.parseUpdateMeta(honest).to.get(victim.freeClientId)!
const knowing = encodeStateVector(new Map([[victim.freeClientId, top]]))

function crafted(
  all: readonly (typeof anyStruct extends fc.Arbitrary<infer S> ? S : never)[],
  removed: readonly number[],
): Uint8Array {
  let clock = 0
  const structs: (Y.Item | Y.GC)[] = []
  for (const { content, key, gone, ...places } of all) {
    const at = (place: { client: number; clock: number } | null): Y.ID | null => {
      if (place === null) return null
      const limit = place.client === victim.freeClientId ? top : clock
      return limit === 0 ? null : Y.createID(place.client, place.clock % limit)
    }
    const id = Y.createID(insider.freeClientId, clock)
    const origin = at(places.origin)
    const rightOrigin = at(places.rightOrigin)
    const isFirst = origin === null && rightOrigin === null
    const named = typeof places.parent === 'string' ? places.parent : (at(places.parent) ?? 'note')
    const parent = (isFirst ? named : null) as Y.Item['parent']
    const item = new Y.Item(
      id,
      null,
      origin,
      null,
      rightOrigin,
      parent,
      isFirst ? key : null,
      content(),
    )
    const struct = gone ? new Y.GC(id, 2) : item
    structs.push(struct)
    clock += struct.length
  }
  const deletions = new Map([
    [
      victim.freeClientId,
      [...new Set(removed.map((each) => each % top))]
        .toSorted((a, b) => a - b)
        .map((each) => ({ clock: each, len: 1 })),
    ],
  ])
  return encodeFreeUpdate({ structs, deletions })
}

test.prop(
  [
    fc.array(anyStruct, { minLength: 1, maxLength: 12 }),
    fc.array(fc.nat(40), { maxLength: 4 }),
    fc.boolean(),
  ],
  { numRuns: 2_000 },
)('nothing that somebody could send makes a document unreadable', (structs, removed, hidden) => {
  const stamp = { seq: 1, time: { ms: 1, counter: 0 }, schemaVersion: 0, actor: '' }
  const theirs = { update: honest, stateVector: knowing, hidden: false }
  const before = applyFreeUpdate(emptyRecord('r'), victim, stamp, theirs).state
  const update = crafted(structs, removed)
  const arrived = applyFreeUpdate(before, insider, stamp, { update, stateVector: knowing, hidden })
  const state = settleFree(arrived.state, { isInPast: () => true })
  textsOf(state, ['note', 'm', 'list', 'page'])
  textEdit(state, victim, [{ field: 'note', edit: { to: 'something else' } }])
  const doc = new Y.Doc()
  Y.applyUpdate(doc, docUpdate(state))
  doc.clientID = 3
  doc.getText('note').toDelta()
  doc.getText('note').insert(1, 'x')
  doc.getMap('m').set('a', 1)
  doc.getText('note').delete(0, doc.getText('note').length)
  doc.getArray('list').delete(0, doc.getArray('list').length)
  doc.getXmlFragment('page').delete(0, doc.getXmlFragment('page').length)
  expect(doc.getMap('m').get('a')).toBe(1)
})

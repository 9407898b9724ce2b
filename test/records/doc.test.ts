import { describe, expect, test } from 'vitest'
import * as Y from 'yjs'
import { CausalIndex } from '../../src/records/causality.ts'
import { arrayNameOf, canonicalFreeUpdate, docUpdate } from '../../src/records/doc.ts'
import { FeedTable } from '../../src/records/feed-table.ts'
import { arrayName } from '../../src/records/fields-update.ts'
import { settleFree } from '../../src/records/settle-free.ts'
import {
  applyFieldsUpdate,
  applyFreeUpdate,
  emptyRecord,
  planWrites,
  type RecordState,
  type Writer,
} from '../../src/records/record-state.ts'
import type { PlannedWrite } from '../../src/records/writes.ts'

const feeds = FeedTable.empty
const ada: Writer = {
  writer: 'aa'.repeat(16),
  feed: 'aa'.repeat(16),
  clientId: 11,
  freeClientId: 12,
}
const ben: Writer = {
  writer: 'bb'.repeat(16),
  feed: 'bb'.repeat(16),
  clientId: 21,
  freeClientId: 22,
}

function stamp(seq: number) {
  return { seq, time: { ms: seq, counter: 0 }, schemaVersion: 0, actor: '' }
}

function put(field: string, value: string): PlannedWrite {
  return { field, op: 'put', value }
}

/** What a device types: the update of one transaction, and the state vector before it. */
function typed(doc: Y.Doc, clientId: number, change: (doc: Y.Doc) => void) {
  doc.clientID = clientId
  const stateVector = Y.encodeStateVector(doc)
  let update = new Uint8Array()
  const keep = (bytes: Uint8Array): void => void (update = Uint8Array.from(bytes))
  doc.on('update', keep)
  doc.transact(() => change(doc))
  doc.off('update', keep)
  return { update, stateVector, hidden: false }
}

/** As if everybody had seen everything that came before. */
function settled(state: RecordState): RecordState {
  return settleFree(state, { isInPast: () => true })
}

function opened(state: RecordState): Y.Doc {
  const doc = new Y.Doc({ guid: state.id })
  Y.applyUpdate(doc, docUpdate(state))
  expect(doc.store.pendingStructs).toBeNull()
  return doc
}

describe('the document of a record', () => {
  test('shows the arrays of all writers, as their own updates would have made them', () => {
    let state = emptyRecord('r')
    const direct = new Y.Doc()
    for (const [seq, writer, writes] of [
      [1, ada, [put('x', '1'), put('y', '2'), put('z', '3')]],
      [2, ada, [put('y', '4')]],
      [1, ben, [put('x', '5')]],
      [3, ada, [put('x', '6'), put('w', '7')]],
    ] as const) {
      const planned = planWrites(state, writer, stamp(seq), { writes, feeds })
      state = planned.state
      Y.applyUpdate(direct, planned.update)
    }
    const doc = opened(state)
    for (const { clientId } of [ada, ben]) {
      expect(doc.getArray(arrayName(clientId)).toArray()).toEqual(
        direct.getArray(arrayName(clientId)).toArray(),
      )
    }
    expect(Y.encodeStateVector(doc)).toEqual(Y.encodeStateVector(direct))
    // So that it goes on with what arrives later.
    const next = planWrites(state, ada, stamp(4), { writes: [put('z', '8')], feeds })
    Y.applyUpdate(doc, next.update)
    expect(doc.getArray(arrayName(ada.clientId)).toArray()).toContainEqual(['z', 'put', '8'])
    expect(doc.getArray(arrayName(ada.clientId))).toHaveLength(4)
  })

  test('follows in a document that is open already', () => {
    let state = emptyRecord('r')
    const doc = new Y.Doc({ guid: state.id })
    for (const [seq, writer, writes] of [
      [1, ada, [put('x', '1'), put('y', '2'), put('z', '3')]],
      [1, ben, [put('x', '4')]],
      [2, ada, [put('x', '5')]],
      [3, ada, [put('y', '6'), put('z', '7')]],
      [2, ben, [put('y', '8')]],
      [3, ben, [put('x', '9'), put('y', '10')]],
      [4, ada, [put('x', '11')]],
    ] as const) {
      ;({ state } = planWrites(state, writer, stamp(seq), { writes, feeds }))
      Y.applyUpdate(doc, docUpdate(state))
      for (const { clientId } of [ada, ben]) {
        const name = arrayName(clientId)
        expect(doc.getArray(name).toArray()).toEqual(opened(state).getArray(name).toArray())
      }
    }
    expect(doc.getArray(arrayName(ada.clientId)).toArray()).toEqual([
      ['y', 'put', '6'],
      ['z', 'put', '7'],
      ['x', 'put', '11'],
    ])
  })

  test('shows both branches of a forked feed', () => {
    const before = planWrites(emptyRecord('r'), ada, stamp(1), { writes: [put('x', '1')], feeds })
    const branches = ['c1', 'c2'].map((id): Writer => ({
      ...ada,
      writer: id.repeat(32),
      ancestors: [ada.writer],
    }))
    let state = before.state
    for (const [i, branch] of branches.entries()) {
      const { update } = planWrites(before.state, ada, stamp(2), {
        writes: [put('x', `"${i}"`)],
        feeds,
      })
      const applied = applyFieldsUpdate(state, branch, stamp(2), { update, hidden: false, feeds })
      expect(applied.accepted).toBe(true)
      state = applied.state
    }
    const doc = opened(state)
    const shown = [...state.writers.values()].map((writer) =>
      doc.getArray(arrayNameOf(writer)).toArray(),
    )
    expect(shown).toEqual([[['x', 'put', '1']], [['x', 'put', '"0"']], [['x', 'put', '"1"']]])
  })

  test('shows text of several people, and nothing of what is hidden', () => {
    const doc = new Y.Doc()
    const first = typed(doc, ada.freeClientId, (one) => one.getText('note').insert(0, 'seen at 9'))
    const second = typed(doc, ben.freeClientId, (one) => one.getText('note').insert(9, ', secret'))
    const third = typed(doc, ada.freeClientId, (one) => one.getText('note').insert(17, ', at 10'))
    const apply = (hidden: boolean): RecordState => {
      let state = emptyRecord('r')
      for (const [seq, writer, update] of [
        [1, ada, first],
        [1, ben, { ...second, hidden }],
        [2, ada, third],
      ] as const) {
        const applied = applyFreeUpdate(state, writer, stamp(seq), update)
        expect(applied).toMatchObject({ accepted: true })
        state = applied.state
      }
      return state
    }
    expect(
      opened(settled(apply(false)))
        .getText('note')
        .toJSON(),
    ).toBe('seen at 9, secret, at 10')
    expect(
      opened(settled(apply(true)))
        .getText('note')
        .toJSON(),
    ).toBe('seen at 9, at 10')
  })

  test('keeps the text of both branches of a forked feed', () => {
    const doc = new Y.Doc()
    const start = typed(doc, ada.freeClientId, (one) => one.getText('note').insert(0, 'start'))
    const base = applyFreeUpdate(emptyRecord('r'), ada, stamp(1), start).state
    let state = base
    for (const id of ['c1', 'c2']) {
      const copy = new Y.Doc()
      Y.applyUpdate(copy, Y.encodeStateAsUpdate(doc))
      const branch = { ...ada, writer: id.repeat(32), ancestors: [ada.writer] }
      const more = typed(copy, ada.freeClientId, (one) => {
        one.getText('note').insert(5, ` ${id}`)
        one.getText('note').delete(0, 1)
      })
      const applied = applyFreeUpdate(state, branch, stamp(2), more)
      expect(applied).toMatchObject({ accepted: true })
      state = applied.state
    }
    const causality = new CausalIndex()
    causality.addWriter(ada.writer)
    for (const id of ['c1', 'c2'])
      causality.addWriter(id.repeat(32), { writer: ada.writer, seq: 1 })
    const shown = opened(settleFree(state, causality)).getText('note').toJSON()
    expect(shown).toMatch(/^tart(?: c1 c2| c2 c1)$/)
  })

  test('has one canonical form of free types, whatever came first', () => {
    const doc = new Y.Doc()
    const first = typed(doc, ada.freeClientId, (one) => one.getMap('m').set('a', 1))
    const second = typed(doc, ben.freeClientId, (one) => one.getMap('m').set('a', 2))
    const forth = applyFreeUpdate(
      applyFreeUpdate(emptyRecord('r'), ada, stamp(1), first).state,
      ben,
      stamp(1),
      second,
    ).state
    const back = applyFreeUpdate(
      applyFreeUpdate(emptyRecord('r'), ben, stamp(1), second).state,
      ada,
      stamp(1),
      first,
    ).state
    expect(canonicalFreeUpdate(settled(forth))).toEqual(canonicalFreeUpdate(settled(back)))
    expect(canonicalFreeUpdate(emptyRecord('r'))).toBeUndefined()
  })
})

describe('a free update is not accepted', () => {
  const text = (clientId: number, change = (doc: Y.Doc) => doc.getText('t').insert(0, 'x')) =>
    typed(new Y.Doc(), clientId, change)

  test.each([
    ['of another client', text(ben.freeClientId)],
    ['of the client for fields', text(ada.clientId)],
    ['in an array of fields', text(ada.freeClientId, (doc) => doc.getText('~b').insert(0, 'x'))],
    ['of garbage', { ...text(ada.freeClientId), update: Uint8Array.of(1, 200, 3) }],
    ['with a garbled state vector', { ...text(ada.freeClientId), stateVector: Uint8Array.of(9) }],
    [
      'that deletes beyond its state vector',
      { ...text(ada.freeClientId), update: Uint8Array.of(0, 1, ben.freeClientId, 1, 0, 100) },
    ],
    [
      'that says less than it builds on',
      (() => {
        const doc = new Y.Doc()
        typed(doc, ben.freeClientId, (one) => one.getText('t').insert(0, 'ab'))
        const later = typed(doc, ada.freeClientId, (one) => one.getText('t').insert(2, 'c'))
        return { ...later, stateVector: Uint8Array.of(0) }
      })(),
    ],
    [
      'after a gap',
      (() => {
        const doc = new Y.Doc()
        typed(doc, ada.freeClientId, (one) => one.getText('t').insert(0, 'ab'))
        return typed(doc, ada.freeClientId, (one) => one.getText('t').insert(2, 'c'))
      })(),
    ],
  ])('%s', (_, update) => {
    const applied = applyFreeUpdate(emptyRecord('r'), ada, stamp(1), update)
    expect(applied.accepted).toBe(false)
    expect(canonicalFreeUpdate(settled(applied.state))).toBeUndefined()
  })
})

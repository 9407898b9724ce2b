import { fc, test as propertyTest } from '@fast-check/vitest'
import { describe, expect, test } from 'vitest'
import * as Y from 'yjs'
import { decodeFreeUpdate, referencesOf } from '../../src/records/free-update.ts'
import { ownEdit, Renames } from '../../src/records/own-edit.ts'

const own = { clientId: 77, nextClock: 0 }

/** What changes in a document, one update for each transaction. */
function recorded(doc: Y.Doc, change: () => void): Uint8Array[] {
  const updates: Uint8Array[] = []
  const keep = (update: Uint8Array): void => void updates.push(update)
  doc.on('update', keep)
  change()
  doc.off('update', keep)
  return updates
}

function docWith(base: Uint8Array, updates: readonly Uint8Array[]): Y.Doc {
  const doc = new Y.Doc()
  for (const update of [base, ...updates]) Y.applyUpdate(doc, update)
  return doc
}

function clientsOf(update: Uint8Array): number[] {
  return [...new Set(Y.decodeUpdate(update).structs.map(({ id }) => id.client))]
}

describe('edits as this device writes them', () => {
  test('are what they are where they have its ids', () => {
    const doc = new Y.Doc()
    doc.clientID = own.clientId
    const updates = recorded(doc, () => {
      doc.getText('note').insert(0, 'ab')
      doc.getText('note').insert(2, 'c')
      doc.getText('note').delete(0, 1)
    })
    const { edit, end, renames, references } = ownEdit(updates, own)
    expect(end).toBe(3)
    expect(renames.isEmpty).toBe(true)
    expect(references.size).toBe(0)
    expect(docWith(edit!.update, []).getText('note').toJSON()).toBe('bc')
  })

  test('of nothing are none', () => {
    expect(ownEdit([], own).edit).toBeUndefined()
    expect(ownEdit([Uint8Array.of(0, 0)], own).edit).toBeUndefined()
  })

  test('get its ids, each after what it builds on, whoever wrote which part', () => {
    // Two people who answer each other, each under an own id.
    const doc = new Y.Doc()
    const updates = recorded(doc, () => {
      for (let round = 0; round < 5; round++) {
        doc.clientID = round % 2 === 0 ? 5 : 900
        doc.getText('note').insert(round, String(round))
        doc.getMap('form').set('round', new Y.Map([['n', round]]))
      }
    })
    // All in one update, in which clients stand in the order of their ids.
    for (const given of [updates, [Y.mergeUpdates(updates)]]) {
      const { edit, end } = ownEdit(given, own)
      expect(clientsOf(edit!.update)).toEqual([own.clientId])
      expect(end).toBe(
        Y.decodeUpdate(edit!.update).structs.reduce((sum, { length }) => sum + length, 0),
      )
      const shown = docWith(edit!.update, [])
      expect(shown.store.pendingStructs).toBeNull()
      expect(shown.getText('note').toJSON()).toBe('01234')
      expect(shown.getMap('form').toJSON()).toEqual({ round: { n: 4 } })
    }
  })

  test('go on from where they were renamed before', () => {
    const doc = new Y.Doc()
    doc.clientID = 5
    const [first] = recorded(doc, () => doc.getText('note').insert(0, 'abc'))
    const before = ownEdit([first!], { clientId: 77, nextClock: 10 })
    const [second] = recorded(doc, () => {
      doc.transact(() => {
        doc.getText('note').insert(1, 'X')
        doc.getText('note').delete(2, 2)
      })
    })
    const after = ownEdit(
      [second!],
      { clientId: 77, nextClock: before.end },
      { renames: before.renames },
    )
    expect(before.end).toBe(13)
    const decoded = decodeFreeUpdate(after.edit!.update)!
    expect([...referencesOf(decoded).keys()]).toEqual([77])
    expect(decoded.structs.map(({ id }) => id)).toEqual([Y.createID(77, 13)])
    expect(decoded.deletions.get(77)).toEqual([{ clock: 11, len: 2 }])
    const all = before.renames.and(after.renames)
    expect(all.of(Y.createID(5, 1))).toEqual(Y.createID(77, 11))
    expect(all.of(Y.createID(5, 3))).toEqual(Y.createID(77, 13))
    expect(all.of(Y.createID(5, 4))).toBeUndefined()
    expect(Renames.none.of(Y.createID(5, 0))).toBeUndefined()
  })

  test('leave what others write to them', () => {
    const doc = new Y.Doc()
    doc.clientID = 5
    const updates = recorded(doc, () => doc.getText('note').insert(0, 'theirs'))
    doc.clientID = 6
    updates.push(...recorded(doc, () => doc.getText('note').insert(6, ' mine')))
    const { edit, references } = ownEdit(updates, own, { isOthers: (client) => client === 5 })
    expect(clientsOf(edit!.update)).toEqual([own.clientId])
    // And say that they build on it.
    expect([...references]).toEqual([[5, 6]])
  })

  const anyStep = fc.record({
    client: fc.constantFrom(5, 77, 900),
    at: fc.nat(20),
    remove: fc.constantFrom(0, 0, 2),
    key: fc.option(fc.constantFrom('a', 'b'), { nil: undefined }),
  })

  propertyTest.prop([
    fc.array(anyStep, { maxLength: 12 }),
    fc.array(anyStep, { maxLength: 12 }),
    fc.boolean(),
  ])('say the same as before, on top of what was there', (base, steps, merged) => {
    const doc = new Y.Doc()
    const play = (all: typeof steps): void => {
      for (const [i, { client, at, remove, key }] of all.entries()) {
        doc.clientID = client
        doc.transact(() => {
          const text = doc.getText('note')
          const place = Math.min(at, text.length)
          text.delete(place, Math.min(remove, text.length - place))
          text.insert(place, `${client}.${i} `)
          if (key !== undefined) doc.getMap('m').set(key, new Y.Array())
          const list = doc.getMap('m').get('a') as Y.Array<number> | undefined
          list?.push([i])
        })
      }
    }
    play(base)
    const before = Y.encodeStateAsUpdate(doc)
    const updates = recorded(doc, () => {
      play(steps)
    })
    const nextClock = Y.getState(docWith(before, []).store, 77)
    const given = merged && updates.length > 0 ? [Y.mergeUpdates(updates)] : updates
    const { edit, end } = ownEdit(given, { clientId: 77, nextClock })
    const shown = docWith(before, edit === undefined ? [] : [edit.update])
    expect(shown.store.pendingStructs).toBeNull()
    expect(Y.getState(shown.store, 77)).toBe(end)
    expect(shown.getText('note').toJSON()).toBe(doc.getText('note').toJSON())
    expect(shown.getMap('m').toJSON()).toEqual(doc.getMap('m').toJSON())
    for (const client of edit === undefined ? [] : clientsOf(edit.update)) expect(client).toBe(77)
  })
})

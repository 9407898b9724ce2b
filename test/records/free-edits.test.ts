import { describe, expect, it } from 'vitest'
import * as Y from 'yjs'

import { FreeTypes } from '../../src/records/free-edits.ts'
import { settleFree } from '../../src/records/settle-free.ts'
import { applyFreeUpdate, emptyRecord } from '../../src/records/record-state.ts'
import type { RecordState, Writer } from '../../src/records/record-state.ts'

/** Whoever writes has seen all before. */
const causality = {
  isInPast: (a: { seq: number }, b: { seq: number }) => a.seq < b.seq,
}

function writerOf(name: string, freeClientId: number, ancestors: string[] = []): Writer {
  const feed = name.slice(0, 2)
  return { writer: name, feed, clientId: freeClientId + 1, freeClientId, ancestors }
}

/** A record, and who edits it: each edit gives the update that its commit would carry. */
class Note {
  state: RecordState = emptyRecord('note')
  readonly doc = new Y.Doc()
  #seq = 0

  edit(writer: Writer, change: (doc: Y.Doc) => void, hidden = false): Uint8Array {
    const stateVector = Y.encodeStateVector(this.doc)
    this.doc.clientID = writer.freeClientId
    const parts: Uint8Array[] = []
    const keep = (update: Uint8Array) => parts.push(update)
    this.doc.on('update', keep)
    change(this.doc)
    this.doc.off('update', keep)
    return this.take(writer, { update: Y.mergeUpdates(parts), stateVector }, hidden)
  }

  take(
    writer: Writer,
    part: { update: Uint8Array; stateVector: Uint8Array },
    hidden = false,
  ): Uint8Array {
    const stamp = { seq: ++this.#seq, time: { ms: 1, counter: 0 }, schemaVersion: 0, actor: '' }
    const applied = applyFreeUpdate(this.state, writer, stamp, { ...part, hidden })
    expect(applied).toMatchObject({ accepted: true })
    this.state = applied.state
    return part.update
  }

  editsOf(update: Uint8Array, { writer }: Writer) {
    const state = settleFree(this.state, causality)
    return new FreeTypes(state).editsOf(update, state.writers.get(writer)!)
  }
}

const nurse = writerOf('aa', 11)
const doctor = writerOf('bb', 21)

describe('an edit of a text', () => {
  it('is told by its letters, and by how many it took away', () => {
    const note = new Note()
    const first = note.edit(nurse, (doc) => doc.getText('body').insert(0, 'fever since monday'))
    const second = note.edit(doctor, (doc) => {
      doc.getText('body').insert(5, ' 39.5')
      doc.getText('body').delete(11, 13)
    })
    expect(note.editsOf(first, nurse)).toEqual([
      { field: 'body', inserted: ['fever since monday'], deleted: 0, other: false },
    ])
    expect(note.editsOf(second, doctor)).toEqual([
      { field: 'body', inserted: [' 39.5'], deleted: 12, other: false },
    ])
  })

  it('names each text, also one inside of a map, and keeps places apart', () => {
    const note = new Note()
    const first = note.edit(nurse, (doc) => {
      doc.getMap('plan').set('text', new Y.Text('rest'))
      doc.getText('body').insert(0, 'ab')
    })
    const second = note.edit(nurse, (doc) => {
      doc.getText('body').insert(2, 'c')
      doc.getText('body').insert(3, 'd')
      doc.getText('body').insert(0, 'x')
      const inner = doc.getMap('plan').get('text') as Y.Text
      inner.insert(4, '!')
      inner.format(0, 1, { bold: true })
    })
    expect(note.editsOf(first, nurse)).toEqual([
      { field: 'plan', inserted: ['rest'], deleted: 0, other: true },
      { field: 'body', inserted: ['ab'], deleted: 0, other: false },
    ])
    expect(note.editsOf(second, nurse)).toEqual([
      { field: 'body', inserted: ['cd', 'x'], deleted: 0, other: false },
      { field: 'plan', inserted: ['!'], deleted: 0, other: true },
    ])
  })

  it('says nothing of letters that were taken away again at once', () => {
    const note = new Note()
    const update = note.edit(nurse, (doc) => {
      doc.getText('body').insert(0, 'temprature')
      doc.getText('body').insert(4, 'e')
      doc.getText('body').delete(0, 2)
    })
    expect(note.editsOf(update, nurse)).toEqual([
      { field: 'body', inserted: ['mprature', 'e'], deleted: 0, other: false },
    ])
  })

  it('that is hidden is told like any other', () => {
    const note = new Note()
    note.edit(nurse, (doc) => doc.getText('body').insert(0, 'ab'))
    const hidden = note.edit(doctor, (doc) => doc.getText('body').insert(1, 'X'), true)
    expect(note.editsOf(hidden, doctor)).toEqual([
      { field: 'body', inserted: ['X'], deleted: 0, other: false },
    ])
  })

  it('that stands behind what is not here has no name', () => {
    const elsewhere = new Note()
    elsewhere.edit(nurse, (doc) => doc.getText('body').insert(0, 'ab'))
    const stateVector = Y.encodeStateVector(elsewhere.doc)
    const update = elsewhere.edit(doctor, (doc) => {
      doc.getText('body').insert(1, 'X')
      doc.getText('body').delete(0, 1)
    })
    const here = new Note()
    here.take(doctor, { update, stateVector })
    expect(here.editsOf(update, doctor)).toEqual([
      { field: undefined, inserted: ['X'], deleted: 0, other: false },
    ])
  })

  it('of one branch of a feed is not read with the letters of another', () => {
    const note = new Note()
    note.edit(nurse, (doc) => doc.getText('body').insert(0, 'ab'))
    const stem = note.state.writers.get('aa')!.free!
    const backup = settleFree(note.state, causality).writers.get('aa')!.free!.updates!
    const branch = (letter: string, root: string): { writer: Writer; updates: Uint8Array[] } => {
      const doc = new Y.Doc()
      Y.applyUpdate(doc, backup)
      doc.clientID = stem.clientId
      const writer = writerOf(`aa${letter.repeat(62)}`, stem.clientId, ['aa'])
      const written = (change: () => void): Uint8Array => {
        const stateVector = Y.encodeStateVector(doc)
        change()
        const update = Y.encodeStateAsUpdate(doc, stateVector)
        return note.take(writer, { update, stateVector })
      }
      const first = written(() => doc.getText(root).insert(0, `${letter}1`))
      const second = written(() => doc.getText(root).insert(2, `${letter}2`))
      const third = written(() => doc.getText(root).delete(1, 2))
      return { writer, updates: [first, second, third] }
    }
    for (const [letter, root] of [
      ['c', 'body'],
      ['d', 'plan'],
    ] as const) {
      const { writer, updates } = branch(letter, root)
      expect(updates.map((update) => note.editsOf(update, writer))).toEqual([
        [{ field: root, inserted: [`${letter}1`], deleted: 0, other: false }],
        [{ field: root, inserted: [`${letter}2`], deleted: 0, other: false }],
        [{ field: root, inserted: [], deleted: 2, other: false }],
      ])
    }
  })

  it('with made-up deletions is read in no time', () => {
    const note = new Note()
    const doc = new Y.Doc()
    doc.clientID = nurse.freeClientId
    doc.getText('body').insert(0, 'a')
    // One struct, and a deletion of 2^40 letters of a client that nobody has heard of.
    const structs = Y.encodeStateAsUpdate(doc).slice(0, -1)
    const huge = [0x80, 0x80, 0x80, 0x80, 0x80, 0x40]
    const update = Uint8Array.of(...structs, 1, 99, 1, 0, ...huge)
    note.take(nurse, { update, stateVector: Uint8Array.of(1, 99, ...huge) })
    // It waits for that client for ever, and is not shown.
    expect(note.editsOf(update, nurse)).toEqual([
      { field: undefined, inserted: ['a'], deleted: 0, other: false },
    ])
  })
})

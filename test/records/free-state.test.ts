import { fc, test as propertyTest } from '@fast-check/vitest'
import * as encoding from 'lib0/encoding'
import { describe, expect, test } from 'vitest'
import * as Y from 'yjs'
import { CausalIndex, type Place } from '../../src/records/causality.ts'
import { canonicalFreeUpdate, docUpdate } from '../../src/records/doc.ts'
import { encodeStateVector } from '../../src/records/free-update.ts'
import { hasWaitingUpdates, settleFree, settlesForGood } from '../../src/records/settle-free.ts'
import { decodeRecordState, encodeRecordState } from '../../src/records/record-bytes.ts'
import {
  applyFreeUpdate,
  emptyRecord,
  type RecordState,
  type Writer,
} from '../../src/records/record-state.ts'
import { textsOf } from '../../src/records/text.ts'

function person(name: string, number: number): Writer {
  const feed = name.repeat(16)
  return { writer: feed, feed, clientId: number * 10 + 1, freeClientId: number * 10 + 2 }
}
const ada = person('aa', 1)
const ben = person('bb', 2)
const eve = person('ee', 5)

function stamp(seq: number) {
  return { seq, time: { ms: seq, counter: 0 }, schemaVersion: 0, actor: '' }
}

interface Edit {
  readonly update: Uint8Array
  readonly stateVector: Uint8Array
}

/** One transaction of an application. */
function edit(doc: Y.Doc, clientId: number, change: (doc: Y.Doc) => void): Edit {
  doc.clientID = clientId
  const stateVector = Y.encodeStateVector(doc)
  let update = Uint8Array.of(0, 0)
  const keep = (bytes: Uint8Array): void => void (update = Uint8Array.from(bytes))
  doc.on('update', keep)
  doc.transact(() => {
    change(doc)
  })
  doc.off('update', keep)
  return { update, stateVector }
}

/** The record of one replica, which takes commits one by one, and what it knows of who had seen what. */
class Record {
  state: RecordState = emptyRecord('r')
  readonly causality = new CausalIndex()
  readonly #named = new Set<string>()

  name(writer: Writer, parent?: Place): this {
    if (!this.#named.has(writer.writer)) this.causality.addWriter(writer.writer, parent)
    this.#named.add(writer.writer)
    return this
  }

  take(
    writer: Writer,
    seq: number,
    { update, stateVector }: Edit,
    { seen = [], hidden = false }: { seen?: readonly Place[]; hidden?: boolean } = {},
  ): boolean {
    this.name(writer)
    for (const place of seen)
      if (!this.#named.has(place.writer)) this.causality.addWriter(place.writer)
    this.causality.addSeen(writer.writer, seq, seen)
    const applied = applyFreeUpdate(this.state, writer, stamp(seq), { update, stateVector, hidden })
    this.state = applied.state
    return applied.accepted
  }

  /** As the next run finds it. */
  store(): this {
    const settled = settleFree(this.state, this.causality)
    this.state = decodeRecordState(
      encodeRecordState(settlesForGood(this.state) ? settled : this.state),
    )
    return this
  }

  get settled(): RecordState {
    return settleFree(this.state, this.causality)
  }

  get text(): string {
    return textsOf(this.settled, ['note']).get('note') ?? ''
  }

  get doc(): Y.Doc {
    const doc = new Y.Doc()
    Y.applyUpdate(doc, docUpdate(this.settled))
    return doc
  }
}

const at = (writer: Writer, seq: number): Place => ({ writer: writer.writer, seq })

/** "penicillin" by Ada; and an edit of Ben, who had it before him, that strikes it out. */
function struckOut() {
  const doc = new Y.Doc()
  const typed = edit(doc, ada.freeClientId, (one) => one.getText('note').insert(0, 'penicillin'))
  const struck = edit(doc, ben.freeClientId, (one) => {
    one.getText('note').delete(0, 10)
    one.getText('note').insert(0, 'none')
  })
  return { typed, struck, doc }
}

describe('an update of text and free types', () => {
  test('counts where its author had seen what it refers to', () => {
    const { typed, struck } = struckOut()
    const record = new Record()
    expect(record.take(ada, 1, typed)).toBe(true)
    expect(record.take(ben, 1, struck, { seen: [at(ada, 1)] })).toBe(true)
    expect(record.text).toBe('none')
    expect(hasWaitingUpdates(record.settled)).toBe(false)
  })

  test('waits as long as nothing says that its author had seen it, and counts from then on', () => {
    const { typed, struck } = struckOut()
    const record = new Record()
    record.take(ada, 1, typed)
    expect(record.take(ben, 1, struck)).toBe(true)
    expect(record.store().text).toBe('penicillin')
    expect(hasWaitingUpdates(record.settled)).toBe(true)
    record.causality.addSeen(ben.writer, 1, [at(ada, 1)])
    expect(record.store().text).toBe('none')
    expect(hasWaitingUpdates(record.state)).toBe(false)
  })

  test('waits for what it refers to, whichever comes first', () => {
    const { typed, struck } = struckOut()
    const record = new Record()
    record.take(ben, 1, struck, { seen: [at(ada, 1)] })
    expect(record.store().text).toBe('')
    record.take(ada, 1, typed)
    expect(record.text).toBe('none')
  })

  test('is followed by the later ones of its author only', () => {
    const { typed, struck, doc } = struckOut()
    const more = edit(doc, ben.freeClientId, (one) => one.getText('note').insert(4, ' known'))
    const record = new Record()
    record.take(ben, 1, struck, { seen: [at(ada, 1)] })
    record.take(ben, 2, more)
    const apart = new Y.Doc()
    record.take(
      eve,
      1,
      edit(apart, eve.freeClientId, (one) => one.getText('note').insert(0, 'fever. ')),
    )
    expect(record.store().text).toBe('fever. ')
    record.take(ada, 1, typed)
    expect(record.text).toContain('none known')
    expect(record.text).toContain('fever. ')
  })

  test.each([
    ['over all that the victim will ever write', 2 ** 40],
    ['over what is there', 10],
  ])('with made-up knowledge erases nothing: %s', (_, end) => {
    const record = new Record()
    const doc = new Y.Doc()
    record.take(
      ada,
      1,
      edit(doc, ada.freeClientId, (one) => one.getText('note').insert(0, 'penicillin')),
    )
    const declared = encodeStateVector(new Map([[ada.freeClientId, end]]))
    const erase = deletionOf(ada.freeClientId, end)
    expect(record.take(eve, 1, { update: erase, stateVector: declared })).toBe(true)
    // Nor by the context of a commit that nobody holds: it never becomes part of the causal past.
    expect(record.store().text).toBe('penicillin')
    record.take(
      ada,
      2,
      edit(doc, ada.freeClientId, (one) => one.getText('note').insert(10, ', latex')),
    )
    expect(record.store().text).toBe('penicillin, latex')
    expect(hasWaitingUpdates(record.state)).toBe(true)
  })

  test('can not take the place of a value in a map that its author had not seen', () => {
    const doc = new Y.Doc()
    const first = edit(doc, ada.freeClientId, (one) => one.getMap('m').set('dose', 5))
    // With `first` as origin it would be the newer value, whatever client ids say.
    const forged = edit(doc, eve.freeClientId, (one) => one.getMap('m').set('dose', 500))
    const record = new Record()
    record.take(ada, 1, first)
    record.take(eve, 1, forged)
    expect(record.store().doc.getMap('m').toJSON()).toEqual({ dose: 5 })
    record.causality.addSeen(eve.writer, 1, [at(ada, 1)])
    expect(record.doc.getMap('m').toJSON()).toEqual({ dose: 500 })
  })

  test('can not refer to the arrays of fields', () => {
    const doc = new Y.Doc()
    edit(doc, ada.clientId, (one) => one.getArray('fields').insert(0, ['x']))
    const into = edit(doc, eve.freeClientId, (one) => one.getArray('fields').insert(1, ['y']))
    const record = new Record()
    record.name(ada)
    expect(record.take(eve, 1, into, { seen: [at(ada, 1)] })).toBe(true)
    expect(canonicalFreeUpdate(record.settled)).toBeUndefined()
  })

  test('is one struct when it was typed letter by letter', () => {
    const record = new Record()
    const doc = new Y.Doc()
    let seq = 0
    for (const letter of 'a note that somebody types') {
      const typed = edit(doc, ada.freeClientId, (one) => {
        one.getText('note').insert(one.getText('note').length, letter)
      })
      record.take(ada, ++seq, typed)
      if (seq % 5 === 0) record.store()
    }
    expect(record.text).toBe('a note that somebody types')
    expect(Y.decodeUpdate(canonicalFreeUpdate(record.settled)!).structs).toHaveLength(1)
  })
})

describe('of a hidden commit', () => {
  test('the text is not shown, its deletions do not count, and what stands behind it stays', () => {
    const doc = new Y.Doc()
    const first = edit(doc, ada.freeClientId, (one) => one.getText('note').insert(0, 'penicillin'))
    const theft = edit(doc, eve.freeClientId, (one) => {
      one.getText('note').delete(0, 10)
      one.getText('note').insert(0, 'none')
    })
    const after = edit(doc, ada.freeClientId, (one) => one.getText('note').insert(4, ', seen'))
    const record = new Record()
    record.take(ada, 1, first)
    record.take(eve, 1, theft, { hidden: true })
    record.take(ada, 2, after, { seen: [at(eve, 1)] })
    expect(record.store().text).toBe('penicillin, seen')
  })
})

interface MapStep {
  readonly writer: number
  readonly key: string
  readonly value: number | undefined
}

const anyMapStep: fc.Arbitrary<MapStep> = fc.record({
  writer: fc.nat(2),
  key: fc.constantFrom('dose', 'drug'),
  value: fc.option(fc.nat(99), { nil: undefined }),
})

describe('an entry of a map that a hidden commit wrote', () => {
  const hideEve = (steps: readonly MapStep[], hidden: boolean): Record => {
    const doc = new Y.Doc()
    const writers = [ada, ben, eve]
    const seqs = [0, 0, 0]
    const record = new Record()
    for (const writer of writers) record.name(writer)
    for (const { writer, key, value } of steps) {
      const author = writers[writer]!
      const made = edit(doc, author.freeClientId, (one) => {
        if (value === undefined) one.getMap('m').delete(key)
        else one.getMap('m').set(key, value)
      })
      const seen = writers.flatMap((other, i) =>
        i === writer || seqs[i] === 0 ? [] : [at(other, seqs[i]!)],
      )
      const accepted = record.take(author, ++seqs[writer]!, made, {
        seen,
        hidden: hidden && author === eve,
      })
      expect(accepted).toBe(true)
    }
    return record
  }
  const shownBy = (steps: readonly MapStep[]): { [key: string]: number } => {
    const shown: { [key: string]: number } = {}
    for (const { key, value } of steps) {
      if (value === undefined) delete shown[key]
      else shown[key] = value
    }
    return shown
  }

  test('is not there, and what stood there before is', () => {
    const steps = [
      { writer: 0, key: 'dose', value: 5 },
      { writer: 2, key: 'dose', value: 500 },
    ]
    expect(hideEve(steps, false).store().doc.getMap('m').toJSON()).toEqual({ dose: 500 })
    expect(hideEve(steps, true).store().doc.getMap('m').toJSON()).toEqual({ dose: 5 })
  })

  propertyTest.prop([fc.array(anyMapStep, { maxLength: 12 }), fc.nat(3)])(
    'makes no difference to what others write and remove, one after the other',
    (all, storeEvery) => {
      // Who removes what is not there any more says nothing.
      const steps = all.filter(
        ({ key, value }, i) => value !== undefined || key in shownBy(all.slice(0, i)),
      )
      const visible = hideEve(steps, false)
      expect(visible.doc.getMap('m').toJSON()).toEqual(shownBy(steps))
      const record = hideEve(steps, true)
      if (storeEvery > 0) record.store()
      const expected = shownBy(steps.filter(({ writer }) => writer !== 2))
      expect(record.doc.getMap('m').toJSON()).toEqual(expected)
      expect(hasWaitingUpdates(record.settled)).toBe(false)
      if (storeEvery > 1) expect(record.store().doc.getMap('m').toJSON()).toEqual(expected)
    },
  )

  test('nor has it been one of an attribute, or within another map', () => {
    const doc = new Y.Doc()
    const record = new Record()
    const seen = (seq: number) => ({ seen: [at(ada, seq)] })
    record.take(
      ada,
      1,
      edit(doc, ada.freeClientId, (one) => {
        const heading = new Y.XmlElement('h1')
        heading.setAttribute('class', 'plain')
        one.getXmlFragment('page').insert(0, [heading])
        one.getMap('form').set('drug', new Y.Map([['dose', 5]]))
      }),
    )
    record.take(
      eve,
      1,
      edit(doc, eve.freeClientId, (one) => {
        ;(one.getXmlFragment('page').get(0) as Y.XmlElement).setAttribute('class', 'forged')
        ;(one.getMap('form').get('drug') as Y.Map<number>).set('dose', 500)
      }),
      { ...seen(1), hidden: true },
    )
    record.take(
      ben,
      1,
      edit(doc, ben.freeClientId, (one) => {
        ;(one.getMap('form').get('drug') as Y.Map<unknown>).set('note', 'seen')
      }),
      { seen: [at(ada, 1), at(eve, 1)] },
    )
    const shown = record.store().doc
    expect(shown.getMap('form').toJSON()).toEqual({ drug: { dose: 5, note: 'seen' } })
    expect(shown.getXmlFragment('page').toJSON()).toBe('<h1 class="plain"></h1>')
  })
})

/** The feed of Ada was written twice from its second commit on: by herself, and after a backup was put back. */
function forked() {
  const branches = ['c1', 'c2'].map((id): Writer => ({
    ...ada,
    writer: id.repeat(32),
    ancestors: [ada.writer],
  }))
  const doc = new Y.Doc()
  const start = edit(doc, ada.freeClientId, (one) => one.getText('note').insert(0, 'start'))
  const docs = branches.map(() => {
    const copy = new Y.Doc()
    Y.applyUpdate(copy, Y.encodeStateAsUpdate(doc))
    return copy
  })
  const edits = docs.map((copy, i) =>
    edit(copy, ada.freeClientId, (one) => one.getText('note').insert(5, i === 0 ? ' no!' : ' yes')),
  )
  const record = new Record()
  record.take(ada, 1, start)
  for (const branch of branches) record.name(branch, at(ada, 1))
  return { record, branches, docs, edits }
}

describe('after a fork', () => {
  test.each([0, 1])('who saw branch %i only changed that one', (index) => {
    const { record, branches, docs, edits } = forked()
    const change = edit(docs[index]!, ben.freeClientId, (one) => {
      one.getText('note').delete(5, 4)
      one.getText('note').insert(5, ' gone')
    })
    const seen = [at(branches[index]!, 2)]
    const other = 1 - index
    record.take(branches[other]!, 2, edits[other]!)
    record.take(ben, 1, change, { seen })
    expect(record.store().text).toBe(other === 0 ? 'start no!' : 'start yes')
    record.take(branches[index]!, 2, edits[index]!)
    const { text } = record.store()
    expect(text).toContain('start')
    expect(text).toContain(other === 0 ? ' no!' : ' yes')
    expect(text).not.toContain(index === 0 ? ' no!' : ' yes')
    expect(text).toContain(' gone')
  })

  test('who knew both goes on with both, and so do they', () => {
    const { record, branches, docs, edits } = forked()
    for (const [i, branch] of branches.entries()) record.take(branch, 2, edits[i]!)
    const { doc } = record
    const end = doc.getText('note').length
    const change = edit(doc, ben.freeClientId, (one) => {
      one.getText('note').insert(end, '.')
      one.getText('note').delete(6, 1)
    })
    record.take(ben, 1, change, { seen: branches.map((branch) => at(branch, 2)) })
    expect(record.store().text).toBe(doc.getText('note').toJSON())
    const later = edit(docs[1]!, ada.freeClientId, (one) => one.getText('note').insert(9, ' sir'))
    record.take(branches[1]!, 3, later)
    expect(record.store().text).toContain(' sir')
    expect(hasWaitingUpdates(record.settled)).toBe(false)
  })

  test('a deletion may reach over where the branch begins', () => {
    const { record, branches, docs, edits } = forked()
    for (const [i, branch] of branches.entries()) record.take(branch, 2, edits[i]!)
    const all = edit(docs[1]!, ben.freeClientId, (one) => one.getText('note').delete(0, 9))
    record.take(ben, 1, all, { seen: [at(branches[1]!, 2)] })
    expect(record.text).toBe(' no!')
  })
})

interface Step {
  readonly writer: number
  readonly at: number
  readonly remove: number
  readonly hears: readonly boolean[]
}

const anyStep: fc.Arbitrary<Step> = fc.record({
  writer: fc.nat(2),
  at: fc.nat(30),
  remove: fc.constantFrom(0, 0, 1, 3),
  hears: fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
})

describe('whatever comes first', () => {
  propertyTest.prop([
    fc.array(anyStep, { minLength: 1, maxLength: 25 }),
    fc.infiniteStream(fc.nat()),
  ])(
    'the same commits give the same text, with what everybody typed and nobody deleted',
    (steps, chance) => {
      const writers = [ada, ben, eve]
      const docs = writers.map(() => new Y.Doc())
      const seqs = writers.map(() => 0)
      const heard = writers.map(() => writers.map(() => 0))
      const commits: { writer: Writer; seq: number; edit: Edit; seen: Place[] }[] = []
      for (const [i, step] of steps.entries()) {
        const doc = docs[step.writer]!
        const writer = writers[step.writer]!
        const place = Math.min(step.at, doc.getText('note').length)
        const made = edit(doc, writer.freeClientId, (one) => {
          const remove = Math.min(step.remove, one.getText('note').length - place)
          if (remove > 0) one.getText('note').delete(place, remove)
          one.getText('note').insert(place, `<${i}>`)
        })
        const seen = heard[step.writer]!.flatMap((seq, index) =>
          seq === 0 ? [] : [at(writers[index]!, seq)],
        )
        commits.push({ writer, seq: ++seqs[step.writer]!, edit: made, seen })
        for (const [other, hears] of step.hears.entries()) {
          if (!hears || other === step.writer) continue
          // All that this device has: contexts are transitive.
          Y.applyUpdate(docs[other]!, Y.encodeStateAsUpdate(doc))
          const known = [...heard[step.writer]!]
          known[step.writer] = seqs[step.writer]!
          heard[other] = heard[other]!.map((seq, index) => Math.max(seq, known[index]!))
        }
      }
      const next = chance[Symbol.iterator]()
      const replicas = [0, 1].map(() => {
        const record = new Record()
        for (const writer of writers) record.name(writer)
        const queues = writers.map((writer) => commits.filter((each) => each.writer === writer))
        while (queues.some((queue) => queue.length > 0)) {
          const full = queues.filter((queue) => queue.length > 0)
          const commit = full[next.next().value! % full.length]!.shift()!
          expect(record.take(commit.writer, commit.seq, commit.edit, { seen: commit.seen })).toBe(
            true,
          )
          if (next.next().value! % 3 === 0) record.store()
        }
        return record
      })
      const everything = new Y.Doc()
      for (const doc of docs) Y.applyUpdate(everything, Y.encodeStateAsUpdate(doc))
      for (const record of replicas) {
        expect(hasWaitingUpdates(record.settled)).toBe(false)
        expect(record.text).toBe(everything.getText('note').toJSON())
      }
      expect(canonicalFreeUpdate(replicas[0]!.settled)).toEqual(
        canonicalFreeUpdate(replicas[1]!.settled),
      )
    },
  )
})

/** An update without structs. */
function deletionOf(client: number, end: number): Uint8Array {
  const encoder = encoding.createEncoder()
  for (const number of [0, 1, client, 1, 0, end]) encoding.writeVarUint(encoder, number)
  return encoding.toUint8Array(encoder)
}

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import * as Y from 'yjs'

import { bytesToHex } from '../../src/core/bytes.ts'
import { BoundDoc } from '../../src/device/bound-doc.ts'
import { yjsClientId } from '../../src/feed/descriptor.ts'
import { systemRandom } from '../../src/device/system.ts'
import { issueCertificate } from '../../src/identity/certificate.ts'
import { readTexts } from './support/text-fields.ts'
import { connect, sameClock, TestMesh, until } from './support/test-device.ts'
import type { TestDevice } from './support/test-device.ts'

async function devices(...roles: ('clinician' | 'viewer')[]): Promise<TestDevice[]> {
  const mesh = await TestMesh.found()
  return mesh.enrolAll(roles)
}

function ownFeeds(device: TestDevice): string[] {
  return device
    .feeds()
    .filter((feed) => bytesToHex(device.runtime.replica.descriptor(feed)!.device) === device.id)
}

/** Takes over what another device wrote itself. */
async function hear(to: TestDevice, from: TestDevice): Promise<void> {
  for (const feed of ownFeeds(from)) await to.take(from, feed)
}

function textOf(doc: Y.Doc): string {
  return doc.getText('note').toJSON()
}

function type(doc: Y.Doc, text: string, at = doc.getText('note').length): void {
  doc.getText('note').insert(at, text)
}

function lettersOf(text: string): string {
  return text.split('').toSorted().join('')
}

/** Everything typed is durable, and documents show the record. */
async function settled(device: TestDevice): Promise<void> {
  await until(async () => {
    await device.idle()
    return device.docs.isSettled
  })
}

/** What the next run of the device, and so everybody else, shows. */
async function stored(device: TestDevice, id = 'r'): Promise<string> {
  await settled(device)
  const doc = new Y.Doc()
  const bound = new BoundDoc(doc, { origin: 'test', withFields: false })
  await device.docs.bind({ name: 'records', id }, bound, {})
  await device.docs.unbind(bound)
  return textOf(doc)
}

/** The client ids in a document are those of feeds, and nobody else's. */
function expectOnlyFeeds(doc: Y.Doc, device: TestDevice): void {
  const known = device.feeds().flatMap((feed) => {
    const descriptor = device.runtime.replica.descriptor(feed)!
    return [yjsClientId(descriptor, 'free'), yjsClientId(descriptor, 'fields')]
  })
  for (const client of doc.store.clients.keys()) expect(known).toContain(client)
}

/** White-box: a disk that is slow until it is let go. */
function slowDisk(device: TestDevice): () => void {
  const { writer } = device.runtime
  const write = writer.write.bind(writer)
  const { promise, resolve } = Promise.withResolvers<void>()
  writer.write = async (...parts) => {
    await promise
    return write(...parts)
  }
  return () => {
    writer.write = write
    resolve()
  }
}

async function bind(device: TestDevice, doc: Y.Doc, id = 'r'): Promise<BoundDoc> {
  const binding = new BoundDoc(doc, { origin: Symbol('provider'), withFields: false })
  await device.docs.bind({ name: 'records', id }, binding, {})
  return binding
}

describe('a document of an application', () => {
  it('gets what the record has, and brings what it had itself', async () => {
    const [one, other] = await devices('clinician', 'clinician')
    type(await one!.docs.open('records', 'r'), 'from the record. ')
    await settled(one!)
    const doc = new Y.Doc()
    const ownId = doc.clientID
    type(doc, 'from before. ')
    doc.getMap('form').set('items', new Y.Array())
    await bind(one!, doc)
    expect(textOf(doc)).toContain('from the record. ')
    expect(textOf(doc)).toContain('from before. ')
    expect(doc.clientID).toBe(ownId)
    expectOnlyFeeds(doc, one!)
    await hear(other!, one!)
    const there = await other!.docs.open('records', 'r')
    expect(textOf(there)).toBe(textOf(doc))
    expect(there.getMap('form').toJSON()).toEqual({ items: [] })
    // It goes on under the ids that everybody knows.
    const items = doc.getMap('form').get('items') as Y.Array<number>
    items.push([1, 2])
    await settled(one!)
    expectOnlyFeeds(doc, one!)
    await hear(other!, one!)
    await until(() => (there.getMap('form').toJSON() as { items: number[] }).items.length === 2)
  })

  it('shows at once what is typed into another one of the same record, and both are stored once', async () => {
    const [one] = await devices('clinician')
    const left = new Y.Doc()
    const right = new Y.Doc()
    await Promise.all([bind(one!, left), bind(one!, right)])
    const open = await one!.docs.open('records', 'r')
    for (let round = 0; round < 10; round++) {
      type(left, `l${round} `)
      type(right, `r${round} `, 0)
      type(open, `o${round} `, 0)
      expect(textOf(left)).toBe(textOf(right))
      expect(textOf(left)).toBe(textOf(open))
      if (round % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
    }
    await settled(one!)
    expect(await stored(one!)).toBe(textOf(left))
    for (const doc of [left, right, open]) expectOnlyFeeds(doc, one!)
    expect(one!.problems).toEqual([])
  })

  it('may have observers that type in answer to each other', async () => {
    const [one] = await devices('clinician')
    const left = new Y.Doc()
    const right = new Y.Doc()
    await bind(one!, left)
    await bind(one!, right)
    // Both answer in the same moment, before the one has heard of the other's answer, in two steps each.
    for (const [doc, mark] of [
      [left, 'L'],
      [right, 'R'],
    ] as const) {
      doc.getText('note').observe(() => {
        if (textOf(doc).includes(mark)) return
        type(doc, mark)
        doc.getMap('answers').set(mark, doc.getText('note').length)
      })
    }
    type(left, 'x')
    type(right, 'y')
    await settled(one!)
    expect(lettersOf(textOf(left))).toBe('LRxy')
    expect(textOf(right)).toBe(textOf(left))
    expect(right.getMap('answers').toJSON()).toEqual(left.getMap('answers').toJSON())
    expect([...left.getMap('answers').keys()].toSorted()).toEqual(['L', 'R'])
    expect(await stored(one!)).toBe(textOf(left))
    expectOnlyFeeds(left, one!)
    expectOnlyFeeds(right, one!)
  })

  it('may be changed by its observers in many steps, and nothing goes away and comes back for that', async () => {
    const [one] = await devices('clinician')
    const doc = new Y.Doc()
    await bind(one!, doc)
    let removed = 0
    doc.getText('note').observe((event) => {
      removed += event.delta.filter((change) => change.delete !== undefined).length
      if (doc.getText('note').length > 40) return
      type(doc, 'a')
      type(doc, 'b')
    })
    type(doc, 'x')
    await settled(one!)
    expect(removed).toBe(0)
    expect(await stored(one!)).toBe(textOf(doc))
    expectOnlyFeeds(doc, one!)
  })

  it('can be undone', async () => {
    const [one, other] = await devices('clinician', 'clinician')
    const doc = new Y.Doc()
    await bind(one!, doc)
    const undo = new Y.UndoManager(doc.getText('note'), { captureTimeout: 0 })
    type(doc, 'first ')
    type(doc, 'second ')
    await settled(one!)
    await hear(other!, one!)
    const there = await other!.docs.open('records', 'r')
    type(there, 'theirs ')
    await settled(other!)
    await hear(one!, other!)
    await until(() => textOf(doc).includes('theirs'))
    undo.undo()
    expect(textOf(doc)).toBe('first theirs ')
    undo.undo()
    undo.redo()
    undo.redo()
    await settled(one!)
    expect(textOf(doc)).toContain('first ')
    expect(textOf(doc)).toContain('second ')
    expect(await stored(one!)).toBe(textOf(doc))
    await hear(other!, one!)
    await until(() => textOf(there) === textOf(doc))
  })

  it('takes a template that is applied to it, once', async () => {
    const [one] = await devices('clinician')
    const template = new Y.Doc()
    type(template, 'Name:\nAge:\n')
    template.getMap('form').set('kind', new Y.Map([['deep', new Y.Text('inside')]]))
    const doc = await one!.docs.open('records', 'r')
    type(doc, 'before ')
    Y.applyUpdate(doc, Y.encodeStateAsUpdate(template))
    await settled(one!)
    expect(textOf(doc)).toContain('Name:\nAge:\n')
    expect(textOf(doc)).toContain('before ')
    expect(doc.getMap('form').toJSON()).toEqual({ kind: { deep: 'inside' } })
    expectOnlyFeeds(doc, one!)
    expect(await stored(one!)).toBe(textOf(doc))
    // Somebody goes on writing under ids that are others by now: that is told, since it can't be stored.
    const known = Y.encodeStateVector(template)
    type(template, 'more')
    Y.applyUpdate(doc, Y.encodeStateAsUpdate(template, known))
    expect(one!.problems).toMatchObject([{ refused: false, error: { code: 'INVALID_VALUE' } }])
  })

  it('that was unbound keeps what is typed, and brings it when it is bound again', async () => {
    const [one] = await devices('clinician')
    const doc = new Y.Doc()
    const binding = await bind(one!, doc)
    type(doc, 'bound. ')
    await one!.docs.unbind(binding)
    await until(() => one!.docs.openRecords === 0)
    type(doc, 'alone. ')
    doc.getText('note').delete(0, 1)
    expect(await stored(one!)).toBe('bound. ')
    await one!.docs.bind({ name: 'records', id: 'r' }, binding, {})
    await settled(one!)
    expect(textOf(doc)).toBe('ound. alone. ')
    expect(await stored(one!)).toBe('ound. alone. ')
    expectOnlyFeeds(doc, one!)
  })

  it('that was unbound while another one went on has the words of both', async () => {
    const [one] = await devices('clinician')
    const doc = new Y.Doc()
    const binding = await bind(one!, doc)
    const other = new Y.Doc()
    await bind(one!, other)
    type(doc, 'both. ')
    await one!.docs.unbind(binding)
    type(doc, 'alone. ')
    type(other, 'meanwhile. ')
    await settled(one!)
    await one!.docs.bind({ name: 'records', id: 'r' }, binding, {})
    await settled(one!)
    for (const each of ['both. ', 'alone. ', 'meanwhile. ']) expect(textOf(doc)).toContain(each)
    expect(textOf(doc)).toHaveLength('both. alone. meanwhile. '.length)
    expect(textOf(other)).toBe(textOf(doc))
    expect(await stored(one!)).toBe(textOf(doc))
    expectOnlyFeeds(doc, one!)
  })
})

describe('an edit that is on its way', () => {
  it('while the device begins to write new feeds goes into the new one', async () => {
    const [one, peer] = await devices('clinician', 'clinician')
    const before = await one!.docs.open('records', 'r')
    type(before, 'start. ')
    await settled(one!)
    const image = await one!.image()
    type(before, 'forgotten. ')
    await settled(one!)
    await hear(peer!, one!)
    await one!.docs.close()
    await one!.putBack(image)
    const [feed] = ownFeeds(one!)
    const doc = await one!.docs.open('records', 'r')
    expect(textOf(doc)).toBe('start. ')
    const free = slowDisk(one!)
    type(doc, 'typed ')
    type(doc, 'meanwhile. ')
    // What it had forgotten comes back, under the ids that the new words have in the document.
    await one!.take(peer!, feed!)
    type(doc, 'And after. ')
    free()
    await settled(one!)
    expect(ownFeeds(one!)).toHaveLength(2)
    const text = textOf(doc)
    for (const each of ['start. ', 'forgotten. ', 'typed meanwhile. ', 'And after. ']) {
      expect(text).toContain(each)
    }
    expect(text).toHaveLength('start. forgotten. typed meanwhile. And after. '.length)
    expect(await stored(one!)).toBe(text)
    expectOnlyFeeds(doc, one!)
    await hear(peer!, one!)
    expect(textOf(await peer!.docs.open('records', 'r'))).toBe(text)
    expect(await peer!.contentHash()).toBe(await one!.contentHash())
    type(doc, 'It goes on.')
    expect(await stored(one!)).toBe(`${text}It goes on.`)
    expect(one!.problems).toEqual([])
  })

  it('while the same text is set from elsewhere stands beside that', async () => {
    const [one, peer] = await devices('clinician', 'clinician')
    await readTexts(one!, ['note'])
    const doc = await one!.docs.open('records', 'r')
    type(doc, 'start. ')
    await settled(one!)
    const { writer } = one!.runtime
    const write = writer.write.bind(writer)
    const free = slowDisk(one!)
    type(doc, 'typed. ')
    // Around the slow disk: as if it had been first in the queue.
    writer.write = write
    await one!.operations.write('records', 'r', [
      { op: 'text', field: 'note', at: 0, insert: 'set. ' },
    ])
    type(doc, 'after. ')
    free()
    await settled(one!)
    expect(textOf(doc)).toBe('set. start. typed. after. ')
    expect(await stored(one!)).toBe(textOf(doc))
    expectOnlyFeeds(doc, one!)
    await hear(peer!, one!)
    expect(textOf(await peer!.docs.open('records', 'r'))).toBe(textOf(doc))
    // And without a race an open document has what was set at once, with nothing that goes away and comes back.
    const deletions: unknown[] = []
    doc.getText('note').observe((event) => {
      deletions.push(...event.delta.filter((change) => change.delete !== undefined))
    })
    await one!.operations.write('records', 'r', [
      { op: 'text', field: 'note', at: 0, insert: 'again. ' },
    ])
    await until(() => textOf(doc).startsWith('again. '))
    type(doc, 'end.')
    expect(await stored(one!)).toBe(textOf(doc))
    expect(deletions).toEqual([])
  })

  it('that may not be written is told, and the document shows the record again', async () => {
    const [one, viewer] = await devices('clinician', 'viewer')
    type(await one!.docs.open('records', 'r'), 'true')
    await settled(one!)
    await hear(viewer!, one!)
    const doc = await viewer!.docs.open('records', 'r')
    type(doc, ' and false')
    doc.getText('note').delete(0, 2)
    await settled(viewer!)
    expect(viewer!.problems).toMatchObject([{ refused: true, error: { code: 'NOT_ALLOWED' } }])
    expect(textOf(doc)).toBe('true')
    // It goes on following.
    type(await one!.docs.open('records', 'r'), ' again')
    await settled(one!)
    await hear(viewer!, one!)
    await until(() => textOf(doc) === 'true again')
  })

  it('that can not be stored takes along only what was typed after it', async () => {
    const [one] = await devices('clinician')
    const doc = await one!.docs.open('records', 'r')
    const free = slowDisk(one!)
    type(doc, 'good. ')
    doc.getArray('~mine').push(['not for applications'])
    type(doc, 'after. ')
    free()
    await settled(one!)
    expect(one!.problems).toMatchObject([{ refused: true, error: { code: 'INVALID_VALUE' } }])
    expect(textOf(doc)).toBe('good. ')
    expect(doc.getArray('~mine').toJSON()).toEqual([])
    expect(await stored(one!)).toBe('good. ')
    type(doc, 'more.')
    expect(await stored(one!)).toBe('good. more.')
  })

  it('that is too large is told, and what was typed before it is stored', async () => {
    const [one] = await devices('clinician')
    const doc = await one!.docs.open('records', 'r')
    const free = slowDisk(one!)
    type(doc, 'good. ')
    doc.getMap('files').set('scan', new Uint8Array(9 * 1024 * 1024))
    free()
    await settled(one!)
    expect(one!.problems).toMatchObject([{ refused: true, error: { code: 'TOO_LARGE' } }])
    expect(await stored(one!)).toBe('good. ')
    // Each of these may be stored, all of them at once may not.
    const slow = slowDisk(one!)
    for (let part = 0; part < 5; part++) {
      doc.getMap('files').set(`part ${part}`, new Uint8Array(2 * 1024 * 1024))
    }
    slow()
    await settled(one!)
    expect(one!.problems).toHaveLength(1)
    expect([...doc.getMap('files').keys()]).toHaveLength(5)
  })
})

describe('an open document follows', () => {
  it('what counts no longer: the words go, and what they had struck out is there again', async () => {
    const mesh = await TestMesh.found(5)
    const { founder } = mesh
    const [nurse, reader] = await mesh.enrolAll(['clinician', 'clinician'])
    const doc = await founder.docs.open('records', 'r')
    type(doc, 'penicillin')
    await settled(founder)
    await hear(nurse!, founder)
    await hear(reader!, founder)
    const there = await nurse!.docs.open('records', 'r')
    there.getText('note').delete(0, 10)
    type(there, 'none')
    await settled(nurse!)
    await hear(founder, nurse!)
    await hear(reader!, nurse!)
    await until(() => textOf(doc) === 'none')
    const undo = new Y.UndoManager(doc.getText('note'))
    type(doc, ', seen')
    await settled(founder)
    // From now on it only reads, and so it has been for everything that it wrote.
    const certificate = issueCertificate(
      {
        mesh: mesh.mesh,
        device: nurse!.id,
        agreementKey: nurse!.keys.agreement.publicKey,
        role: 'viewer',
        issuedAtMs: mesh.nowMs++,
      },
      founder.keys.signing,
      systemRandom,
    )
    await founder.runtime.writeFacts([{ kind: 'certificate', certificate }])
    await until(async () => {
      await founder.idle()
      return textOf(doc) === 'penicillin, seen'
    })
    await settled(founder)
    expect(await stored(founder)).toBe('penicillin, seen')
    type(doc, '.')
    undo.undo()
    await settled(founder)
    expect(await stored(founder)).toBe(textOf(doc))
    const cut = connect(founder, reader!)
    await until(() => sameClock(founder, reader!))
    await until(async () => (await reader!.contentHash()) === (await founder.contentHash()))
    cut()
  })

  it('a fork: the words of both histories stand in it once', async () => {
    const [forked, left, right] = await devices('clinician', 'clinician', 'clinician')
    type(await forked!.docs.open('records', 'r'), 'start. ')
    await settled(forked!)
    const image = await forked!.image()
    type(await forked!.docs.open('records', 'r'), 'one. ')
    await settled(forked!)
    const [feed] = ownFeeds(forked!)
    await left!.take(forked!, feed!)
    const doc = await left!.docs.open('records', 'r')
    expect(textOf(doc)).toBe('start. one. ')
    type(doc, 'left. ')
    doc.getText('note').delete(7, 2)
    await settled(left!)
    await forked!.docs.close()
    await forked!.putBack(image)
    type(await forked!.docs.open('records', 'r'), 'two. ')
    await settled(forked!)
    await right!.take(forked!, feed!)
    await hear(right!, left!)
    await left!.take(forked!, feed!)
    await right!.take(left!, feed!)
    await until(() => textOf(doc).includes('two. '))
    await settled(left!)
    const text = textOf(doc)
    for (const each of ['start. ', 'e. ', 'left. ', 'two. ']) expect(text).toContain(each)
    expect(text).not.toContain('one')
    expect(await stored(left!)).toBe(text)
    expect(await stored(right!)).toBe(text)
    expect(await right!.contentHash()).toBe(await left!.contentHash())
    type(doc, 'on.')
    expect(await stored(left!)).toBe(`${text}on.`)
  })
})

describe('documents', () => {
  it('are dropped when they are destroyed, and opened anew with all that was typed', async () => {
    const [one] = await devices('clinician')
    const doc = await one!.docs.open('records', 'r')
    expect(await one!.docs.open('records', 'r')).toBe(doc)
    type(doc, 'words')
    doc.destroy()
    const again = await one!.docs.open('records', 'r')
    expect(again).not.toBe(doc)
    await until(() => textOf(again) === 'words')
    again.destroy()
    await until(() => one!.docs.openRecords === 0)
  })

  it('that nobody holds go when there are many, those that somebody listens to stay', async () => {
    setFlagsFromString('--expose-gc')
    const collectGarbage = runInNewContext('gc') as () => void
    const [one, other] = await devices('clinician', 'clinician')
    const heard: string[] = []
    const listen = async (): Promise<void> => {
      const doc = await one!.docs.open('records', 'heard')
      doc.getMap('deep').set('list', new Y.Array())
      const list = doc.getMap('deep').get('list') as Y.Array<string>
      list.observe(() => heard.push(...list.toArray()))
    }
    await listen()
    const held = await one!.docs.open('records', 'held')
    for (let i = 0; i < 300; i++) {
      const doc = await one!.docs.open('records', `r${i}`)
      if (i % 50 === 0) type(doc, 'not lost')
    }
    await until(async () => {
      collectGarbage()
      await new Promise((resolve) => setTimeout(resolve, 1))
      return one!.docs.openRecords < 100
    })
    expect(await one!.docs.open('records', 'held')).toBe(held)
    await settled(one!)
    expect(await stored(one!, 'r100')).toBe('not lost')
    await hear(other!, one!)
    const there = await other!.docs.open('records', 'heard')
    ;(there.getMap('deep').get('list') as Y.Array<string>).push(['news'])
    type(await other!.docs.open('records', 'held'), 'held')
    await settled(other!)
    await hear(one!, other!)
    await until(() => heard.includes('news') && textOf(held) === 'held')
  })
})

describe('three devices that meet at random', () => {
  it('have one text in the end, with every line that was typed', async () => {
    const all = await devices('clinician', 'clinician', 'clinician')
    const [{ chance }] = [all[0]!.mesh]
    const docs = await Promise.all(all.map((device) => device.docs.open('records', 'r')))
    const lines: string[] = []
    for (let round = 0; round < 60; round++) {
      const at = chance.bytes(1)[0]! % 3
      const doc = docs[at]!
      const line = `<${round}>`
      lines.push(line)
      type(doc, line, chance.bytes(1)[0]! % (doc.getText('note').length + 1))
      if (chance.bytes(1)[0]! % 4 === 0) {
        await settled(all[at]!)
        await hear(all[(at + 1) % 3]!, all[at]!)
      }
    }
    const cuts = [connect(all[0]!, all[1]!), connect(all[1]!, all[2]!)]
    for (const device of all) await settled(device)
    await until(() => sameClock(all[0]!, all[1]!) && sameClock(all[1]!, all[2]!))
    await until(() => docs.every((doc) => textOf(doc) === textOf(docs[0]!)))
    // Insertions into the middle of a line break it, and lose nothing.
    expect(lettersOf(textOf(docs[0]!))).toBe(lettersOf(lines.join('')))
    expect(new Set(await Promise.all(all.map((device) => device.contentHash()))).size).toBe(1)
    for (const [i, doc] of docs.entries()) expectOnlyFeeds(doc, all[i]!)
    for (const cut of cuts) cut()
  })
})

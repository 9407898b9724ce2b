import { describe, expect, it } from 'vitest'
import { Awareness } from 'y-protocols/awareness'
import * as Y from 'yjs'

import type { Device } from '../../src/device/api.ts'
import { HavenProvider } from '../../src/device/haven-provider.ts'
import type { HavenProviderOptions } from '../../src/device/haven-provider.ts'
import { openEditor, paragraphs } from './support/editor.ts'
import { connect, TestMesh, until } from './support/test-device.ts'
import type { TestDevice } from './support/test-device.ts'

async function devices(...roles: ('clinician' | 'viewer')[]): Promise<TestDevice[]> {
  const mesh = await TestMesh.found()
  return mesh.enrolAll(roles)
}

/** A provider takes of a device what it offers documents by, and its events. */
function provided(
  device: TestDevice,
  roomname: string,
  doc: Y.Doc,
  options?: HavenProviderOptions,
): HavenProvider {
  return new HavenProvider(device as unknown as Device, roomname, doc, options)
}

function textOf(doc: Y.Doc): string {
  return doc.getText('note').toJSON()
}

/** All that a provider says. */
function heardOf(provider: HavenProvider): unknown[] {
  const heard: unknown[] = []
  provider.on('status', ({ status }) => heard.push(status))
  provider.on('sync', (isSynced) => heard.push(isSynced))
  provider.on('error', (error, { refused }) => heard.push([error.code, refused]))
  return heard
}

describe('a provider', () => {
  it('says what it does by the conventions of other providers', async () => {
    const [one] = await devices('clinician')
    const doc = new Y.Doc()
    const provider = provided(one!, 'records/Patient/anna', doc, { connect: false })
    const heard = heardOf(provider)
    expect(provider).toMatchObject({ roomname: 'records/Patient/anna', doc, synced: false })
    expect(provider.shouldConnect).toBe(false)
    provider.connect()
    expect([provider.shouldConnect, provider.wsconnecting, provider.connected]).toEqual([
      true,
      true,
      false,
    ])
    expect(await provider.whenSynced).toBe(provider)
    expect([provider.wsconnected, provider.connected, provider.synced]).toEqual([true, true, true])
    expect(doc.isSynced).toBe(true)
    provider.connect()
    provider.disconnect()
    provider.disconnect()
    expect([provider.shouldConnect, provider.wsconnected, provider.synced]).toEqual([
      false,
      false,
      false,
    ])
    await provider.destroy()
    provider.connect()
    expect(provider.connected).toBe(false)
    expect(heard).toEqual(['connecting', 'connected', true, false, 'disconnected'])
    expect(one!.docs.openRecords).toBe(0)
  })

  it('brings what was typed before it was connected, and stores what is typed before it goes', async () => {
    const [one] = await devices('clinician')
    const doc = new Y.Doc()
    doc.getText('note').insert(0, 'before. ')
    const provider = provided(one!, 'records/r', doc)
    doc.getText('note').insert(0, 'at once. ')
    await provider.whenSynced
    expect(textOf(doc)).toBe('at once. before. ')
    expect(provider.unsavedChanges).toBe(0)
    doc.getText('note').insert(0, 'last. ')
    expect(provider.unsavedChanges).toBe(1)
    await provider.destroy()
    const again = new Y.Doc()
    const next = provided(one!, 'records/r', again)
    await next.whenSynced
    expect(textOf(again)).toBe('last. at once. before. ')
    // What it no longer follows does not reach it.
    again.getText('note').insert(0, 'more. ')
    await next.whenSaved()
    expect(textOf(doc)).toBe('last. at once. before. ')
    await next.destroy()
  })

  it('two on one device, of one record, follow each other, alone and after being apart', async () => {
    const [one] = await devices('clinician')
    const [left, right] = [new Y.Doc(), new Y.Doc()]
    const first = provided(one!, 'records/r', left)
    const second = provided(one!, 'records/r', right)
    await Promise.all([first.whenSynced, second.whenSynced])
    left.getText('note').insert(0, 'left. ')
    right.getText('note').insert(0, 'right. ')
    expect(textOf(left)).toBe('right. left. ')
    first.disconnect()
    left.getText('note').insert(0, 'alone. ')
    right.getText('note').insert(0, 'without. ')
    expect(textOf(left)).not.toContain('without')
    first.connect()
    await until(() => first.synced)
    await Promise.all([first.whenSaved(), second.whenSaved()])
    expect(textOf(left)).toBe(textOf(right))
    for (const each of ['left. ', 'right. ', 'alone. ', 'without. ']) {
      expect(textOf(left)).toContain(each)
    }
    await first.destroy()
    right.getText('note').insert(0, 'on. ')
    await second.destroy()
    const doc = await one!.docs.open('records', 'r')
    expect(textOf(doc)).toBe(textOf(right))
  })

  it('tells an edit that is refused, and shows the record again; of a viewer it goes on reading', async () => {
    const [one, viewer] = await devices('clinician', 'viewer')
    connect(one!, viewer!)
    const source = new Y.Doc()
    await provided(one!, 'records/r', source).whenSynced
    source.getText('note').insert(0, 'true')
    const doc = new Y.Doc()
    const provider = provided(viewer!, 'records/r', doc)
    await provider.whenSynced
    await until(() => textOf(doc) === 'true')
    const heard = heardOf(provider)
    doc.getText('note').insert(4, ' and false')
    await provider.whenSaved()
    expect(heard).toEqual([['NOT_ALLOWED', true]])
    expect(textOf(doc)).toBe('true')
    source.getText('note').insert(4, '!')
    await until(() => textOf(doc) === 'true!')
    await provider.destroy()
  })

  it('tells why a record can not be opened', async () => {
    const [one] = await devices('clinician')
    const doc = new Y.Doc()
    const provider = provided(one!, 'nowhere/r', doc, { connect: false })
    const heard = heardOf(provider)
    provider.connect()
    await until(() => heard.length === 3)
    expect(heard).toEqual(['connecting', 'disconnected', ['UNKNOWN_COLLECTION', false]])
    await provider.destroy()
    const usage = expect.objectContaining({ code: 'USAGE' })
    expect(() => provided(one!, 'records', doc)).toThrow(usage)
    expect(() => provided(one!, 'records/', doc)).toThrow(usage)
    expect(() => provided(one!, 'records/r', {} as Y.Doc)).toThrow(usage)
  })

  it('opens the record when what kept it from that is over', async () => {
    const mesh = await TestMesh.found()
    // It has not met anybody, and so does not know what collections there are.
    const late = await mesh.enrol('clinician')
    const doc = new Y.Doc()
    const provider = provided(late, 'records/r', doc, { connect: false })
    const heard = heardOf(provider)
    doc.getText('note').insert(0, 'typed before. ')
    provider.connect()
    await until(() => heard.length === 3)
    expect(heard).toEqual(['connecting', 'disconnected', ['NOT_READABLE_YET', false]])
    const there = await mesh.founder.docs.open('records', 'r')
    there.getText('note').insert(0, 'founder. ')
    const cut = connect(mesh.founder, late)
    await provider.whenSynced
    expect(heard.slice(3)).toEqual(['connected', true])
    await until(() => textOf(doc).includes('founder. ') && textOf(there).includes('before. '))
    cut()
    await provider.destroy()
  })

  it('ends with its document and with its device, without losing what was typed', async () => {
    const [one] = await devices('clinician')
    const [left, right] = [new Y.Doc(), new Y.Doc()]
    const first = provided(one!, 'records/r', left)
    const second = provided(one!, 'records/r', right)
    await Promise.all([first.whenSynced, second.whenSynced])
    left.getText('note').insert(0, 'left. ')
    left.destroy()
    await until(() => !first.connected)
    expect(first.shouldConnect).toBe(false)
    const heard = heardOf(second)
    right.getText('note').insert(0, 'right. ')
    await one!.docs.close()
    expect(heard).toEqual([false, 'disconnected'])
    await one!.restart()
    expect(textOf(await one!.docs.open('records', 'r'))).toBe('right. left. ')
  })

  it('passes on who is there, between the editors of one device', async () => {
    const [one] = await devices('clinician')
    const docs = [new Y.Doc(), new Y.Doc(), new Y.Doc()]
    const all = docs.map((doc) => new Awareness(doc))
    const providers = docs.map((doc, i) =>
      provided(one!, i === 2 ? 'records/other' : 'records/r', doc, {
        awareness: all[i],
      }),
    )
    await Promise.all(providers.map((provider) => provider.whenSynced))
    const [ada, ben, stranger] = all
    const changes: unknown[] = []
    ben!.on('change', (change: unknown) => changes.push(change))
    ada!.setLocalStateField('user', { name: 'Ada' })
    expect(ben!.getStates().get(docs[0]!.clientID)).toEqual({ user: { name: 'Ada' } })
    expect(stranger!.getStates().size).toBe(1)
    expect(changes).toEqual([{ added: [], updated: [docs[0]!.clientID], removed: [] }])
    docs[0]!.getText('note').insert(0, 'typed')
    expect(docs[0]!.clientID).toBe(ada!.clientID)
    providers[0]!.disconnect()
    expect([...ben!.getStates().keys()]).toEqual([docs[1]!.clientID])
    expect([...ada!.getStates().keys()]).toEqual([docs[0]!.clientID])
    providers[0]!.connect()
    await until(() => providers[0]!.connected)
    expect(ben!.getStates().get(docs[0]!.clientID)).toEqual({ user: { name: 'Ada' } })
    ada!.setLocalState(null)
    expect(ben!.getStates().has(docs[0]!.clientID)).toBe(false)
    for (const provider of providers) await provider.destroy()
    for (const awareness of all) awareness.destroy()
  })

  it('carries whatever types an application puts into its document', async () => {
    const [one, other] = await devices('clinician', 'clinician')
    connect(one!, other!)
    const [here, there] = [new Y.Doc(), new Y.Doc()]
    await provided(one!, 'records/r', here).whenSynced
    await provided(other!, 'records/r', there).whenSynced
    const form = here.getMap('form')
    const rows = new Y.Array<Y.Map<unknown>>()
    form.set('rows', rows)
    rows.push([
      new Y.Map<unknown>([
        ['dose', 5],
        ['bytes', Uint8Array.of(1, 2)],
      ]),
    ])
    rows.get(0).set('comment', new Y.Text('half a tablet'))
    const tree = here.getXmlFragment('page')
    const heading = new Y.XmlElement('h1')
    heading.setAttribute('class', 'title')
    heading.insert(0, [new Y.XmlText('Ward')])
    tree.insert(0, [heading, new Y.XmlElement('hr')])
    here.getText('rich').insert(0, 'bold', { bold: true })
    here.getText('rich').insertEmbed(4, { image: 'x.png' })
    await until(() => there.getText('rich').length === 5)
    expect(there.getMap('form').toJSON()).toEqual(form.toJSON())
    expect(there.getXmlFragment('page').toJSON()).toBe('<h1 class="title">Ward</h1><hr></hr>')
    expect(there.getText('rich').toDelta()).toEqual(here.getText('rich').toDelta())
    const comment = (there.getMap('form').get('rows') as typeof rows).get(0).get('comment')
    ;(comment as Y.Text).insert(0, 'only ')
    await until(() => rows.get(0).get('comment')?.toString() === 'only half a tablet')
    rows.delete(0)
    there.getXmlFragment('page').delete(1, 1)
    await until(() => here.getXmlFragment('page').length === 1)
    await until(() => (there.getMap('form').get('rows') as typeof rows).length === 0)
  })
})

describe('an editor of the Yjs ecosystem', () => {
  it('works on it across two devices: both write at once, and read the same', async () => {
    const [one, other] = await devices('clinician', 'clinician')
    const docs = [new Y.Doc(), new Y.Doc()]
    const providers = [
      provided(one!, 'records/r', docs[0]!, { awareness: new Awareness(docs[0]!) }),
      provided(other!, 'records/r', docs[1]!, { awareness: new Awareness(docs[1]!) }),
    ]
    await Promise.all(providers.map((provider) => provider.whenSynced))
    const editors = await Promise.all(
      docs.map((doc, i) =>
        openEditor(doc.getXmlFragment('page'), providers[i]!.awareness as Awareness),
      ),
    )
    const [here, there] = editors
    const type = (editor: typeof here, text: string, at = 1): void => {
      editor!.dispatch(editor!.state.tr.insertText(text, at))
    }
    type(here, 'Fever since Monday.')
    await providers[0]!.whenSaved()
    let cut = connect(one!, other!)
    await until(() => paragraphs(there!)[0] === 'Fever since Monday.')
    cut()
    // Apart: a second paragraph here, a word in the first one there.
    const { schema } = here!.state
    here!.dispatch(
      here!.state.tr.insert(
        here!.state.doc.content.size,
        schema.nodes['paragraph']!.create(null, schema.text('Seen at 9.')),
      ),
    )
    there!.dispatch(there!.state.tr.insertText('High f', 1, 2))
    there!.dispatch(
      there!.state.tr.addMark(1, 5, schema.marks['strong']!.create()).scrollIntoView(),
    )
    await Promise.all(providers.map((provider) => provider.whenSaved()))
    expect(paragraphs(there!)).toHaveLength(1)
    cut = connect(one!, other!)
    await until(() => paragraphs(there!).length === 2 && paragraphs(here!)[0]!.startsWith('High'))
    expect(paragraphs(here!)).toEqual(['High fever since Monday.', 'Seen at 9.'])
    expect(there!.state.doc.toJSON()).toEqual(here!.state.doc.toJSON())
    expect(here!.dom.innerHTML).toContain('<strong>High</strong> fever')
    expect(here!.dom.innerHTML).toBe(there!.dom.innerHTML)
    // Undo takes back one's own.
    const { undo } = await import('y-prosemirror')
    undo(there!.state)
    await until(() => paragraphs(here!)[0] === 'Fever since Monday.')
    expect(paragraphs(here!)[1]).toBe('Seen at 9.')
    cut()
    for (const editor of editors) editor.destroy()
    for (const provider of providers) {
      ;(provider.awareness as Awareness).destroy()
      await provider.destroy()
    }
    expect([...one!.problems, ...other!.problems]).toEqual([])
  })
})

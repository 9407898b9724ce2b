import * as encoding from 'lib0/encoding'
import { describe, expect, it } from 'vitest'
import * as Y from 'yjs'

import { hexToBytes } from '../../src/core/bytes.ts'
import { yjsClientId } from '../../src/feed/descriptor.ts'
import type { ContextEntry } from '../../src/records/record-payload.ts'
import { arrayName } from '../../src/records/fields-update.ts'
import { encodeStateVector } from '../../src/records/free-update.ts'
import { Insider, payload } from './support/insider.ts'
import { readTexts } from './support/text-fields.ts'
import { TestMesh, until } from './support/test-device.ts'
import type { TestDevice } from './support/test-device.ts'

interface Free {
  readonly update: Uint8Array
  readonly stateVector: Uint8Array
}

/** An honest device with a record that has a text and an open document, and an insider who knows all of it. */
async function scene() {
  const mesh = await TestMesh.found()
  const [honest, bad] = await mesh.enrolAll(['clinician', 'clinician'])
  await readTexts(honest!, ['note'])
  await honest!.set('r', { note: '"penicillin"', dose: '1' })
  const doc = await honest!.docs.open('records', 'r')
  doc.getMap('form').set('allergy', 'penicillin')
  await settled(honest!)
  const insider = new Insider(bad!)
  const [feed] = honest!.feeds()
  const descriptor = honest!.runtime.replica.descriptor(feed!)!
  return {
    honest: honest!,
    insider,
    doc,
    feed: feed!,
    /** Client ids of the honest device and of the insider. */
    theirs: yjsClientId(descriptor, 'free'),
    theirFields: yjsClientId(descriptor, 'fields'),
    mine: yjsClientId(insider.descriptor, 'free'),
    /** The document as the insider has it. */
    copy: (): Y.Doc => {
      const copy = new Y.Doc()
      Y.applyUpdate(copy, Y.encodeStateAsUpdate(doc))
      copy.clientID = yjsClientId(insider.descriptor, 'free')
      return copy
    },
  }
}

type Scene = Awaited<ReturnType<typeof scene>>

async function settled(device: TestDevice): Promise<void> {
  await until(async () => {
    await device.idle()
    return device.docs.isSettled
  })
}

/** What somebody makes of a document, as a commit says it. */
function made(doc: Y.Doc, change: (doc: Y.Doc) => void): Free {
  const stateVector = Y.encodeStateVector(doc)
  let update: Uint8Array = Uint8Array.of(0, 0)
  doc.on('update', (bytes: Uint8Array) => {
    update = bytes
  })
  doc.transact(() => {
    change(doc)
  })
  return { update, stateVector }
}

function deletion(client: number, clock: number, length: number): Uint8Array {
  const encoder = encoding.createEncoder()
  for (const number of [0, 1, client, 1, clock, length]) encoding.writeVarUint(encoder, number)
  return encoding.toUint8Array(encoder)
}

function knowing(client: number, clock: number): Uint8Array {
  return encodeStateVector(new Map([[client, clock]]))
}

/** Never accepted: kept, carried, and marked. */
const refused: [string, (scene: Scene) => Free][] = [
  ['unparseable bytes', () => ({ update: Uint8Array.of(1, 200, 3), stateVector: knowing(1, 0) })],
  [
    'the second encoding of Yjs',
    ({ copy }) => {
      const doc = copy()
      const stateVector = Y.encodeStateVector(doc)
      doc.getText('note').insert(0, 'none')
      return { update: Y.encodeStateAsUpdateV2(doc, stateVector), stateVector }
    },
  ],
  [
    'structs under the client id of somebody else',
    ({ copy, theirs }) => {
      const doc = copy()
      doc.clientID = theirs
      return made(doc, (one) => one.getText('note').insert(0, 'none'))
    },
  ],
  [
    "structs under no feed's client id",
    ({ copy }) => {
      const doc = copy()
      doc.clientID = 12_345
      return made(doc, (one) => one.getText('note').insert(0, 'none'))
    },
  ],
  [
    'structs under its client id for fields',
    ({ copy, insider }) => {
      const doc = copy()
      doc.clientID = insider.client
      return made(doc, (one) => one.getText('note').insert(0, 'none'))
    },
  ],
  [
    'a type among those of fields',
    ({ copy, insider }) =>
      made(copy(), (one) => one.getArray(arrayName(insider.client)).push([['dose', 'put', '9']])),
  ],
  [
    'more than the state that it declares',
    ({ copy }) => ({
      ...made(copy(), (one) => one.getText('note').insert(10, ' none')),
      stateVector: Uint8Array.of(0),
    }),
  ],
  [
    'deletions beyond the state that it declares',
    ({ theirs }) => ({ update: deletion(theirs, 0, 11), stateVector: knowing(theirs, 10) }),
  ],
  [
    'deletions in its own future',
    ({ mine }) => ({ update: deletion(mine, 0, 5), stateVector: Uint8Array.of(0) }),
  ],
  [
    'a place that it has not reached',
    ({ copy, mine }) => {
      const doc = copy()
      doc.getText('note').insert(0, 'gap')
      const { update } = made(doc, (one) => one.getText('note').insert(3, 'x'))
      return { update, stateVector: knowing(mine, 3) }
    },
  ],
]

/** Accepted, since it could be honest, and never counting, since its author had seen nothing of the kind. */
const pretended: [string, (scene: Scene) => Free][] = [
  [
    'deletions of what it does not say it had seen',
    ({ theirs }) => ({ update: deletion(theirs, 0, 10), stateVector: knowing(theirs, 10) }),
  ],
  [
    'deletions of all that somebody will ever write',
    ({ theirs }) => ({
      update: deletion(theirs, 0, 2 ** 50),
      stateVector: knowing(theirs, 2 ** 50),
    }),
  ],
  [
    'a text that takes the place of another',
    ({ copy }) =>
      made(copy(), (one) => {
        one.getText('note').delete(0, 10)
        one.getText('note').insert(0, 'none')
      }),
  ],
  [
    'an entry that takes the place of another',
    ({ copy }) => made(copy(), (one) => one.getMap('form').set('allergy', 'none')),
  ],
  [
    'an element in an array of fields',
    ({ copy, theirFields }) =>
      made(copy(), (one) => one.getArray(arrayName(theirFields)).push([['dose', 'put', '9']])),
  ],
  [
    'deletions of fields',
    ({ theirFields }) => ({
      update: deletion(theirFields, 0, 3),
      stateVector: knowing(theirFields, 3),
    }),
  ],
]

async function expectUntouched({ honest, doc, insider }: Scene, hash: string): Promise<void> {
  expect(await honest.contentHash()).toBe(hash)
  const view = await honest.operations.get('records', 'r')
  expect(view.fields.get('note')).toBe('"penicillin"')
  expect(view.fields.get('dose')).toBe('1')
  expect(doc.getText('note').toJSON()).toBe('penicillin')
  expect(doc.getMap('form').toJSON()).toEqual({ allergy: 'penicillin' })
  // Kept, and carried on.
  expect(honest.runtime.replica.chain(insider.descriptor.feed).seq).toBeGreaterThan(0)
  // Nothing that comes later is held up, and nothing is different after a restart.
  await honest.operations.write('records', 'r', [
    { op: 'text', field: 'note', at: 10, insert: ', latex' },
    { op: 'put', field: 'dose', value: '2' },
  ])
  await until(() => doc.getText('note').toJSON() === 'penicillin, latex')
  doc.getText('note').insert(0, 'Allergies: ')
  await settled(honest)
  const after = await honest.contentHash()
  await honest.docs.close()
  await honest.restart()
  await readTexts(honest, ['note'])
  expect(await honest.contentHash()).toBe(after)
  const again = await honest.operations.get('records', 'r')
  expect(again.fields.get('note')).toBe('"Allergies: penicillin, latex"')
  expect(again.fields.get('dose')).toBe('2')
  expect(await honest.kept()).toEqual(await honest.recount())
}

describe('an edit of text and free types that no device would make', () => {
  it.each(refused)('changes nothing by %s, and is marked', async (_, make) => {
    const all = await scene()
    const hash = await all.honest.contentHash()
    await all.insider.sendTo(all.honest, [payload([{ id: 'r', back: 0, free: make(all) }])])
    expect(all.honest.marked).toMatchObject([{ code: 'UPDATE_NOT_ACCEPTED' }])
    await expectUntouched(all, hash)
  })

  it.each(pretended)('changes nothing by %s', async (_, make) => {
    const all = await scene()
    const hash = await all.honest.contentHash()
    await all.insider.sendTo(all.honest, [payload([{ id: 'r', back: 0, free: make(all) }])])
    await expectUntouched(all, hash)
  })

  it.each(pretended)('changes nothing by %s, nor by a context that it made up', async (_, make) => {
    const all = await scene()
    const hash = await all.honest.contentHash()
    const context: ContextEntry[] = [
      { feed: all.feed, seq: 1, id: Uint8Array.of(1, 2, 3, 4) },
      { feed: all.feed, seq: 99, id: Uint8Array.of(1, 2, 3, 4) },
    ]
    const record = { id: 'r', back: 0, free: make(all) }
    await all.insider.sendTo(all.honest, [payload([record], context)])
    await expectUntouched(all, hash)
  })

  it('is an edit like any other where its author shows that it had seen what it takes away', async () => {
    const all = await scene()
    const { honest, insider, feed, doc } = all
    const { id, seq } = honest.runtime.replica.chain(feed).tips()[0]!
    const context = [{ feed, seq, id: hexToBytes(id).subarray(0, 4) }]
    const free = made(all.copy(), (one) => one.getText('note').delete(0, 10))
    await insider.sendTo(honest, [payload([{ id: 'r', back: 0, free }], context)])
    await until(() => doc.getText('note').length === 0)
    expect((await honest.operations.get('records', 'r')).fields.has('note')).toBe(false)
    expect(honest.marked).toEqual([])
  })

  it('waits with all that its author writes after it, and with nothing else', async () => {
    const all = await scene()
    const { honest, insider } = all
    const erase = pretended[0]![1](all)
    const later = made(new Y.Doc(), () => {})
    const own = new Y.Doc()
    own.clientID = all.mine
    const honestLater = made(own, (one) => one.getText('other').insert(0, 'later'))
    await insider.sendTo(honest, [
      payload([{ id: 'r', back: 0, free: erase }]),
      payload([
        { id: 'r', back: 1, free: honestLater },
        { id: 'elsewhere', back: 0, free: honestLater },
      ]),
    ])
    expect(later.update).toEqual(Uint8Array.of(0, 0))
    expect(all.doc.getText('other').toJSON()).toBe('')
    const elsewhere = await honest.docs.open('records', 'elsewhere')
    expect(elsewhere.getText('other').toJSON()).toBe('later')
    expect(honest.marked).toEqual([])
  })
})

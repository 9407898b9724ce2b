import { describe, expect, it } from 'vitest'
import * as Y from 'yjs'

import { utf8ToBytes } from '../../src/core/bytes.ts'
import { yjsClientId } from '../../src/feed/descriptor.ts'
import { arrayName } from '../../src/records/fields-update.ts'
import { Insider, payload, pushed } from './support/insider.ts'
import { TestMesh } from './support/test-device.ts'
import type { TestDevice } from './support/test-device.ts'

/** An honest device with a record, and an insider. */
async function scene() {
  const mesh = await TestMesh.found()
  const [honest, bad] = await mesh.enrolAll(['clinician', 'clinician'])
  await honest!.set('r', { allergy: '"penicillin"', dose: '1' })
  const insider = new Insider(bad!)
  const [feed] = honest!.feeds()
  const victim = yjsClientId(honest!.runtime.replica.descriptor(feed!)!, 'fields')
  return { honest: honest!, insider, feed: feed!, victim }
}

async function expectRightSum(device: TestDevice): Promise<void> {
  expect(await device.kept()).toEqual(await device.recount())
}

type Scene = Awaited<ReturnType<typeof scene>>

const crafted: [string, (scene: Scene) => Uint8Array[]][] = [
  ['bytes that are no payload', () => [utf8ToBytes('nothing of the kind'), new Uint8Array(0)]],
  [
    'an update that is no update',
    () => [payload([{ id: 'r', back: 0, fields: Uint8Array.of(1, 2, 3) }])],
  ],
  [
    'a delete set over the writes of others',
    ({ victim }) => {
      const doc = new Y.Doc()
      doc.clientID = victim
      const array = doc.getArray(arrayName(victim))
      array.push([['allergy', 'put', '"penicillin"']])
      const before = Y.encodeStateVector(doc)
      array.delete(0)
      return [payload([{ id: 'r', back: 0, fields: Y.encodeStateAsUpdate(doc, before) }])]
    },
  ],
  [
    'structs under the client id of somebody else',
    ({ victim }) => [
      payload([
        { id: 'r', back: 0, fields: pushed(victim, arrayName(victim), [['dose', 'put', '9']]) },
      ]),
    ],
  ],
  [
    'own structs in the array of somebody else',
    ({ insider, victim }) => [
      payload([
        {
          id: 'r',
          back: 0,
          fields: pushed(insider.client, arrayName(victim), [['dose', 'put', '9']]),
        },
      ]),
    ],
  ],
  [
    'an update in the second encoding',
    ({ insider }) => {
      const doc = new Y.Doc()
      doc.clientID = insider.client
      doc.getArray(arrayName(insider.client)).push([['dose', 'put', '9']])
      return [payload([{ id: 'r', back: 0, fields: Y.encodeStateAsUpdateV2(doc) }])]
    },
  ],
  [
    'free structs under foreign client ids',
    ({ victim }) => {
      const doc = new Y.Doc()
      doc.clientID = victim
      doc.getText('body').insert(0, 'x')
      const free = { update: Y.encodeStateAsUpdate(doc), stateVector: Uint8Array.of(0) }
      return [payload([{ id: 'r', back: 0, free }])]
    },
  ],
  [
    'free structs in the arrays of fields',
    ({ insider, victim }) => {
      const doc = new Y.Doc()
      doc.clientID = yjsClientId(insider.descriptor, 'free')
      doc.getArray(arrayName(victim)).push([['dose', 'put', '9']])
      const free = { update: Y.encodeStateAsUpdate(doc), stateVector: Uint8Array.of(0) }
      return [payload([{ id: 'r', back: 0, free }])]
    },
  ],
]

describe('a member who writes what no device would', () => {
  it.each(crafted)('changes nothing by %s', async (_, make) => {
    const all = await scene()
    const { honest, insider } = all
    const before = { seen: await honest.seen(), hash: await honest.contentHash() }
    await insider.sendTo(honest, make(all))
    expect(await honest.seen()).toEqual(before.seen)
    expect(await honest.contentHash()).toBe(before.hash)
    expect(honest.marked.length).toBeGreaterThan(0)
    await expectRightSum(honest)
    // Nothing that comes later is held up, and nothing is different after a restart.
    await honest.set('r', { dose: '2' })
    expect((await honest.operations.get('records', 'r')).fields.get('dose')).toBe('2')
    const hash = await honest.contentHash()
    await honest.restart()
    expect(await honest.contentHash()).toBe(hash)
  })

  it('is heard again after what nobody accepted', async () => {
    const { honest, insider } = await scene()
    const good = pushed(insider.client, arrayName(insider.client), [['note', 'put', '"late"']])
    await insider.sendTo(honest, [
      utf8ToBytes('nothing of the kind'),
      payload([{ id: 'r', back: 0, fields: good }]),
    ])
    expect((await honest.operations.get('records', 'r')).fields.get('note')).toBe('"late"')
    await expectRightSum(honest)
  })

  it('replaces nothing by a context that it made up', async () => {
    const { honest, insider, feed } = await scene()
    const madeUp = [
      { feed, seq: 1, id: Uint8Array.of(1, 2, 3, 4) },
      { feed, seq: 2 ** 52, id: Uint8Array.of(1, 2, 3, 4) },
      { feed: 'ee'.repeat(16), seq: 7, id: Uint8Array.of(1, 2, 3, 4) },
    ]
    const fields = pushed(insider.client, arrayName(insider.client), [['allergy', 'put', '"none"']])
    await insider.sendTo(
      honest,
      madeUp.slice(0, 1).map((entry) => payload([{ id: 'r', back: 0, fields }], [entry])),
    )
    const view = await honest.operations.get('records', 'r')
    expect(
      view.conflicts
        .get('allergy')
        ?.map(({ value }) => value)
        .toSorted(),
    ).toEqual(['"none"', '"penicillin"'])
    // Nor by one that names a future: what the honest device writes next stays as well.
    const other = new Insider(insider.device)
    const later = pushed(other.client, arrayName(other.client), [['dose', 'put', '9']])
    await other.sendTo(honest, [payload([{ id: 'r', back: 0, fields: later }], madeUp.slice(1))])
    await expectRightSum(honest)
    const dose = (await honest.operations.get('records', 'r')).conflicts.get('dose')
    expect(dose?.map(({ value }) => value).toSorted()).toEqual(['1', '9'])
    await honest.set('r', { dose: '2' })
    expect((await honest.operations.get('records', 'r')).fields.get('dose')).toBe('2')
    await expectRightSum(honest)
  })

  it('as a viewer is kept and carried, and not shown', async () => {
    const mesh = await TestMesh.found()
    const [honest, viewer] = await mesh.enrolAll(['clinician', 'viewer'])
    await honest!.set('r', { dose: '1' })
    const hash = await honest!.contentHash()
    const insider = new Insider(viewer!)
    const fields = pushed(insider.client, arrayName(insider.client), [['dose', 'put', '9']])
    await insider.sendTo(honest!, [payload([{ id: 'r', back: 0, fields }])])
    expect(await honest!.contentHash()).toBe(hash)
    expect(honest!.feeds()).toContain(insider.descriptor.feed)
    expect([...(await honest!.operations.get('records', 'r')).fields]).toEqual([['dose', '1']])
    await expectRightSum(honest!)
  })
})

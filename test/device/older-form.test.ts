import { expect, it } from 'vitest'

import { ByteReader, ByteWriter } from '../../src/core/codec.ts'
import { TestMesh } from './support/test-device.ts'

it('records that an older version derived in another form are built again from their commits', async () => {
  const mesh = await TestMesh.found()
  const [one] = await mesh.enrolAll(['clinician'])
  await one!.set('r1', { dose: '5' })
  await one!.set('r2', { dose: '6' })
  const before = { seen: await one!.seen(), hash: await one!.contentHash() }
  const { id } = await one!.collection()
  // The sum as version 0.1.0 wrote it, and a record that nobody can read any more.
  const reader = new ByteReader((await one!.store.secret(`sum/${id}`))!, 'sum')
  const older = new ByteWriter(48).bytes(reader.bytes(32)).varint(reader.varint()).u8(reader.u8())
  await one!.store.batch([
    { kind: 'secret', name: `sum/${id}`, value: older.finish() },
    { kind: 'record', collection: id, id: 'r1', value: Uint8Array.of(99, 1, 2, 3) },
  ])
  await one!.restart()
  expect(await one!.seen()).toEqual(before.seen)
  expect(await one!.contentHash()).toBe(before.hash)
  expect(await one!.kept()).toEqual(await one!.recount())
  await one!.set('r1', { dose: '7' })
  expect((await one!.operations.get('records', 'r1')).fields.get('dose')).toBe('7')
})

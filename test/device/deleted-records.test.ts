import { beforeEach, describe, expect, it } from 'vitest'

import { ConflictOperations } from '../../src/device/conflict-operations.ts'
import { OperationsRecord } from '../../src/device/open-record.ts'
import { SchemaOperations } from '../../src/device/schema-operations.ts'
import { connect, sameClock, TestMesh, until } from './support/test-device.ts'
import type { TestDevice } from './support/test-device.ts'

const schema = {
  collection: 'records',
  version: 1,
  fields: {
    tags: { strategy: 'set' },
    story: { strategy: 'text' },
    stock: { strategy: 'counter' },
  },
}

let device: TestDevice
let other: TestDevice

beforeEach(async () => {
  const mesh = await TestMesh.found()
  device = mesh.founder
  await new SchemaOperations(device.runtime).apply(JSON.stringify(schema), { force: false })
  ;[other] = (await mesh.enrolAll(['clinician'])) as [TestDevice]
})

async function meet(): Promise<void> {
  const cut = connect(device, other)
  await until(() => sameClock(device, other))
  cut()
  await Promise.all([device.idle(), other.idle()])
}

async function shown(on = device): Promise<Record<string, string>> {
  return Object.fromEntries((await on.operations.get('records', 'r')).fields)
}

const formOf = async () => (await OperationsRecord.open(device.operations, 'records', 'r')).edit()

const notFound = expect.objectContaining({ code: 'NOT_FOUND' }) as Error

describe('a record that is not there', () => {
  const takeAway = [
    [{ op: 'remove', field: 'tags', value: '"x"' }],
    [{ op: 'put', field: 'name', value: undefined }],
  ] as const

  it.each([...takeAway, [{ op: 'restore' }] as const])(
    'has nothing to take away or to bring back: %j',
    async (change) => {
      const { digest } = device.runtime.replica
      const write = () => device.operations.write('records', 'r', [change])
      await expect(write()).rejects.toThrow(notFound)
      expect(device.runtime.replica.digest).toBe(digest)
      expect(await device.operations.list('records')).toEqual([])
    },
  )

  it.each(takeAway)('because it was deleted has neither: %j', async (change) => {
    await device.set('r', { name: '"Anna"' })
    await device.operations.delete('records', 'r')
    const { digest } = device.runtime.replica
    const write = () => device.operations.write('records', 'r', [change])
    await expect(write()).rejects.toThrow(notFound)
    expect(device.runtime.replica.digest).toBe(digest)
  })

  it('does not come to be by counting nothing', async () => {
    const count = (delta: number) =>
      device.operations.write('records', 'r', [{ op: 'count', field: 'stock', delta }])
    expect(await count(0)).toEqual({ id: 'r', commit: null })
    expect(await device.operations.list('records')).toEqual([])
    await count(2)
    const { digest } = device.runtime.replica
    expect((await count(0)).commit).toBeNull()
    expect(await device.operations.set('records', 'r', [['stock', '2']])).toMatchObject({
      commit: null,
    })
    expect(device.runtime.replica.digest).toBe(digest)
  })

  it('is written where something is said beside what goes', async () => {
    await device.operations.set('records', 'r', [
      ['name', '"Anna"'],
      ['age', undefined],
    ])
    expect(await shown()).toEqual({ name: '"Anna"' })
  })
})

describe('a record that was deleted while a form was open', () => {
  it.each(['here', 'elsewhere'])(
    'comes back whole for an edit of its text, and is a conflict: deleted %s',
    async (where) => {
      await device.set('r', { name: '"Anna"', story: '"One."' })
      await meet()
      const form = await formOf()
      await (where === 'here' ? device : other).operations.delete('records', 'r')
      await meet()
      await form.editText('story', { at: 4, insert: ' Two.' }).save()
      await meet()
      for (const one of [device, other]) {
        expect(await shown(one)).toEqual({ name: '"Anna"', story: '"One. Two."' })
        const [conflict] = await new ConflictOperations(one.runtime).list({})
        expect(conflict).toMatchObject({ id: 'r', field: null, kind: 'delete-update' })
        expect(conflict!.changes).toEqual([
          { field: null, device: expect.objectContaining({ id: device.id }) as object, time: null },
        ])
      }
      await new ConflictOperations(other.runtime).resolve(
        'records',
        'r',
        null,
        { record: 'delete' },
        {},
      )
      await meet()
      await expect(device.operations.get('records', 'r')).resolves.toMatchObject({ deleted: true })
    },
  )

  it('stays deleted where nothing was changed in the text', async () => {
    await device.set('r', { name: '"Anna"', story: '"One."' })
    const form = await formOf()
    await device.operations.delete('records', 'r')
    expect((await form.set('story', '"One."').save()).commit).toBeNull()
    await expect(device.operations.get('records', 'r')).resolves.toMatchObject({ deleted: true })
  })

  it('says which change a deletion from a form had not before it', async () => {
    await device.set('r', { name: '"Anna"', age: '7' })
    await meet()
    const form = await formOf()
    await other.set('r', { age: '8' })
    await meet()
    await form.delete().save()
    await meet()
    for (const one of [device, other]) {
      const [conflict] = await new ConflictOperations(one.runtime).list({})
      expect(conflict).toMatchObject({ id: 'r', kind: 'delete-update' })
      expect(conflict!.changes!.map(({ field, device: { id } }) => [field, id])).toEqual([
        ['age', other.id],
      ])
    }
  })
})

describe('a record that is written again after it was deleted', () => {
  beforeEach(async () => {
    await device.set('r', { name: '"Anna"', story: '"Of old."' })
    await device.operations.delete('records', 'r')
  })

  it('has no letters of its texts of before', async () => {
    await device.set('r', { name: '"Hanna"' })
    await meet()
    for (const one of [device, other]) expect(await shown(one)).toEqual({ name: '"Hanna"' })
  })

  it.each([
    ['as a whole', { op: 'put', field: 'story', value: '"New."' }],
    ['by some letters', { op: 'text', field: 'story', at: 0, insert: 'New.' }],
  ] as const)('begins its texts anew: %s', async (_, change) => {
    await device.set('r', { name: '"Hanna"' })
    await device.operations.write('records', 'r', [change])
    await meet()
    for (const one of [device, other])
      expect(await shown(one)).toEqual({ name: '"Hanna"', story: '"New."' })
    await other.operations.write('records', 'r', [
      { op: 'text', field: 'story', at: 4, insert: '!' },
    ])
    expect(await shown(other)).toMatchObject({ story: '"New.!"' })
  })

  it('may begin with its text', async () => {
    await device.operations.write('records', 'r', [
      { op: 'text', field: 'story', at: 0, insert: 'New.' },
    ])
    expect(await shown()).toEqual({ story: '"New."' })
  })

  it('has them again when the deletion is taken back', async () => {
    await device.operations.write('records', 'r', [{ op: 'restore' }])
    expect(await shown()).toEqual({ name: '"Anna"', story: '"Of old."' })
  })
})

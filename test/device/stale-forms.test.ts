import { describe, expect, it } from 'vitest'

import type { JsonText } from '../../src/device/api.ts'
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

async function meet(a: TestDevice, b: TestDevice): Promise<void> {
  const cut = connect(a, b)
  await until(() => sameClock(a, b))
  cut()
  await Promise.all([a.idle(), b.idle()])
}

/** Two devices that show the same record. */
async function withRecord(
  fields: Record<string, JsonText>,
): Promise<{ a: TestDevice; b: TestDevice }> {
  const mesh = await TestMesh.found()
  const a = mesh.founder
  await new SchemaOperations(a.runtime).apply(JSON.stringify(schema), { force: false })
  const [b] = (await mesh.enrolAll(['clinician'])) as [TestDevice]
  await a.set('r', fields)
  await meet(a, b)
  return { a, b }
}

async function fieldOf(device: TestDevice, field: string): Promise<unknown> {
  const value = (await device.operations.get('records', 'r')).fields.get(field)
  if (value === undefined) return undefined
  const shown = JSON.parse(value) as unknown
  return Array.isArray(shown) ? shown.map(String).toSorted((x, y) => (x < y ? -1 : 1)) : shown
}

async function versionOf(device: TestDevice): Promise<string> {
  return (await device.operations.get('records', 'r')).version
}

const formOf = async (device: TestDevice) =>
  (await OperationsRecord.open(device.operations, 'records', 'r')).edit()

const changed = (field: string) =>
  expect.objectContaining({
    code: 'CONFLICT_CHANGED',
    message: expect.stringContaining(`"${field}" was c`) as string,
  }) as Error

describe('a form with a set', () => {
  it('brings back nothing that others removed, and removes nothing that they added', async () => {
    const { a, b } = await withRecord({ tags: '["x","y","w"]' })
    const draft = await formOf(a)
    await b.operations.write('records', 'r', [
      { op: 'remove', field: 'tags', value: '"y"' },
      { op: 'add', field: 'tags', value: '"new"' },
    ])
    await meet(a, b)
    await draft.set('tags', '["x","y","z"]').save()
    await meet(a, b)
    for (const one of [a, b]) expect(await fieldOf(one, 'tags')).toEqual(['new', 'x', 'z'])
  })

  it('that was empty leaves what others began', async () => {
    const { a, b } = await withRecord({ other: '1' })
    const draft = await formOf(a)
    await b.set('r', { tags: '["b"]' })
    await meet(a, b)
    await draft.set('tags', '["a"]').save()
    expect(await fieldOf(a, 'tags')).toEqual(['a', 'b'])
  })

  it('saves what it was changed to last', async () => {
    const { a } = await withRecord({ tags: '["x","y"]', stock: '1' })
    await a.operations.write('records', 'r', [{ op: 'count', field: 'stock', delta: 1 }])
    const draft = await formOf(a)
    draft.set('tags', '["x","z"]').set('stock', '5')
    await draft.set('tags', '["x","y","v"]').set('stock', '6').save()
    expect(await fieldOf(a, 'tags')).toEqual(['v', 'x', 'y'])
    expect(await fieldOf(a, 'stock')).toBe(6)
  })

  it('in which something stands twice is refused once others have written there', async () => {
    const { a, b } = await withRecord({ tags: '["x","y"]' })
    const draft = await formOf(a)
    await b.operations.write('records', 'r', [{ op: 'remove', field: 'tags', value: '"y"' }])
    await meet(a, b)
    await expect(draft.set('tags', '["x","y","y"]').save()).rejects.toThrow(changed('tags'))
    expect(await fieldOf(a, 'tags')).toEqual(['x'])
  })
})

describe('what was decided on an older version', () => {
  it('of a set is refused by name, and nothing beside it is written', async () => {
    const { a, b } = await withRecord({ tags: '["x","y"]', dose: '1' })
    const seen = await versionOf(a)
    await b.operations.write('records', 'r', [{ op: 'remove', field: 'tags', value: '"y"' }])
    await meet(a, b)
    const set = (tags: string, version: string) =>
      a.operations.set(
        'records',
        'r',
        [
          ['dose', '2'],
          ['tags', tags],
        ],
        { seen: version },
      )
    for (const tags of ['["x","y","z"]', '["x","x"]', '[]']) {
      await expect(set(tags, seen)).rejects.toThrow(changed('tags'))
    }
    expect(await fieldOf(a, 'tags')).toEqual(['x'])
    expect(await fieldOf(a, 'dose')).toBe(1)
    await set('["x","z"]', await versionOf(a))
    expect(await fieldOf(a, 'tags')).toEqual(['x', 'z'])
  })

  it('is written where only other fields have changed, or it is so already', async () => {
    const { a, b } = await withRecord({ tags: '["x"]', story: '"One."' })
    const seen = await versionOf(a)
    await b.set('r', { dose: '5' })
    await meet(a, b)
    const wanted: [string, JsonText][] = [
      ['tags', '["x","z"]'],
      ['story', '"One. Two."'],
    ]
    await a.operations.set('records', 'r', wanted, { seen })
    expect(await fieldOf(a, 'tags')).toEqual(['x', 'z'])
    expect(await fieldOf(a, 'story')).toBe('One. Two.')
    const again = await a.operations.set('records', 'r', wanted, { seen })
    expect(again.commit).toBeNull()
  })

  it('of a text is refused rather than delete the lines of others; a form keeps them', async () => {
    const { a, b } = await withRecord({ story: '"One.\\n"' })
    const seen = await versionOf(a)
    const draft = await formOf(a)
    await b.set('r', { story: '"One.\\nBy B.\\n"' })
    await meet(a, b)
    for (const value of ['"One.\\nBy A.\\n"', undefined]) {
      const set = a.operations.set('records', 'r', [['story', value]], { seen })
      await expect(set).rejects.toThrow(changed('story'))
    }
    expect(await fieldOf(a, 'story')).toBe('One.\nBy B.\n')
    await draft.set('story', '"By A.\\nOne.\\n"').save()
    expect(await fieldOf(a, 'story')).toBe('By A.\nOne.\nBy B.\n')
  })

  it('of a counter is refused by name', async () => {
    const { a } = await withRecord({ stock: '10' })
    const seen = await versionOf(a)
    await a.operations.write('records', 'r', [{ op: 'count', field: 'stock', delta: -1 }])
    const set = a.operations.set('records', 'r', [['stock', '12']], { seen })
    await expect(set).rejects.toThrow(changed('stock'))
    expect(await fieldOf(a, 'stock')).toBe(9)
  })
})

describe('a form of a record that was deleted meanwhile', () => {
  it.each([
    ['another value', { op: 'put', field: 'dose', value: '2' }],
    ['a count', { op: 'count', field: 'stock', delta: 1 }],
    ['an element', { op: 'add', field: 'tags', value: '"z"' }],
  ] as const)('brings it back whole with only %s', async (_, change) => {
    const { a, b } = await withRecord({ dose: '1', name: '"Anna"' })
    const seen = await versionOf(a)
    await b.operations.delete('records', 'r')
    await meet(a, b)
    await a.operations.write('records', 'r', [change], { seen })
    const view = await a.operations.get('records', 'r')
    expect(view).toMatchObject({ deleted: false, resurrected: true })
    expect(view.fields.get('name')).toBe('"Anna"')
  })

  it.each(['here', 'on another device'])('%s brings it back whole, and says so', async (where) => {
    const { a, b } = await withRecord({
      tags: '["x","y"]',
      story: '"One."',
      dose: '1',
      name: '"Anna"',
    })
    const draft = await formOf(a)
    await (where === 'here' ? a : b).operations.delete('records', 'r')
    await meet(a, b)
    expect(await a.operations.get('records', 'r')).toMatchObject({ deleted: true })
    await draft.set('dose', '2').set('tags', '["x","z"]').set('story', '"One. Two."').save()
    await meet(a, b)
    for (const one of [a, b]) {
      const view = await one.operations.get('records', 'r')
      expect(view).toMatchObject({ deleted: false, resurrected: true })
      expect(view.fields.get('name')).toBe('"Anna"')
      expect(await fieldOf(one, 'dose')).toBe(2)
      expect(await fieldOf(one, 'tags')).toEqual(['x', 'z'])
      expect(await fieldOf(one, 'story')).toBe('One. Two.')
    }
  })
})

it('a draft that was written is saved, also where the record can not be looked at right then', async () => {
  const { a } = await withRecord({ stock: '5' })
  const { operations } = a
  let isReadable = true
  const record = await OperationsRecord.open(
    {
      get: (...args) =>
        isReadable ? operations.get(...args) : Promise.reject(new Error('no disk')),
      write: (name, id, changes, options) => operations.write(name, id, [...changes], options),
    },
    'records',
    'r',
  )
  const draft = record.edit().count('stock', 1)
  isReadable = false
  expect((await draft.save()).commit).not.toBeNull()
  await expect(draft.save()).rejects.toMatchObject({ code: 'USAGE' })
  expect(await fieldOf(a, 'stock')).toBe(6)
})

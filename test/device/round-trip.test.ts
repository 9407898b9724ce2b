/** FHIR in and out again: whatever went in comes out, and what comes out changes nothing when it goes in. */
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, expect, test } from 'vitest'

import type { ImportResult, ImportSource } from '../../src/device/api.ts'
import { connect, sameClock, TestMesh, until } from './support/test-device.ts'
import type { TestDevice } from './support/test-device.ts'

const fixtures = join(import.meta.dirname, '..', 'fixtures')
const files = ['bulk-export', 'fhir', 'synthea-bundle', 'synthea-ndjson'].flatMap((folder) =>
  readdirSync(join(fixtures, folder))
    .filter((name) => name.endsWith('json'))
    .map((name) => join(fixtures, folder, name)),
)
const collections = ['patients', 'records', 'documents']

interface Resource {
  resourceType: string
  id: string
  [element: string]: unknown
}
interface Entry {
  fullUrl: string
  resource: Resource
}

/** What a file says, worked out without the code that imports it. */
function resourcesIn(path: string): Resource[] {
  const text = readFileSync(path, 'utf8')
  if (path.endsWith('.ndjson')) {
    return text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Resource)
      .filter(({ resourceType }) => resourceType !== undefined)
  }
  const bundle = JSON.parse(text) as Resource & { entry: Entry[] }
  const idOf = ({ fullUrl, resource }: Entry): string =>
    resource.id ?? fullUrl.replace(/^urn:uuid:/, '')
  const places = new Map(
    bundle.entry.map((entry) => [entry.fullUrl, `${entry.resource.resourceType}/${idOf(entry)}`]),
  )
  const resources = bundle.entry.map((entry): Resource => {
    const renamed: unknown = JSON.parse(JSON.stringify(entry.resource), (name, value: unknown) =>
      name === 'reference' && typeof value === 'string' && value.startsWith('urn:')
        ? (places.get(value) ?? value)
        : value,
    )
    return { ...(renamed as Resource), id: idOf(entry) }
  })
  if (bundle.type === 'transaction') return resources
  const entry = bundle.entry.map((each) => ({
    ...each,
    resource: { resourceType: each.resource.resourceType, id: idOf(each) },
  }))
  return [...resources, { ...bundle, entry }]
}

function byId(resources: readonly Resource[]): Map<string, Resource> {
  return new Map(resources.map((one) => [`${one.resourceType}/${one.id}`, one]))
}

function file(path: string): ImportSource {
  const chunks = (async function* () {
    yield readFileSync(path)
  })()
  return { name: path, format: path.endsWith('.ndjson') ? 'ndjson' : 'json', chunks }
}

function importLines(device: TestDevice, lines: readonly string[]): Promise<ImportResult> {
  const chunks = (async function* () {
    yield Buffer.from(lines.join('\n'))
  })()
  return device.operations.import([{ name: 'export', format: 'ndjson', chunks }])
}

async function exported(device: TestDevice): Promise<string[]> {
  const lines: string[] = []
  for await (const line of device.operations.export()) lines.push(line)
  return lines
}

async function hashes(device: TestDevice): Promise<string[]> {
  return Promise.all(collections.map((name) => device.contentHash(name)))
}

/** Imports an export into the device that made it, and expects that nothing changes. */
async function expectNoChange(device: TestDevice): Promise<string[]> {
  const lines = await exported(device)
  const before = await hashes(device)
  const result = await importLines(device, lines)
  expect(result).toMatchObject({ records: 0, commits: 0 })
  expect(await hashes(device)).toEqual(before)
  expect(await exported(device)).toEqual(lines)
  return lines
}

async function meet(one: TestDevice, other: TestDevice): Promise<void> {
  const cut = connect(one, other)
  await until(() => sameClock(one, other))
  cut()
  await Promise.all([one.idle(), other.idle()])
}

describe.each(files.map((path) => [basename(path), path]))('%s', (_, path) => {
  test('comes out as it went in, and again', async () => {
    const { founder: device } = await TestMesh.found()
    const expected = byId(resourcesIn(path))
    const first = await device.operations.import([file(path)])
    expect(first.records).toBe(expected.size)
    const lines = await expectNoChange(device)
    const found = lines.map((line) => JSON.parse(line) as Resource)
    expect(found).toHaveLength(expected.size)
    expect(byId(found)).toEqual(expected)
    const before = await hashes(device)
    expect(await device.operations.import([file(path)])).toMatchObject({
      records: 0,
      unchanged: expected.size,
      commits: 0,
    })
    expect(await hashes(device)).toEqual(before)

    const { founder: elsewhere } = await TestMesh.found(2)
    // In any order: what a Bundle keeps of its entries must not empty them.
    for (const part of [lines.toReversed(), lines]) await importLines(elsewhere, part)
    expect(await exported(elsewhere)).toEqual(lines)
    expect(await hashes(elsewhere)).toEqual(before)
  })
})

test('there is a file of every kind', () => {
  expect(files.length).toBeGreaterThan(16)
})

describe('records that are no FHIR resources', () => {
  const ids = [
    'stock',
    'stock/measles vaccine',
    'Patient/a b',
    'Patient/',
    '日/"本"',
    'x'.repeat(200),
  ]

  test('go out with all of their id and where they belong, and come in again', async () => {
    const { founder: device } = await TestMesh.found()
    for (const [index, id] of ids.entries()) {
      const fields: [string, string][] = [
        ['doses', `${index}.0`],
        ['__proto__', '{"a":1}'],
      ]
      await device.operations.set(index % 2 === 0 ? 'records' : 'patients', id, fields)
    }
    await device.operations.set('records', 'typed', [['resourceType', '"Patient"']])
    const lines = await expectNoChange(device)
    expect(lines).toHaveLength(ids.length + 1)
    const { founder: elsewhere } = await TestMesh.found(2)
    expect(await importLines(elsewhere, lines)).toMatchObject({
      records: lines.length,
      created: lines.length,
      rejected: [],
    })
    expect(await exported(elsewhere)).toEqual(lines)
    expect(await hashes(elsewhere)).toEqual(await hashes(device))
  })

  test('are refused by line where they can not be, and the others are taken', async () => {
    const { founder: device } = await TestMesh.found()
    const control = String.fromCharCode(1)
    const result = await importLines(device, [
      '{"~record":"nowhere","id":"a"}',
      '{"~record":"records","id":""}',
      `{"~record":"records","id":${JSON.stringify(control)}}`,
      '{"~record":"records"}',
      '{"~record":1,"id":"a"}',
      '{"~record":"records","id":"a","~same":["b"]}',
      '{"~record":"records","id":"good","a":1}',
    ])
    expect(result.records).toBe(1)
    expect(result.rejected.map(({ line, code }) => [line, code])).toEqual([
      [1, 'UNKNOWN_COLLECTION'],
      [2, 'INVALID_ID'],
      [3, 'INVALID_ID'],
      [4, 'INVALID_ID'],
      [5, 'NOT_FHIR'],
      [6, 'NOT_FHIR'],
    ])
  })
})

describe('records that two people changed at the same time', () => {
  const patient =
    '{"resourceType":"Patient","id":"p1","meta":{"versionId":"1","tag":[{"code":"own"}]},"gender":"female","telecom":[{"value":"1"}],"photo":[{"title":"x"}],"birthDate":"1994"}'

  async function both(): Promise<[TestDevice, TestDevice]> {
    const mesh = await TestMesh.found()
    const other = await mesh.enrol('clinician')
    await importLines(mesh.founder, [patient])
    await meet(mesh.founder, other)
    return [mesh.founder, other]
  }

  async function sets(device: TestDevice, fields: Record<string, string | undefined>) {
    await device.operations.set('patients', 'Patient/p1', Object.entries(fields))
  }

  test('go out once, marked, the same from both devices, and back in without a change', async () => {
    const [one, other] = await both()
    await sets(one, { gender: '"male"', telecom: '[{"value":"1"},{"value":"2"}]' })
    await sets(other, { gender: '"other"', telecom: '[{"value":"0"},{"value":"1"}]' })
    await sets(one, { meta: '{"versionId":"2","tag":[{"code":"own"}]}' })
    await sets(other, { meta: '{"versionId":"3"}' })
    await meet(one, other)
    const lines = await expectNoChange(one)
    expect(await expectNoChange(other)).toEqual(lines)
    const [resource, provenance, ...others] = lines.map((line) => JSON.parse(line) as Resource)
    expect(others).toEqual([])
    expect([resource!.resourceType, provenance!.resourceType]).toEqual(['Patient', 'Provenance'])
    const { fields } = await one.operations.get('patients', 'Patient/p1')
    expect(resource).toMatchObject({ gender: JSON.parse(fields.get('gender')!) as string })
    expect(resource!.meta).toMatchObject({
      versionId: '3',
      tag: [{ system: 'urn:havenmesh:review', code: 'unreviewed-conflict' }],
    })
    expect(provenance!.target).toEqual([{ reference: 'Patient/p1' }])
    expect(JSON.stringify(provenance)).toContain(JSON.stringify('"male"').slice(1, -1))

    // Elsewhere they are records as any other.
    const { founder: elsewhere } = await TestMesh.found(2)
    expect(await importLines(elsewhere, lines)).toMatchObject({ records: 1, rejected: [] })
    const [there, ...more] = await exported(elsewhere)
    expect(more).toEqual([])
    expect(there).not.toContain('havenmesh')
    expect(await importLines(elsewhere, lines)).toMatchObject({ records: 0, unchanged: 1 })

    // Settled: no mark is left, here or there.
    await sets(one, { gender: '"male"', meta: '{"versionId":"4"}' })
    await meet(one, other)
    for (const device of [one, other])
      expect(await exported(device)).toEqual([expect.not.stringContaining('havenmesh')])
  })

  test('are marked when a deletion was overruled, and gone when it is settled so', async () => {
    const [one, other] = await both()
    await one.operations.delete('patients', 'Patient/p1')
    await sets(other, { gender: '"male"' })
    await meet(one, other)
    const lines = await expectNoChange(other)
    expect(await expectNoChange(one)).toEqual(lines)
    expect(lines).toHaveLength(2)
    expect(lines[0]).toContain('"code":"unreviewed-deletion"')
    await one.operations.delete('patients', 'Patient/p1')
    expect(await exported(one)).toEqual([])
  })

  test('and whose values were all kept go out with lists as one, or a tag and the others beside', async () => {
    const [one] = await both()
    await one.operations.write('patients', 'Patient/p1', [
      { op: 'keep', field: 'birthDate', values: ['"1994"', '"1995"'] },
      { op: 'keep', field: 'photo', values: ['[{"title":"x"}]', '[{"title":"y"}]'] },
    ])
    const [resource, provenance] = (await expectNoChange(one)).map(
      (line) => JSON.parse(line) as Resource,
    )
    expect(resource).toMatchObject({
      birthDate: '1994',
      photo: [{ title: 'x' }, { title: 'y' }],
      meta: {
        versionId: '1',
        tag: [{ code: 'own' }, { system: 'urn:havenmesh:review', code: 'further-values' }],
      },
    })
    expect(provenance).toMatchObject({ entity: [{ what: { display: 'birthDate: "1995"' } }] })
  })

  test.each([1, 2, 3, 4, 5, 6])('at random: seed %i', async (seed) => {
    const mesh = await TestMesh.found(seed)
    const other = await mesh.enrol('clinician')
    const { founder: one, chance } = mesh
    const ids = ['Patient/p1', 'Patient/p2', 'Patient/p3']
    const values: Record<string, readonly (string | undefined)[]> = {
      gender: ['"female"', '"male"', undefined],
      telecom: ['[]', '[{"value":"1"}]', '[{"value":"2"},{"value":"1"},{"value":"2"}]'],
      name: ['[{"text":"A"}]', '[{"text":"A"},{"text":"B"}]'],
      birthDate: ['"1994"', '1.50', '"1994-05"'],
      meta: [
        '{}',
        '{"tag":[]}',
        '{"versionId":"1"}',
        '{"tag":[{"system":"urn:havenmesh:review","code":"unreviewed-conflict"}]}',
        '{"tag":[{"code":"a"}],"profile":["x"]}',
        '7',
      ],
      contained: ['[{"resourceType":"Basic","id":"1"}]', '[]'],
    }
    const act = async (device: TestDevice): Promise<void> => {
      const id = chance.pick(ids)
      const there = (await device.operations.list('patients')).some((each) => each.id === id)
      if (there && chance.chance(0.15)) {
        await device.operations.delete('patients', id)
        return
      }
      const field = chance.pick(Object.keys(values))
      const [a, b] = [chance.pick(values[field]!), chance.pick(values[field]!)]
      if (!there && a === undefined) return
      const change =
        chance.chance(0.2) && a !== undefined && b !== undefined && a !== b
          ? ({ op: 'keep', field, values: [a, b] } as const)
          : ({ op: 'put', field, value: a } as const)
      await device.operations.write('patients', id, [
        change.op === 'keep' ? { ...change, values: [...change.values] } : change,
      ])
    }
    await meet(one, other)
    for (let round = 0; round < 8; round++) {
      for (let step = 0; step < 6; step++) await act(chance.pick([one, other]))
      if (chance.chance(0.6)) await meet(one, other)
      for (const device of [one, other]) {
        const lines = await expectNoChange(device)
        const found = lines.map((line) => JSON.parse(line) as Resource)
        const own = found.filter(({ resourceType }) => resourceType === 'Patient')
        expect(new Set(own.map(({ id }) => id)).size).toBe(own.length)
        expect(own).toHaveLength((await device.operations.list('patients')).length)
      }
    }
    await meet(one, other)
    expect(await exported(one)).toEqual(await exported(other))
  })
})

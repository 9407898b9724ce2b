import { expect, test } from 'vitest'

import { bytesToHex } from '../../src/core/bytes.ts'
import type { Conflict } from '../../src/device/api.ts'
import { ConflictOperations } from '../../src/device/conflict-operations.ts'
import { factTypes } from '../../src/identity/control-fact.ts'
import { recordHistory } from '../../src/device/record-history.ts'
import { SchemaOperations } from '../../src/device/schema-operations.ts'
import type { PlannedWrite } from '../../src/records/writes.ts'
import { connect, sameClock, TestMesh, until } from './support/test-device.ts'
import type { TestDevice } from './support/test-device.ts'

const dayMs = 24 * 60 * 60 * 1000

const versionOne = {
  collection: 'records',
  version: 1,
  fields: {
    sex: { strategy: 'mvr', rank: 'high' },
    weight: { strategy: 'lww' },
    name: { strategy: 'mvr' },
    tags: { strategy: 'set' },
    visits: { strategy: 'counter' },
  },
}
const versionTwo = {
  collection: 'records',
  version: 2,
  fields: {
    gender: { strategy: 'mvr', rank: 'high' },
    weight: { strategy: 'lww' },
    given: { strategy: 'mvr' },
    family: { strategy: 'mvr' },
    labels: { strategy: 'set' },
    visitCount: { strategy: 'counter' },
  },
  lens: {
    from: 1,
    steps: [
      { rename: { from: 'sex', to: 'gender' } },
      { map: { field: 'gender', values: { m: 'male', f: 'female' } } },
      { unit: { field: 'weight', factor: 1000 } },
      { split: { from: 'name', to: ['given', 'family'], separator: ' ' } },
      { rename: { from: 'tags', to: 'labels' } },
      { rename: { from: 'visits', to: 'visitCount' } },
      { default: { field: 'triage', value: 'green' } },
    ],
  },
}

const schemas = (device: TestDevice) => new SchemaOperations(device.runtime)
const apply = (device: TestDevice, schema: object, force = false) =>
  schemas(device).apply(JSON.stringify(schema), { force })

/** Both hear all that the other has, facts included. */
async function meet(a: TestDevice, b: TestDevice): Promise<void> {
  for (let round = 0; round < 2; round++) {
    const cut = connect(a, b)
    await until(() => sameClock(a, b))
    cut()
    await Promise.all([a.idle(), b.idle()])
  }
}

/** An old app, an app of today, and the admin whose schemas both have heard. */
async function clinic(): Promise<{
  mesh: TestMesh
  admin: TestDevice
  old: TestDevice
  now: TestDevice
}> {
  const mesh = await TestMesh.found()
  const admin = mesh.founder
  const [old, now] = (await mesh.enrolAll(['clinician', 'clinician'])) as [TestDevice, TestDevice]
  await apply(admin, versionOne)
  await apply(admin, versionTwo, true)
  await meet(admin, old)
  await meet(admin, now)
  await schemas(old).pin('records', 1)
  return { mesh, admin, old, now }
}

async function fieldsOf(device: TestDevice, id = 'p1'): Promise<Record<string, string>> {
  return Object.fromEntries((await device.operations.get('records', id)).fields)
}

function inOrder<T>(items: readonly T[]): T[] {
  return items.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
}

const conflictsOf = (device: TestDevice): Promise<Conflict[]> =>
  new ConflictOperations(device.runtime).list({})

const valuesOf = ({ field, kind, values }: Conflict) => [
  field,
  kind,
  inOrder(values.map(({ value }) => value ?? 'removed')),
]

test('an old app and one of today work on the same records for months', async () => {
  const { mesh, old, now } = await clinic()
  await old.set('p1', { sex: '"f"', weight: '70.50', name: '"Anna Berg"', ward: '{"bed":1.0}' })
  await meet(old, now)
  expect(await fieldsOf(now)).toEqual({
    gender: '"female"',
    weight: '70500',
    given: '"Anna"',
    family: '"Berg"',
    ward: '{"bed":1.0}',
    triage: '"green"',
  })
  for (let month = 1; month <= 6; month++) {
    mesh.nowMs += 30 * dayMs
    await now.set('p1', { weight: `${70_000 + month}`, family: `"Berg ${month}"` })
    await meet(old, now)
    expect(await fieldsOf(old)).toMatchObject({
      sex: '"f"',
      weight: `70.00${month}`,
      name: `"Anna Berg ${month}"`,
    })
    mesh.nowMs += 30 * dayMs
    await old.set('p1', { weight: `${60 + month}.0`, name: `"Anna Baum"` })
    await meet(old, now)
    expect(await fieldsOf(now)).toMatchObject({
      weight: `${60 + month}000`,
      given: '"Anna"',
      family: '"Baum"',
    })
    expect((await fieldsOf(old)).weight).toBe(`${60 + month}.0`)
  }
  expect(await conflictsOf(old)).toEqual([])
  expect(await conflictsOf(now)).toEqual([])
  expect(await old.contentHash()).toBe(await now.contentHash())
})

test('who can read nothing is told so, not that there are no schemas', async () => {
  const mesh = await TestMesh.found()
  const [courier] = await mesh.enrolAll(['courier'])
  expect(() => schemas(courier!).list()).toThrow(expect.objectContaining({ code: 'NOT_ALLOWED' }))
})

test('the history of a field goes on under its other names', async () => {
  const { old, now } = await clinic()
  await old.set('p1', { sex: '"f"', weight: '70.50', name: '"Anna Berg"', ward: '1' })
  await meet(old, now)
  await now.set('p1', { gender: '"male"', weight: '70600' })
  await now.set('p1', { given: '"Anne"', ward: '2' })
  await now.set('p1', { family: '"Baum"' })
  await meet(old, now)
  await old.set('p1', { name: '"Anna B"' })
  await meet(old, now)
  for (const device of [old, now]) {
    const { entries } = await recordHistory(device.runtime, 'records', 'p1', {})
    const told = entries.map(({ field, value, before }) => [
      `${field} ${value}`,
      ...before.map((one) =>
        [
          one.field ?? '=',
          one.value,
          ...(one.schemaVersion === undefined ? [] : [one.schemaVersion]),
        ].join(' '),
      ),
    ])
    expect(told).toEqual([
      ['name "Anna B"', 'family "Baum" 2', 'given "Anne" 2'],
      ['family "Baum"', 'name "Anna Berg" 1'],
      ['ward 2', '= 1 1'],
      ['given "Anne"', 'name "Anna Berg" 1'],
      ['weight 70600', '= 70.50 1'],
      ['gender "male"', 'sex "f" 1'],
      ['ward 1'],
      ['name "Anna Berg"'],
      ['weight 70.50'],
      ['sex "f"'],
    ])
  }
})

test('a default shows only where nobody wrote', async () => {
  const { old, now } = await clinic()
  await now.set('p1', { given: '"Anna"' })
  expect((await fieldsOf(now)).triage).toBe('"green"')
  await now.set('p1', { triage: '"red"' })
  expect((await fieldsOf(now)).triage).toBe('"red"')
  await now.set('p1', { triage: undefined })
  await meet(old, now)
  expect(await fieldsOf(now)).toEqual({ given: '"Anna"' })
  expect(await fieldsOf(old)).toEqual({ name: '"Anna"' })
})

test('each write says by which version it was made', async () => {
  const { old, now } = await clinic()
  await old.set('p1', { sex: '"f"' })
  await now.set('p2', { gender: '"male"' })
  await meet(old, now)
  const collection = await now.collection()
  const versions = (await collection.states(['p1', 'p2'])).map((state) =>
    [...state.writers.values()].flatMap(({ writes }) =>
      [...writes.values()].map(({ commit }) => commit.schemaVersion),
    ),
  )
  expect(versions).toEqual([[1], [2]])
})

test('what an old app does not know goes through it untouched', async () => {
  const { old, now } = await clinic()
  const id = 'Basic/b1'
  const unknown = {
    card: '{"seen":[1.00,null],"__proto__":1}',
    // A name that meant something else in the old version.
    sex: '"a field of today"',
  }
  await now.set(id, { gender: '"male"', weight: '70500', ...unknown })
  await meet(old, now)
  expect(await fieldsOf(old, id)).toEqual({
    sex: '"m"',
    weight: '70.5',
    card: unknown.card,
    'sex@2': unknown.sex,
  })
  // Exported and taken in again: nothing is to be written.
  const lines: string[] = []
  for await (const line of old.operations.export('records')) lines.push(line)
  expect(lines).toHaveLength(1)
  const hash = await old.contentHash()
  expect(await takeIn(old, lines[0]!)).toMatchObject({ records: 0, unchanged: 1, rejected: [] })
  // With one element changed elsewhere.
  expect(await takeIn(old, lines[0]!.replace('70.5', '71'))).toMatchObject({ records: 1 })
  expect(await old.contentHash()).not.toBe(hash)
  // And all of what a form shows, set again.
  await old.set(id, await fieldsOf(old, id))
  await meet(old, now)
  expect(await fieldsOf(now, id)).toEqual({
    gender: '"male"',
    weight: '71000',
    ...unknown,
    triage: '"green"',
  })
})

function takeIn(device: TestDevice, line: string) {
  async function* chunks() {
    yield Buffer.from(`${line}\n`)
  }
  const sources = [{ name: 'export', format: 'ndjson' as const, chunks: chunks() }]
  return device.operations.import(sources, { overwrite: true })
}

test('a value of an old field and one of the new field conflict as one field', async () => {
  const { old, now } = await clinic()
  await old.set('p1', { sex: '"f"' })
  await meet(old, now)
  await old.set('p1', { sex: '"m"' })
  await now.set('p1', { gender: '"unknown"' })
  await meet(old, now)
  expect((await conflictsOf(old)).map(valuesOf)).toEqual([
    ['sex', 'update-update', ['"m"', '"unknown"']],
  ])
  expect((await conflictsOf(now)).map(valuesOf)).toEqual([
    ['gender', 'update-update', ['"male"', '"unknown"']],
  ])
  const [conflict] = await conflictsOf(now)
  expect(conflict).toMatchObject({ state: 'open', rank: 'high' })
  // Settled there, it is settled here.
  const n = conflict!.values.find(({ value }) => value === '"male"')!.n
  await new ConflictOperations(now.runtime).resolve('records', 'p1', 'gender', { keep: n }, {})
  await meet(old, now)
  expect(await conflictsOf(old)).toEqual([])
  expect((await fieldsOf(old)).sex).toBe('"m"')
})

test('the same value in the words of both versions is no conflict', async () => {
  const { old, now } = await clinic()
  await old.set('p1', { sex: '"f"', weight: '70.5' })
  await now.set('p1', { gender: '"female"', weight: '70500' })
  await old.set('p2', { weight: '70.50' })
  await now.set('p2', { weight: '70500' })
  await meet(old, now)
  expect(await conflictsOf(now)).toEqual([])
  // Where it was measured more exactly, that counts.
  expect((await conflictsOf(old)).map(valuesOf)).toEqual([
    ['weight', 'update-update', ['70.5', '70.50']],
  ])
})

test('what a version can not say is a conflict there, with the value as it was written', async () => {
  const { old, now } = await clinic()
  await now.set('p1', { weight: '"too heavy for the scales"', gender: '"m"' })
  await old.set('p2', { name: '{"family":"Berg"}' })
  await meet(old, now)
  expect(inOrder((await conflictsOf(old)).map(valuesOf))).toEqual([
    ['sex', 'schema', ['"m"']],
    ['weight', 'schema', ['"too heavy for the scales"']],
  ])
  expect((await conflictsOf(now)).map(valuesOf)).toEqual([
    ['given', 'schema', ['{"family":"Berg"}']],
  ])
  expect(await fieldsOf(old)).toEqual({})
  expect(await fieldsOf(now)).toMatchObject({
    weight: '"too heavy for the scales"',
    gender: '"m"',
  })
  // A person who can say it settles it, for both.
  await new ConflictOperations(old.runtime).resolve('records', 'p1', 'weight', { value: '150' }, {})
  await new ConflictOperations(now.runtime).resolve(
    'records',
    'p2',
    'given',
    { value: '"Anna"' },
    {},
  )
  await meet(old, now)
  expect((await conflictsOf(old)).map(({ field }) => field)).toEqual(['sex'])
  expect(await conflictsOf(now)).toEqual([])
  expect((await fieldsOf(now)).weight).toBe('150000')
})

test('beside what can not be said, the other values are in the words of the version', async () => {
  const { old, now } = await clinic()
  await old.set('p1', { weight: '70' })
  await now.set('p1', { weight: '"too heavy"' })
  await meet(old, now)
  const [conflict] = await conflictsOf(old)
  expect(valuesOf(conflict!)).toEqual(['weight', 'schema', ['70', '"too heavy"']])
  expect((await conflictsOf(now)).map(valuesOf)).toEqual([
    ['weight', 'update-update', ['70000', '"too heavy"']],
  ])
  // What this version can say can be kept, and nothing else.
  const keep = (value: string) => {
    const { n } = conflict!.values.find((each) => each.value === value)!
    return new ConflictOperations(old.runtime).resolve('records', 'p1', 'weight', { keep: n }, {})
  }
  await expect(keep('"too heavy"')).rejects.toMatchObject({ code: 'INVALID_VALUE' })
  await keep('70')
  await meet(old, now)
  expect((await fieldsOf(now)).weight).toBe('70000')
  expect(await conflictsOf(now)).toEqual([])
})

test('what can not be translated at all is settled by a value of the field that it would be in', async () => {
  const { old, now } = await clinic()
  // As an app would that takes the name for a list.
  const id = 'p1'
  await old.set(id, { name: '"Anna Berg"' })
  await writeRaw(old, id, { field: 'name', op: 'add', value: '"Anna"' })
  await meet(old, now)
  expect((await conflictsOf(now)).map(valuesOf)).toEqual([
    ['given', 'schema', ['["Anna"]', '"Anna"']],
  ])
  await new ConflictOperations(now.runtime).resolve('records', id, 'given', { value: '"Eva"' }, {})
  await meet(old, now)
  expect(await conflictsOf(now)).toEqual([])
  expect(await conflictsOf(old)).toEqual([])
  expect((await fieldsOf(old)).name).toBe('"Eva Berg"')
})

async function writeRaw(device: TestDevice, id: string, write: PlannedWrite): Promise<void> {
  const { id: collection } = await device.collection()
  await device.runtime.writer.write(collection, 'routine', [{ id, plan: () => [write] }])
}

test('several values that were kept are kept in every version', async () => {
  const { old, now } = await clinic()
  await old.set('p1', { sex: '"f"' })
  await now.set('p1', { gender: '"male"' })
  await meet(old, now)
  await new ConflictOperations(old.runtime).resolve('records', 'p1', 'sex', { keepBoth: true }, {})
  await now.set('p1', { gender: '"other"' })
  await meet(old, now)
  const [conflict] = await conflictsOf(now)
  expect(conflict!.values.map(({ value, together }) => [value, together])).toEqual([
    ['"other"', false],
    [expect.stringMatching(/^\["(male","fe|fe?male",")?male"\]$/), true],
  ])
})

test('sets and counters go on under their new names', async () => {
  const { old, now } = await clinic()
  await old.operations.write('records', 'p1', [
    { op: 'add', field: 'tags', value: '"a"' },
    { op: 'count', field: 'visits', delta: 2 },
  ])
  await meet(old, now)
  await now.operations.write('records', 'p1', [
    { op: 'add', field: 'labels', value: '"b"' },
    { op: 'count', field: 'visitCount', delta: 3 },
  ])
  await old.operations.write('records', 'p1', [
    { op: 'remove', field: 'tags', value: '"a"' },
    { op: 'count', field: 'visits', delta: 10 },
  ])
  await meet(old, now)
  expect(await fieldsOf(now)).toMatchObject({ labels: '["b"]', visitCount: '15' })
  expect(await fieldsOf(old)).toMatchObject({ tags: '["b"]', visits: '15' })
  // A new number is a difference, whatever the counter was called when it was counted.
  await old.set('p2', { visits: '5' })
  await old.operations.write('records', 'p2', [{ op: 'count', field: 'visits', delta: 2 }])
  await meet(old, now)
  await now.set('p2', { visitCount: '20' })
  await meet(old, now)
  expect((await fieldsOf(now, 'p2')).visitCount).toBe('20')
  expect((await fieldsOf(old, 'p2')).visits).toBe('20')
})

test('what was written in a version that is not known yet is shown as such, and read when it is', async () => {
  const { mesh, admin, old } = await clinic()
  const [late] = (await mesh.enrolAll(['clinician'])) as [TestDevice]
  await meet(admin, late)
  await apply(admin, {
    collection: 'records',
    version: 3,
    lens: { from: 2, steps: [{ unit: { field: 'weight', factor: 0.001 } }] },
    fields: versionTwo.fields,
  })
  await meet(admin, old)
  await admin.set('p1', { weight: '70' })
  // The commit comes before the fact.
  const feeds = admin.feeds().filter((feed) => {
    const { device } = admin.runtime.replica.descriptor(feed)!
    return bytesToHex(device) === admin.id
  })
  for (const feed of feeds) await late.take(admin, feed)
  await late.idle()
  expect((await conflictsOf(late)).map(valuesOf)).toEqual([['weight', 'schema', ['70']]])
  await meet(admin, late)
  expect(await conflictsOf(late)).toEqual([])
  expect(await fieldsOf(late)).toMatchObject({ weight: '70' })
})

test('a schema of a newer program is said to be that, and records by it are not guessed at', async () => {
  const mesh = await TestMesh.found()
  const admin = mesh.founder
  const { id } = await admin.collection()
  const text = JSON.stringify({ collection: 'records', version: 1, hologram: true })
  const schema = admin.runtime.sealLabel(text, factTypes.schema)!
  await admin.facts([{ kind: 'schema', collection: id, version: 1, schema }])
  expect(schemas(admin).list('records')).toMatchObject([
    { version: 0, versions: [{ version: 0 }, { version: 1, state: 'not-understood' }] },
  ])
  expect(admin.runtime.notices.map(({ code }) => code)).toContain('SCHEMA_NOT_UNDERSTOOD')
  await expect(apply(admin, { collection: 'records', version: 2 })).rejects.toMatchObject({
    code: 'SCHEMA_VERSION',
  })
  // What the text is can be read all the same.
  expect(schemas(admin).text('records', 1).text).toBe(text)
})

test('also where no version that is known changes any field', async () => {
  const mesh = await TestMesh.found()
  const admin = mesh.founder
  const [late] = (await mesh.enrolAll(['clinician'])) as [TestDevice]
  await late.set('p1', { ward: '1' })
  await apply(admin, { collection: 'records', version: 1 })
  await admin.set('p1', { weight: '70' })
  for (const feed of admin.feeds()) await late.take(admin, feed)
  const [conflict] = await conflictsOf(late)
  expect(valuesOf(conflict!)).toEqual(['weight', 'schema', ['70']])
  expect(conflict!.problem).toMatch(/a version of the schema that this device does not know/)
  expect(await fieldsOf(late)).toEqual({ ward: '1' })
  expect(await late.kept()).toEqual(await late.recount())
  // It can't be said again in the words of a version that nobody here knows.
  await expect(
    new ConflictOperations(late.runtime).resolve('records', 'p1', 'weight', { keep: 1 }, {}),
  ).rejects.toMatchObject({ code: 'INVALID_VALUE' })
  await meet(admin, late)
  expect(await conflictsOf(late)).toEqual([])
  expect(await fieldsOf(late)).toEqual({ ward: '1', weight: '70' })
})

test('a new schema changes what shows of records that are there', async () => {
  const mesh = await TestMesh.found()
  const [a, b] = (await mesh.enrolAll(['clinician', 'clinician'])) as [TestDevice, TestDevice]
  await a.set('p1', { ward: '1' })
  await b.set('p1', { ward: '2' })
  await meet(a, b)
  expect((await conflictsOf(a)).map(({ state }) => state)).toEqual(['review'])
  await apply(mesh.founder, {
    collection: 'records',
    version: 1,
    fields: { ward: { strategy: 'mvr', rank: 'critical' } },
  })
  await meet(mesh.founder, a)
  expect(await conflictsOf(a)).toMatchObject([{ state: 'open', rank: 'critical' }])
  expect(await a.kept()).toEqual(await a.recount())
  // As long as it goes with the old one, nothing is asked there.
  await schemas(a).pin('records', 0)
  expect((await conflictsOf(a)).map(({ state }) => state)).toEqual(['review'])
  expect(await a.kept()).toEqual(await a.recount())
  await schemas(a).pin('records', null)
  expect((await conflictsOf(a)).map(({ state }) => state)).toEqual(['open'])
})

test('a pin holds after a restart, and only for versions that there are', async () => {
  const { old } = await clinic()
  await old.restart()
  expect(schemas(old).list('records')).toMatchObject([
    { collection: 'records', version: 1, pinned: 1 },
  ])
  await expect(schemas(old).pin('records', 7)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  await schemas(old).pin('records', null)
  expect(schemas(old).list('records')).toMatchObject([{ version: 2, pinned: null }])
})

test('the list says since when, and by whom', async () => {
  const { admin, now } = await clinic()
  const by = { id: admin.id, name: 'first' }
  const [records, ...others] = schemas(now).list('records')
  expect(others).toEqual([])
  expect(records).toMatchObject({
    collection: 'records',
    version: 2,
    pinned: null,
    versions: [
      { version: 0, since: null, by: null, state: 'known' },
      { version: 1, by, state: 'known' },
      { version: 2, by, state: 'known' },
    ],
  })
  expect(records!.versions[1]!.since).toMatch(/^2026-06-01T/)
  expect(
    schemas(now)
      .list()
      .map(({ collection, version }) => [collection, version]),
  ).toEqual([
    ['patients', 0],
    ['records', 2],
    ['documents', 0],
  ])
})

test('the text of a version is what was applied', async () => {
  const { old } = await clinic()
  expect(schemas(old).text('records')).toEqual({
    collection: 'records',
    version: 1,
    text: JSON.stringify(versionOne),
  })
  expect(schemas(old).text('records', 2).text).toBe(JSON.stringify(versionTwo))
  expect(JSON.parse(schemas(old).text('patients').text)).toMatchObject({ version: 0 })
  expect(() => schemas(old).text('records', 3)).toThrow(
    expect.objectContaining({ code: 'NOT_FOUND' }),
  )
})

test('only admins apply schemas, that are schemas, that go up, and that lose nothing unsaid', async () => {
  const { admin, now } = await clinic()
  const before = admin.runtime.replica.commits
  const refused = async (device: TestDevice, schema: object, code: string, force = false) => {
    await expect(apply(device, schema, force)).rejects.toMatchObject({ code })
  }
  const three = { ...versionTwo, version: 3, lens: { from: 2, steps: [] } }
  await refused(now, three, 'NOT_ALLOWED')
  await refused(admin, { ...three, fields: { x: { strategy: 'crdt' } } }, 'SCHEMA_INVALID')
  const transform = { strategy: 'transform', transform: 'no-such' }
  await refused(admin, { ...three, fields: { ...three.fields, x: transform } }, 'SCHEMA_INVALID')
  await refused(admin, { ...three, collection: 'herbs' }, 'UNKNOWN_COLLECTION')
  await refused(admin, versionTwo, 'SCHEMA_VERSION', true)
  await refused(admin, { ...versionTwo, version: 1, lens: undefined }, 'SCHEMA_VERSION', true)
  await refused(
    admin,
    { ...three, version: 4, lens: { from: 1, steps: [] } },
    'SCHEMA_VERSION',
    true,
  )
  await refused(admin, { ...three, fields: {} }, 'SCHEMA_LOSSY')
  const noText = { ...three.fields, given: { strategy: 'text' } }
  await refused(
    admin,
    {
      ...three,
      fields: noText,
      lens: { from: 2, steps: [{ rename: { from: 'a', to: 'given' } }] },
    },
    'SCHEMA_INVALID',
    true,
  )
  expect(admin.runtime.replica.commits).toBe(before)
  expect(await apply(admin, three)).toEqual({ collection: 'records', version: 3, findings: [] })
  expect(
    await apply(admin, { ...three, version: 4, fields: {}, lens: undefined }, true),
  ).toMatchObject({
    version: 4,
    findings: expect.arrayContaining([expect.objectContaining({ severity: 'loss' })]) as unknown,
  })
})

test('of two schemas applied at once on one device, one is refused', async () => {
  const { admin } = await clinic()
  const three = { ...versionTwo, version: 3, lens: { from: 2, steps: [] } }
  const results = await Promise.allSettled([apply(admin, three), apply(admin, three)])
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
  expect(
    schemas(admin)
      .list('records')[0]!
      .versions.map(({ version }) => version),
  ).toEqual([0, 1, 2, 3])
})

test('two admins who give one version to two schemas: the first counts everywhere', async () => {
  const mesh = await TestMesh.found()
  const admin = mesh.founder
  const [other] = (await mesh.enrolAll(['admin'])) as [TestDevice]
  const first = { collection: 'records', version: 1, fields: { a: { strategy: 'mvr' } } }
  const second = { collection: 'records', version: 1, fields: { a: { strategy: 'set' } } }
  await apply(other, first)
  mesh.nowMs += dayMs
  await apply(admin, second)
  expect(schemas(admin).text('records').text).toBe(JSON.stringify(second))
  await meet(admin, other)
  for (const device of [admin, other]) {
    expect(schemas(device).text('records').text).toBe(JSON.stringify(first))
    expect(schemas(device).list('records')[0]!.versions).toMatchObject([
      { version: 0 },
      { version: 1, by: { id: other.id }, state: 'known' },
      { version: 1, by: { id: admin.id }, state: 'superseded' },
    ])
    expect(await device.seen()).toEqual([])
  }
})

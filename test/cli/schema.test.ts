/** `haven schema` with processes of its own. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import type {
  AppliedSchema,
  CollectionSchemas,
  Conflict,
  Invitation,
  SchemaFinding,
} from '../../src/device/api.ts'
import { Place } from './support/haven-process.ts'
import { runCli } from './support/run-cli.ts'

const minuteMs = 60_000
const waiting = { timeout: 20_000 }

const one = {
  collection: 'patients',
  version: 1,
  types: { Patient: { fields: { sex: { strategy: 'mvr', rank: 'high' } } } },
}
const two = {
  collection: 'patients',
  version: 2,
  types: { Patient: { fields: { gender: { strategy: 'mvr', rank: 'high' } } } },
  lens: {
    from: 1,
    steps: [
      { rename: { from: 'sex', to: 'gender' } },
      { map: { field: 'gender', values: { m: 'male', f: 'female' } } },
    ],
  },
}

function fileOf(place: Place, name: string, schema: unknown): string {
  const path = place.path(name)
  writeFileSync(path, typeof schema === 'string' ? schema : JSON.stringify(schema, undefined, 2))
  return path
}

async function failureOf(place: Place, ...args: [string, ...string[]]) {
  const { exitCode, stdout } = await place.run(args[0], ...args.slice(1), '--json')
  const { error } = JSON.parse(stdout) as { error: { code: string; message: string } }
  return { exitCode, ...error }
}

test(
  'a schema is written, checked, applied, listed, shown, and pinned for an older app',
  async () => {
    const place = new Place()
    await place.json('a', 'init', '--mesh', 'Camp', '--device', 'office')
    // Starting from what is there.
    const built = await place.run('a', 'schema', 'show', 'patients')
    const builtIn = fileOf(place, 'built-in.json', built.stdout)
    const first = fileOf(place, 'one.json', one)
    expect(await place.json('a', 'schema', 'check', builtIn, first)).toEqual({ findings: [] })
    expect(await place.json<AppliedSchema>('a', 'schema', 'apply', first)).toEqual({
      collection: 'patients',
      version: 1,
      findings: [],
    })
    await place.json('a', 'set', 'patients', 'Patient/1', 'sex="f"')

    const second = fileOf(place, 'two.json', two)
    const check = await place.json<{ findings: SchemaFinding[] }>(
      'a',
      'schema',
      'check',
      first,
      second,
    )
    expect(check.findings).toMatchObject([{ severity: 'note', about: 'map', field: 'gender' }])
    const applied = await place.run('a', 'schema', 'apply', second)
    expect(applied.stdout).toMatch(
      /^The schema of patients has version 2 now\.[^]*Good to know:\n {2}Patient\.gender: |gender: /,
    )

    const [listed] = await place.json<CollectionSchemas[]>('a', 'schema', 'list', 'patients')
    expect(listed).toMatchObject({
      collection: 'patients',
      version: 2,
      pinned: null,
      versions: [
        { version: 0, since: null, by: null },
        { version: 1, by: { name: 'office' }, state: 'known' },
        { version: 2, by: { name: 'office' }, state: 'known' },
      ],
    })
    const text = (await place.run('a', 'schema', 'list')).stdout
    expect(text).toMatch(
      /^patients: read and written by version 2 here\n {2}2 {3}\d{4}-\d\d-\d\d \d\d:\d\d, office\n {2}1 .*\n {2}0 {3}built in\n\nrecords: /,
    )
    // The file itself, as it was applied.
    const shown = await place.run('a', 'schema', 'show', 'patients', '--version', '1')
    expect(shown.stdout.trim()).toBe(readFileSync(first, 'utf8'))
    expect(await place.json('a', 'schema', 'show', 'patients')).toEqual({
      collection: 'patients',
      version: 2,
      schema: two,
    })

    // A tablet with an older app, beside `haven up` on both.
    const { address, process: running } = await place.up('a')
    const { code } = await place.json<Invitation>('a', 'invite')
    await place.json('b', 'join', code, '--device', 'tablet')
    await place.up('b', '--peer', address)
    await expect
      .poll(
        async () => (await place.json<CollectionSchemas[]>('b', 'schema', 'list'))[0]?.version,
        waiting,
      )
      .toBe(2)
    expect(await place.json('b', 'schema', 'pin', 'patients', '1')).toMatchObject({
      version: 1,
      pinned: 1,
    })
    await expect
      .poll(async () => (await place.run('b', 'get', 'patients', 'Patient/1')).exitCode, waiting)
      .toBe(0)
    const old = await place.json<{ fields: object }>('b', 'get', 'patients', 'Patient/1')
    expect(old.fields).toEqual({ sex: 'f' })
    await place.json('b', 'set', 'patients', 'Patient/1', 'sex="m"')
    const fieldsOnA = async () =>
      (await place.json<{ fields: object }>('a', 'get', 'patients', 'Patient/1')).fields
    await expect.poll(fieldsOnA, waiting).toEqual({ gender: 'male' })
    expect(await place.json<Conflict[]>('a', 'conflicts')).toEqual([])
    expect(await place.json('b', 'schema', 'pin', 'patients', '--none')).toMatchObject({
      version: 2,
      pinned: null,
    })
    // Through the socket too, only an admin applies.
    const three = fileOf(place, 'three.json', { ...two, version: 3, lens: { from: 2, steps: [] } })
    expect(await failureOf(place, 'b', 'schema', 'apply', three)).toMatchObject({
      exitCode: 1,
      code: 'NOT_ALLOWED',
    })
    expect(await place.json('a', 'schema', 'apply', three)).toMatchObject({ version: 3 })
    const event = await running.event(({ event: kind }) => kind === 'schema')
    expect(event).toMatchObject({ collection: 'patients', version: 3 })
  },
  2 * minuteMs,
)

test(
  'what is wrong is said with its code, and nothing is changed',
  async () => {
    const place = new Place()
    await place.json('a', 'init', '--mesh', 'Camp', '--device', 'office')
    await place.json('a', 'schema', 'apply', fileOf(place, 'one.json', one))
    const refused = async (schema: unknown, ...more: string[]) =>
      failureOf(place, 'a', 'schema', 'apply', fileOf(place, 'next.json', schema), ...more)
    expect(await refused('{\n  "collection": "patients",\n  "version": "2"\n}')).toEqual({
      exitCode: 1,
      code: 'SCHEMA_INVALID',
      message: 'version has to be a whole number from 1 (line 3, column 14).',
    })
    expect(await refused({ ...two, fields: { x: { strategy: 'merge' } } })).toMatchObject({
      code: 'SCHEMA_INVALID',
      message: expect.stringMatching(
        /^fields\.x\.strategy .* \(line \d+, column \d+\)\.$/,
      ) as string,
    })
    expect(await refused(one, '--force')).toMatchObject({ code: 'SCHEMA_VERSION' })
    expect(await refused({ ...two, collection: 'herbs' })).toMatchObject({
      code: 'UNKNOWN_COLLECTION',
    })
    const lossy = { collection: 'patients', version: 2, otherFields: { strategy: 'lww' } }
    const loss = await refused(lossy)
    expect(loss).toMatchObject({ exitCode: 1, code: 'SCHEMA_LOSSY' })
    expect(loss.message).toMatch(/Patient\.sex: It is not named any more/)
    expect(await failureOf(place, 'a', 'schema', 'apply', place.path('none.json'))).toMatchObject({
      code: 'PATH_UNREADABLE',
    })
    expect(
      await failureOf(place, 'a', 'schema', 'show', 'patients', '--version', '2'),
    ).toMatchObject({
      code: 'NOT_FOUND',
    })
    expect(await failureOf(place, 'a', 'schema', 'pin', 'patients', '2')).toMatchObject({
      code: 'NOT_FOUND',
    })
    const [listed] = await place.json<CollectionSchemas[]>('a', 'schema', 'list', 'patients')
    expect(listed!.versions).toHaveLength(2)
    const forced = fileOf(place, 'next.json', lossy)
    expect(await place.json('a', 'schema', 'apply', forced, '--force')).toMatchObject({
      version: 2,
    })
  },
  minuteMs,
)

test('a check needs no device, and fails where anything is lost', async () => {
  const place = new Place()
  const first = fileOf(place, 'one.json', one)
  const lossy = fileOf(place, 'lossy.json', { ...two, lens: { from: 1, steps: [] } })
  const said = await runCli(['schema', 'check', first, lossy])
  expect(said).toMatchObject({ exitCode: 1, opened: [] })
  expect(said.stdout).toMatch(/^Lost:\n {2}Patient\.sex: It is not named any more.*\n$/)
  expect(said.stderr).toBe('haven: With the new schema something would be lost.\n')
  const json = await runCli(['schema', 'check', first, lossy, '--json'])
  expect(JSON.parse(json.stdout)).toMatchObject({
    findings: [{ severity: 'loss', about: 'strategy', type: 'Patient', field: 'sex' }],
    error: { code: 'SCHEMA_LOSSY' },
  })
  const backwards = await runCli(['schema', 'check', lossy, first])
  expect(backwards.exitCode).toBe(1)
  expect(backwards.stderr).toBe('haven: The new schema can not follow the old one.\n')
  const bad = await runCli(['schema', 'check', first, '-'], { stdin: '{"collection":1}' })
  expect(bad.stderr).toMatch(
    /^haven: In the new schema: The schema lacks "version" \(line 1, column 1\)\.\ncollection has to be a text/,
  )
})

test('prints the JSON Schema of schemas', async () => {
  const { stdout } = await runCli(['schema', 'format'])
  const published = join(import.meta.dirname, '../../docs/schemas/collection-schema.json')
  expect(JSON.parse(stdout)).toEqual(JSON.parse(readFileSync(published, 'utf8')))
})

test.each([
  [['schema', 'pin', 'patients']],
  [['schema', 'pin', 'patients', '1', '--none']],
  [['schema', 'pin', 'patients', 'one']],
  [['schema', 'show', 'patients', '--version', '-1']],
  [['schema', 'check', 'one.json']],
  [['schema', 'check', '-', '-']],
  [['schema', 'apply']],
])('%j is wrong usage', async (args) => {
  const { exitCode, opened } = await runCli(args)
  expect([exitCode, opened]).toEqual([2, []])
})

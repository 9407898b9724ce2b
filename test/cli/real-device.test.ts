/** The command line on real devices: processes of their own, LevelDB, libp2p over loopback. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import type {
  DeviceInfo,
  DeviceStatus,
  ImportResult,
  Invitation,
  MembershipResult,
  WriteResult,
} from '../../src/device/api.ts'
import { Place } from './support/haven-process.ts'

const fixtures = join(import.meta.dirname, '..', 'fixtures')
const minuteMs = 60_000
const waiting = { timeout: 20_000 }
const hex = (digits: number) => expect.stringMatching(new RegExp(`^[0-9a-f]{${digits}}$`)) as string

type Founded = MembershipResult & { recovery: string }
interface RecordDocument {
  fields: Record<string, unknown>
  conflicts: Record<string, { value: unknown; device: DeviceInfo; time: string }[]>
  deleted: boolean
}

async function founded(place: Place, device = 'a'): Promise<Founded> {
  return place.json<Founded>(device, 'init', '--mesh', 'Camp', '--device', device)
}

async function joined(place: Place, device: string, ...role: string[]): Promise<MembershipResult> {
  const { code } = await place.json<Invitation>('a', 'invite', ...role)
  return place.json<MembershipResult>(device, 'join', code, '--device', device)
}

test('a store on its own: every document is the one of the table', async () => {
  const place = new Place()
  const { mesh, device, recovery } = await founded(place)
  expect(mesh).toEqual({ id: hex(32), name: 'Camp' })
  expect(device).toEqual({ id: hex(64), name: 'a', role: 'admin' })
  expect(recovery.split(' ')).toHaveLength(12)
  const written = await place.json<WriteResult>('a', 'set', 'patients', 'Patient/1', 'n=1.50')
  expect(written).toEqual({ id: 'Patient/1', commit: { feed: hex(32), seq: 1 } })
  expect(await place.json('a', 'list', 'patients')).toEqual([{ id: 'Patient/1' }])
  const { stdout } = await place.run('a', 'get', 'patients', 'Patient/1', '--json')
  expect(stdout).toMatch(
    /^\{"id":"Patient\/1","collection":"patients","fields":\{"n":1\.50\},"conflicts":\{\},"deleted":false,"version":"[\w-]+"\}\n$/,
  )
  expect((await place.run('a', 'export')).stdout).toBe(
    '{"resourceType":"Patient","id":"1","n":1.50}\n',
  )
  expect(await place.json('a', 'delete', 'patients', 'Patient/1')).toEqual({
    id: 'Patient/1',
    commit: { feed: written.commit!.feed, seq: 2 },
  })
  expect(await place.json('a', 'list', 'patients')).toEqual([])
  expect(await place.json('a', 'status')).toMatchObject({
    device,
    mesh,
    peers: [],
    collections: { patients: { records: 0, contentHash: hex(64) }, records: {}, documents: {} },
    clock: { feeds: 2, commits: 3, digest: hex(32) },
  })
})

test('two commands at once wait for each other, and both writes are there', async () => {
  const place = new Place()
  await founded(place)
  await Promise.all(
    ['x=1', 'y=2', 'z=3'].map((field) => place.json('a', 'set', 'patients', 'p', field)),
  )
  const { fields } = await place.json<RecordDocument>('a', 'get', 'patients', 'p')
  expect(fields).toEqual({ x: 1, y: 2, z: 3 })
})

test(
  'what the bundled files hold comes out deep-equal, also through a running device',
  async () => {
    const place = new Place()
    await founded(place)
    const direct = join(fixtures, 'synthea-ndjson')
    const first = await place.json<ImportResult>('a', 'import', direct)
    const resources = resourcesIn(direct)
    expect(first).toEqual({
      records: resources.size,
      created: resources.size,
      unchanged: 0,
      newerHere: 0,
      deletedHere: 0,
      commits: expect.any(Number),
      rejected: [],
    })
    await place.up('a')
    const again = await place.json<ImportResult>('a', 'import', direct)
    expect(again).toMatchObject({ records: 0, unchanged: resources.size, commits: 0, rejected: [] })
    const { stdout } = await place.run('a', 'export')
    const exported = new Map(stdout.trim().split('\n').map(named))
    expect(exported).toEqual(resources)
  },
  minuteMs,
)

test(
  'whatever is wrong with a file is said with its place, and all else is imported',
  async () => {
    const place = new Place()
    await founded(place)
    const files = place.path('files')
    mkdirSync(files)
    const lines = [
      '{"resourceType":"Patient","id":"bare"}',
      '{"resourceType":"Patient","id":"cut',
      '{"resourceType":"Patient","id":"odd","__proto__":{"a":1},"constructor":2,"n":1e400}',
      '{"resourceType":"Patient","name":[{"text":"without id"}]}',
      `{"resourceType":"Patient","id":"huge","photo":"${'x'.repeat(50_000_000)}"}`,
      '[]',
      '{"resourceType":"Patient","id":"last","active":true}',
    ]
    writeFileSync(join(files, 'a.ndjson'), lines.join('\n'))
    writeFileSync(join(files, 'empty.ndjson'), '')
    const entry = (resource: object) => ({ resource })
    const bundle = {
      resourceType: 'Bundle',
      type: 'collection',
      entry: [entry({ resourceType: 'Frobnicate', id: 'f', q: 1 }), entry({ id: 'untyped' })],
    }
    writeFileSync(join(files, 'bundle.json'), JSON.stringify(bundle))
    const missing = place.path('missing')

    const first = await place.json<ImportResult>('a', 'import', files, missing)
    expect(first).toMatchObject({ records: 5, unchanged: 0 })
    const at = (file: string, line: number, code: string) =>
      expect.objectContaining({ source: join(files, file), line, code }) as unknown
    expect(first.rejected).toEqual([
      expect.objectContaining({ source: missing, line: 0, code: 'PATH_UNREADABLE' }),
      at('a.ndjson', 2, 'JSON_INVALID'),
      at('a.ndjson', 5, 'LINE_TOO_LONG'),
      at('a.ndjson', 6, 'JSON_INVALID'),
      at('bundle.json', 1, 'NOT_FHIR'),
    ])
    const again = await place.json<ImportResult>('a', 'import', files)
    expect(again).toMatchObject({ records: 0, unchanged: 5, commits: 0 })
    const { stdout } = await place.run('a', 'export', '--collection', 'patients')
    expect(stdout.split('\n')).toContain(lines[0])
    expect(stdout.split('\n')).toContain(lines[2])

    expect(await place.failure('a', 'import', missing)).toEqual(['PATH_UNREADABLE', 1])
    writeFileSync(join(files, 'bad.ndjson'), 'no\n')
    expect(await place.failure('a', 'import', join(files, 'bad.ndjson'))).toEqual([
      'NOTHING_IMPORTED',
      1,
    ])
    expect((await place.run('a', 'import', join(files, 'empty.ndjson'))).exitCode).toBe(0)
  },
  minuteMs,
)

test(
  'each failure has its code, exit code and sentence, with and without a running device',
  async () => {
    const place = new Place()
    await founded(place)
    const failing: [args: string[], code: string, exitCode: number][] = [
      [['list', 'nowhere'], 'UNKNOWN_COLLECTION', 1],
      [['get', 'patients', 'nobody'], 'NOT_FOUND', 1],
      [['delete', 'patients', 'nobody'], 'NOT_FOUND', 1],
      [['set', 'patients', 'p', 'name=Anna'], 'INVALID_VALUE', 1],
      [['set', 'patients', 'Patient/p', 'id="q"'], 'INVALID_VALUE', 1],
      [['set', 'patients', 'a\nb', 'x=1'], 'INVALID_ID', 1],
      [['set', 'patients', 'p'], 'USAGE', 2],
      [['set', 'patients', 'p', 'no-value'], 'USAGE', 2],
      [['invite', '--ttl', 'long'], 'USAGE', 2],
      [['init', '--mesh', 'Other'], 'ALREADY_MEMBER', 1],
      [['join', 'ABCDE'], 'ALREADY_MEMBER', 1],
      [['frob'], 'USAGE', 2],
    ]
    // Without a running device they wait for each other, so only some of them.
    for (const [args, code, exitCode] of failing.filter((_, i) => i % 3 === 0))
      expect(await place.failure('a', ...args)).toEqual([code, exitCode])
    await place.up('a')
    const all = await Promise.all(failing.map(([args]) => place.failure('a', ...args)))
    expect(all).toEqual(failing.map(([, code, exitCode]) => [code, exitCode]))
    expect(await place.failure('a', 'up')).toEqual(['STORE_BUSY', 1])
    expect(await place.failure('nowhere', 'list', 'patients')).toEqual(['NOT_MEMBER', 1])
    expect(readdirSync(place.directory)).not.toContain('nowhere')
    writeFileSync(place.path('file'), '')
    expect(await place.failure('file', 'init', '--mesh', 'X')).toEqual(['STORE_NOT_WRITABLE', 1])
  },
  minuteMs,
)

test('data of a newer version is left alone', async () => {
  const place = new Place()
  await founded(place)
  writeFileSync(join(place.path('a'), 'store.json'), '{"format":99}')
  expect(await place.failure('a', 'list', 'patients')).toEqual(['STORE_NEWER_VERSION', 1])
})

test(
  'devices that were invited exchange records, and both values of a field survive',
  async () => {
    const place = new Place()
    const { device: first } = await founded(place)
    await place.json('a', 'set', 'patients', 'Patient/1', 'gender="female"', 'name=[]')
    const a = await place.up('a')
    const { code } = await place.json<Invitation>('a', 'invite')
    const { device, mesh } = await place.json<MembershipResult>('b', 'join', code, '--device', 'b')
    expect(device).toEqual({ id: hex(64), name: 'b', role: 'clinician' })
    expect(mesh.name).toBe('Camp')
    expect(await a.process.event((event) => event.event === 'joined')).toMatchObject({ device })
    expect(await place.failure('c', 'join', code)).toEqual(['INVITATION_USED', 1])

    const b = await place.up('b', '--peer', a.address)
    await b.process.event((event) => event.event === 'sync' && event.state === 'COMPLETE')
    expect((await b.process.stop()).exitCode).toBe(0)
    await place.json('b', 'set', 'patients', 'Patient/1', 'gender="other"')
    await place.json('a', 'set', 'patients', 'Patient/1', 'gender="male"')
    const healed = await place.up('b', '--peer', a.address)
    await healed.process.event((event) => event.event === 'sync' && event.state === 'COMPLETE')

    for (const name of ['a', 'b']) {
      const { conflicts } = await place.json<RecordDocument>(name, 'get', 'patients', 'Patient/1')
      expect(conflicts.gender?.toSorted((x) => (x.value === 'other' ? 1 : -1))).toEqual([
        { value: 'male', device: { id: first.id, name: 'a' }, time: expect.any(String) },
        { value: 'other', device: { id: device.id, name: 'b' }, time: expect.any(String) },
      ])
    }
    const ofA = await place.json<DeviceStatus>('a', 'status')
    const ofB = await place.json<DeviceStatus>('b', 'status')
    expect(ofB.collections).toEqual(ofA.collections)
    expect(ofA.peers).toEqual([
      {
        device,
        name: device.name,
        site: null,
        connected: true,
        state: 'COMPLETE',
        behind: 0,
        ahead: 0,
        lastSeen: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      },
    ])
  },
  minuteMs,
)

test(
  'roles: a viewer does not write, a courier does not read',
  async () => {
    const place = new Place()
    await founded(place)
    await place.up('a')
    expect((await joined(place, 'v', '--role', 'viewer')).device.role).toBe('viewer')
    expect((await joined(place, 'c', '--role', 'courier')).device.role).toBe('courier')
    expect(await place.failure('v', 'set', 'patients', 'p', 'x=1')).toEqual(['NOT_ALLOWED', 1])
    expect(await place.failure('c', 'set', 'patients', 'p', 'x=1')).toEqual(['NOT_ALLOWED', 1])
    expect(await place.failure('c', 'list', 'patients')).toEqual(['NOT_ALLOWED', 1])
    expect(await place.failure('v', 'invite')).toEqual(['NOT_ALLOWED', 1])
  },
  minuteMs,
)

test(
  'without a running device, invite listens until its code is used',
  async () => {
    const place = new Place()
    await founded(place)
    const inviting = place.start('a', 'invite', '--json')
    const { code } = await inviting.event<Invitation & Record<string, unknown>>(() => true)
    await place.json('b', 'join', code)
    expect(await inviting.ended).toMatchObject({ exitCode: 0 })
    // A new member knows its collections without having run.
    await place.json('b', 'set', 'patients', 'p', 'x=1')
    expect(await place.failure('c', 'join', 'ABCDE-ABCDE')).toEqual(['INVITATION_INVALID', 1])
  },
  minuteMs,
)

test(
  'a join that found nobody is repeated with the same code',
  async () => {
    const place = new Place()
    await founded(place)
    const first = await place.up('a')
    const { code } = await place.json<Invitation>('a', 'invite')
    await first.process.stop()
    const joining = place.start('b', 'join', code)
    await expect.poll(() => existsSync(join(place.path('b'), 'store.json')), waiting).toBe(true)
    await joining.stop('SIGKILL')
    await place.up('a', '--listen', first.address)
    expect(await place.json('b', 'join', code)).toMatchObject({ mesh: { name: 'Camp' } })
  },
  minuteMs,
)

test(
  'when the founder is gone, its recovery words make a new admin',
  async () => {
    const place = new Place()
    const { recovery, mesh } = await founded(place)
    const founder = await place.up('a')
    await joined(place, 'b')
    const b = await place.up('b', '--peer', founder.address)
    await b.process.event((event) => event.event === 'sync' && event.state === 'COMPLETE')
    await place.json('a', 'set', 'patients', 'Patient/1', 'gender="female"')
    await founder.process.stop()

    expect(await place.failure('r', 'recover', '--words', 'not', 'words')).toEqual([
      'RECOVERY_WORDS_INVALID',
      1,
    ])
    const recovering = ['recover', '--words', recovery, '--peer', b.address, '--device', 'r']
    const recovered = await place.json<MembershipResult>('r', ...recovering)
    expect(recovered).toEqual({ mesh, device: { id: hex(64), name: 'r', role: 'admin' } })
    const r = await place.up('r', '--peer', b.address)
    await r.process.event((event) => event.event === 'sync' && event.state === 'COMPLETE')
    expect(await place.json('r', 'get', 'patients', 'Patient/1')).toMatchObject({
      fields: { gender: 'female' },
    })
    expect(await place.json('r', 'invite')).toMatchObject({ role: 'clinician' })
  },
  minuteMs,
)

/** The resources of the NDJSON files of a directory, by type and id. */
function resourcesIn(directory: string): Map<string, object> {
  const files = readdirSync(directory).filter((name) => name.endsWith('.ndjson'))
  const lines = files.flatMap((name) =>
    readFileSync(join(directory, name), 'utf8').trim().split('\n'),
  )
  return new Map(lines.map(named))
}

function named(line: string): [string, object] {
  const resource = JSON.parse(line) as { resourceType: string; id: string }
  return [`${resource.resourceType}/${resource.id}`, resource]
}

import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'

import { HavenError } from '../../src/core/errors.ts'
import { findRunningDevice } from '../../src/daemon/local-client.ts'
import { localLimits, protocolVersion } from '../../src/daemon/local-protocol.ts'
import { type LocalServer, serveLocally } from '../../src/daemon/local-server.ts'
import { socketPaths } from '../../src/daemon/socket-path.ts'
import type {
  DeviceOperations,
  ImportOptions,
  ImportSource,
  Resolution,
} from '../../src/device/api.ts'
import { fakeDevice, recordView, statusOf } from '../cli/support/fake-device.ts'
import { temporaryDirectory } from '../cli/support/run-cli.ts'

test('every operation gives the same over the socket', async () => {
  const view = recordView({
    fields: new Map([
      ['dose', '1.50'],
      ['__proto__', '{}'],
    ]),
    conflicts: new Map([
      [
        'dose',
        [{ value: undefined, device: { id: 'a', name: null }, time: '2026-11-22T10:00:00.000Z' }],
      ],
    ]),
    resurrected: true,
  })
  const device = fakeDevice({
    get: async () => view,
    status: async () => statusOf({ running: false }),
  })
  const { client } = await serve(device)

  expect(await client.get('patients', 'Patient/1')).toStrictEqual(view)
  expect(await client.list('patients')).toEqual(await device.list('patients'))
  expect(await client.status()).toEqual(await device.status())
  expect(await client.invite({ role: 'viewer', ttlMs: 1_000 })).toEqual(
    await device.invite({ role: 'viewer' }),
  )
  expect(device.asked.invited[0]).toEqual({ role: 'viewer', ttlMs: 1_000 })
  const fields: [string, string | undefined][] = [
    ['dose', '2'],
    ['old', undefined],
  ]
  expect(await client.set('patients', 'Patient/1', fields, { urgent: true })).toMatchObject({
    commit: { seq: 7 },
  })
  expect(device.asked.written).toEqual([
    { collection: 'patients', id: 'Patient/1', fields, urgent: true },
  ])
  await client.set('patients', 'Patient/2', new Map(fields))
  expect(device.asked.written.at(-1)).toMatchObject({ id: 'Patient/2', fields, urgent: false })
  expect(await client.delete('patients', 'Patient/1')).toMatchObject({ commit: { seq: 8 } })
  expect(await collected(client.export('patients'))).toEqual(['{"a":1}', '{"a":2}'])
})

test('every decision on a conflict arrives as it was made, and nothing else', async () => {
  const asked: unknown[] = []
  const device = fakeDevice({
    resolve: async (...args) => {
      asked.push(args)
      return { id: 'r', commit: null }
    },
  })
  const { server, client } = await serve(device)
  const decisions: [string | null, Resolution][] = [
    ['f', { keep: 2 }],
    ['f', { value: '1.50' }],
    ['f', { value: undefined }],
    ['f', { keepBoth: true }],
    [null, { record: 'delete' }],
  ]
  for (const [field, resolution] of decisions) {
    const written = await client.resolve('c', 'r', field, resolution, { seen: 'token' })
    expect(written).toEqual({ id: 'r', commit: null })
  }
  const options = { seen: 'token' }
  expect(asked).toStrictEqual(
    decisions.map(([field, resolution]) => ['c', 'r', field, resolution, options]),
  )
  for (const resolution of [{}, { keep: '1' }, { record: 'burn' }, { value: 1 }])
    expect(
      await answerTo(server.path, `${request('resolve', ['c', 'r', 'f', resolution])}\n`),
    ).toMatchObject({ error: { code: 'MALFORMED' } })
})

test('errors keep their code and sentence', async () => {
  const { client } = await serve(fakeDevice())
  await expect(client.get('patients', 'Patient/9')).rejects.toThrow(
    expect.objectContaining({ code: 'NOT_FOUND', message: 'There is no such record.' }),
  )
})

test('an unexpected error does not tell what it failed on', async () => {
  const { client } = await serve(fakeDevice({ list: () => Promise.reject(new Error('Ana Mejía')) }))
  await expect(client.list('patients')).rejects.toThrow(
    expect.objectContaining({ code: 'INTERNAL', message: expect.not.stringContaining('Mejía') }),
  )
})

test('an export is read no faster than it is taken, and ends when nobody takes it', async () => {
  let made = 0
  const ended = Promise.withResolvers<void>()
  const line = 'x'.repeat(10_000)
  const { client } = await serve(
    fakeDevice({
      async *export() {
        try {
          for (; made < 100_000; made++) yield line
        } finally {
          ended.resolve()
        }
      },
    }),
  )
  for await (const item of client.export()) {
    expect(item).toBe(line)
    break
  }
  await ended.promise
  // What fits into the buffers on the way, and not a gigabyte.
  expect(made).toBeLessThan(1_000)
})

test('an export that fails in the middle fails', async () => {
  const { client } = await serve(
    fakeDevice({
      async *export() {
        yield '{}'
        throw new HavenError('STORE_DAMAGED', 'The store is damaged.')
      },
    }),
  )
  await expect(collected(client.export())).rejects.toThrow(
    expect.objectContaining({ code: 'STORE_DAMAGED' }),
  )
})

test('an import streams files of any size, and says how far it is', async () => {
  const device = fakeDevice()
  const { client } = await serve(device)
  const big = 'y'.repeat(localLimits.chunkBytes * 3 + 5)
  const seen: number[] = []
  const result = await client.import(
    [source('a.ndjson', ['1\n', '2\n']), source('b.json', [big]), source('c.json', [])],
    {
      onProgress: ({ records }) => seen.push(records),
    },
  )
  expect(result).toMatchObject({ records: 3, rejected: [] })
  expect(device.asked.imported.map(({ name, text }) => [name, text])).toEqual([
    ['a.ndjson', '1\n2\n'],
    ['b.json', big],
    ['c.json', ''],
  ])
  expect(seen[0]).toBe(2)
})

test('a file that the device does not read to its end is skipped', async () => {
  const names: string[] = []
  let choices: ImportOptions = {}
  const { client } = await serve(
    fakeDevice({
      import: async (sources, { onProgress: _onProgress, ...chosen } = {}) => {
        choices = chosen
        for await (const { name, chunks } of sources) {
          names.push(name)
          for await (const _ of chunks) break
        }
        return {
          records: 0,
          created: 0,
          unchanged: 0,
          newerHere: 0,
          deletedHere: 0,
          commits: 0,
          rejected: [],
        }
      },
    }),
  )
  await client.import([source('a', ['1', '2', '3']), source('b', []), source('c', ['4', '5'])], {
    restore: true,
    dryRun: true,
  })
  expect(choices).toEqual({ restore: true, dryRun: true })
  expect(names).toEqual(['a', 'b', 'c'])
})

test('a device that refuses an import is heard, however much is still to be sent', async () => {
  const { client } = await serve(
    fakeDevice({
      import: () => Promise.reject(new HavenError('NOT_ALLOWED', 'A courier does not write.')),
    }),
  )
  const endless = (async function* () {
    for (;;) yield Buffer.alloc(localLimits.chunkBytes)
  })()
  await expect(
    client.import([{ name: 'endless', format: 'ndjson', chunks: endless }]),
  ).rejects.toThrow(expect.objectContaining({ code: 'NOT_ALLOWED' }))
})

test('an import whose command goes away ends with an error', async () => {
  const failure = Promise.withResolvers<unknown>()
  const { client } = await serve(
    fakeDevice({
      import: async (sources) => {
        try {
          for await (const { chunks } of sources) for await (const _ of chunks);
        } catch (error) {
          failure.resolve(error)
          throw error
        }
        return {
          records: 0,
          created: 0,
          unchanged: 0,
          newerHere: 0,
          deletedHere: 0,
          commits: 0,
          rejected: [],
        }
      },
    }),
  )
  const broken = (async function* () {
    yield Buffer.from('{}\n')
    throw new Error('the stick was pulled out')
  })()
  await expect(client.import([{ name: 'a', format: 'ndjson', chunks: broken }])).rejects.toThrow(
    'stick',
  )
  expect(await failure.promise).toMatchObject({ code: 'STOPPED' })
})

const nested = `${'['.repeat(50_000)}${']'.repeat(50_000)}`

test.each([
  ['no JSON', 'hello'],
  ['no object', '[]'],
  ['an unknown method', request('reboot')],
  ['a method that every object has', request('toString')],
  ['arguments that are no list', request('get', { collection: 'patients', id: 'Patient/1' })],
  ['a missing argument', request('get', ['patients'])],
  ['an argument too many', request('list', ['patients', 'Patient/1'])],
  ['an argument of another kind', request('list', [7])],
  ['fields that are no pairs', request('set', ['a', 'b', [['x', '1', '2']]])],
  ['an unknown role', request('invite', [{ role: 'server' }])],
  ['an option of another kind', request('delete', ['a', 'b', { urgent: 'yes' }])],
  ['a value of an unknown kind', request('list', [{ $: 'date' }])],
  ['a value that is nested without end', request('list', ['[deep]']).replace('"[deep]"', nested)],
])('refuses %s', async (_, text) => {
  const { server } = await serve(fakeDevice())
  expect(await answerTo(server.path, `${text}\n`)).toMatchObject({ error: { code: 'MALFORMED' } })
})

test('refuses another version with what to do', async () => {
  const { server } = await serve(fakeDevice())
  const old = { version: protocolVersion - 1, method: 'status' }
  const answer = await answerTo(server.path, `${JSON.stringify(old)}\n`)
  expect(answer).toMatchObject({
    error: { code: 'VERSION_MISMATCH', message: expect.stringContaining('haven up') },
  })
})

test('refuses a request that is too long without holding it', async () => {
  const { server } = await serve(fakeDevice())
  const long = `${'x'.repeat(localLimits.requestBytes + 1)}\n`
  expect(await answerTo(server.path, long)).toMatchObject({ error: { code: 'TOO_LARGE' } })
})

test('only this user can open the socket', async () => {
  const { server } = await serve(fakeDevice())
  expect(statSync(server.path).mode & 0o777).toBe(0o600)
  expect(statSync(dirname(server.path)).mode & 0o777).toBe(0o700)
  expect(Buffer.byteLength(server.path)).toBeLessThan(100)
})

test('is not found in a directory that others may enter', async () => {
  const place = newPlace()
  const { server } = await serve(fakeDevice(), place)
  chmodSync(dirname(server.path), 0o755)
  expect(await findRunningDevice(place.dataDir, place.env)).toBeUndefined()
  chmodSync(dirname(server.path), 0o700)
  expect(await findRunningDevice(place.dataDir, place.env)).toBeDefined()
})

test('goes to the next place when the first can be entered by others', async () => {
  const place = newPlace()
  mkdirSync(join(place.env.XDG_RUNTIME_DIR, 'haven'), { mode: 0o755 })
  const { server, client } = await serve(fakeDevice(), place)
  expect(server.path.startsWith(place.env.XDG_RUNTIME_DIR)).toBe(false)
  expect(await client.list('patients')).toHaveLength(2)
})

test('the same directory has the same socket by whatever link one gets there', async () => {
  const place = newPlace()
  const link = join(temporaryDirectory(), 'link')
  symlinkSync(place.dataDir, link)
  expect(await socketPaths(link, place.env)).toEqual(await socketPaths(place.dataDir, place.env))
  expect(await socketPaths(join(link, 'missing'), place.env)).toEqual([])
})

test('replaces the socket that a killed process left behind', async () => {
  const place = newPlace()
  const [path] = await socketPaths(place.dataDir, place.env)
  mkdirSync(dirname(path!), { mode: 0o700 })
  leaveSocketBehind(path!)
  expect(await findRunningDevice(place.dataDir, place.env)).toBeUndefined()
  const { client } = await serve(fakeDevice(), place)
  expect(await client.list('patients')).toHaveLength(2)
})

test('does not take the socket from a device that answers', async () => {
  const place = newPlace()
  await serve(fakeDevice(), place)
  await expect(serveLocally(fakeDevice(), place)).rejects.toThrow(
    expect.objectContaining({ code: 'STORE_BUSY' }),
  )
  expect(await findRunningDevice(place.dataDir, place.env)).toBeDefined()
})

test('leaves alone what is no socket', async () => {
  const place = newPlace()
  const [path] = await socketPaths(place.dataDir, place.env)
  mkdirSync(dirname(path!), { mode: 0o700 })
  writeFileSync(path!, 'precious')
  const { server } = await serve(fakeDevice(), place)
  expect(server.path).not.toBe(path)
  expect(existsSync(path!)).toBe(true)
})

test('closing lets a running call end, and removes the socket', async () => {
  const place = newPlace()
  const answer = Promise.withResolvers<{ id: string }[]>()
  const asked = Promise.withResolvers<void>()
  const device = fakeDevice({
    list: () => {
      asked.resolve()
      return answer.promise
    },
  })
  const { server, client } = await serve(device, place)
  const listed = client.list('patients')
  await asked.promise
  const closed = server.close()
  answer.resolve([{ id: 'Patient/1' }])
  expect(await listed).toEqual([{ id: 'Patient/1' }])
  await closed
  expect(existsSync(server.path)).toBe(false)
  await expect(client.list('patients')).rejects.toThrow(
    expect.objectContaining({ code: 'STOPPED' }),
  )
})

interface Place {
  dataDir: string
  env: { XDG_RUNTIME_DIR: string }
}

function newPlace(): Place {
  return { dataDir: temporaryDirectory(), env: { XDG_RUNTIME_DIR: temporaryDirectory() } }
}

async function serve(
  device: DeviceOperations,
  place: Place = newPlace(),
): Promise<{ server: LocalServer; client: DeviceOperations }> {
  const server = await serveLocally(device, place)
  onTestFinished(() => server.close())
  const client = await findRunningDevice(place.dataDir, place.env)
  return { server, client: client! }
}

function source(name: string, texts: string[]): ImportSource {
  const chunks = (async function* () {
    for (const text of texts) yield Buffer.from(text)
  })()
  return { name, format: 'ndjson', chunks }
}

function request(method: string, args: unknown = []): string {
  return JSON.stringify({ version: protocolVersion, method, args })
}

async function answerTo(path: string, text: string): Promise<unknown> {
  const socket = createConnection(path)
  socket.write(text)
  let answer = ''
  for await (const chunk of socket) answer += String(chunk)
  return JSON.parse(answer)
}

async function collected<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}

/** A process that is killed leaves its socket; closing one in this process would remove it. */
function leaveSocketBehind(path: string): void {
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
  try {
    execFileSync(process.execPath, ['-e', script])
  } catch {
    // Killed, as wanted.
  }
  expect(existsSync(path)).toBe(true)
}

import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { createServer as createTcpServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { dialServer } from '../../src/bridge/dial-server.ts'
import { limits } from '../../src/core/limits.ts'
import { until } from '../support/until.ts'
import { callOf, dialled, listening, testServer } from './support.ts'
import type { End } from './support.ts'

const kib = 1024

describe('a link over a WebSocket', () => {
  test('carries frames of every size, whole and in order, both ways at once', async () => {
    const server = await testServer()
    const device = await dialled(callOf(server))
    const sizes = [1, 0, 100, 16 * kib, 64 * kib + 1, limits.frameBytes, 3]
    // The first frame of who dials is a small one.
    const frames = [10, ...sizes, ...sizes].map((size) => randomBytes(size))
    for (const frame of frames) device.link.send(frame)
    await until('the server has a link', () => server.ends.length === 1)
    const end = server.ends[0]!
    for (const frame of frames) end.link.send(frame)
    await until('all arrived', () =>
      [device, end].every((it) => it.frames.length === frames.length),
    )
    expect(digestOf(end.frames)).toBe(digestOf(frames))
    expect(digestOf(device.frames)).toBe(digestOf(frames))
    expect(end.link.binding).toEqual(device.link.binding)
    expect([end.link.side, device.link.side]).toEqual(['listener', 'dialler'])
  })

  test('says when it takes no more, and when it does again', async () => {
    const server = await testServer()
    const device = await dialled(callOf(server))
    device.link.send(randomBytes(8))
    const frame = randomBytes(limits.frameBytes)
    let sent = 0
    while (device.link.send(frame)) sent += 1
    expect(device.link.queuedBytes).toBeGreaterThan(0)
    await until('takes more', () => device.writables === 1)
    await until('all arrived', () => server.ends[0]?.frames.length === sent + 2)
  })

  test('ends with the reason of who closes it, after what was sent has arrived', async () => {
    const server = await testServer()
    const device = await dialled(callOf(server))
    device.link.send(randomBytes(8))
    const last = randomBytes(100 * kib)
    device.link.send(last)
    device.link.close('done')
    await until('both have heard', () => device.reasons.length + reasonsOf(server.ends) === 2)
    expect(device.reasons).toEqual(['done'])
    expect(server.ends[0]).toMatchObject({ reasons: ['PEER_CLOSED'] })
    expect(digestOf(server.ends[0]!.frames.slice(1))).toBe(digestOf([last]))
  })

  test('ends when the connection is cut', async () => {
    const server = await testServer()
    const device = await dialled(callOf(server))
    device.link.send(randomBytes(8))
    await until('up', () => server.ends[0]?.frames.length === 1)
    server.sockets[0]!.terminate()
    await until('both have heard', () => device.reasons.length + reasonsOf(server.ends) === 2)
    expect(device.reasons).toEqual(['PEER_CLOSED'])
  })

  test('does not take more than a small frame before it knows who speaks', async () => {
    const server = await testServer()
    const device = await dialled(callOf(server))
    device.link.send(randomBytes(limits.helloBytes + 1))
    await until('it has ended', () => server.ends[0]?.reasons.length === 1)
    expect(server.ends[0]).toMatchObject({ frames: [], reasons: ['FRAME_TOO_LONG'] })
  })

  test('goes through TLS, whatever the certificate says of names and dates', async () => {
    const { key, cert } = expiredCertificate()
    const server = await testServer({ http: createTlsServer({ key, cert }) })
    expect(server.address).toMatch(/^https:/)
    const device = await dialled(callOf(server))
    device.link.send(randomBytes(8))
    await until('arrived', () => server.ends[0]?.frames.length === 1)
  })
})

describe('a proxy that ends TLS', () => {
  const marker = 'Zxqvwy-planted'

  test('sees ciphertext only', async () => {
    const server = await testServer({ onFrame: (end, frame) => void end.link.send(frame) })
    const proxy = await proxyTo(server.address)
    const device = await dialled(callOf({ ...server, address: proxy.address }))
    for (let i = 0; i < 20; i++) device.link.send(Buffer.from(`${marker} ${i} ${'x'.repeat(200)}`))
    await until('echoed', () => device.frames.length === 20)
    const seen = Buffer.concat(proxy.messages.map(({ data }) => data))
    expect(seen.length, 'it has seen something').toBeGreaterThan(20 * 200 * 2)
    expect(seen.includes(marker)).toBe(false)
  })

  test.each([
    ['changes a bit', (data: Buffer) => [flipped(data)]],
    ['repeats a message', (data: Buffer) => [data, data]],
    ['leaves a message out', () => []],
  ])('ends the link when it %s', async (_, meddle) => {
    const server = await testServer()
    const proxy = await proxyTo(server.address)
    const device = await dialled(callOf({ ...server, address: proxy.address }))
    device.link.send(Buffer.from('one'))
    await until('arrived', () => server.ends[0]?.frames.length === 1)
    proxy.meddle = meddle
    device.link.send(Buffer.from('two'))
    await until('passed on', () => proxy.meddle === undefined)
    device.link.send(Buffer.from('three'))
    await until('ended', () => server.ends[0]?.reasons.length === 1)
    const heard = server.ends[0]!.frames.map((frame) => Buffer.from(frame).toString())
    expect(heard.join(), 'nothing twice, nothing after a gap').toMatch(/^one(,two)?$/)
  })

  test('can not repeat what it has recorded, to this server or under another name', async () => {
    const server = await testServer()
    const proxy = await proxyTo(server.address)
    const device = await dialled(callOf({ ...server, address: proxy.address }))
    device.link.send(Buffer.from('a commit'))
    await until('arrived', () => server.ends[0]?.frames.length === 1)
    const recorded = proxy.messages.filter(({ from }) => from === 'device')
    expect(recorded.length).toBeGreaterThanOrEqual(2)
    const replay = new WebSocket(server.address.replace('http', 'ws'))
    onTestFinished(() => replay.terminate())
    const closed = new Promise((resolve) => {
      replay.on('close', resolve)
    })
    replay.on('open', () => {
      for (const { data } of recorded) replay.send(data)
    })
    await closed
    expect(server.ends.at(-1)?.frames ?? []).toEqual(server.ends[0]!.frames.slice(1))
    expect(server.ends[0]!.frames).toHaveLength(1)
  })
})

describe('a ticket', () => {
  test('opens the next connection, with other keys', async () => {
    const server = await testServer()
    const call = callOf(server)
    const first = await dialled(call)
    const again = await dialled({ ...call, ticket: first.ticket })
    again.link.send(Buffer.from('hello'))
    await until('arrived', () => server.ends.at(-1)?.frames.length === 1)
    expect(again.link.binding).not.toEqual(first.link.binding)
    expect(again.ticket).toEqual(first.ticket)
  })

  test('that the server does not take any more costs nothing but a round trip', async () => {
    const server = await testServer()
    const call = callOf(server)
    const first = await dialled(call)
    server.forget()
    const again = await dialled({ ...call, ticket: first.ticket })
    again.link.send(Buffer.from('hello'))
    await until('arrived', () => server.ends.at(-1)?.frames.length === 1)
    expect(again.ticket).not.toEqual(first.ticket)
  })
})

describe('who dials hears', () => {
  test('the code with which the server turns it away', async () => {
    const seen: object[] = []
    const server = await testServer({
      decide: (claim) => {
        seen.push(claim)
        return 'SERVER_UNKNOWN_MESH'
      },
    })
    const call = callOf(server, { purpose: 'register' })
    await expect(dialServer(call)).rejects.toMatchObject({ code: 'SERVER_UNKNOWN_MESH' })
    expect(seen).toEqual([{ device: call.keys.device, mesh: call.mesh, purpose: 'register' }])
    expect(server.refusals).toEqual(['SERVER_UNKNOWN_MESH'])
  })

  const signIn = { location: 'http://portal.example/sign-in' }
  const own = (path: string) => ({ location: `https://127.0.0.1/${path}` })
  const answers = [
    ['a page to sign in at', 'CAPTIVE_PORTAL', 200, {}],
    ['a redirect to one', 'CAPTIVE_PORTAL', 302, signIn],
    ['a redirect to nowhere', 'CAPTIVE_PORTAL', 307, {}],
    ['a network that says that it wants a sign-in', 'CAPTIVE_PORTAL', 511, {}],
    ['a proxy that knows a better address', 'SERVER_NOT_FOUND', 308, own('better')],
    ['a proxy that finds nobody', 'SERVER_NOT_FOUND', 502, {}],
    ['a proxy that is overloaded', 'SERVER_NOT_FOUND', 503, {}],
    ['a proxy without this path', 'SERVER_NOT_FOUND', 404, {}],
    ['a proxy that wants a password', 'SERVER_NOT_FOUND', 401, {}],
  ] as const
  const schemes = ['http', 'https'] as const
  test.each(schemes.flatMap((scheme) => answers.map((answer) => [scheme, ...answer] as const)))(
    'over %s, %s: %s',
    async (scheme, _, code, status, headers) => {
      const { server } = await testServer()
      const http = scheme === 'https' ? createTlsServer(expiredCertificate()) : createServer()
      http.on('request', (_request, response: ServerResponse) => {
        response.writeHead(status, headers).end('<html>Welcome to the Wi-Fi')
      })
      const address = await listening(http, scheme)
      const dialling = dialServer(callOf({ address, server }))
      await expect(dialling).rejects.toMatchObject({ code })
      await expect(dialling).rejects.toThrow(
        code === 'CAPTIVE_PORTAL' ? 'open a browser' : `HTTP status ${status}`,
      )
    },
  )

  test('the same from a WebSocket of something else, from another server, and from nobody', async () => {
    const { server } = await testServer()
    const http = createServer()
    new WebSocketServer({ server: http }).on('connection', (socket) => {
      socket.send('welcome')
    })
    const addresses = [
      await listening(http),
      (await testServer()).address,
      'http://127.0.0.1:1',
      'http://no-such-name.invalid',
    ]
    for (const address of addresses)
      await expect(dialServer(callOf({ address, server })), address).rejects.toMatchObject({
        code: expect.stringMatching(/^(SERVER_NOT_FOUND|MALFORMED)$/) as string,
      })
  })

  test('as soon as it does not want to wait any more', async () => {
    const silent = createTcpServer()
    silent.listen(0, '127.0.0.1')
    await new Promise((resolve) => {
      silent.once('listening', resolve)
    })
    onTestFinished(() => void silent.close())
    const { port } = silent.address() as { port: number }
    const { server } = await testServer()
    const stop = new AbortController()
    const address = `http://127.0.0.1:${port}`
    const dialling = dialServer(callOf({ address, server }, { signal: stop.signal }))
    stop.abort()
    await expect(dialling).rejects.toMatchObject({ code: 'SERVER_NOT_FOUND' })
  })

  test.each(['', 'haven.example.org', 'ftp://haven.example.org', '192.168.1.20:4001'])(
    'that "%s" is no address',
    async (address) => {
      const { server } = await testServer()
      await expect(dialServer(callOf({ address, server }))).rejects.toMatchObject({
        code: 'ADDRESS_INVALID',
      })
    },
  )
})

test('a stranger is cut off without a word', async () => {
  const server = await testServer()
  for (const said of ['GET', randomBytes(200), randomBytes(3000), Buffer.alloc(0)]) {
    const socket = new WebSocket(server.address.replace('http', 'ws'))
    let heard = 0
    socket.on('message', () => {
      heard += 1
    })
    socket.on('open', () => socket.send(said))
    await new Promise((resolve) => {
      socket.on('close', resolve)
    })
    expect(heard, 'the challenge').toBe(1)
  }
  expect(server.refusals).toEqual(['MALFORMED', 'MALFORMED', 'MALFORMED', 'MALFORMED'])
  expect(server.ends).toEqual([])
})

function digestOf(frames: readonly Uint8Array[]): string {
  const hash = createHash('sha256')
  for (const frame of frames) hash.update(`${frame.length} `).update(frame)
  return hash.digest('hex')
}

function reasonsOf(ends: readonly End[]): number {
  return ends.reduce((sum, { reasons }) => sum + reasons.length, 0)
}

function flipped(data: Buffer): Buffer {
  const changed = Buffer.from(data)
  changed[changed.length >> 1]! ^= 1
  return changed
}

interface Proxy {
  address: string
  messages: { from: 'device' | 'server'; data: Buffer }[]
  /** What becomes of the device's next message. */
  meddle: ((data: Buffer) => Buffer[]) | undefined
}

/** Ends the outer connection, as a load balancer does, and passes messages on. */
async function proxyTo(address: string): Promise<Proxy> {
  const http = createServer()
  const proxy: Proxy = { address: await listening(http), messages: [], meddle: undefined }
  new WebSocketServer({ server: http }).on('connection', (device) => {
    const server = new WebSocket(address.replace('http', 'ws'))
    const waiting: Buffer[] = []
    device.on('message', (data: Buffer) => {
      proxy.messages.push({ from: 'device', data })
      const passed = proxy.meddle?.(data) ?? [data]
      proxy.meddle = undefined
      if (server.readyState === server.OPEN) for (const each of passed) server.send(each)
      else waiting.push(...passed)
    })
    server.on('open', () => {
      for (const each of waiting) server.send(each)
    })
    server.on('message', (data: Buffer) => {
      proxy.messages.push({ from: 'server', data })
      device.send(data)
    })
    device.on('close', () => server.terminate())
    server.on('close', () => device.terminate())
  })
  return proxy
}

/** Made in 2020 for a day, for another name. */
function expiredCertificate() {
  const directory = join(import.meta.dirname, '..', 'fixtures', 'tls')
  return {
    key: readFileSync(join(directory, 'expired.key')),
    cert: readFileSync(join(directory, 'expired.crt')),
  }
}

import { request as httpRequest } from 'node:http'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { Conversation } from '../../src/bridge/converse.ts'
import { ExchangePace } from '../../src/bridge/exchange-pace.ts'
import { questionHeadBytes } from '../../src/bridge/exchange-seal.ts'
import { ChannelCaller } from '../../src/bridge/inner-channel.ts'
import { postAgent, post } from '../../src/bridge/post.ts'
import { ServerPosts } from '../../src/bridge/server-posts.ts'
import { exchangePath, serverUrl, tokenPath } from '../../src/bridge/server-url.ts'
import { HavenError } from '../../src/core/errors.ts'
import { limits } from '../../src/core/limits.ts'
import { askerOver } from '../../src/device/exchange.ts'
import { systemRandom as random } from '../../src/device/system.ts'
import type { TestDevice } from '../device/support/test-device.ts'
import { connect, sameClock, TestMesh, until } from '../device/support/test-device.ts'
import { noPostgres, PostgresServer } from '../support/postgres.ts'
import { plainProxy } from './plain-proxy.ts'
import { bridged, register, TestServer } from './support.ts'

async function setting() {
  const server = await TestServer.start()
  const mesh = await TestMesh.found()
  await register(mesh.founder, server)
  return { server, mesh, founder: mesh.founder }
}

async function postsOf(
  device: TestDevice,
  { server }: TestServer,
  { address }: { readonly address: string } = server,
): Promise<ServerPosts> {
  const stop = new AbortController()
  const posts = await ServerPosts.open({
    address,
    server: server.keys,
    keys: device.keys,
    mesh: device.mesh.mesh,
    random,
    signal: stop.signal,
  })
  onTestFinished(() => {
    stop.abort()
    posts.close()
  })
  return posts
}

/** A device goes on in plain requests, as its bridge does. */
async function conversing(
  device: TestDevice,
  server: TestServer,
  { address }: { readonly address: string } = server.server,
): Promise<Conversation> {
  const conversation = new Conversation({
    posts: await postsOf(device, server, { address }),
    pace: new ExchangePace(Math.random),
    startAsking: (options) => askerOver(device.runtime.driver, options),
    device: server.server.keys.device,
    address: server.server.address,
  })
  const ended = conversation.ended.catch(() => {})
  onTestFinished(async () => {
    conversation.close('the test is over')
    await ended
  })
  return conversation
}

function holdsWhatIsAt(server: TestServer, device: TestDevice): boolean {
  const runtime = server.server.runtimeOf(device.mesh.mesh)
  return runtime?.replica.digest === device.runtime.replica.digest
}

async function say(server: TestServer, path: string, body: Uint8Array) {
  const url = serverUrl(server.server.address, path)
  const agent = postAgent(url, undefined)
  onTestFinished(() => agent.destroy())
  const signal = AbortSignal.timeout(20_000)
  const { status, body: said } = await post(url, body, { agent, signal, maxBytes: 1e7 })
  return { status, said: Buffer.from(said), code: codeIn(said) }
}

function codeIn(body: Uint8Array): string | undefined {
  try {
    return (JSON.parse(Buffer.from(body).toString()) as { code: string }).code
  } catch {
    return undefined
  }
}

describe('in plain requests', () => {
  test('devices bring what they have, and get what others have brought, and receipts', async () => {
    const { server, mesh, founder } = await setting()
    const [other] = await mesh.enrolAll(['admin'])
    await founder.set('a', { x: '"from one"' })
    await other!.set('b', { x: '"from the other"' })
    await conversing(founder, server)
    await conversing(other!, server)
    await until(() => holdsWhatIsAt(server, founder) && holdsWhatIsAt(server, other!))
    const { device } = server.server.keys
    for (const { runtime } of [founder, other!]) {
      await until(
        () =>
          runtime.driver.engine.book.entries.get(device)?.announcement?.clockDigest ===
          runtime.replica.digest,
      )
      await until(() => runtime.driver.engine.sessionWith(device)?.complete === true)
    }
    // Nothing of a conversation stays at the server.
    expect([...server.server.runtimeOf(mesh.mesh)!.driver.engine.sessions()]).toEqual([])
  })

  test('what is written is sent within moments, together, and then there is peace', async () => {
    const { server, founder } = await setting()
    const proxy = await plainProxy(server.server.address)
    await conversing(founder, server, proxy)
    const { engine } = founder.runtime.driver
    const isComplete = () =>
      holdsWhatIsAt(server, founder) &&
      engine.sessionWith(server.server.keys.device)?.complete === true
    await until(isComplete)
    for (let round = 0; round < 3; round++) {
      const asked = proxy.bodies(exchangePath).length
      for (let count = 0; count < 5; count++) await founder.set('a', { x: String(count) })
      await until(isComplete)
      expect(proxy.bodies(exchangePath).length - asked).toBeLessThanOrEqual(3)
    }
  })

  test('much goes in several requests, page by page', async () => {
    const { server, mesh, founder } = await setting()
    const [other] = await mesh.enrolAll(['admin'])
    for (let count = 0; count < 12; count++) {
      const text = Buffer.from(random.bytes(60_000)).toString('base64')
      await founder.set(`r${count}`, { x: JSON.stringify(text) })
    }
    await conversing(founder, server)
    await until(() => holdsWhatIsAt(server, founder))
    await conversing(other!, server)
    await until(() => sameClock(founder, other!) || holdsWhatIsAt(server, other!))
    await until(() => holdsWhatIsAt(server, founder) && sameClock(founder, other!))
  })

  test('a WebSocket of the same device takes over', async () => {
    const { server, founder } = await setting()
    const conversation = await conversing(founder, server)
    await until(() => holdsWhatIsAt(server, founder))
    await bridged(founder, server)
    expect(await conversation.ended).toBe('duplicate')
    await founder.set('a', { x: '1' })
    await until(() => holdsWhatIsAt(server, founder))
  })

  test('a server that was started anew takes no token of before: the device gets itself another one', async () => {
    const { server, founder } = await setting()
    const posts = await postsOf(founder, server)
    const { port } = new URL(server.server.address)
    await server.restart({ port: Number(port) })
    const asker = askerOver(founder.runtime.driver, {
      device: server.server.keys.device,
      address: '',
      hasNews: () => {},
      closed: () => {},
    })
    const budget = { sendBytes: 1e6, takeBytes: 1e6 }
    await asker.answered(await posts.exchange(await asker.ask(budget)))
    await asker.answered(await posts.exchange(await asker.ask(budget)))
    expect(holdsWhatIsAt(server, founder)).toBe(true)
    asker.close('over')
  })
})

test('what is answered and refused in plain requests is counted', async () => {
  const server = await TestServer.start({ metrics: { host: '127.0.0.1', port: 0 } })
  const { founder } = await TestMesh.found()
  await register(founder, server)
  await founder.set('a', { x: '1' })
  await conversing(founder, server)
  await until(() => holdsWhatIsAt(server, founder))
  await expect(postsOf((await TestMesh.found(7)).founder, server)).rejects.toMatchObject({
    code: 'SERVER_UNKNOWN_MESH',
  })
  const numbers = await (await fetch(server.server.metricsAddress!)).text()
  expect(numbers).toMatch(/^haven_exchanges_total [1-9]/m)
  expect(numbers).toMatch(/^haven_refused_total\{code="SERVER_UNKNOWN_MESH"\} 1$/m)
})

describe('who may not', () => {
  test('a device without the right to bridge, and one of a mesh that is not served', async () => {
    const { server, mesh } = await setting()
    const [clinician] = await mesh.enrolAll(['clinician'])
    connect(mesh.founder, clinician!)
    await until(() => sameClock(mesh.founder, clinician!))
    const conversation = await conversing(clinician!, server)
    await expect(conversation.ended).rejects.toMatchObject({ code: 'NOT_ALLOWED' })
    const stranger = (await TestMesh.found(7)).founder
    await expect(postsOf(stranger, server)).rejects.toMatchObject({ code: 'SERVER_UNKNOWN_MESH' })
  })

  test('is cut off by the mesh’s quota, as over a WebSocket', async () => {
    const { server, founder } = await setting()
    await server.restart({ quota: { meshBytes: 1, deviceBytesPerDay: 1e9 } })
    const conversation = await conversing(founder, server)
    await founder.set('a', { x: '1' })
    const { device } = server.server.keys
    await until(
      () => founder.runtime.driver.engine.sessionWith(device)?.failure === 'QUOTA_EXCEEDED',
    )
    conversation.close('seen')
  })
})

describe('what was recorded', () => {
  test('and is said again does nothing, and counts for no quota', async () => {
    const { server, mesh, founder } = await setting()
    const proxy = await plainProxy(server.server.address)
    const posts = await postsOf(founder, server, proxy)
    await founder.set('a', { x: '1' })
    const asker = askerOver(founder.runtime.driver, {
      device: server.server.keys.device,
      address: '',
      hasNews: () => {},
      closed: () => {},
    })
    onTestFinished(() => asker.close('over'))
    const frames = await asker.ask({ sendBytes: 1e6, takeBytes: 1e6 })
    await posts.exchange(frames)
    const [question] = proxy.bodies(exchangePath)
    expect(question!.length).toBeGreaterThan(questionHeadBytes)
    const before = server.server.usageOf(mesh.mesh)!.total.commits
    for (let again = 0; again < 3; again++)
      expect(await say(server, exchangePath, question!)).toMatchObject({
        status: 409,
        code: 'ASKED_BEFORE',
      })
    expect(server.server.usageOf(mesh.mesh)!.total.commits).toBe(before)
    // Cut short, lengthened or changed, it is none.
    for (const changed of [
      question!.subarray(0, -1),
      Buffer.concat([question!, Buffer.from([0])]),
      Buffer.concat([question!.subarray(0, 200), Buffer.from([1]), question!.subarray(201)]),
    ])
      expect(await say(server, exchangePath, changed)).toMatchObject({ status: 401 })
  })

  test('of one device is no use to another', async () => {
    const { server, mesh, founder } = await setting()
    const [other] = await mesh.enrolAll(['admin'])
    const proxy = await plainProxy(server.server.address)
    for (const device of [founder, other!]) {
      const posts = await postsOf(device, server, proxy)
      await posts.exchange([new Uint8Array([1, 1, 0])]).catch(() => {})
    }
    const [theirs, own] = proxy.bodies(exchangePath)
    // The token of the one with what the other has sealed.
    const mixed = Buffer.concat([
      theirs!.subarray(0, questionHeadBytes),
      own!.subarray(questionHeadBytes),
    ])
    expect(await say(server, exchangePath, mixed)).toMatchObject({
      status: 401,
      code: 'TOKEN_ENDED',
    })
  })

  test('a proof, said again, gets nothing that whoever says it can read', async () => {
    const { server, mesh, founder } = await setting()
    const { keys } = server.server
    const caller = new ChannelCaller(
      { server: keys, keys: founder.keys, mesh: mesh.mesh, purpose: 'sync' },
      random,
    )
    const challenge = await say(server, tokenPath, new Uint8Array(0))
    const proof = caller.answer(challenge.said)
    const first = await say(server, tokenPath, proof)
    const second = await say(server, tokenPath, proof)
    expect([first.status, second.status]).toEqual([200, 200])
    expect(first.said.equals(second.said)).toBe(false)
    expect(caller.accepted(first.said)?.code).toBe('')
  })
})

describe('what is not a device', () => {
  test.each([
    ['nothing', 0],
    ['too little', questionHeadBytes],
    ['something', 5_000],
  ])('says %s, and hears next to nothing', async (_, bytes) => {
    const { server } = await setting()
    const answer = await say(server, exchangePath, new Uint8Array(bytes).fill(2))
    expect(answer).toMatchObject({ status: 401, code: 'TOKEN_ENDED' })
    expect(answer.said.length).toBeLessThan(200)
  })

  test('is not read to the end: too large a body, and one whose head is no token', async () => {
    const { server } = await setting()
    /** How much of a body that never ends is taken. */
    const pour = (path: string, length?: number) =>
      new Promise<{ status: number; bytes: number }>((resolve) => {
        let bytes = 0
        const request = httpRequest(serverUrl(server.server.address, path), {
          method: 'POST',
          headers: {
            'content-type': 'application/octet-stream',
            ...(length !== undefined && { 'content-length': length }),
          },
        })
        const chunk = Buffer.alloc(16_384, 2)
        const more = (): void => {
          while (!request.destroyed && bytes < 64e6) {
            bytes += chunk.length
            if (!request.write(chunk)) {
              request.once('drain', more)
              return
            }
          }
        }
        request.on('response', ({ statusCode = 0 }) => resolve({ status: statusCode, bytes }))
        request.on('error', () => resolve({ status: 0, bytes }))
        request.on('close', () => resolve({ status: 0, bytes }))
        more()
      })
    const poured = [await pour(exchangePath), await pour(tokenPath), await pour(exchangePath, 3e6)]
    for (const { status, bytes } of poured) {
      expect([0, 401, 413]).toContain(status)
      // What fits into the buffers between.
      expect(bytes).toBeLessThan(limits.exchangeBytes * 8)
    }
  })

  test('that calls too often is held off', async () => {
    const { server } = await setting()
    const answers = await Promise.all(
      Array.from({ length: 3 * limits.serverCallsOfHost }, () =>
        say(server, exchangePath, new Uint8Array(300).fill(2)),
      ),
    )
    const statuses = answers.map(({ status }) => status)
    expect(new Set(statuses)).toEqual(new Set([401, 429]))
    const heard = statuses.filter((status) => status === 401).length
    // It may have lasted from one window of time into the next.
    expect(heard).toBeLessThanOrEqual(2 * limits.serverCallsOfHost + limits.serverExchanges)
  })

  test('gets a plain answer where it asks for something else', async () => {
    const { server } = await setting()
    const { address } = server.server
    expect((await fetch(`${address}/v1/sync`)).status).toBe(426)
    expect((await fetch(`${address}/nowhere`)).status).toBe(404)
    expect((await fetch(`${address}/v1/exchange`)).status).toBe(404)
    const wrongType = await fetch(`${address}/v1/token`, { method: 'POST', body: 'text' })
    expect(wrongType.status).toBe(415)
    expect(await wrongType.json()).toMatchObject({ code: 'MALFORMED' })
  })
})

test('a full disk is said in the answer', async () => {
  const { server, mesh, founder } = await setting()
  const { store } = server.server.runtimeOf(mesh.mesh)!
  vi.spyOn(store, 'batch').mockRejectedValue(new HavenError('DISK_FULL', 'The disk is full.'))
  await founder.set('a', { x: '1' })
  const conversation = await conversing(founder, server)
  await expect(conversation.ended).rejects.toMatchObject({ code: 'DISK_FULL' })
})

describe.skipIf(noPostgres !== undefined)('several processes behind one address', () => {
  test('answer in turns, and none of them answers what another has', async () => {
    const postgres = await PostgresServer.start()
    onTestFinished(() => postgres.stop())
    const url = await postgres.freshDatabase()
    const [one, other] = [
      await TestServer.start({ place: { postgres: url } }),
      await TestServer.start({ place: { postgres: url } }),
    ]
    const mesh = await TestMesh.found()
    const [far] = await mesh.enrolAll(['admin'])
    await register(mesh.founder, one)
    for (let count = 0; count < 10; count++) await mesh.founder.set(`r${count}`, { x: '1' })
    await far!.set('far', { x: '2' })
    const proxy = await plainProxy(one.server.address, other.server.address)
    await conversing(mesh.founder, one, proxy)
    await conversing(far!, one, proxy)
    await until(() => sameClock(mesh.founder, far!), 30_000)
    await mesh.founder.set('late', { x: '3' })
    await until(() => sameClock(mesh.founder, far!), 60_000)
    expect(proxy.bodies(exchangePath).length).toBeGreaterThan(3)
    const [question] = proxy.bodies(exchangePath)
    for (const server of [one, other])
      expect(await say(server, exchangePath, question!)).toMatchObject({ code: 'ASKED_BEFORE' })
  }, 120_000)
})

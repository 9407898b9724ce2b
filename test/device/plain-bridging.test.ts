import { createServer } from 'node:http'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Uplink } from '../../src/bridge/uplink.ts'
import { exchangePath } from '../../src/bridge/server-url.ts'
import { Bridging } from '../../src/device/bridging.ts'
import { askerOver } from '../../src/device/exchange.ts'
import { systemClock, systemRandom } from '../../src/device/system.ts'
import { listening } from '../bridge/support.ts'
import { plainProxy } from '../server/plain-proxy.ts'
import type { PlainProxy } from '../server/plain-proxy.ts'
import { bridged, register, TestServer } from '../server/support.ts'
import { connect, sameClock, TestMesh, until } from './support/test-device.ts'
import type { TestDevice } from './support/test-device.ts'

async function bridgingOf(device: TestDevice): Promise<Bridging> {
  const bridging = await Bridging.open({
    runtime: device.runtime,
    clock: systemClock,
    random: systemRandom,
    log: () => {},
  })
  onTestFinished(() => bridging.close())
  return bridging
}

/** A server, and the way to it of a mesh's devices: a proxy that lets only plain requests through. */
async function behindProxy() {
  const server = await TestServer.start()
  const mesh = await TestMesh.found()
  const proxy = await plainProxy(server.server.address)
  await register(mesh.founder, server)
  await reachedAt(mesh.founder, server, proxy)
  return { server, mesh, proxy, founder: mesh.founder }
}

async function reachedAt(
  admin: TestDevice,
  { server }: TestServer,
  { address }: { address: string },
) {
  await admin.facts([{ kind: 'server', device: server.keys.device, addresses: [address] }])
}

function isAtServer(server: TestServer, device: TestDevice): boolean {
  const runtime = server.server.runtimeOf(device.mesh.mesh)
  return runtime?.replica.digest === device.runtime.replica.digest
}

const asked = (proxy: PlainProxy): number => proxy.bodies(exchangePath).length

describe('a device behind a proxy that lets no WebSocket through', () => {
  test('goes on in plain requests, both ways, and passes on receipts', async () => {
    const { server, mesh, founder } = await behindProxy()
    const [other, clinician] = await mesh.enrolAll(['admin', 'clinician'])
    connect(founder, clinician!)
    await clinician!.set('a', { x: '1' })
    const bridging = await bridgingOf(founder)
    bridging.up({ auto: true })
    await until(() => isAtServer(server, founder))
    await until(() => bridging.status().servers[0]?.ahead === 0)
    expect(bridging.status().servers[0]).toMatchObject({
      state: 'connected',
      carrier: 'post',
      problem: null,
    })
    // Another bridge, which has another way, brings something.
    await other!.set('b', { x: '2' })
    await bridged(other!, server)
    await until(() => isAtServer(server, other!))
    await clinician!.set('c', { x: '3' })
    await until(() => isAtServer(server, founder) && sameClock(founder, clinician!), 20_000)
    await until(() => sameClock(other!, clinician!), 20_000)
    // The clinician’s device has never seen the server, and knows what it holds.
    const { book } = clinician!.runtime.driver.engine
    const { device } = server.server.keys
    await until(
      () => book.entries.get(device)?.known?.digest === clinician!.runtime.replica.digest,
      20_000,
    )
  })
})

test('what answers, and is no server, gets a request or two, and no peace is disturbed', async () => {
  const { server, founder } = await behindProxy()
  let requests = 0
  const page = createServer((_request, response) => {
    requests += 1
    response.writeHead(404).end('no such page')
  })
  await reachedAt(founder, server, { address: await listening(page) })
  const bridging = await bridgingOf(founder)
  bridging.up({ auto: true })
  await until(() => bridging.status().servers[0]?.state === 'waiting')
  expect(bridging.status().servers[0]?.problem?.code).toBe('SERVER_NOT_FOUND')
  expect(requests).toBeLessThanOrEqual(2)
})

test('a lost answer ends the conversation; the next one finds that it had arrived', async () => {
  const { server, mesh, proxy, founder } = await behindProxy()
  proxy.loseAnswers(exchangePath, 1)
  await founder.set('a', { x: '1' })
  const bridging = await bridgingOf(founder)
  bridging.up({ auto: true })
  await until(() => asked(proxy) > 1 && isAtServer(server, founder))
  await until(() => bridging.status().servers[0]?.ahead === 0)
  const commits = server.server.usageOf(mesh.mesh)!.total.commits
  expect(commits).toBe(founder.runtime.replica.commits)
})

test('when the network changes, a WebSocket is tried again, and takes over', async () => {
  const { server, proxy, founder } = await behindProxy()
  const { control, driver } = founder.runtime
  const { keys } = server.server
  const uplink = new Uplink({
    server: keys,
    addresses: () => [proxy.address],
    keys: control.keys,
    mesh: control.meshId,
    random: systemRandom,
    accept: driver.accept,
    startAsking: (options) => askerOver(driver, options),
    log: () => {},
  })
  onTestFinished(() => uplink.stop())
  await until(() => uplink.status.carrier === 'post' && isAtServer(server, founder))
  proxy.letUpgrade()
  uplink.networkChanged()
  await until(() => uplink.status.carrier === 'websocket')
  const count = asked(proxy)
  await founder.set('a', { x: '1' })
  await until(() => isAtServer(server, founder))
  await until(() => driver.engine.sessionWith(keys.device)?.complete === true)
  expect(asked(proxy)).toBe(count)
  await uplink.stop()
  expect(driver.engine.sessionWith(keys.device)).toBeUndefined()
})

test('WebSockets that die as soon as they are open are left alone', async () => {
  const { server, founder } = await behindProxy()
  const { control, driver } = founder.runtime
  // It lets them through, and cuts each after a moment.
  const proxy = await plainProxy(server.server.address)
  proxy.letUpgrade({ cutAfterMs: 50 })
  const uplink = new Uplink({
    server: server.server.keys,
    addresses: () => [proxy.address],
    keys: control.keys,
    mesh: control.meshId,
    random: systemRandom,
    accept: driver.accept,
    startAsking: (options) => askerOver(driver, options),
    log: () => {},
  })
  onTestFinished(() => uplink.stop())
  await until(() => uplink.status.carrier === 'post', 20_000)
  await founder.set('a', { x: '1' })
  await until(() => isAtServer(server, founder))
})

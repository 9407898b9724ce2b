import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { LinkMeter } from '../../src/bridge/link-meter.ts'
import { connect, TestMesh, until } from '../device/support/test-device.ts'
import type { TestDevice } from '../device/support/test-device.ts'
import { slowLink } from '../support/slow-link.ts'
import { bridged, register, TestServer } from './support.ts'

const megabyte = 1e6
/** What may be on its way before anything was measured: a window, and what is in buffers between. */
const windowBytes = 1.5 * megabyte

/** Not to be compressed. */
const text = (bytes: number) => JSON.stringify(randomBytes((bytes * 3) / 4).toString('base64'))

/** Three bridges of one camp, each with all that was written there, and a server that has nothing of it. */
async function camp({ records, bytes }: { records: number; bytes: number }) {
  const server = await TestServer.start()
  const mesh = await TestMesh.found()
  const others = await mesh.enrolAll(['admin', 'admin'])
  await register(mesh.founder, server)
  const bridges = [mesh.founder, ...others]
  for (const [index, device] of bridges.entries()) {
    for (const other of bridges.slice(index + 1)) connect(device, other)
    for (let i = 0; i < records / 3; i++) await device.set(`r${index}-${i}`, { x: text(bytes) })
  }
  const { founder } = mesh
  const digest = () => founder.runtime.replica.digest
  await until(() => others.every(({ runtime }) => runtime.replica.digest === digest()), 20_000)
  const meter = new LinkMeter()
  return {
    server,
    bridges,
    /** Over a link that lets a megabyte through in a second. */
    dial: async (device: TestDevice) => {
      const port = Number(new URL(server.server.address).port)
      const link = await slowLink(port, megabyte)
      return bridged(device, server, { address: `http://127.0.0.1:${link.port}`, meter })
    },
    isAtServer: () => server.server.runtimeOf(mesh.mesh)?.replica.digest === digest(),
    commitsAtServer: () => server.server.runtimeOf(mesh.mesh)?.replica.commits ?? 0,
    storedBytes: () => server.server.usageOf(mesh.mesh)?.total.bytes ?? 0,
    /** By all bridges, with all that TLS, TCP and talk add. */
    sentBytes: () => meter.take().outBytes,
  }
}

test('three bridges with the same backlog send it once', async () => {
  const { bridges, dial, isAtServer, storedBytes, sentBytes } = await camp({
    records: 300,
    bytes: 15_000,
  })
  await Promise.all(bridges.map((device) => dial(device)))
  await until(isAtServer, 30_000)
  expect(storedBytes()).toBeGreaterThan(3 * megabyte)
  expect(sentBytes()).toBeLessThan(storedBytes() * 1.15)
})

test('when the one that sends dies, another goes on from where that broke', async () => {
  const { bridges, dial, isAtServer, commitsAtServer, storedBytes, sentBytes } = await camp({
    records: 300,
    bytes: 15_000,
  })
  const links = []
  for (const device of bridges) links.push(await dial(device))
  await until(() => commitsAtServer() > 100, 20_000)
  links[0]!.cut()
  await until(isAtServer, 30_000)
  expect(sentBytes()).toBeLessThan(storedBytes() * 1.15 + windowBytes)
})

test('a bridge that is cut off again and again goes on over each new way from where it had come to', async () => {
  const { bridges, dial, isAtServer, commitsAtServer, storedBytes, sentBytes } = await camp({
    records: 600,
    bytes: 15_000,
  })
  for (const commits of [150, 300, 450]) {
    const { cut } = await dial(bridges[0]!)
    await until(() => commitsAtServer() > commits, 20_000)
    cut()
  }
  await dial(bridges[0]!)
  await until(isAtServer, 30_000)
  expect(storedBytes()).toBeGreaterThan(6 * megabyte)
  expect(sentBytes()).toBeLessThan(storedBytes() * 1.15 + 3 * windowBytes)
})

test('over a slow link facts and urgent commits go first, then collections by priority', async () => {
  const server = await TestServer.start()
  const mesh = await TestMesh.found()
  const { founder } = mesh
  await register(founder, server)
  for (const name of ['documents', 'records', 'patients'])
    for (let i = 0; i < 12; i++) await founder.operations.set(name, `r${i}`, [['x', text(10_000)]])
  await founder.set('urgent', { x: text(2_000) }, true)
  await mesh.enrol('viewer')
  const link = await slowLink(Number(new URL(server.server.address).port), 60_000)
  await bridged(founder, server, { address: `http://127.0.0.1:${link.port}` })
  const arrived: string[] = []
  const kindOf = (feed: string) => {
    const { replica, control } = founder.runtime
    const { collection, lane } = replica.descriptor(feed)!
    const id = Buffer.from(collection).toString('hex')
    if (control.priorityOf(id) < 0) return 'facts'
    return lane === 'urgent' ? 'urgent' : (founder.runtime.collectionName(id) ?? '')
  }
  const held = new Set<string>()
  await until(() => {
    const replica = server.server.runtimeOf(mesh.mesh)?.replica
    for (const [feed, [entry]] of replica?.clock ?? []) {
      const whole = founder.runtime.replica.chain(feed).seq
      if (entry!.seq < whole || held.has(feed)) continue
      held.add(feed)
      arrived.push(kindOf(feed))
    }
    return replica?.digest === founder.runtime.replica.digest
  }, 30_000)
  expect(arrived).toEqual(['facts', 'urgent', 'patients', 'records', 'documents'])
})

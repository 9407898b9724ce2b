import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FeedChain } from '../../src/feed/chain.ts'
import { withControl } from '../../src/server/reach-server.ts'
import { connect, TestMesh, until } from '../device/support/test-device.ts'
import type { TestDevice } from '../device/support/test-device.ts'
import { noPostgres, PostgresServer } from '../support/postgres.ts'
import { bridged, register, TestServer } from './support.ts'

let postgres: PostgresServer

/** Servers of one test, in one process here, each with connections and memory of its own. */
async function serversOnOne(count: number): Promise<{ servers: TestServer[]; url: string }> {
  const url = await postgres.freshDatabase()
  const servers: TestServer[] = []
  for (let i = 0; i < count; i++) servers.push(await TestServer.start({ place: { postgres: url } }))
  return { servers, url }
}

function holdsAllOf(server: TestServer, device: TestDevice): boolean {
  const runtime = server.server.runtimeOf(device.mesh.mesh)
  return runtime?.replica.digest === device.runtime.replica.digest
}

async function commitsIn(url: string): Promise<{ all: number; once: number }> {
  const [row] = await postgres.sql(
    'SELECT count(*)::int AS "all", count(DISTINCT (mesh, feed, seq, id8))::int AS once FROM commits',
    url,
  )
  return row as { all: number; once: number }
}

describe.skipIf(noPostgres !== undefined)('several processes of one server', () => {
  beforeAll(async () => {
    postgres = await PostgresServer.start()
  })
  afterAll(async () => {
    await postgres.stop()
  })

  test('are the same server, whichever a device meets', async () => {
    const { servers, url } = await serversOnOne(3)
    const [one, two, three] = servers as [TestServer, TestServer, TestServer]
    expect(new Set(servers.map(({ server }) => server.keys.device)).size).toBe(1)
    const mesh = await TestMesh.found()
    const [far] = await mesh.enrolAll(['admin'])
    await register(mesh.founder, one)
    for (let i = 0; i < 20; i++) await mesh.founder.set(`r${i}`, { x: `${i}` }, i % 3 === 0)
    const near = await bridged(mesh.founder, two)
    await until(() => holdsAllOf(two, mesh.founder))
    near.cut()
    await bridged(far!, three)
    await until(() => holdsAllOf(three, far!) && holdsAllOf(two, far!))
    await Promise.all([mesh.founder.idle(), far!.idle()])
    expect(await far!.contentHash()).toBe(await mesh.founder.contentHash())
    const { all, once } = await commitsIn(url)
    expect(once).toBe(all)
    expect(all).toBe(mesh.founder.runtime.replica.commits)
  })

  test('pass on what one has stored to who is connected with another', async () => {
    const { servers } = await serversOnOne(2)
    const [one, two] = servers as [TestServer, TestServer]
    const mesh = await TestMesh.found()
    const [far] = await mesh.enrolAll(['admin'])
    await register(mesh.founder, one)
    await bridged(mesh.founder, one)
    await bridged(far!, two)
    for (let round = 0; round < 5; round++) {
      await mesh.founder.set('here', { x: `${round}` })
      await far!.set('there', { x: `${round}` }, true)
      await until(() => mesh.founder.runtime.replica.digest === far!.runtime.replica.digest, 20_000)
    }
    expect(await far!.contentHash()).toBe(await mesh.founder.contentHash())
  })

  test('take the same commits from two bridges at once, and have each of them once', async () => {
    const { servers, url } = await serversOnOne(2)
    const [one, two] = servers as [TestServer, TestServer]
    const mesh = await TestMesh.found()
    const [other] = await mesh.enrolAll(['admin'])
    await register(mesh.founder, one)
    for (let i = 0; i < 60; i++)
      await (i % 2 === 0 ? mesh.founder : other!).set(`r${i}`, { x: `${i}` })
    const cut = connect(mesh.founder, other!)
    await until(() => mesh.founder.runtime.replica.digest === other!.runtime.replica.digest)
    cut()
    await Promise.all([bridged(mesh.founder, one), bridged(other!, two)])
    await until(() => holdsAllOf(one, other!) && holdsAllOf(two, mesh.founder), 20_000)
    const { all, once } = await commitsIn(url)
    expect(once).toBe(all)
    expect(all).toBe(other!.runtime.replica.commits)
    const used = [...(one.server.usageOf(mesh.mesh)?.byDevice.values() ?? [])]
    expect(used.reduce((sum, { commits }) => sum + commits, 0)).toBe(all)
  })

  test('announce one after the other, and never less than before', async () => {
    const { servers } = await serversOnOne(2)
    const [one, two] = servers as [TestServer, TestServer]
    const mesh = await TestMesh.found()
    const [inside] = await mesh.enrolAll(['clinician'])
    await register(mesh.founder, one)
    connect(mesh.founder, inside!)
    const said: { number: number; commits: number; incarnation: string }[] = []
    const { device } = one.server.keys
    const listen = (): void => {
      const heard = inside!.runtime.driver.engine.book.entries.get(device)?.announcement
      if (heard !== undefined && heard.number !== said.at(-1)?.number) said.push(heard)
    }
    for (let round = 0; round < 4; round++) {
      const server = round % 2 === 0 ? one : two
      const link = await bridged(mesh.founder, server)
      await inside!.set('a', { x: `${round}` })
      await until(() => {
        listen()
        return said.at(-1)?.commits === inside!.runtime.replica.commits
      }, 20_000)
      link.cut()
    }
    expect(new Set(said.map(({ incarnation }) => incarnation)).size).toBe(1)
    for (const [index, { number, commits }] of said.entries()) {
      expect(number).toBeGreaterThan(said[index - 1]?.number ?? -1)
      expect(commits).toBeGreaterThanOrEqual(said[index - 1]?.commits ?? 0)
    }
    expect(said.length).toBeGreaterThanOrEqual(4)
  })

  test('recognise a device by the token that another gave it, and a stranger by none', async () => {
    const { servers } = await serversOnOne(2)
    const [one, two] = servers as [TestServer, TestServer]
    const mesh = await TestMesh.found()
    await register(mesh.founder, one)
    const first = await bridged(mesh.founder, one)
    expect(first.ticket).toBeDefined()
    first.cut()
    const second = await bridged(mesh.founder, two, { ticket: first.ticket })
    // Who has to answer the challenge gets a new one.
    expect(second.ticket?.token).toEqual(first.ticket?.token)
  })

  test('go on after the database was away, and lose nothing', async () => {
    const { servers, url } = await serversOnOne(2)
    const [one, two] = servers as [TestServer, TestServer]
    const mesh = await TestMesh.found()
    await register(mesh.founder, one)
    await bridged(mesh.founder, one)
    await until(() => holdsAllOf(one, mesh.founder))
    await postgres.crash()
    for (let i = 0; i < 5; i++) await mesh.founder.set(`r${i}`, { x: `${i}` })
    await postgres.launch()
    await until(async () => {
      const server = two
      if (!holdsAllOf(server, mesh.founder)) {
        const link = await bridged(mesh.founder, server).catch(() => undefined)
        await new Promise((resolve) => {
          setTimeout(resolve, 300)
        })
        link?.cut()
      }
      return holdsAllOf(server, mesh.founder)
    }, 30_000)
    const { all, once } = await commitsIn(url)
    expect(once).toBe(all)
    expect(all).toBe(mesh.founder.runtime.replica.commits)
  })

  test('leave a mesh that was removed, and take it in again', async () => {
    const { servers, url } = await serversOnOne(2)
    const [one, two] = servers as [TestServer, TestServer]
    const mesh = await TestMesh.found()
    await register(mesh.founder, one)
    const link = await bridged(mesh.founder, two)
    await until(() => holdsAllOf(two, mesh.founder))
    await withControl({ postgres: url }, (control) => control.remove(mesh.mesh))
    await mesh.founder.set('a', { x: '1' })
    await until(() => link.reasons.length === 1, 20_000)
    for (const server of servers)
      await expect(bridged(mesh.founder, server)).rejects.toMatchObject({
        code: 'SERVER_UNKNOWN_MESH',
      })
    expect(await commitsIn(url)).toEqual({ all: 0, once: 0 })
    for (const { server } of servers)
      expect((await fetch(`${server.address}/readyz`)).status).toBe(200)
    await register(mesh.founder, two)
    await bridged(mesh.founder, one)
    await until(() => holdsAllOf(one, mesh.founder))
  })

  test('keep chains that follow from all their commits', async () => {
    const { servers } = await serversOnOne(2)
    const [one, two] = servers as [TestServer, TestServer]
    const mesh = await TestMesh.found()
    await register(mesh.founder, one)
    for (const server of [one, two, one, two]) {
      const link = await bridged(mesh.founder, server)
      for (let i = 0; i < 3; i++) await mesh.founder.set(`r${i}`, { x: `${i}` })
      await until(() => holdsAllOf(server, mesh.founder))
      link.cut()
    }
    const store = two.server.runtimeOf(mesh.mesh)!.store
    const chains = (await store.chains()).map(({ feed, value }) => FeedChain.decode(feed, value))
    for (const chain of chains)
      expect(chain.equals(mesh.founder.runtime.replica.chain(chain.feed))).toBe(true)
    expect(chains.length).toBeGreaterThan(0)
  })
})

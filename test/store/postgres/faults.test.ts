/** Statements that the database refuses, and connections that break, at every place of a transaction. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { openPostgres } from '../../../src/store/postgres/database.ts'
import type { PostgresDatabase } from '../../../src/store/postgres/database.ts'
import { openPostgresStore } from '../../../src/store/postgres/postgres-store.ts'
import { ServerTables } from '../../../src/store/postgres/server-tables.ts'
import type { SharedStore } from '../../../src/store/shared-store.ts'
import { chainOf, putCommit } from '../../contract/commit-store-contract.ts'
import { descriptorOf } from '../../contract/made-descriptor.ts'
import { chainChange, chainIn, chainWith, sentBytes } from '../../contract/shared-store-contract.ts'
import { PostgresProxy } from '../../support/postgres-proxy.ts'
import type { Decide, Fault } from '../../support/postgres-proxy.ts'
import { PostgresServer, noPostgres } from '../../support/postgres.ts'

const storeKey = new Uint8Array(32).fill(7)
const { descriptor, feed, device } = descriptorOf('author')
const trunk = chainOf(4, { feed })
const own = chainOf(3, { after: trunk[3]!, feed })
const others = chainOf(2, { after: trunk[2]!, feed, ciphertextBytes: 41 })
const all = [...trunk, ...own, ...others]

describe.skipIf(noPostgres !== undefined)('PostgreSQL that fails', () => {
  let server: PostgresServer
  let url: string
  let direct: PostgresDatabase
  let proxy: PostgresProxy
  let through: PostgresDatabase
  let meshes = 0

  beforeAll(async () => {
    server = await PostgresServer.start()
    url = await server.freshDatabase()
    direct = await openPostgres(url)
    proxy = await PostgresProxy.start(server.port)
    through = await openPostgres(proxy.urlOf(url), { connections: 2 })
  })

  afterAll(async () => {
    await direct.close()
    await through.close()
    await proxy.stop()
    await server.stop()
  })

  async function openTwo(): Promise<{ faulty: SharedStore; other: SharedStore }> {
    const mesh = (++meshes).toString(16).padStart(32, '0')
    await new ServerTables(direct).addMesh(mesh)
    const other = await openPostgresStore({ database: direct, mesh, storeKey })
    const faulty = await openPostgresStore({ database: through, mesh, storeKey })
    onTestFinished(async () => {
      proxy.decide = () => undefined
      await Promise.all([other.close(), faulty.close()])
    })
    return { faulty, other }
  }

  /**
   * A process writes behind the back of the other one; then that one, with a fork of it, while something fails.
   *
   * @returns the statements that came by in the meantime
   */
  async function writeWith(decide: Decide): Promise<number> {
    const { faulty, other } = await openTwo()
    await faulty.batch([{ kind: 'descriptor', descriptor }, ...trunk.map(putCommit)])
    faulty.takeNews()
    await other.batch([
      ...others.map(putCommit),
      { kind: 'meta', name: 'a', value: Uint8Array.of(1) },
    ])
    proxy.count = 0
    proxy.decide = decide
    await faulty.batch([
      ...[...trunk.slice(2), ...own].map(putCommit),
      chainChange([...trunk, ...own]),
      { kind: 'meta', name: 'b', value: Uint8Array.of(2) },
    ])
    const { count } = proxy
    proxy.decide = () => undefined

    await Promise.all([faulty.refresh(), other.refresh()])
    const bytes = all.reduce((sum, commit) => sum + sentBytes(commit), 0)
    for (const store of [faulty, other]) {
      expect(store.failure).toBeUndefined()
      expect(store.usage).toEqual(new Map([[device, { commits: all.length, bytes }]]))
      expect(await chainIn(store, feed)).toEqual(chainWith(all))
      expect(await store.commits({ feed, after: 0 })).toHaveLength(all.length)
      expect(await store.metas('')).toHaveLength(2)
    }
    expect(faulty.takeNews()).toEqual({
      descriptors: [],
      chains: [{ feed, value: chainWith(all).encode() }],
      metas: [{ name: 'a', value: Uint8Array.of(1) }],
    })
    return count
  }

  /** Every statement of one attempt, the commit with it. */
  async function statementsOfAnAttempt(): Promise<number> {
    const count = await writeWith(() => undefined)
    expect(count).toBeGreaterThan(6)
    return count
  }

  test.each<Fault>(['refuse', 'cut', 'lose'])(
    '%s, at each statement in turn: nothing is lost, nothing is there twice, nothing is counted twice',
    async (fault) => {
      const statements = await statementsOfAnAttempt()
      for (let at = 1; at <= statements; at++) {
        const count = await writeWith((number) => (number === at ? fault : undefined))
        expect(count).toBeGreaterThan(statements)
      }
    },
  )

  test('several times in a row, at different statements', async () => {
    const faults: Fault[] = ['refuse', 'lose', 'cut', 'lose', 'refuse', 'lose']
    await writeWith((number) => (number % 4 === 0 ? faults[number / 4 - 1] : undefined))
  })

  test('a server process that is ended, at each statement in turn', async () => {
    const statements = await statementsOfAnAttempt()
    const end = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'haven'`
    for (let at = 1; at <= statements; at++) {
      await writeWith(async (number) => {
        if (number === at) await server.sql(end, url)
        return undefined
      })
    }
  })

  test('a database server that crashes and starts again, before and after the commit', async () => {
    const statements = await statementsOfAnAttempt()
    const restart = async (): Promise<void> => {
      await server.crash()
      await server.launch()
    }
    await writeWith(async (number) => {
      if (number === statements) await restart()
      return undefined
    })
    // Carried out; then everything goes down before it can be found out.
    await writeWith(async (number) => {
      if (number === statements) return 'lose'
      if (number === statements + 1) await restart()
      return undefined
    })
  })

  test('an announcement whose answer is lost is made, and known as made', async () => {
    const { faulty, other } = await openTwo()
    const first = { number: 1, bytes: Uint8Array.of(1) }
    proxy.count = 0
    proxy.decide = (number) => (number === 1 ? 'lose' : undefined)
    expect(await faulty.announce(first)).toBe(true)
    expect(await other.announce({ number: 1, bytes: Uint8Array.of(2) })).toBe(false)
    await other.refresh()
    expect(other.announcement).toEqual(first)
  })

  test('a request that was noted, and whose answer was lost, is new all the same; once', async () => {
    const id = Uint8Array.of(1, 2, 3)
    const times = { nowMs: 1_000, expiresMs: 2_000 }
    const tables = new ServerTables(through)
    proxy.count = 0
    proxy.decide = (number) => (number === 1 ? 'lose' : undefined)
    expect(await tables.noteRequest(id, times)).toBe(true)
    proxy.decide = () => undefined
    expect(await tables.noteRequest(id, times)).toBe(false)
    expect(await new ServerTables(direct).noteRequest(id, times)).toBe(false)
  })

  test('reading survives a lost connection', async () => {
    const { faulty } = await openTwo()
    await faulty.batch(trunk.map(putCommit))
    for (const fault of ['refuse', 'cut', 'lose'] as const) {
      proxy.count = 0
      proxy.decide = (number) => (number === 1 ? fault : undefined)
      expect(await faulty.commits({ feed, after: 0 })).toEqual(trunk)
    }
  })

  test('a database that stays away ends in an error, and all later batches with it; reading goes on', async () => {
    const patience = { connections: 2, patienceMs: 300 }
    const impatient = await openPostgres(proxy.urlOf(url), patience)
    onTestFinished(() => impatient.close())
    const mesh = 'ee'.repeat(16)
    await new ServerTables(direct).addMesh(mesh)
    const store = await openPostgresStore({ database: impatient, mesh, storeKey })
    await store.batch(trunk.map(putCommit))
    proxy.decide = () => 'cut'
    proxy.cutAll()
    const failed = { code: 'STORE_FAILED' }
    const lost = store.batch(own.map(putCommit))
    const later = store.batch([{ kind: 'meta', name: 'a', value: Uint8Array.of(1) }])
    await expect(lost).rejects.toMatchObject(failed)
    await expect(later).rejects.toMatchObject(failed)
    proxy.decide = () => undefined
    await expect(store.batch(own.map(putCommit))).rejects.toMatchObject(failed)
    expect(store.failure).toMatchObject(failed)
    expect(await store.commits({ feed, after: 0 })).toEqual(trunk)
    await store.close()
    const again = await openPostgresStore({ database: impatient, mesh, storeKey })
    await again.batch(own.map(putCommit))
    expect(await again.commits({ feed, after: 0 })).toEqual([...trunk, ...own])
    await again.close()
  })
})

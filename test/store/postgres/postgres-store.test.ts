import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { Damage } from '../../../src/store/damage.ts'
import type { Hole } from '../../../src/store/feed-check.ts'
import { openPostgres } from '../../../src/store/postgres/database.ts'
import type { PostgresDatabase } from '../../../src/store/postgres/database.ts'
import { openPostgresStore } from '../../../src/store/postgres/postgres-store.ts'
import { ServerTables } from '../../../src/store/postgres/server-tables.ts'
import type { SharedStore } from '../../../src/store/shared-store.ts'
import {
  chainOf,
  commitStoreContract,
  feedA,
  putCommit,
} from '../../contract/commit-store-contract.ts'
import { chainIn, chainWith, sharedStoreContract } from '../../contract/shared-store-contract.ts'
import { PostgresServer, noPostgres } from '../../support/postgres.ts'

const mesh = '01'.repeat(16)
const storeKey = new Uint8Array(32).fill(7)

describe.skipIf(noPostgres !== undefined)('PostgreSQL', () => {
  let server: PostgresServer

  beforeAll(async () => {
    server = await PostgresServer.start()
  })

  afterAll(() => server.stop())

  async function openDatabase(url: string): Promise<PostgresDatabase> {
    const database = await openPostgres(url, { connections: 3 })
    onTestFinished(() => database.close())
    return database
  }

  commitStoreContract('PostgreSQL', async () => {
    const database = await openDatabase(await server.freshDatabase())
    await new ServerTables(database).addMesh(mesh)
    return openPostgresStore({ database, mesh, storeKey })
  })

  sharedStoreContract('PostgreSQL', async () => {
    const url = await server.freshDatabase()
    await new ServerTables(await openDatabase(url)).addMesh(mesh)
    // Connections of its own, as another process has them.
    return async () => {
      const store = await openPostgresStore({ database: await openDatabase(url), mesh, storeKey })
      onTestFinished(() => store.close())
      return store
    }
  })

  describe('PostgreSQL with damaged rows', () => {
    /** A store, what it reports, and a way into the tables behind its back. */
    async function damagedStore(): Promise<{
      store: SharedStore
      damages: Damage[]
      sql: (text: string) => Promise<unknown[]>
    }> {
      const url = await server.freshDatabase()
      const database = await openDatabase(url)
      await new ServerTables(database).addMesh(mesh)
      const damages: Damage[] = []
      const store = await openPostgresStore({
        database,
        mesh,
        storeKey,
        onDamage: (damage) => damages.push(damage),
      })
      return { store, damages, sql: (text) => server.sql(text, url) }
    }

    const flipLastByte = `SET value = set_byte(value, octet_length(value) - 1,
      get_byte(value, octet_length(value) - 1) # 1)`

    test('leaves them out and reports them; a commit that comes again takes its place', async () => {
      const { store, damages, sql } = await damagedStore()
      const commits = chainOf(5)
      await store.batch(commits.map(putCommit))
      await sql(`UPDATE commits ${flipLastByte} WHERE seq = 3`)
      const intact = commits.filter(({ seq }) => seq !== 3)
      expect(await store.commits({ feed: feedA, after: 0 })).toEqual(intact)
      expect(await store.commits({ feed: feedA, after: 2, maxBytes: 1 })).toEqual([commits[3]])
      expect(await store.commit(feedA, 3, commits[2]!.id)).toBeUndefined()
      expect(damages).toContainEqual({ row: 'commit', feed: feedA, seq: 3 })
      expect((await store.tipOf(feedA)).seq).toBe(2)
      await store.batch([putCommit(commits[2]!)])
      expect(await store.commits({ feed: feedA, after: 0 })).toEqual(commits)
      expect((await store.tipOf(feedA)).seq).toBe(5)
      expect([...store.usage.values()].map((amount) => amount.commits)).toEqual([5])
    })

    test('gives a commit the signature that it lacked, and takes none away', async () => {
      const { store } = await damagedStore()
      const [signed] = chainOf(1)
      const unsigned = { ...signed!, signature: undefined }
      await store.batch([putCommit(unsigned)])
      await store.batch([putCommit(signed!)])
      expect(await store.commits({ feed: feedA, after: 0 })).toEqual([signed])
      await store.batch([putCommit(unsigned)])
      expect(await store.commits({ feed: feedA, after: 0 })).toEqual([signed])
    })

    test('finds holes in the background, and goes on where it was', async () => {
      const { store, sql } = await damagedStore()
      const commits = chainOf(20)
      await store.batch(commits.map(putCommit))
      const holes: Hole[] = []
      const check = () =>
        store.verifyInBackground(new AbortController().signal, (hole) => holes.push(hole))
      expect(await check()).toMatchObject({ isComplete: true, commits: 20, holes: 0 })
      expect(await check()).toMatchObject({ isComplete: true, commits: 1, holes: 0 })
      await store.batch(chainOf(5, { after: commits.at(-1)! }).map(putCommit))
      await sql('DELETE FROM commits WHERE seq IN (22, 23)')
      await check()
      expect(holes).toEqual([{ feed: feedA, from: 22, to: 23 }])
    })

    test('makes a chain anew whose row can not be read', async () => {
      const { store, damages, sql } = await damagedStore()
      const commits = chainOf(6)
      await store.batch(commits.slice(0, 3).map(putCommit))
      await sql(
        `UPDATE store_rows ${flipLastByte}, revision = revision + 1 WHERE get_byte(key, 0) = 3`,
      )
      await sql('UPDATE meshes SET revision = revision + 1')
      await store.refresh()
      expect(damages).toEqual([{ row: 'chain', feed: feedA }])
      await store.batch(commits.slice(3).map(putCommit))
      expect(await chainIn(store, feedA)).toEqual(chainWith(commits))
    })
  })
})

import { chown } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { openPostgres } from '../../../src/store/postgres/database.ts'
import type { PostgresDatabase } from '../../../src/store/postgres/database.ts'
import { openPostgresStore } from '../../../src/store/postgres/postgres-store.ts'
import { ServerTables } from '../../../src/store/postgres/server-tables.ts'
import { chainOf, putCommit } from '../../contract/commit-store-contract.ts'
import { PostgresServer, guardedUser, noPostgres, owner } from '../../support/postgres.ts'
import { smallDisk } from '../tmpfs.ts'

const mesh = '01'.repeat(16)
const storeKey = new Uint8Array(32).fill(7)

describe.skipIf(noPostgres !== undefined)('a PostgreSQL database', () => {
  let server: PostgresServer

  beforeAll(async () => {
    server = await PostgresServer.start()
  })

  afterAll(() => server.stop())

  async function open(url: string): Promise<PostgresDatabase> {
    const database = await openPostgres(url, { connections: 2 })
    onTestFinished(() => database.close())
    return database
  }

  async function tablesIn(url: string): Promise<unknown[]> {
    const tables = await server.sql(
      `SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename`,
      url,
    )
    return tables.map((row) => Object.values(row as object)[0])
  }

  test('gets its tables once, from eight processes that start at the same moment', async () => {
    const url = await server.freshDatabase()
    const opened = await Promise.all(Array.from({ length: 8 }, () => open(url)))
    expect(opened).toHaveLength(8)
    expect(await tablesIn(url)).toContain('commits')
    expect(await server.sql('SELECT number FROM haven_migrations', url)).toEqual([{ number: '1' }])
  })

  test('whose tables are there in part, and not noted as complete, gets the rest', async () => {
    const url = await server.freshDatabase()
    await new ServerTables(await open(url)).addMesh(mesh)
    const before = await tablesIn(url)
    await server.sql('DELETE FROM haven_migrations; DROP TABLE usage', url)
    const again = await open(url)
    expect(await tablesIn(url)).toEqual(before)
    expect(await new ServerTables(again).meshes()).toEqual([mesh])
  })

  test('that a newer version has changed is left alone', async () => {
    const url = await server.freshDatabase()
    await open(url)
    await server.sql('INSERT INTO haven_migrations (number) VALUES (1000)', url)
    await expect(openPostgres(url)).rejects.toMatchObject({ code: 'STORE_NEWER_VERSION' })
  })

  test('that does not answer, or does not let in, is told from a wrong URL; none shows the password', async () => {
    await server.sql(`CREATE ROLE ${guardedUser} LOGIN PASSWORD 'right'`)
    const { host, pathname } = new URL(await server.freshDatabase())
    await server.sql(
      `GRANT CREATE ON SCHEMA public TO ${guardedUser}`,
      `postgres://haven@${host}${pathname}`,
    )
    const refusals: [string, string][] = [
      [`postgres://haven:wr0ng@127.0.0.1:1${pathname}`, 'DATABASE_UNREACHABLE'],
      [`postgres://haven:wr0ng@nowhere.invalid${pathname}`, 'DATABASE_UNREACHABLE'],
      [`postgres://${guardedUser}:wr0ng@${host}${pathname}`, 'DATABASE_REFUSED'],
      [`postgres://haven:wr0ng@${host}/nothing`, 'DATABASE_REFUSED'],
      [`postgres://nobody:wr0ng@${host}${pathname}`, 'DATABASE_REFUSED'],
      [`http://haven:wr0ng@${host}${pathname}`, 'USAGE'],
      ['wr0ng', 'USAGE'],
    ]
    for (const [url, code] of refusals) {
      const error: unknown = await openPostgres(url, { patienceMs: 100 }).catch((e: unknown) => e)
      expect(error).toMatchObject({ code })
      expect(String(error)).not.toContain('wr0ng')
      expect(String(error)).toContain(code === 'USAGE' ? 'postgres://' : '')
    }
    await open(`postgres://${guardedUser}:right@${host}${pathname}`)
  })

  test('in which this user may not make tables says so', async () => {
    const { host, pathname } = new URL(await server.freshDatabase())
    await server.sql('CREATE ROLE reader LOGIN')
    const error: unknown = await openPostgres(`postgres://reader@${host}${pathname}`).catch(
      (e: unknown) => e,
    )
    expect(error).toMatchObject({ code: 'DATABASE_REFUSED' })
    expect(String(error)).toContain('permission denied')
  })

  test('is closed for all that comes later', async () => {
    const database = await open(await server.freshDatabase())
    const tables = new ServerTables(database)
    await database.close()
    await expect(tables.meshes()).rejects.toMatchObject({ code: 'STOPPED' })
    await expect(tables.addMesh(mesh)).rejects.toMatchObject({ code: 'STOPPED' })
  })

  test('with other keys than the store was made with is not read', async () => {
    const database = await open(await server.freshDatabase())
    await new ServerTables(database).addMesh(mesh)
    const first = await openPostgresStore({ database, mesh, storeKey })
    expect(first.opening.firstRun).toBe(true)
    const second = await openPostgresStore({ database, mesh, storeKey })
    expect(second.opening.firstRun).toBe(false)
    const other = { database, mesh, storeKey: new Uint8Array(32).fill(8) }
    await expect(openPostgresStore(other)).rejects.toMatchObject({ code: 'KEYSTORE_UNREADABLE' })
  })

  test('that was put back from a backup ends the work on what was in it', async () => {
    const url = await server.freshDatabase()
    const database = await open(url)
    await new ServerTables(database).addMesh(mesh)
    const store = await openPostgresStore({ database, mesh, storeKey })
    const chain = chainOf(3)
    await store.batch([putCommit(chain[0]!)])
    await store.batch([putCommit(chain[1]!)])
    await server.sql('UPDATE meshes SET revision = 0; DELETE FROM commits WHERE seq > 1', url)
    await expect(store.refresh()).rejects.toMatchObject({ code: 'STORE_FAILED' })
    await expect(store.batch([putCommit(chain[2]!)])).rejects.toThrow(/earlier state/)
    expect(store.failure).toMatchObject({ code: 'STORE_FAILED' })
  })

  test('on a full disk says so; after there is room again, a store that is opened again goes on', async ({
    skip,
  }) => {
    const disk = await smallDisk('24m')
    if (disk === undefined) {
      skip('mounting is not allowed here')
      return
    }
    onTestFinished(() => disk.unmount())
    if (owner !== undefined) await chown(disk.path, owner.uid, owner.gid)
    await server.sql(`CREATE TABLESPACE small LOCATION '${disk.path}'`)
    await server.sql('CREATE DATABASE full_disk TABLESPACE small')
    const database = await openPostgres(server.urlOf('full_disk'))
    onTestFinished(async () => {
      await database.close()
      await server.sql('DROP DATABASE full_disk')
      await server.sql('DROP TABLESPACE small')
    })
    await new ServerTables(database).addMesh(mesh)
    const store = await openPostgresStore({ database, mesh, storeKey })
    const chain = chainOf(20, { ciphertextBytes: 256 * 1024 })
    await store.batch([putCommit(chain[0]!)])
    await disk.fill()
    const rest = store.batch(chain.slice(1).map(putCommit))
    await expect(rest).rejects.toMatchObject({ code: 'DISK_FULL' })
    expect(await store.commits({ feed: chain[0]!.feed, after: 0 })).toEqual([chain[0]])
    await disk.makeRoom()
    const again = await openPostgresStore({ database, mesh, storeKey })
    await again.batch(chain.map(putCommit))
    expect(await again.commits({ feed: chain[0]!.feed, after: 0 })).toEqual(chain)
  }, 120_000)
})

import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { openPostgres } from '../../../src/store/postgres/database.ts'
import type { PostgresDatabase } from '../../../src/store/postgres/database.ts'
import { openPostgresStore } from '../../../src/store/postgres/postgres-store.ts'
import { ServerTables } from '../../../src/store/postgres/server-tables.ts'
import { chainOf, putCommit } from '../../contract/commit-store-contract.ts'
import { descriptorOf } from '../../contract/made-descriptor.ts'
import { PostgresServer, noPostgres } from '../../support/postgres.ts'

const meshA = '0a'.repeat(16)
const meshB = '0b'.repeat(16)
const deviceA = 'aa'.repeat(32)
const deviceB = 'bb'.repeat(32)
const storeKey = new Uint8Array(32).fill(7)

describe.skipIf(noPostgres !== undefined)('processes of one server on PostgreSQL', () => {
  let server: PostgresServer

  beforeAll(async () => {
    server = await PostgresServer.start()
  })

  afterAll(() => server.stop())

  async function processes(count: number): Promise<{ tables: ServerTables[]; url: string }> {
    const url = await server.freshDatabase()
    const databases: PostgresDatabase[] = []
    for (let index = 0; index < count; index++) databases.push(await openPostgres(url))
    onTestFinished(async () => {
      for (const database of databases) await database.close()
    })
    return { tables: databases.map((database) => new ServerTables(database)), url }
  }

  test('have the same keys, whoever is first', async () => {
    const { tables } = await processes(4)
    expect(await tables[0]!.existingKeys()).toBeUndefined()
    const keys = await Promise.all(
      tables.map((each, index) => each.keys(() => Uint8Array.of(index))),
    )
    expect(new Set(keys.map(String)).size).toBe(1)
    expect(await tables[3]!.keys(() => Uint8Array.of(99))).toEqual(keys[0])
    expect(await tables[3]!.existingKeys()).toEqual(keys[0])
  })

  test('have one address, the last that was said', async () => {
    const [one, other] = (await processes(2)).tables
    expect(await one!.address()).toBeUndefined()
    await one!.setAddress('https://a.example')
    await other!.setAddress('https://b.example')
    expect(await one!.address()).toBe('https://b.example')
  })

  test('have the same meshes', async () => {
    const [one, other] = (await processes(2)).tables
    await Promise.all([one!.addMesh(meshB), other!.addMesh(meshB), other!.addMesh(meshA)])
    expect(await one!.meshes()).toEqual([meshA, meshB])
  })

  test('bind a code to one mesh', async () => {
    const { tables } = await processes(4)
    expect(await tables[0]!.meshOfInvitation('n')).toBeUndefined()
    const bound = await Promise.all(
      tables.map((each, index) => each.bindInvitation('n', index % 2 === 0 ? meshA : meshB)),
    )
    expect(new Set(bound).size).toBe(1)
    expect(await tables[1]!.meshOfInvitation('n')).toBe(bound[0])
    expect(await tables[1]!.bindInvitation('other', meshB)).toBe(meshB)
  })

  test('renew the secret of channels once in its time', async () => {
    const { tables } = await processes(4)
    const secret = (id: string, createdMs: number) => ({
      id,
      secret: new Uint8Array(32).fill(createdMs % 256),
      createdMs,
    })
    const ids = async (): Promise<string[]> =>
      (await tables[1]!.channelSecrets(0)).map(({ id }) => id)
    await Promise.all(tables.map((each, i) => each.renewChannelSecret(secret(`a${i}`, 1_000), 100)))
    const [first] = await ids()
    expect(await ids()).toEqual([first])
    await tables[2]!.renewChannelSecret(secret('early', 1_099), 100)
    expect(await ids()).toEqual([first])
    await tables[2]!.renewChannelSecret(secret('due', 1_100), 100)
    expect(await tables[0]!.channelSecrets(0)).toEqual([
      secret('due', 1_100),
      secret(first!, 1_000),
    ])
    expect(await tables[0]!.channelSecrets(1_000)).toEqual([secret('due', 1_100)])
    await tables[0]!.deleteChannelSecrets(1_000)
    expect(await ids()).toEqual(['due'])
  })

  test('take a request once, until its time is over', async () => {
    const { tables } = await processes(4)
    const id = Uint8Array.of(1, 2)
    const note = (each: ServerTables, nowMs: number): Promise<boolean> =>
      each.noteRequest(id, { nowMs, expiresMs: nowMs + 100 })
    const taken = await Promise.all(tables.map((each) => note(each, 1_000)))
    expect(taken.filter(Boolean)).toHaveLength(1)
    expect(await note(tables[0]!, 1_099)).toBe(false)
    expect(await note(tables[0]!, 1_100)).toBe(true)
    expect(await note(tables[1]!, 1_150)).toBe(false)
    await tables[0]!.deleteExpiredRequests(1_199)
    expect(await note(tables[1]!, 1_150)).toBe(false)
    await tables[0]!.deleteExpiredRequests(1_200)
    expect(await note(tables[1]!, 1_150)).toBe(true)
  })

  test('count together what they sent', async () => {
    const { tables } = await processes(3)
    const amount = { mesh: meshA, device: deviceA, day: 20_000 }
    await Promise.all(
      tables.flatMap((each) => [
        each.addSentBytes([
          { ...amount, bytes: 1 },
          { ...amount, bytes: 10 },
          { ...amount, device: deviceB, bytes: 100 },
        ]),
        each.addSentBytes([{ ...amount, day: 20_001, bytes: 1_000 }]),
      ]),
    )
    await tables[0]!.addSentBytes([])
    const expected = new Map([
      [deviceA, 33],
      [deviceB, 300],
    ])
    expect(await tables[1]!.sentBytes(meshA, 20_000)).toEqual(expected)
    expect(await tables[1]!.sentBytes(meshA, 20_001)).toEqual(new Map([[deviceA, 3_000]]))
    expect(await tables[1]!.sentBytes(meshB, 20_000)).toEqual(new Map())
    await tables[1]!.deleteSentBytes(20_001)
    expect(await tables[1]!.sentBytes(meshA, 20_000)).toEqual(new Map())
    expect((await tables[1]!.sentBytes(meshA, 20_001)).size).toBe(1)
  })

  test('remove a mesh with everything of it, and nothing of another', async () => {
    const url = await server.freshDatabase()
    const database = await openPostgres(url)
    onTestFinished(() => database.close())
    const tables = new ServerTables(database)
    const { descriptor, feed } = descriptorOf('author')
    const commits = chainOf(30, { feed })
    const stores = []
    for (const mesh of [meshA, meshB]) {
      await tables.addMesh(mesh)
      const store = await openPostgresStore({ database, mesh, storeKey })
      await store.batch([{ kind: 'descriptor', descriptor }, ...commits.map(putCommit)])
      await tables.addSentBytes([{ mesh, device: deviceA, day: 1, bytes: 1 }])
      stores.push(store)
    }
    await tables.bindInvitation('aa', meshA)
    await tables.bindInvitation('bb', meshB)
    const nobody = '00'.repeat(16)
    await tables.removeMesh(meshA, nobody)
    expect(await tables.meshes()).toEqual([meshB])
    expect(await tables.invitations()).toEqual([
      { nonce: 'aa', mesh: nobody },
      { nonce: 'bb', mesh: meshB },
    ])
    const removed = { code: 'SERVER_UNKNOWN_MESH' }
    await expect(stores[0]!.batch(commits.map(putCommit))).rejects.toMatchObject(removed)
    await expect(openPostgresStore({ database, mesh: meshA, storeKey })).rejects.toMatchObject(
      removed,
    )
    for (const table of ['commits', 'store_rows', 'usage', 'sent_bytes', 'meshes']) {
      const left = await server.sql(
        `SELECT DISTINCT encode(mesh, 'hex') AS mesh FROM ${table}`,
        url,
      )
      expect(left).toEqual([{ mesh: meshB }])
    }
    expect(await stores[1]!.commits({ feed, after: 0 })).toEqual(commits)
  })

  test('end a removal that was interrupted, before the mesh comes in again', async () => {
    const { tables, url } = await processes(2)
    const [one, other] = tables
    await one!.addMesh(meshA)
    await server.sql('UPDATE meshes SET removing = true', url)
    await server.sql(
      `INSERT INTO usage (mesh, device, commits, bytes) SELECT mesh, '\\x00', 1, 1 FROM meshes`,
      url,
    )
    expect(await other!.meshes()).toEqual([])
    expect(await other!.unfinishedRemovals()).toEqual([meshA])
    await other!.addMesh(meshA)
    expect(await one!.meshes()).toEqual([meshA])
    expect(await one!.unfinishedRemovals()).toEqual([])
    expect(await server.sql('SELECT * FROM usage', url)).toEqual([])
  })
})

import { afterAll, beforeAll, describe, onTestFinished } from 'vitest'
import { openPostgres } from '../../../src/store/postgres/database.ts'
import type { PostgresDatabase } from '../../../src/store/postgres/database.ts'
import { openPostgresStore } from '../../../src/store/postgres/postgres-store.ts'
import { ServerTables } from '../../../src/store/postgres/server-tables.ts'
import { commitStoreContract } from '../../contract/commit-store-contract.ts'
import { sharedStoreContract } from '../../contract/shared-store-contract.ts'
import { PostgresServer, noPostgres } from '../../support/postgres.ts'

const mesh = '01'.repeat(16)
const storeKey = new Uint8Array(32).fill(7)

describe.skipIf(noPostgres !== undefined)(
  `PostgreSQL${noPostgres === undefined ? '' : ` (${noPostgres})`}`,
  () => {
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
  },
)

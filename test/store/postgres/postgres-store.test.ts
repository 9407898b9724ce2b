import { afterAll, beforeAll, describe, onTestFinished } from 'vitest'
import { openPostgres } from '../../../src/store/postgres/database.ts'
import { openPostgresStore } from '../../../src/store/postgres/postgres-store.ts'
import { ServerTables } from '../../../src/store/postgres/server-tables.ts'
import { commitStoreContract } from '../../contract/commit-store-contract.ts'
import { PostgresServer, noPostgres } from '../../support/postgres.ts'

const mesh = '01'.repeat(16)
const storeKey = new Uint8Array(32).fill(7)

describe.skipIf(noPostgres !== undefined)(
  `PostgreSQL${noPostgres ? `: ${noPostgres}` : ''}`,
  () => {
    let server: PostgresServer

    beforeAll(async () => {
      server = await PostgresServer.start()
    })

    afterAll(() => server.stop())

    commitStoreContract('PostgreSQL', async () => {
      const database = await openPostgres(await server.freshDatabase())
      onTestFinished(() => database.close())
      await new ServerTables(database).addMesh(mesh)
      return openPostgresStore({ database, mesh, storeKey })
    })
  },
)

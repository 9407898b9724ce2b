import { fileURLToPath } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { CampServer } from '../support/camp-server.ts'
import { FarCamps, planted, serverUrl } from '../support/far-camps.ts'
import { canUseNamespaces } from '../support/namespaces.ts'
import { noPostgres, PostgresServer } from '../support/postgres.ts'
import { bySocketFile } from '../support/postgres-relay.ts'
import { findInFiles, findInMemory } from '../support/process-memory.ts'
import { commitsOfServer, expectOnceEach } from '../support/stored-commits.ts'
import { until } from '../support/until.ts'

const balancer = fileURLToPath(new URL('../support/balancer-process.ts', import.meta.url))
const ports = [8431, 8432] as const
const metricsOf = (port: number): string => `127.0.0.1:${port + 1_000}`

describe.skipIf(!canUseNamespaces() || noPostgres !== undefined)(
  'two processes of one server, on one PostgreSQL behind a load balancer',
  () => {
    test('take from both camps what either brings, each commit once, also when one of them is killed in the middle', async () => {
      const postgres = await PostgresServer.start()
      onTestFinished(() => postgres.stop())
      const url = await postgres.freshDatabase()
      const relayed = await bySocketFile(url)
      const camps = await FarCamps.pitch({ kbit: 4_000 })
      const servers = ports.map(
        (port) => new CampServer(camps.serverPlace(`server-${port}`), { postgres: relayed }),
      )
      const [one, other] = servers as [CampServer, CampServer]
      const up = async (server: CampServer): Promise<string> => {
        const port = ports[servers.indexOf(server)]!
        const listen = ['--listen', `127.0.0.1:${port}`, '--public-url', serverUrl]
        return (await server.up(...listen, '--metrics', metricsOf(port))).device
      }
      let id = ''
      await camps.settle({
        async up() {
          const ids = await Promise.all(servers.map(up))
          expect(new Set(ids).size).toBe(1)
          id = ids[0]!
          const place = camps.serverPlace('balancer')
          const child = place.start(balancer, ['8420', ...ports.map(String)], {
            stdio: ['ignore', 'pipe', 'inherit'],
          })
          await new Promise((resolve) => child.stdout!.once('data', resolve))
        },
        invite: () => one.invite(),
      })
      await camps.up()
      await camps.import({ patients: 250, bytesEach: 4_000 })
      await camps.write({ patients: 40 })

      const received = (server: CampServer): Promise<number> =>
        server.metric('haven_received_bytes_total', metricsOf(ports[servers.indexOf(server)]!))
      for (const { uplink } of camps.bridges) uplink.plugIn()
      await until(
        'both are in the middle of it',
        async () => (await Promise.all(servers.map(received))).every((bytes) => bytes > 500_000),
        { withinMs: 60_000 },
      )
      await one.kill()
      expect(await camps.isWhole(id)).toBe(false)
      // The other one has it all to do, for a while.
      const before = await received(other)
      await until(
        'the other one goes on',
        async () => (await received(other)) > before + 1_000_000,
        {
          withinMs: 60_000,
        },
      )
      await up(one)
      await camps.untilWhole(id, 90_000)
      await camps.expectSame()
      await camps.expectReceipts(id)

      for (const server of servers) {
        expect(await findInMemory(server.pid, [planted])).toEqual([])
        expect(server.said.join('\n')).not.toContain(planted)
      }
      await camps.down()
      await Promise.all(servers.map((server) => server.down()))
      await postgres.sql('CHECKPOINT')
      expect(await findInFiles([postgres.directory], [planted])).toEqual([])
      await expectOnceEach(camps.all, await commitsOfServer({ postgres: url }, camps.mesh))
    }, 600_000)
  },
)

/** A backup has nothing of where it came from: a server moves from its directory into a database, and back. */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { registerMesh } from '../../src/bridge/register-mesh.ts'
import { restoreBackup } from '../../src/server/backup/restore-backup.ts'
import { writeBackup } from '../../src/server/backup/write-backup.ts'
import { withControl } from '../../src/server/reach-server.ts'
import { temporaryDirectory } from '../cli/support/run-cli.ts'
import { TestMesh, until } from '../device/support/test-device.ts'
import type { TestDevice } from '../device/support/test-device.ts'
import { noPostgres, PostgresServer } from '../support/postgres.ts'
import { bridged, register, termsOf, TestServer } from './support.ts'

let postgres: PostgresServer

async function bringsAll(device: TestDevice, server: TestServer): Promise<void> {
  const link = await bridged(device, server)
  const runtime = server.server.runtimeOf(device.mesh.mesh)!
  await until(() => runtime.replica.digest === device.runtime.replica.digest, 20_000)
  link.cut()
}

describe.skipIf(noPostgres !== undefined)('a server', () => {
  beforeAll(async () => {
    postgres = await PostgresServer.start()
  })
  afterAll(async () => {
    await postgres.stop()
  })

  test('moves into a database and back, with its keys, meshes and used codes', async () => {
    const server = await TestServer.start()
    const { founder, mesh } = await TestMesh.found()
    await register(founder, server)
    for (let i = 0; i < 10; i++) await founder.set(`r${i}`, { x: `${i}` }, i % 3 === 0)
    await bringsAll(founder, server)
    const { keys } = server.server
    const { total } = server.server.usageOf(mesh)!
    await server.server.close()

    const file = join(temporaryDirectory(), 'a')
    await writeBackup(server.place, file)
    const place = { postgres: await postgres.freshDatabase() }
    const report = await restoreBackup(place, file, { salvage: false })
    expect(report).toMatchObject({ meshes: 1, commits: total.commits, damages: [] })
    await expect(restoreBackup(place, file, { salvage: false })).rejects.toMatchObject({
      code: 'NOT_EMPTY',
    })
    const shared = await TestServer.start({ place })
    expect(shared.server.keys).toEqual(keys)
    expect(shared.server.usageOf(mesh)!.total).toEqual(total)
    await founder.set('later', { x: '1' })
    await bringsAll(founder, shared)
    const whole = shared.server.usageOf(mesh)!.total.commits

    // Beside the process that runs.
    const back = join(temporaryDirectory(), 'b')
    expect(await writeBackup(place, back)).toMatchObject({ meshes: 1, commits: whole })
    await shared.server.close()
    const dataDir = join(temporaryDirectory(), 'elsewhere')
    await restoreBackup({ dataDir }, back, { salvage: false })
    const again = await TestServer.start({ dataDir })
    expect(again.server.keys).toEqual(keys)
    expect(again.server.usageOf(mesh)!.total.commits).toBe(whole)
    await founder.set('last', { x: '1' })
    await bringsAll(founder, again)
  })

  test.each(['a directory', 'a database'])(
    'in %s lets nobody in again by the code of a mesh that was removed',
    async (where) => {
      const options =
        where === 'a database' ? { place: { postgres: await postgres.freshDatabase() } } : {}
      const server = await TestServer.start(options)
      const { founder, mesh } = await TestMesh.found()
      const invitation = await server.invite()
      await registerMesh(await termsOf(founder, server, { invitation }))
      await withControl(server.place, (control) => control.remove(mesh))
      expect(await withControl(server.place, (control) => control.meshes())).toEqual([])
      await expect(bridged(founder, server)).rejects.toMatchObject({ code: 'SERVER_UNKNOWN_MESH' })
      await expect(
        registerMesh(await termsOf(founder, server, { invitation })),
      ).rejects.toMatchObject({ code: 'INVITATION_USED' })
      await register(founder, server)
      await bringsAll(founder, server)
    },
  )
})

/** A server whose disk is full. Skipped where a small disk can't be mounted. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { smallDisk } from '../store/tmpfs.ts'
import { TestMesh, until } from '../device/support/test-device.ts'
import { bridged, register, TestServer } from './support.ts'

const probe = await smallDisk('1m')
await probe?.unmount()

describe.skipIf(probe === undefined)('a server on a full disk', () => {
  test('says so, keeps what it acknowledged, and takes the rest when there is room again', async () => {
    const disk = (await smallDisk('48m'))!
    onTestFinished(() => disk.unmount())
    const server = await TestServer.start({ dataDir: join(disk.path, 'server') })
    const mesh = await TestMesh.found()
    await register(mesh.founder, server)
    const { device } = server.server.keys
    const link = await bridged(mesh.founder, server)
    await mesh.founder.set('first', { x: '1' })
    const session = () => mesh.founder.runtime.driver.engine.sessionWith(device)
    await until(() => session()?.ahead === 0)
    const acknowledged = mesh.founder.runtime.replica.commits
    await disk.fill()
    // More than what is left in files that are there already.
    for (let i = 0; i < 40; i++)
      await mesh.founder.set(`r${i}`, {
        x: JSON.stringify(randomBytes(200_000).toString('base64')),
      })
    await until(() => link.reasons.length === 1, 60_000)
    await expect(bridged(mesh.founder, server)).rejects.toMatchObject({ code: 'DISK_FULL' })
    const ready = await fetch(`${server.server.address}/readyz`)
    expect([ready.status, await ready.json()]).toEqual([503, { status: 'failing', failing: 1 }])

    await disk.makeRoom()
    await until(() => server.server.runtimeOf(mesh.mesh) !== undefined, 30_000)
    expect(server.server.usageOf(mesh.mesh)!.total.commits).toBeGreaterThanOrEqual(acknowledged)
    await bridged(mesh.founder, server)
    await until(() => session()?.ahead === 0, 60_000)
    const { status } = await fetch(`${server.server.address}/readyz`)
    expect(status).toBe(200)
  }, 180_000)

  test('begins to serve again when there is room, also when it was started without any', async () => {
    const disk = (await smallDisk('48m'))!
    onTestFinished(() => disk.unmount())
    const server = await TestServer.start({ dataDir: join(disk.path, 'server') })
    const mesh = await TestMesh.found()
    await register(mesh.founder, server)
    const first = await bridged(mesh.founder, server)
    await mesh.founder.set('first', { x: '1' })
    const session = () => mesh.founder.runtime.driver.engine.sessionWith(server.server.keys.device)
    await until(() => session()?.ahead === 0)
    first.cut()
    await server.server.close()
    await disk.fill()
    await server.start()
    for (let i = 0; i < 40; i++)
      await mesh.founder.set(`r${i}`, {
        x: JSON.stringify(randomBytes(200_000).toString('base64')),
      })
    await bridged(mesh.founder, server).catch(() => undefined)
    await until(async () => (await fetch(`${server.server.address}/readyz`)).status === 503, 60_000)
    await disk.makeRoom()
    await until(async () => (await fetch(`${server.server.address}/readyz`)).status === 200, 30_000)
    await bridged(mesh.founder, server)
    await until(() => session()?.ahead === 0, 60_000)
  }, 180_000)
})

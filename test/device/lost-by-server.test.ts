import { cp, rm } from 'node:fs/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import { encodeServerInvitation } from '../../src/bridge/server-invitation.ts'
import { Bridging } from '../../src/device/bridging.ts'
import { systemRandom } from '../../src/device/system.ts'
import { withControl } from '../../src/server/reach-server.ts'
import { TestServer } from '../server/support.ts'
import { connect, sameClock, TestMesh, until } from './support/test-device.ts'
import type { TestDevice } from './support/test-device.ts'

test('a server that was put back to an older state: devices say so, with or without an uplink, and send it again what it has lost', async () => {
  const server = await TestServer.start()
  const mesh = await TestMesh.found()
  const { founder } = mesh
  const [camp] = await mesh.enrolAll(['clinician'])
  connect(founder, camp!)
  let laterMs = 0
  const bridgingOf = async (device: TestDevice) => {
    const bridging = await Bridging.open({
      runtime: device.runtime,
      clock: { nowMs: () => mesh.nowMs + laterMs },
      random: systemRandom,
      log: () => {},
    })
    onTestFinished(() => bridging.close())
    return bridging
  }
  const bridging = await bridgingOf(founder)
  const without = await bridgingOf(camp!)
  const runtime = () => server.server.runtimeOf(mesh.mesh)
  const isAtServer = () => runtime()?.replica.digest === founder.runtime.replica.digest
  const claimed = (device: TestDevice) =>
    device.runtime.driver.engine.book.entries.get(server.server.keys.device)?.known
  await bridging.add(encodeServerInvitation(await server.invite()))
  bridging.up({ auto: false })
  await founder.set('a', { x: '1' })
  await until(isAtServer)
  await bridging.pause(true)
  const port = Number(new URL(server.server.address).port)
  await server.server.close()
  const backup = `${server.dataDir}-backup`
  await cp(server.dataDir, backup, { recursive: true })
  await server.start({ port })
  for (let i = 0; i < 5; i++) await founder.set(`r${i}`, { x: '1' })
  await bridging.pause(false)
  await until(() => isAtServer() && sameClock(founder, camp!), 20_000)
  // The receipt has come back to the camp.
  await until(() => claimed(camp!)?.digest === camp!.runtime.replica.digest, 20_000)
  expect(bridging.status().servers[0]!.lost).toBeNull()
  expect(without.notices()).toEqual([])

  await bridging.pause(true)
  await server.server.close()
  await rm(server.dataDir, { recursive: true })
  await cp(backup, server.dataDir, { recursive: true })
  await server.start({ port })
  // What it lacks does not come at once: the founder's disk is slow.
  const gate = Promise.withResolvers<void>()
  const read = founder.store.commits.bind(founder.store)
  vi.spyOn(founder.store, 'commits').mockImplementation(async (range) => {
    await gate.promise
    return read(range)
  })
  await bridging.pause(false)
  const lost = (device: TestDevice) =>
    device.runtime.driver.engine.book.entries.get(server.server.keys.device)?.lost
  await until(() => lost(founder)?.sinceMs !== undefined, 20_000)
  laterMs = 61_000
  expect(bridging.status().servers[0]!.lost).toMatchObject({ commits: 5 })
  expect(bridging.notices()).toMatchObject([{ code: 'SERVER_LOST_DATA' }])
  expect(bridging.notices()[0]!.message).toContain('5 commits')
  await until(() => without.notices().some(({ code }) => code === 'SERVER_LOST_DATA'), 20_000)

  gate.resolve()
  await until(isAtServer, 20_000)
  await until(() => bridging.status().servers[0]!.lost === null)
  await until(() => without.notices().length === 0, 20_000)
})

test('a server that carries nothing of the mesh any more is not counted on, once it has said so', async () => {
  const server = await TestServer.start()
  const mesh = await TestMesh.found()
  const { founder } = mesh
  const bridging = await Bridging.open({
    runtime: founder.runtime,
    clock: { nowMs: () => mesh.nowMs },
    random: systemRandom,
    log: () => {},
  })
  onTestFinished(() => bridging.close())
  const { device } = server.server.keys
  const atServer = () => founder.runtime.peers.status(device)
  await bridging.add(encodeServerInvitation(await server.invite()))
  bridging.up({ auto: false })
  await founder.set('a', { x: '1' })
  await until(() => {
    const known = founder.runtime.driver.engine.book.entries.get(device)
    return known?.announcement?.clockDigest === founder.runtime.replica.digest
  }, 20_000)
  await bridging.pause(true)
  expect(atServer()).toMatchObject({ ahead: 0, state: 'COMPLETE' })
  await withControl(server.place, (control) => control.remove(mesh.mesh))
  await bridging.pause(false)
  const all = founder.runtime.replica.commits
  await until(() => bridging.status().servers[0]!.problem?.code === 'SERVER_UNKNOWN_MESH', 20_000)
  expect(atServer()).toMatchObject({ ahead: all, connected: false })
  expect(atServer().state).not.toBe('COMPLETE')
  expect(bridging.status().servers[0]).toMatchObject({ ahead: all, behind: 0 })
})

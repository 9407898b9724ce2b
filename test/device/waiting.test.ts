import { randomBytes } from 'node:crypto'
import { expect, onTestFinished, test } from 'vitest'
import { encodeServerInvitation } from '../../src/bridge/server-invitation.ts'
import { Bridging } from '../../src/device/bridging.ts'
import { systemClock, systemRandom } from '../../src/device/system.ts'
import { bridged, TestServer } from '../server/support.ts'
import { TestMesh, until } from './support/test-device.ts'
import type { TestDevice } from './support/test-device.ts'

const text = () => JSON.stringify(randomBytes(6_000).toString('base64'))

async function bridgingOf({ runtime }: TestDevice): Promise<Bridging> {
  const options = { runtime, clock: systemClock, random: systemRandom, log: () => {} }
  const bridging = await Bridging.open(options)
  onTestFinished(() => bridging.close())
  return bridging
}

test('what waits both ways is told by class, in bytes, and by the last rate in time', async () => {
  const server = await TestServer.start()
  const mesh = await TestMesh.found()
  const { founder } = mesh
  const [far] = await mesh.enrolAll(['admin'])
  const bridging = await bridgingOf(founder)
  await bridging.add(encodeServerInvitation(await server.invite()))
  expect((await bridging.report()).servers[0]!.waiting, 'nothing was heard yet').toBeNull()
  const runtime = () => server.server.runtimeOf(mesh.mesh)
  const isAtServer = (device: TestDevice) =>
    runtime()?.replica.digest === device.runtime.replica.digest
  // So that there is something to measure, both ways.
  for (let i = 0; i < 30; i++) await founder.set(`a${i}`, { x: text() })
  await bridged(far!, server)
  bridging.up({ auto: false })
  await until(() => isAtServer(founder) && isAtServer(far!), 20_000)
  for (let i = 0; i < 30; i++) await far!.set(`b${i}`, { x: text() })
  await until(() => isAtServer(founder) && isAtServer(far!), 20_000)
  await until(async () => (await bridging.report()).servers[0]!.waiting?.up.commits === 0)
  await until(async () => {
    const { up, down } = (await bridging.report()).servers[0]!.waiting!
    return (up.bytesPerSecond ?? 0) > 0 && (down.bytesPerSecond ?? 0) > 0
  }, 20_000)

  await bridging.pause(true)
  for (let i = 0; i < 100; i++) await founder.set(`c${i}`, { x: text() })
  await founder.set('c1', { y: text() }, true)
  await founder.operations.set('patients', 'p', [['x', text()]])
  const { up, down } = (await bridging.report()).servers[0]!.waiting!
  expect(up.classes).toMatchObject([
    { kind: 'urgent', collection: null, commits: 1, estimated: false },
    { kind: 'routine', collection: 'patients', commits: 1, estimated: false },
    { kind: 'routine', collection: 'records', commits: 100, estimated: true },
  ])
  const sizes = up.classes.map(({ bytes, commits }) => bytes / commits)
  for (const size of sizes) expect(size).toBeGreaterThan(5_500)
  for (const size of sizes) expect(size).toBeLessThan(7_500)
  expect(up.bytes).toBe(up.classes.reduce((sum, { bytes }) => sum + bytes, 0))
  expect(up.ms).toBe(Math.round((up.bytes / up.bytesPerSecond!) * 1_000))
  expect(down).toMatchObject({ commits: 0, bytes: 0, classes: [] })

  // Rates are known after a restart; what the far camp wrote is known of by its number.
  await bridging.close()
  const later = await bridgingOf(founder)
  expect((await later.report()).servers[0]!.waiting!.up).toEqual(up)
  await far!.set('b1', { y: text() })
  await far!.set('b2', { y: text() })
  await until(() => isAtServer(far!))
  founder.runtime.flow = { intake: () => 0, outflow: () => 0 }
  await bridged(founder, server)
  await until(async () => (await later.report()).servers[0]!.waiting!.down.commits === 2)
  const after = (await later.report()).servers[0]!.waiting!.down
  expect(after.classes).toMatchObject([{ kind: 'routine', collection: 'records', estimated: true }])
  expect(after.bytes).toBeGreaterThan(2 * 5_500)
  expect(after.bytes).toBeLessThan(2 * 7_500)
})

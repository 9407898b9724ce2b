/** Who may bring what to a server, when it does not know everybody yet, or somebody no more. */
import { expect, test } from 'vitest'
import { systemRandom } from '../../src/device/system.ts'
import { issueCertificate } from '../../src/identity/certificate.ts'
import type { CertificateTerms } from '../../src/identity/certificate.ts'
import { DeviceKeys } from '../../src/identity/device-key.ts'
import { issueRevocation } from '../../src/identity/revocation.ts'
import { epochChange, membershipChange } from '../../src/device/own-membership.ts'
import { connect, sameClock, TestDevice, TestMesh, until } from '../device/support/test-device.ts'
import { bridged, register, TestServer } from './support.ts'

function holdsAllOf(server: TestServer, device: TestDevice): boolean {
  const runtime = server.server.runtimeOf(device.mesh.mesh)
  return runtime?.replica.digest === device.runtime.replica.digest
}

/** An admin lets a device in, far from everybody else: the fact is in the admin's feed only. */
async function enrolBy(
  admin: TestDevice,
  terms: Pick<CertificateTerms, 'role' | 'rights'>,
): Promise<TestDevice> {
  const { mesh } = admin
  const keys = DeviceKeys.generate(systemRandom)
  const certificate = issueCertificate(
    {
      ...terms,
      mesh: mesh.mesh,
      device: keys.device,
      agreementKey: keys.agreement.publicKey,
      issuedAtMs: mesh.nowMs++,
    },
    admin.keys.signing,
    systemRandom,
  )
  const membership = {
    mesh: mesh.mesh,
    meshName: 'Camp',
    deviceName: '',
    chain: [certificate, ...admin.membership.chain],
    complete: true,
    code: '',
  }
  const device = new TestDevice(mesh, keys, membership)
  const held = admin.runtime.control.heldKeys()
  await device.start((store) =>
    store.batch([
      membershipChange(membership),
      ...held.map(({ collection, key }) => epochChange(collection, key)),
    ]),
  )
  await admin.facts([{ kind: 'certificate', certificate }])
  const meeting = connect(device, admin)
  await until(() => sameClock(device, admin))
  meeting()
  return device
}

test('commits of an author that the server has not heard of are not lost: it takes them when it has heard', async () => {
  const server = await TestServer.start()
  const mesh = await TestMesh.found()
  const { founder } = mesh
  // One goes to the far camp, one carries between the camps.
  const [farAdmin, courier] = await mesh.enrolAll(['admin', 'admin'])
  await register(founder, server)
  const near = await bridged(founder, server)
  await until(() => holdsAllOf(server, founder))
  near.cut()

  const nurse = await enrolBy(farAdmin!, { role: 'clinician' })
  for (let index = 0; index < 300; index++) await nurse.set(`r${index}`, { x: `"${index}"` })
  const [feed] = nurse.feeds()
  // What the courier has of the far camp, before the certificate of who wrote it.
  await courier!.take(nurse, feed!)
  const served = () => server.server.runtimeOf(mesh.mesh)!
  const first = await bridged(courier!, server)
  const session = () => courier!.runtime.driver.engine.sessionWith(server.server.keys.device)
  await until(() => session() !== undefined)
  await courier!.set('own', { x: '1' })
  const own = courier!.feeds().find((each) => each !== feed)!
  await until(() => served().replica.chain(own).seq === 1)
  expect(first.reasons).toEqual([])
  expect(served().replica.chain(feed!).seq).toBe(0)
  // The courier does not take it for delivered.
  expect(session()?.ahead).toBe(300)

  // The far admin's device has an uplink, for a moment: the facts are there, and the courier is still there.
  const far = await bridged(farAdmin!, server)
  await until(() => served().replica.chain(feed!).seq === 300)
  far.cut()
  await until(() => session()?.ahead === 0)
  expect(served().control.membership.member(nurse.id)?.role).toBe('clinician')
  first.cut()
  await bridged(founder, server)
  await until(() => holdsAllOf(server, founder))
  await founder.idle()
  expect((await founder.kept()).records).toBe(301)
})

test('the facts may come after them by the same courier, in another connection', async () => {
  const server = await TestServer.start()
  const mesh = await TestMesh.found()
  const { founder } = mesh
  const [farAdmin, courier] = await mesh.enrolAll(['admin', 'admin'])
  await register(founder, server)
  const near = await bridged(founder, server)
  await until(() => holdsAllOf(server, founder))
  near.cut()
  const nurse = await enrolBy(farAdmin!, { role: 'clinician' })
  await nurse.set('r', { x: '1' })
  await courier!.take(nurse, nurse.feeds()[0]!)
  const served = () => server.server.runtimeOf(mesh.mesh)!
  const first = await bridged(courier!, server)
  const session = () => courier!.runtime.driver.engine.sessionWith(server.server.keys.device)
  await until(() => session()?.ahead === 1)
  first.cut()
  await until(() => session() === undefined)
  const meeting = connect(courier!, farAdmin!)
  await until(() => farAdmin!.runtime.replica.chain(nurse.feeds()[0]!).seq === 1)
  await until(() => sameClock(courier!, farAdmin!))
  meeting()
  await bridged(courier!, server)
  await until(() => holdsAllOf(server, courier!))
  expect(served().replica.chain(nurse.feeds()[0]!).seq).toBe(1)
})

test('a device that was removed brings nothing, and gets its revocation and nothing else', async () => {
  const server = await TestServer.start()
  const mesh = await TestMesh.found()
  const { founder } = mesh
  await register(founder, server)
  const removed = await enrolBy(founder, {
    role: 'clinician',
    rights: { read: true, write: true, bridge: true },
  })
  const before = await bridged(removed, server)
  await removed.set('before', { x: '1' })
  await until(() => holdsAllOf(server, removed))
  // It is connected when the server hears of it.
  const heads = [...founder.runtime.replica.descriptors()].flatMap(({ device, feed }) =>
    Buffer.from(device).toString('hex') === removed.id
      ? founder.runtime.replica.chain(feed).entries()
      : [],
  )
  const revocation = issueRevocation(
    { mesh: mesh.mesh, device: removed.id, timeMs: 1, heads },
    founder.keys.signing,
    systemRandom,
  )
  await founder.facts([{ kind: 'revocation', revocation }])
  await founder.set('secret', { x: '1' })
  await bridged(founder, server)
  await until(() => holdsAllOf(server, founder))
  await until(() => before.reasons.length === 1)
  expect(removed.runtime.control.membership.isRevoked(removed.id)).toBe(false)
  const brought = () => server.server.usageOf(mesh.mesh)!.byDevice.get(removed.id)
  const broughtBefore = brought()
  const had = removed.runtime.replica.commits
  await removed.set('after', { x: '1' })
  const again = await bridged(removed, server)
  await until(() => again.reasons.length === 1)
  expect(brought()).toEqual(broughtBefore)
  expect(removed.runtime.replica.commits).toBe(had + 1)
  expect(server.log.map(({ code }) => code)).toContain('REVOKED')
})

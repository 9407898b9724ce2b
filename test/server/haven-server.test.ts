import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { registerMesh } from '../../src/bridge/register-mesh.ts'
import { createDevice } from '../../src/device/create-device.ts'
import { systemRandom } from '../../src/device/system.ts'
import { issueCertificate } from '../../src/identity/certificate.ts'
import { DeviceKeys } from '../../src/identity/device-key.ts'
import { connect, TestMesh, until } from '../device/support/test-device.ts'
import type { TestDevice } from '../device/support/test-device.ts'
import { findInFiles } from '../support/process-memory.ts'
import { bridged, register, termsOf, TestServer } from './support.ts'

const planted = 'Zxqvwy'

function holdsAllOf(server: TestServer, device: TestDevice): boolean {
  const runtime = server.server.runtimeOf(device.mesh.mesh)
  return runtime?.replica.digest === device.runtime.replica.digest
}

/** The wall clock, until the test has finished; timers go on as they do. */
function atTime(nowMs: number): void {
  vi.useFakeTimers({ toFake: ['Date'], now: nowMs })
  onTestFinished(() => {
    vi.useRealTimers()
  })
}

describe('a registered mesh', () => {
  test('reaches the server whole, and from there another camp, and nothing of it can be read there', async () => {
    const server = await TestServer.start()
    const mesh = await TestMesh.found()
    const { founder } = mesh
    const [far] = await mesh.enrolAll(['admin'])
    await register(founder, server)
    for (let i = 0; i < 30; i++)
      await founder.set(`Patient/${planted}-${i}`, { name: `"${planted} ${i}"` }, i % 2 === 0)
    const near = await bridged(founder, server)
    await until(() => holdsAllOf(server, founder))
    near.cut()
    await bridged(far!, server)
    await until(() => holdsAllOf(server, far!))
    await Promise.all([founder.idle(), far!.idle()])
    expect(await far!.contentHash()).toBe(await founder.contentHash())
    expect((await far!.kept()).records).toBe(30)
    await server.server.close()
    expect(await findInFiles([server.dataDir], [planted, 'Camp', 'first', 'patients'])).toEqual([])
  })

  test('is served again after a restart, with what it had', async () => {
    const server = await TestServer.start()
    const mesh = await TestMesh.found()
    await register(mesh.founder, server)
    await mesh.founder.set('a', { x: '1' })
    const link = await bridged(mesh.founder, server)
    await until(() => holdsAllOf(server, mesh.founder))
    link.cut()
    await server.restart()
    expect(server.server.meshes).toEqual([mesh.mesh])
    expect(holdsAllOf(server, mesh.founder)).toBe(true)
    await bridged(mesh.founder, server)
    await mesh.founder.set('a', { x: '2' })
    await until(() => holdsAllOf(server, mesh.founder))
  })

  test('has the receipt brought to a device that the server never sees', async () => {
    const server = await TestServer.start()
    const mesh = await TestMesh.found()
    const [inside] = await mesh.enrolAll(['clinician'])
    await register(mesh.founder, server)
    await inside!.set('a', { x: '1' })
    connect(mesh.founder, inside!)
    await bridged(mesh.founder, server)
    const { device } = server.server.keys
    await until(() => {
      const { behind, ahead } = inside!.runtime.peers.status(device)
      return behind === 0 && ahead === 0
    }, 20_000)
    expect(inside!.runtime.driver.engine.sessionWith(device)).toBeUndefined()
    expect(inside!.runtime.peers.status(device)).toMatchObject({
      connected: false,
      device: { role: 'server' },
    })
  })

  test('is kept apart from others on the same server', async () => {
    const server = await TestServer.start()
    const [one, two] = [await TestMesh.found(1), await TestMesh.found(2)]
    await register(one.founder, server)
    await register(two.founder, server)
    expect(server.server.meshes.toSorted()).toEqual([one.mesh, two.mesh].toSorted())
    await bridged(one.founder, server)
    await bridged(two.founder, server)
    await until(() => holdsAllOf(server, one.founder) && holdsAllOf(server, two.founder))
    // A device of one mesh at the door of the other.
    const stray = await bridged(one.founder, server, { mesh: two.mesh })
    await until(() => stray.reasons.length === 1)
    expect(holdsAllOf(server, two.founder)).toBe(true)
    expect(server.log.map(({ code }) => code)).toContain('NOT_A_MEMBER')
  })
})

describe('a device is turned away', () => {
  test('of a mesh that is not registered', async () => {
    const server = await TestServer.start()
    const { founder } = await TestMesh.found()
    await expect(bridged(founder, server)).rejects.toMatchObject({ code: 'SERVER_UNKNOWN_MESH' })
  })

  test('without the right to bridge: at once where it is known, and else when it has shown its certificate', async () => {
    const server = await TestServer.start()
    const mesh = await TestMesh.found()
    const [clinician] = await mesh.enrolAll(['clinician'])
    await register(mesh.founder, server)
    const unknown = await bridged(clinician!, server)
    await until(() => unknown.reasons.length === 1)
    const link = await bridged(mesh.founder, server)
    await until(() => holdsAllOf(server, mesh.founder))
    link.cut()
    await expect(bridged(clinician!, server)).rejects.toMatchObject({ code: 'NOT_ALLOWED' })
  })
})

describe('a registration', () => {
  test('can be repeated, also after the time of the code, and is for one mesh', async () => {
    const server = await TestServer.start()
    const [mesh, other] = [await TestMesh.found(1), await TestMesh.found(2)]
    const invitation = await server.invite(60_000)
    await registerMesh(await termsOf(mesh.founder, server, { invitation }))
    atTime(invitation.expiresAtS * 1000)
    await registerMesh(await termsOf(mesh.founder, server, { invitation }))
    await expect(
      registerMesh(await termsOf(other.founder, server, { invitation })),
    ).rejects.toMatchObject({ code: 'INVITATION_USED' })
    expect(server.server.meshes).toEqual([mesh.mesh])
    await server.restart()
    await expect(
      registerMesh(
        await termsOf(other.founder, server, { invitation: await addressed(server, invitation) }),
      ),
    ).rejects.toMatchObject({ code: 'INVITATION_USED' })
  })

  test('is refused after the time of a code that nobody used', async () => {
    const server = await TestServer.start()
    const { founder } = await TestMesh.found()
    const invitation = await server.invite(60_000)
    atTime(invitation.expiresAtS * 1000)
    await expect(
      registerMesh(await termsOf(founder, server, { invitation })),
    ).rejects.toMatchObject({ code: 'INVITATION_EXPIRED' })
    const prolonged = { ...invitation, expiresAtS: invitation.expiresAtS + 3_600 }
    await expect(
      registerMesh(await termsOf(founder, server, { invitation: prolonged })),
    ).rejects.toMatchObject({ code: 'INVITATION_INVALID' })
    expect(server.server.meshes).toEqual([])
  })

  test('needs the secret, an admin, a certificate for this very server, and no keys of records', async () => {
    const server = await TestServer.start()
    const mesh = await TestMesh.found()
    const [clinician] = await mesh.enrolAll(['clinician'])
    const terms = await termsOf(mesh.founder, server)
    const { invitation } = terms
    const certificateBy = (issuer: DeviceKeys, device: string, role: 'server' | 'courier') =>
      issueCertificate(
        {
          mesh: mesh.mesh,
          device,
          agreementKey: invitation.server.agreementKey,
          role,
          issuedAtMs: mesh.nowMs,
        },
        issuer.signing,
        systemRandom,
      )
    const self = invitation.server.device
    const chain = mesh.founder.membership.chain
    const wrong = {
      secret: { invitation: { ...invitation, secret: systemRandom.bytes(16) } },
      'a clinician': {
        keys: clinician!.keys,
        chain: [certificateBy(clinician!.keys, self, 'server'), ...clinician!.membership.chain],
      },
      'who did not issue it': { keys: clinician!.keys },
      'another device': {
        chain: [certificateBy(mesh.founder.keys, clinician!.id, 'server'), ...chain],
      },
      'a courier': { chain: [certificateBy(mesh.founder.keys, self, 'courier'), ...chain] },
      'a missing link': { chain: [terms.certificate, terms.certificate] },
      'no key': { grants: [] },
      'a key of something else': {
        grants: [...terms.grants, { ...terms.grants[0]!, collection: mesh.mesh }],
      },
    }
    const codes: Record<string, string> = {}
    for (const [what, more] of Object.entries(wrong)) {
      const refused = registerMesh({ ...terms, ...more }).then(
        () => 'accepted',
        (error: { code: string }) => error.code,
      )
      codes[what] = await refused
    }
    expect(codes).toEqual({
      secret: 'INVITATION_INVALID',
      'a clinician': 'NOT_A_MEMBER',
      'who did not issue it': 'NOT_ALLOWED',
      'another device': 'NOT_ALLOWED',
      'a courier': 'NOT_ALLOWED',
      'a missing link': 'NOT_A_MEMBER',
      'no key': 'MALFORMED',
      'a key of something else': 'MALFORMED',
    })
    expect(server.server.meshes).toEqual([])
    expect(await readdir(join(server.dataDir, 'meshes'))).toEqual([])
    await registerMesh(terms)
  })
})

describe('the plain side', () => {
  test('says that it lives and is ready, and has nothing else', async () => {
    const { server } = await TestServer.start()
    const get = async (path: string) => {
      const response = await fetch(`${server.address}${path}`)
      return [response.status, await response.json()] as [number, object]
    }
    expect(await get('/healthz')).toEqual([200, { status: 'ok' }])
    expect(await get('/readyz')).toEqual([200, { status: 'ok', failing: 0 }])
    expect((await get('/v1/meshes'))[0]).toBe(404)
    const socket = new WebSocket(`${server.address.replace('http', 'ws')}/v1/other`)
    await expect(
      new Promise((_, reject) => {
        socket.on('error', reject)
      }),
    ).rejects.toThrow('404')
  })

  test('has numbers at an address of its own, for who wants them', async () => {
    const server = await TestServer.start({ metrics: { host: '127.0.0.1', port: 0 } })
    const mesh = await TestMesh.found()
    await register(mesh.founder, server)
    await expect(bridged(mesh.founder, server, { mesh: '00'.repeat(16) })).rejects.toThrow(
      'does not carry this mesh',
    )
    await bridged(mesh.founder, server)
    await until(() => holdsAllOf(server, mesh.founder))
    const response = await fetch(server.server.metricsAddress!)
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    const text = await response.text()
    const of = `{mesh="${mesh.mesh}"}`
    const { commits } = mesh.founder.runtime.replica
    const { bytes } = server.server.usageOf(mesh.mesh)!.total
    for (const line of [
      'haven_meshes 1',
      `haven_mesh_up${of} 1`,
      `haven_sessions${of} 1`,
      `haven_stored_commits${of} ${commits}`,
      `haven_stored_bytes${of} ${bytes}`,
      `haven_quota_bytes${of} 1000000000`,
      'haven_connections 1',
      'haven_refused_total{code="SERVER_UNKNOWN_MESH"} 1',
    ])
      expect(text.split('\n')).toContain(line)
    expect(text).toMatch(/^haven_received_bytes_total\{mesh="[0-9a-f]{32}"\} [1-9]\d*$/m)
    expect(text).not.toContain(mesh.founder.id)
    expect((await fetch(`${server.server.address}/metrics`)).status).toBe(404)
  })

  test('a directory is for one server at a time, and not for a device', async () => {
    const server = await TestServer.start()
    await expect(createDevice({ dataDir: server.dataDir })).rejects.toMatchObject({
      code: 'KEYSTORE_UNREADABLE',
    })
  })
})

async function addressed<T>(server: TestServer, invitation: T): Promise<T> {
  const { address } = await server.invite()
  return { ...invitation, address }
}

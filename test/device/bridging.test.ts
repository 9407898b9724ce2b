import { createServer } from 'node:http'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { encodeServerInvitation } from '../../src/bridge/server-invitation.ts'
import { Bridging } from '../../src/device/bridging.ts'
import { systemClock, systemRandom } from '../../src/device/system.ts'
import { issueCertificate } from '../../src/identity/certificate.ts'
import { listening } from '../bridge/support.ts'
import { TestServer } from '../server/support.ts'
import { connect, sameClock, TestMesh, until } from './support/test-device.ts'
import type { TestDevice } from './support/test-device.ts'

async function bridgingOf(device: TestDevice): Promise<Bridging> {
  const bridging = await Bridging.open({
    runtime: device.runtime,
    clock: systemClock,
    random: systemRandom,
    log: () => {},
  })
  onTestFinished(() => bridging.close())
  return bridging
}

async function codeOf(server: TestServer, ttlMs?: number): Promise<string> {
  return encodeServerInvitation(await server.invite(ttlMs))
}

function isAtServer(server: TestServer, device: TestDevice): boolean {
  const runtime = server.server.runtimeOf(device.mesh.mesh)
  return runtime?.replica.digest === device.runtime.replica.digest
}

describe('an admin', () => {
  test('lets a server in by its code, and its own device is connected from then on', async () => {
    const server = await TestServer.start()
    const { founder } = await TestMesh.found()
    await founder.set('a', { x: '1' })
    const bridging = await bridgingOf(founder)
    bridging.up({ auto: false })
    expect(bridging.status()).toMatchObject({ mayBridge: true, running: true, servers: [] })
    const added = await bridging.add(await codeOf(server))
    expect(added).toMatchObject({
      device: { id: server.server.keys.device, name: '127.0.0.1', role: 'server' },
      addresses: [server.server.address],
      allowed: true,
    })
    await until(() => isAtServer(server, founder))
    await until(() => bridging.status().servers[0]?.ahead === 0)
    expect(bridging.status().servers[0]).toMatchObject({
      state: 'connected',
      problem: null,
      behind: 0,
    })
    expect(bridging.notices()).toEqual([])
  })

  test('may do it again with the same code, and nothing is twice', async () => {
    const server = await TestServer.start()
    const { founder } = await TestMesh.found()
    const bridging = await bridgingOf(founder)
    const code = await codeOf(server)
    await bridging.add(code)
    const { commits } = founder.runtime.replica
    const { certificate } = founder.runtime.control.membership.member(server.server.keys.device)!
    await bridging.add(code)
    expect(founder.runtime.replica.commits).toBe(commits)
    const again = founder.runtime.control.membership.member(server.server.keys.device)!
    expect(again.certificate.id).toBe(certificate.id)
    expect(bridging.status().servers).toHaveLength(1)
  })

  test('finishes what an interruption left: the server had taken the mesh in, and nobody had heard of it', async () => {
    const server = await TestServer.start()
    const { founder } = await TestMesh.found()
    const bridging = await bridgingOf(founder)
    const code = await codeOf(server)
    const { runtime } = founder
    const writing = vi
      .spyOn(runtime, 'writeFacts')
      .mockRejectedValueOnce(new Error('the power went out'))
    await expect(bridging.add(code)).rejects.toThrow('the power went out')
    expect(writing).toHaveBeenCalledOnce()
    expect(server.server.meshes).toEqual([founder.mesh.mesh])
    expect(bridging.status().servers).toEqual([])
    await bridging.add(code)
    bridging.up({ auto: false })
    await until(() => isAtServer(server, founder))
  })

  test('hears why it can not be', async () => {
    const server = await TestServer.start()
    const mesh = await TestMesh.found()
    const [clinician] = await mesh.enrolAll(['clinician'])
    const bridging = await bridgingOf(mesh.founder)
    const code = await codeOf(server)
    await expect((await bridgingOf(clinician!)).add(code)).rejects.toMatchObject({
      code: 'NOT_ALLOWED',
    })
    await expect(bridging.add('ABCDE')).rejects.toMatchObject({ code: 'INVITATION_INVALID' })
    await server.server.close()
    await expect(bridging.add(code)).rejects.toMatchObject({ code: 'SERVER_NOT_FOUND' })
    expect(mesh.founder.runtime.control.membership.servers.size).toBe(0)
  })
})

describe('another device with the right to bridge', () => {
  async function camp() {
    const server = await TestServer.start()
    const mesh = await TestMesh.found()
    const [other, clinician] = await mesh.enrolAll(['admin', 'clinician'])
    await (await bridgingOf(mesh.founder)).add(await codeOf(server))
    for (const device of [other!, clinician!]) {
      connect(mesh.founder, device)
      await until(() => sameClock(mesh.founder, device))
    }
    return { server, mesh, other: other!, clinician: clinician! }
  }

  test('waits for one yes, and then connects by itself, also after a restart', async () => {
    const { server, other } = await camp()
    const bridging = await bridgingOf(other)
    bridging.up({ auto: false })
    expect(bridging.status().servers).toMatchObject([{ allowed: false, state: 'idle' }])
    expect(bridging.notices()).toMatchObject([{ code: 'SERVER_NOT_ALLOWED' }])
    await bridging.allow('127.0.0.1')
    expect(bridging.notices()).toEqual([])
    await until(() => bridging.status().servers[0]?.state === 'connected')
    await bridging.close()
    const later = await bridgingOf(other)
    expect(later.status()).toMatchObject({ running: false, servers: [{ state: 'idle' }] })
    later.up({ auto: false })
    await until(() => later.status().servers[0]?.state === 'connected')
    await until(() => isAtServer(server, other))
  })

  test('needs no yes when it was started to bridge by itself', async () => {
    const { other } = await camp()
    const bridging = await bridgingOf(other)
    bridging.up({ auto: true })
    await until(() => bridging.status().servers[0]?.state === 'connected')
    await bridging.close()
    expect((await bridgingOf(other)).status().servers[0]?.allowed).toBe(false)
  })

  test('rests when it is told so, until it is told otherwise', async () => {
    const { server, other } = await camp()
    const bridging = await bridgingOf(other)
    bridging.up({ auto: false })
    await bridging.allow()
    await until(() => bridging.status().servers[0]?.state === 'connected')
    await bridging.pause(true)
    expect(bridging.status()).toMatchObject({ paused: true, servers: [{ state: 'idle' }] })
    expect(other.runtime.driver.engine.sessionWith(server.server.keys.device)).toBeUndefined()
    await bridging.close()
    const later = await bridgingOf(other)
    later.up({ auto: false })
    expect(later.status()).toMatchObject({ paused: true, servers: [{ state: 'idle' }] })
    await later.pause(false)
    await until(() => later.status().servers[0]?.state === 'connected')
  })

  test('one without it is never connected, and says so', async () => {
    const { clinician } = await camp()
    const bridging = await bridgingOf(clinician)
    bridging.up({ auto: true })
    expect(bridging.status()).toMatchObject({ mayBridge: false, servers: [{ state: 'idle' }] })
    expect(bridging.notices()).toEqual([])
    await expect(bridging.allow()).rejects.toMatchObject({ code: 'NOT_ALLOWED' })
  })

  test('knows only servers that there are', async () => {
    const { other } = await camp()
    const bridging = await bridgingOf(other)
    await expect(bridging.allow('nowhere')).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test('gets the right by a certificate that says so', async () => {
    const { mesh, clinician } = await camp()
    const bridging = await bridgingOf(clinician)
    bridging.up({ auto: true })
    const { agreementKey } = clinician.membership.chain[0]!
    const certificate = issueCertificate(
      {
        mesh: mesh.mesh,
        device: clinician.id,
        agreementKey,
        role: 'clinician',
        rights: { read: true, write: true, bridge: true },
        issuedAtMs: mesh.nowMs + 1_000,
      },
      mesh.founder.keys.signing,
      systemRandom,
    )
    await mesh.founder.facts([{ kind: 'certificate', certificate }])
    await until(() => bridging.status().servers[0]?.state === 'connected')
  })
})

describe('without a way out', () => {
  test('a sign-in page is no server: it is told, and tried again when the network changes', async () => {
    const server = await TestServer.start()
    const { founder } = await TestMesh.found()
    const bridging = await bridgingOf(founder)
    const { device } = await bridging.add(await codeOf(server))
    const page = createServer((_request, response) => response.end('<html>Please sign in'))
    const address = await listening(page)
    await founder.facts([{ kind: 'server', device: device.id, addresses: [address] }])
    bridging.up({ auto: false })
    await until(() => bridging.status().servers[0]?.problem?.code === 'CAPTIVE_PORTAL')
    expect(bridging.notices()).toMatchObject([{ code: 'CAPTIVE_PORTAL' }])
    const { state, nextTry } = bridging.status().servers[0]!
    expect(state).toBe('waiting')
    expect(Date.parse(nextTry!)).toBeGreaterThan(0)
    // The right address comes with the facts; the next try finds it.
    await founder.facts([
      { kind: 'server', device: device.id, addresses: [address, server.server.address] },
    ])
    await until(() => bridging.status().servers[0]?.state === 'connected')
  })

  test('the server that comes back is found again, and takes what was written meanwhile', async () => {
    const server = await TestServer.start()
    const { founder } = await TestMesh.found()
    const bridging = await bridgingOf(founder)
    await bridging.add(await codeOf(server))
    bridging.up({ auto: false })
    await until(() => isAtServer(server, founder))
    const port = Number(new URL(server.server.address).port)
    await server.server.close()
    await until(() => bridging.status().servers[0]?.state === 'waiting')
    await founder.set('a', { x: '1' })
    await server.start({ port })
    await until(() => isAtServer(server, founder), 20_000)
  })
})

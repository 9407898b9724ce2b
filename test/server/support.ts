import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { startChannelLink } from '../../src/bridge/channel-link.ts'
import { dialServer } from '../../src/bridge/dial-server.ts'
import type { ChannelTicket } from '../../src/bridge/inner-channel.ts'
import type { DialOptions } from '../../src/bridge/dial-server.ts'
import { registerMesh } from '../../src/bridge/register-mesh.ts'
import type { RegistrationTerms } from '../../src/bridge/register-mesh.ts'
import { decodeServerInvitation } from '../../src/bridge/server-invitation.ts'
import { limits } from '../../src/core/limits.ts'
import { systemRandom } from '../../src/device/system.ts'
import { issueCertificate } from '../../src/identity/certificate.ts'
import type { Certificate } from '../../src/identity/certificate.ts'
import { epochIdOf, sealEpochKey } from '../../src/identity/epoch.ts'
import type { ServerLog } from '../../src/server/served-mesh.ts'
import { HavenServer } from '../../src/server/haven-server.ts'
import type { ServerOptions } from '../../src/server/haven-server.ts'
import { inviteMesh } from '../../src/server/invite-mesh.ts'
import type { ServerPlace } from '../../src/server/open-server-home.ts'
import type { TestDevice } from '../device/support/test-device.ts'

export type LogLine = Parameters<ServerLog>[0]

/** A server in this process, on loopback, over a directory of its own; all is gone when the test has finished. */
export class TestServer {
  readonly dataDir: string
  readonly place: ServerPlace
  readonly log: LogLine[] = []
  server!: HavenServer

  private constructor(dataDir: string, place: ServerPlace = { dataDir }) {
    this.dataDir = dataDir
    this.place = place
  }

  /** @param options.dataDir - instead of one of its own */
  static async start({
    dataDir,
    ...options
  }: Partial<ServerOptions> & { readonly dataDir?: string } = {}): Promise<TestServer> {
    const parent = await mkdtemp(join(tmpdir(), 'haven-server-'))
    const made = new TestServer(dataDir ?? join(parent, 'data'), options.place)
    onTestFinished(async () => {
      await made.server?.close()
      await rm(parent, { recursive: true, force: true, maxRetries: 5 })
    })
    await made.start(options)
    return made
  }

  async start(options: Partial<ServerOptions> = {}): Promise<void> {
    this.server = await HavenServer.start({
      place: this.place,
      host: '127.0.0.1',
      port: 0,
      quota: { meshBytes: 1e9, deviceBytesPerDay: 1e9 },
      log: (line) => this.log.push(line),
      ...options,
    })
  }

  async restart(options: Partial<ServerOptions> = {}): Promise<void> {
    await this.server.close()
    await this.start(options)
  }

  async invite(ttlMs = 60_000) {
    const { code } = await inviteMesh(this.place, { ttlMs })
    return decodeServerInvitation(code)
  }
}

/** What an admin's device says so that the server takes its mesh in. */
export async function termsOf(
  admin: TestDevice,
  server: TestServer,
  more: Partial<RegistrationTerms> = {},
): Promise<RegistrationTerms & { certificate: Certificate }> {
  const invitation = more.invitation ?? (await server.invite())
  const { mesh } = admin.mesh
  const certificate = issueCertificate(
    {
      mesh,
      device: invitation.server.device,
      agreementKey: invitation.server.agreementKey,
      role: 'server',
      issuedAtMs: admin.mesh.nowMs,
    },
    admin.keys.signing,
    systemRandom,
  )
  const { meshCollection } = admin.runtime.control
  const to = { mesh, collection: meshCollection, agreementKey: invitation.server.agreementKey }
  const grants = admin.runtime.control
    .heldKeys()
    .filter(({ collection }) => collection === meshCollection)
    .map(({ collection, key }) => ({
      collection,
      epoch: epochIdOf(key),
      sealed: sealEpochKey(key, to, systemRandom),
    }))
  return {
    invitation,
    keys: admin.keys,
    mesh,
    chain: [certificate, ...admin.membership.chain],
    grants,
    random: systemRandom,
    certificate,
    ...more,
  }
}

/** Registers the mesh, and writes down that the server is a member. */
export async function register(admin: TestDevice, server: TestServer): Promise<void> {
  const terms = await termsOf(admin, server)
  await registerMesh(terms)
  await admin.facts([{ kind: 'certificate', certificate: terms.certificate }])
}

/** A device connects to the server, as its bridge does. */
export async function bridged(
  device: TestDevice,
  { server }: TestServer,
  more: Partial<DialOptions> = {},
): Promise<{ cut: () => void; reasons: string[]; ticket: ChannelTicket | undefined }> {
  const { mesh } = device.mesh
  const { socket, connection, ticket } = await dialServer({
    address: server.address,
    server: server.keys,
    keys: device.keys,
    mesh,
    purpose: 'sync',
    random: systemRandom,
    ...more,
  })
  onTestFinished(() => socket.terminate())
  const reasons: string[] = []
  startChannelLink({
    socket,
    connection,
    side: 'dialler',
    remoteAddress: server.address,
    firstFrameBytes: limits.frameBytes,
    accept: device.runtime.driver.accept,
    onClosed: (reason) => reasons.push(reason),
  })
  return { cut: () => socket.terminate(), reasons, ticket }
}

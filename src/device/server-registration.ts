/** An admin's device lets a server into the mesh: a certificate for it, the keys by which it knows members, and where others find it. */
import { bytesToHex } from '../core/bytes.ts'
import type { Clock, Random } from '../core/environment.ts'
import { HavenError } from '../core/errors.ts'
import { registerMesh } from '../bridge/register-mesh.ts'
import { decodeServerInvitation } from '../bridge/server-invitation.ts'
import type { ServerInvitation } from '../bridge/server-invitation.ts'
import { issueCertificate } from '../identity/certificate.ts'
import type { Certificate } from '../identity/certificate.ts'
import { factTypes } from '../identity/control-fact.ts'
import type { Fact } from '../identity/control-fact.ts'
import { sealEpochKey } from '../identity/epoch.ts'
import type { KeyGrant } from '../identity/epoch.ts'
import type { ControlPlane } from './control-plane.ts'
import type { MeshRuntime } from './mesh-runtime.ts'

/**
 * Repeating it, after whatever interruption, is harmless.
 *
 * @returns the server's device id
 * @throws HavenError `NOT_ALLOWED` unless this device is an admin; `INVITATION_INVALID`, and those of `registerMesh`
 */
export async function registerWithServer(
  runtime: MeshRuntime,
  code: string,
  { clock, random }: { readonly clock: Clock; readonly random: Random },
): Promise<string> {
  const { control } = runtime
  if (control.ownRole !== 'admin') {
    throw new HavenError(
      'NOT_ALLOWED',
      'Only an admin can let a server into the mesh. Do it on the device of an admin.',
    )
  }
  control.assertTakesWrites()
  const invitation = decodeServerInvitation(code)
  const { device } = invitation.server
  if (control.membership.isRevoked(device)) {
    throw new HavenError(
      'NOT_ALLOWED',
      'This server was removed from the mesh. Set up another one, with keys of its own.',
    )
  }
  const certificate =
    ownCertificateFor(control, invitation) ??
    issueCertificate(
      {
        mesh: control.meshId,
        ...invitation.server,
        role: 'server',
        issuedAtMs: Math.floor(clock.nowMs()),
      },
      control.keys.signing,
      random,
    )
  await registerMesh({
    invitation,
    keys: control.keys,
    mesh: control.meshId,
    chain: [certificate, ...control.ownCertificate().chain],
    grants: meshKeys(control, invitation, random),
    random,
  })
  const facts = factsOf(runtime, invitation, certificate)
  if (facts.length > 0) await runtime.writeFacts(facts)
  return device
}

/** A certificate that this device gave it before, for the same keys. */
function ownCertificateFor(
  control: ControlPlane,
  { server }: ServerInvitation,
): Certificate | undefined {
  const member = control.membership.member(server.device)
  const isSame =
    member?.role === 'server' &&
    member.certificate.issuer === control.device &&
    bytesToHex(member.certificate.agreementKey) === bytesToHex(server.agreementKey)
  return isSame ? member.certificate : undefined
}

function meshKeys(control: ControlPlane, { server }: ServerInvitation, random: Random): KeyGrant[] {
  const to = {
    mesh: control.meshId,
    collection: control.meshCollection,
    agreementKey: server.agreementKey,
  }
  return control
    .heldKeys()
    .filter(({ collection }) => collection === control.meshCollection)
    .map(({ collection, key }) => ({
      collection,
      epoch: control.epochOf(key),
      sealed: sealEpochKey(key, to, random),
    }))
}

function factsOf(
  runtime: MeshRuntime,
  { server, address }: ServerInvitation,
  certificate: Certificate,
): Fact[] {
  const { membership } = runtime.control
  const { device } = server
  const facts: Fact[] = []
  if (membership.certificate(certificate.id) === undefined)
    facts.push({ kind: 'certificate', certificate })
  const known = membership.servers.get(device) ?? []
  if (known[0] !== address) facts.push({ kind: 'server', device, addresses: [address] })
  const name = runtime.sealLabel(new URL(address).hostname.slice(0, 64), factTypes.deviceName)
  if (name !== undefined && membership.member(device)?.name === undefined)
    facts.push({ kind: 'deviceName', device, name })
  return facts
}

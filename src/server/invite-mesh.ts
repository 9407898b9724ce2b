/** Makes a code for one mesh, beside a running server or without one: nothing is written, since the secret follows from the server's keys. */
import { encodeServerInvitation, newServerInvitation } from '../bridge/server-invitation.ts'
import { rfc3339, systemClock, systemRandom } from '../device/system.ts'
import { ServerDirectory } from './server-directory.ts'

export interface MeshInvitation {
  readonly code: string
  /** Where devices will look for the server. */
  readonly address: string
  readonly expires: string
}

/** @throws HavenError `NOT_FOUND` where no server has run, `KEYSTORE_UNREADABLE`, `USAGE` */
export async function inviteMesh(options: {
  readonly dataDir: string
  readonly passphrase: string | undefined
  readonly ttlMs: number
}): Promise<MeshInvitation> {
  const directory = await ServerDirectory.look(options.dataDir, options.passphrase)
  const { keys, invitationKey } = directory.secrets
  const invitation = newServerInvitation(
    {
      key: invitationKey,
      server: { device: keys.device, agreementKey: keys.agreement.publicKey },
      address: await directory.address(),
      expiresAtMs: systemClock.nowMs() + options.ttlMs,
    },
    systemRandom,
  )
  return {
    code: encodeServerInvitation(invitation),
    address: invitation.address,
    expires: rfc3339(invitation.expiresAtS * 1000),
  }
}

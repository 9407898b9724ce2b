/** Makes a code for one mesh, beside a running server or without one: nothing is written, since the secret follows from the server's keys. */
import { encodeServerInvitation, newServerInvitation } from '../bridge/server-invitation.ts'
import { rfc3339, systemClock, systemRandom } from '../device/system.ts'
import { lookAtServerHome } from './open-server-home.ts'
import type { ServerPlace } from './open-server-home.ts'

export interface MeshInvitation {
  readonly code: string
  /** Where devices will look for the server. */
  readonly address: string
  readonly expires: string
}

/** @throws HavenError `NOT_FOUND` where no server has run, `KEYSTORE_UNREADABLE`, `USAGE` */
export async function inviteMesh(
  place: ServerPlace,
  { ttlMs }: { readonly ttlMs: number },
): Promise<MeshInvitation> {
  const home = await lookAtServerHome(place)
  try {
    const { keys, invitationKey } = home.secrets
    const invitation = newServerInvitation(
      {
        key: invitationKey,
        server: { device: keys.device, agreementKey: keys.agreement.publicKey },
        address: await home.address(),
        expiresAtMs: systemClock.nowMs() + ttlMs,
      },
      systemRandom,
    )
    return {
      code: encodeServerInvitation(invitation),
      address: invitation.address,
      expires: rfc3339(invitation.expiresAtS * 1000),
    }
  } finally {
    await home.close()
  }
}

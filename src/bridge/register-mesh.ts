/** Registers a mesh with a server: one request over an inner channel of its own, and one answer. */
import type { Random } from '../core/environment.ts'
import { HavenError, isErrorCode } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Certificate } from '../identity/certificate.ts'
import type { DeviceKeys } from '../identity/device-key.ts'
import type { KeyGrant } from '../identity/epoch.ts'
import { startChannelLink } from './channel-link.ts'
import { dialServer } from './dial-server.ts'
import type { DialledServer } from './dial-server.ts'
import { decodeRegistrationAnswer, encodeRegistrationRequest } from './registration.ts'
import { invitationProof } from './server-invitation.ts'
import type { ServerInvitation } from './server-invitation.ts'

export interface RegistrationTerms {
  readonly invitation: ServerInvitation
  /** An admin's. */
  readonly keys: DeviceKeys
  readonly mesh: string
  /** From the server's certificate by this admin up to the root's. */
  readonly chain: readonly Certificate[]
  /** Of `_mesh`, sealed to the server. */
  readonly grants: readonly KeyGrant[]
  readonly random: Random
}

/**
 * Resolves when the server has taken the mesh in, durably. Doing it again is harmless.
 *
 * @throws HavenError `SERVER_NOT_FOUND`, `INVITATION_EXPIRED`, `INVITATION_USED`, `INVITATION_INVALID`, and what else the server answers
 */
export async function registerMesh(terms: RegistrationTerms): Promise<void> {
  const { invitation, keys, mesh, random } = terms
  const { server, address } = invitation
  const dialled = await dialServer({ address, server, keys, mesh, purpose: 'register', random })
  const { code, sentence } = decodeRegistrationAnswer(await ask(dialled, terms))
  if (code !== '') throw new HavenError(isErrorCode(code) ? code : 'PEER_CLOSED', sentence)
}

function ask({ socket, connection }: DialledServer, terms: RegistrationTerms): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const link = startChannelLink({
      socket,
      connection,
      side: 'dialler',
      remoteAddress: terms.invitation.address,
      firstFrameBytes: limits.helloBytes,
      accept: () => ({
        received(frame) {
          resolve(frame)
          link.close('answered')
        },
        writable() {},
        closed() {
          reject(
            new HavenError(
              'PEER_CLOSED',
              'The connection ended before the server had answered. Use the same code again.',
            ),
          )
        },
      }),
    })
    link.send(
      encodeRegistrationRequest({
        invitation: terms.invitation,
        proof: invitationProof(terms.invitation.secret, connection.binding),
        chain: terms.chain,
        keys: terms.grants,
      }),
    )
  })
}

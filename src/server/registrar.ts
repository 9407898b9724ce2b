/** Takes meshes in: whoever shows a code of this server, and the certificate by which an admin of the mesh makes the server a member. */
import { timingSafeEqual } from 'node:crypto'
import { HavenError, isHavenError } from '../core/errors.ts'
import { decodeRegistrationRequest, encodeRegistrationAnswer } from '../bridge/registration.ts'
import type { RegistrationRequest } from '../bridge/registration.ts'
import { invitationProof, invitationSecret } from '../bridge/server-invitation.ts'
import type { Claim } from '../bridge/inner-channel.ts'
import { Mutex } from '../device/mutex.ts'
import { verifyChain } from '../identity/certificate-chain.ts'
import { openEpochKey } from '../identity/epoch.ts'
import { meshCollectionId } from '../identity/names.ts'
import type { Link, LinkHandler } from '../sync/link.ts'
import type { ServerMembership, ServerLog } from './served-mesh.ts'
import type { ServerHome } from './server-home.ts'

export interface RegistrarOptions {
  readonly home: ServerHome
  readonly nowMs: () => number
  /** Makes the server a member of the mesh, durably. */
  readonly takeIn: (mesh: string, membership: ServerMembership) => Promise<void>
  readonly log: ServerLog
}

export class Registrar {
  readonly #options: RegistrarOptions
  readonly #oneByOne = new Mutex()

  constructor(options: RegistrarOptions) {
    this.#options = options
  }

  /** One request, one answer. */
  converse(link: Link, claim: Claim): LinkHandler {
    let isAsked = false
    return {
      received: (frame) => {
        if (isAsked) return
        isAsked = true
        void (async () => {
          link.send(await this.#answer(frame, claim, link.binding))
          link.close('answered')
        })()
      },
      writable() {},
      closed() {},
    }
  }

  async #answer(frame: Uint8Array, claim: Claim, binding: Uint8Array): Promise<Uint8Array> {
    const { log } = this.#options
    const { mesh, device } = claim
    try {
      await this.#oneByOne.run(() => this.#register(frame, claim, binding))
      log({ level: 'info', code: 'REGISTERED', message: 'A mesh was registered.', mesh, device })
      return encodeRegistrationAnswer({ code: '', sentence: '' })
    } catch (error) {
      const known = isHavenError(error)
        ? error
        : new HavenError('INTERNAL', 'The server could not register the mesh. Its log says more.', {
            cause: error,
          })
      const { code, message } = known
      log({ level: 'warn', code, message, mesh, device, cause: known.cause })
      return encodeRegistrationAnswer({ code, sentence: message })
    }
  }

  async #register(frame: Uint8Array, claim: Claim, binding: Uint8Array): Promise<void> {
    const { home, takeIn } = this.#options
    const request = decodeRegistrationRequest(frame)
    await this.#checkInvitation(request, claim.mesh, binding)
    const membership = this.#membershipFrom(request, claim)
    // From here on the code is this mesh's, also if we stop now.
    const bound = await home.bindInvitation(request.invitation.nonce, claim.mesh)
    if (bound !== claim.mesh) throw invitationUsed()
    await takeIn(claim.mesh, membership)
  }

  async #checkInvitation(
    { invitation, proof }: RegistrationRequest,
    mesh: string,
    binding: Uint8Array,
  ): Promise<void> {
    const { home, nowMs } = this.#options
    const secret = invitationSecret(home.secrets.invitationKey, invitation)
    if (!timingSafeEqual(invitationProof(secret, binding), proof)) {
      throw new HavenError(
        'INVITATION_INVALID',
        'This code is not one of this server. Ask for a new one.',
      )
    }
    const usedFor = await home.meshOfInvitation(invitation.nonce)
    if (usedFor !== undefined && usedFor !== mesh) throw invitationUsed()
    // The same mesh may finish what was interrupted, also when the time is over.
    if (usedFor === undefined && nowMs() >= invitation.expiresAtS * 1000) {
      throw new HavenError('INVITATION_EXPIRED', 'This code has expired. Ask for a new one.')
    }
  }

  /** @throws HavenError `NOT_ALLOWED`, and those of `verifyChain` */
  #membershipFrom({ chain, keys }: RegistrationRequest, claim: Claim): ServerMembership {
    const own = this.#options.home.secrets.keys
    const certificate = verifyChain(claim.mesh, chain)
    const isOurs =
      certificate.device === own.device &&
      certificate.role === 'server' &&
      Buffer.from(certificate.agreementKey).equals(own.agreement.publicKey)
    if (!isOurs || certificate.issuer !== claim.device) {
      throw new HavenError(
        'NOT_ALLOWED',
        'A mesh is registered by one of its admins, with a certificate for this server.',
      )
    }
    const collection = meshCollectionId(claim.mesh)
    const opened = keys.flatMap((grant) => {
      const name = { mesh: claim.mesh, collection, epoch: grant.epoch }
      const key =
        grant.collection === collection
          ? openEpochKey(grant.sealed, name, own.agreement)
          : undefined
      return key === undefined ? [] : [{ collection, key }]
    })
    // Keys of records have no business here, and without one of `_mesh` the server would recognise nobody.
    if (opened.length === 0 || opened.length !== keys.length) {
      throw new HavenError(
        'MALFORMED',
        'A registration did not bring the keys that a server needs, or brought others.',
      )
    }
    return { chain, keys: opened }
  }
}

function invitationUsed(): HavenError {
  return new HavenError('INVITATION_USED', 'Another mesh has used this code. Ask for a new one.')
}

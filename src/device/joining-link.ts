/** The joining device's side of a join, and of a recovery: a short conversation over one link, before there is a mesh to sync. */

import type { Random } from '../core/environment.ts'
import { HavenError, isErrorCode } from '../core/errors.ts'
import { verifyChain } from '../identity/certificate-chain.ts'
import type { Certificate } from '../identity/certificate.ts'
import type { DeviceKeys } from '../identity/device-key.ts'
import type { KeyGrant } from '../identity/epoch.ts'
import { openHello, sealHello } from '../identity/hello.ts'
import { inviterHash } from '../identity/invitation.ts'
import { decodeJoinOffer, encodeJoinConfirm, encodeJoinRequest } from '../identity/joining.ts'
import type { JoinOffer } from '../identity/joining.ts'
import type { Link, LinkHandler } from '../sync/link.ts'
import { decodeMessage, encodeMessage } from '../sync/message.ts'
import { decodeSections, encodeSections } from '../sync/section.ts'
import type { Section } from '../sync/section.ts'

export interface JoinTerms {
  readonly mesh: string
  readonly key: Uint8Array
  /** Names the admin whose invitation it is. */
  readonly inviter: string
  readonly keys: DeviceKeys
  readonly deviceName: string
  readonly random: Random
  /** Makes the offer durable: only then it is confirmed. */
  readonly store: (offer: JoinOffer, inviterChain: readonly Certificate[]) => Promise<void>
}

/** A conversation's end: `done`, or why not. */
export type JoinEnd =
  | { readonly done: true }
  | { readonly done: false; readonly error: HavenError; readonly final: boolean }

/** Asks for a certificate over a link that this device has dialled. `end` is called once. */
export function joinOverLink(
  link: Link,
  terms: JoinTerms,
  end: (end: JoinEnd) => void,
): LinkHandler {
  const ownNonce = terms.random.bytes(16)
  let state: 'hello-sent' | 'answered' | 'storing' | 'confirmed' | 'ended' = 'hello-sent'
  const finish = (result: JoinEnd): void => {
    if (state === 'ended') return
    state = 'ended'
    link.close(result.done ? 'joined' : result.error.code)
    end(result)
  }
  const fail = (error: unknown, final = false): void => {
    finish({
      done: false,
      error:
        error instanceof HavenError
          ? error
          : new HavenError('INTERNAL', 'Joining failed.', { cause: error }),
      final,
    })
  }
  queueMicrotask(() => {
    try {
      const request = encodeJoinRequest({
        agreementKey: terms.keys.agreement.publicKey,
        deviceName: terms.deviceName,
      })
      link.send(
        sealHello(
          {
            key: terms.key,
            side: 'dialler',
            mode: 'join',
            keys: terms.keys,
            certificates: [],
            certificateId: undefined,
            ownNonce,
            peerNonce: undefined,
            binding: link.binding,
            mesh: terms.mesh,
            sections: encodeSections([{ tag: 'join-request', body: request }]),
          },
          terms.random,
        ),
      )
    } catch (error) {
      fail(error)
    }
  })

  const answered = async (frame: Uint8Array): Promise<void> => {
    const hello = openHello(frame, {
      keys: [terms.key],
      sender: 'listener',
      diallerNonce: ownNonce,
      binding: link.binding,
      mesh: terms.mesh,
    })
    if (hello === undefined) throw notTheInviter()
    if (hello.kind === 'refusal') throw refusedWith(hello.code)
    if (!hello.signatureValid) throw notTheInviter()
    const inviter = verifyChain(terms.mesh, hello.certificates)
    if (
      inviter.device !== hello.device ||
      inviter.role !== 'admin' ||
      inviterHash(inviter.device) !== terms.inviter
    )
      throw notTheInviter()
    const sections = decodeSections(hello.sections)
    throwFault(sections)
    const offered = sections.find((section) => section.tag === 'join-offer')
    if (offered === undefined) throw notTheInviter()
    const offer = decodeJoinOffer(offered.body)
    const own = verifyChain(terms.mesh, [offer.certificate, ...hello.certificates])
    if (own.device !== terms.keys.device) throw notTheInviter()
    state = 'storing'
    await terms.store(offer, hello.certificates)
    state = 'confirmed'
    const confirm = encodeSections([
      { tag: 'join-confirm', body: encodeJoinConfirm(offer.certificate.id) },
    ])
    link.send(encodeMessage({ type: 'ack', messageId: 1, timeMs: 0 }, confirm))
  }

  // What came before the end of the link counts before the end does.
  let heard: Promise<void> = Promise.resolve()
  return {
    received(frame) {
      if (state === 'hello-sent') {
        state = 'answered'
        heard = answered(frame).catch((error: unknown) => {
          fail(error, error instanceof HavenError && finalCodes.has(error.code))
        })
      } else if (state === 'confirmed') {
        try {
          const { sections } = decodeMessage(frame)
          throwFault(sections)
          if (sections.some((section) => section.tag === 'join-welcome')) finish({ done: true })
        } catch (error) {
          fail(error)
        }
      }
    },
    writable() {
      // Two small frames: they always fit.
    },
    closed() {
      void (async () => {
        await heard
        // Who leaves without a word is a stranger, or of another mesh.
        if (state === 'hello-sent') fail(notTheInviter())
        else {
          fail(
            new HavenError(
              'PEER_CLOSED',
              'The connection to the inviting device ended before it had confirmed. Try the same code again.',
            ),
          )
        }
      })()
    },
  }
}

/** Codes after which trying another address, or again, makes no sense. */
const finalCodes = new Set<string>([
  'INVITATION_EXPIRED',
  'INVITATION_USED',
  'INVITATION_INVALID',
  'VERSION_MISMATCH',
])

export interface RecoverTerms {
  readonly mesh: string
  readonly key: Uint8Array
  readonly keys: DeviceKeys
  readonly certificate: Certificate
  readonly random: Random
  readonly store: (grants: readonly KeyGrant[]) => Promise<void>
}

/** Asks any member for the keys of the mesh, as an admin by a certificate from the root. */
export function recoverOverLink(
  link: Link,
  terms: RecoverTerms,
  end: (end: JoinEnd) => void,
): LinkHandler {
  const ownNonce = terms.random.bytes(16)
  let state: 'hello-sent' | 'asked' | 'ended' = 'hello-sent'
  const finish = (result: JoinEnd): void => {
    if (state === 'ended') return
    state = 'ended'
    link.close(result.done ? 'recovered' : result.error.code)
    end(result)
  }
  const fail = (error: unknown): void => {
    finish({
      done: false,
      error:
        error instanceof HavenError
          ? error
          : new HavenError('INTERNAL', 'Recovery failed.', { cause: error }),
      final: false,
    })
  }
  queueMicrotask(() => {
    link.send(
      sealHello(
        {
          key: terms.key,
          side: 'dialler',
          mode: 'recover',
          keys: terms.keys,
          certificates: [terms.certificate],
          certificateId: terms.certificate.id,
          ownNonce,
          peerNonce: undefined,
          binding: link.binding,
          mesh: terms.mesh,
          sections: encodeSections([]),
        },
        terms.random,
      ),
    )
  })
  const answered = (frame: Uint8Array): void => {
    const hello = openHello(frame, {
      keys: [terms.key],
      sender: 'listener',
      diallerNonce: ownNonce,
      binding: link.binding,
      mesh: terms.mesh,
    })
    if (hello === undefined || (hello.kind === 'hello' && !hello.signatureValid))
      throw notTheInviter()
    if (hello.kind === 'refusal') throw refusedWith(hello.code)
    verifyChain(terms.mesh, hello.certificates)
    throwFault(decodeSections(hello.sections))
    state = 'asked'
    link.send(
      encodeMessage(
        { type: 'sync_request', messageId: 1, timeMs: 0 },
        encodeSections([{ tag: 'key-wanted', epochs: [] }]),
      ),
    )
  }
  const told = async (frame: Uint8Array): Promise<void> => {
    const { sections } = decodeMessage(frame)
    throwFault(sections)
    const grants = sections.flatMap((section) =>
      section.tag === 'key' ? [{ ...section.key, sealed: section.key.sealed.slice() }] : [],
    )
    if (grants.length === 0) return
    await terms.store(grants)
    finish({ done: true })
  }
  let heard: Promise<void> = Promise.resolve()
  return {
    received(frame) {
      if (state === 'hello-sent') {
        try {
          answered(frame)
        } catch (error) {
          fail(error)
        }
      } else if (state === 'asked') {
        heard = heard.then(() => told(frame)).catch(fail)
      }
    },
    writable() {
      // Two small frames: they always fit.
    },
    closed() {
      void (async () => {
        await heard
        fail(
          new HavenError(
            'PEER_CLOSED',
            'The connection ended before the keys had come. Try again.',
          ),
        )
      })()
    },
  }
}

function throwFault(sections: readonly Section[]): void {
  const fault = sections.find((section) => section.tag === 'fault')
  if (fault?.tag === 'fault')
    throw new HavenError(isErrorCode(fault.code) ? fault.code : 'PEER_CLOSED', fault.sentence)
}

function refusedWith(code: string): HavenError {
  return new HavenError(
    isErrorCode(code) ? code : 'PEER_CLOSED',
    `The other device refused (${code}).`,
  )
}

function notTheInviter(): HavenError {
  return new HavenError(
    'INVITER_NOT_FOUND',
    'The device that answered is not the one that gave the invitation. Check that both are on the same network.',
  )
}

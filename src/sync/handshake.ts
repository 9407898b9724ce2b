/**
 * The hellos of a session, from the engine's side: which key opens them, whether they prove a member, and what is answered
 * (docs/protocol.md, Handshake). The bytes are `identity/hello.ts`'s business.
 */
import { bytesToHex } from '../core/bytes.ts'
import type { Random } from '../core/environment.ts'
import { HavenError } from '../core/errors.ts'
import type { Certificate } from '../identity/certificate.ts'
import { helloHead, openHello, sealHello, sealHelloRefusal } from '../identity/hello.ts'
import type { Hello } from '../identity/hello.ts'
import type { Authority } from './engine-port.ts'
import { decodeSections, encodeSections } from './section.ts'
import type { Section } from './section.ts'
import type { Session } from './session.ts'

type Plain = Exclude<Section, { tag: 'run' }>

export type OpenedHello =
  | { readonly kind: 'member'; readonly device: string; readonly sections: readonly Section[] }
  | {
      readonly kind: 'join'
      readonly device: string
      readonly code: string
      readonly sections: readonly Section[]
    }
  | { readonly kind: 'turn-away'; readonly device: string; readonly revocation: Uint8Array }
  | { readonly kind: 'need-certificate' }
  /** The listener asks us for our chain. */
  | { readonly kind: 'certificate-needed' }
  /** The listener will not talk to us. */
  | { readonly kind: 'refused'; readonly code: string }

const certificateNeeded = 'CERTIFICATE_NEEDED'

export class Handshake {
  readonly #authority: Authority
  readonly #random: Random

  constructor(authority: Authority, random: Random) {
    this.#authority = authority
    this.#random = random
  }

  /** The dialler's hello; undefined while this device has no key to say it under. */
  greet(session: Session, sections: readonly Plain[]): Uint8Array | undefined {
    const key = this.#authority.discoveryKeys()[0]
    if (key === undefined) return undefined
    session.helloKey = key
    session.ownNonce = this.#random.bytes(16)
    return this.#seal(session, key, session.showedChain, undefined, sections)
  }

  /** The listener's hello. It shows its chain unless both clocks are the same: then the dialler has heard of it. */
  answer(session: Session, sections: readonly Plain[]): Uint8Array {
    if (session.helloKey === undefined)
      throw new TypeError('a hello is answered under the key that it named')
    session.ownNonce = this.#random.bytes(16)
    const digest = sections.find((section) => section.tag === 'digest')
    const known = digest?.tag === 'digest' && digest.digest === session.theirDigest
    return this.#seal(session, session.helloKey, !known, session.peerNonce, sections)
  }

  askForCertificate(session: Session): Uint8Array {
    return this.#refuse(session, certificateNeeded)
  }

  /** A code for who opened its hello under a key that we have; undefined for strangers. */
  refusal(session: Session, code: string): Uint8Array | undefined {
    if (session.side !== 'listener' || session.helloKey === undefined) return undefined
    return this.#refuse(session, code)
  }

  /** Which version is spoken here, for who speaks another: all that can be said without a common key. */
  versionFrame(): Uint8Array {
    return helloHead(new Uint8Array(24))
  }

  /**
   * Opens the peer's first frame, and says what it is.
   *
   * @throws HavenError `NOT_A_MEMBER`, `WRONG_MESH`, `BAD_SIGNATURE`, `VERSION_MISMATCH`, `MALFORMED`, `REVOKED`
   */
  open(session: Session, frame: Uint8Array): OpenedHello {
    return session.side === 'dialler'
      ? this.#openAnswer(session, frame)
      : this.#openGreeting(session, frame)
  }

  #openAnswer(session: Session, frame: Uint8Array): OpenedHello {
    const hello = openHello(frame, {
      keys: session.helloKey === undefined ? [] : [session.helloKey],
      sender: 'listener',
      diallerNonce: session.ownNonce,
      binding: session.binding,
      mesh: bytesToHex(this.#authority.mesh),
    })
    if (hello === undefined) throw stranger()
    if (hello.kind === 'refusal') {
      return hello.code === certificateNeeded
        ? { kind: 'certificate-needed' }
        : { kind: 'refused', code: hello.code }
    }
    const sections = decodeSections(hello.sections)
    const device = this.#prove(hello)
    if (device === undefined) throw stranger()
    session.peerNonce = hello.nonce
    const fault = sections.find((section) => section.tag === 'fault')
    if (fault?.tag === 'fault') return { kind: 'refused', code: fault.code }
    return { kind: 'member', device, sections }
  }

  #openGreeting(session: Session, frame: Uint8Array): OpenedHello {
    const discovery = this.#authority.discoveryKeys()
    const invitations = this.#authority.invitationKeys()
    const recovery = this.#authority.recoveryKey()
    const keys = [
      ...discovery,
      ...invitations.map(({ key }) => key),
      ...(recovery === undefined ? [] : [recovery]),
    ]
    const hello = openHello(frame, {
      keys,
      sender: 'dialler',
      diallerNonce: undefined,
      binding: session.binding,
      mesh: bytesToHex(this.#authority.mesh),
    })
    if (hello === undefined || hello.kind === 'refusal') throw stranger()
    session.helloKey = keys[hello.keyIndex]
    session.peerNonce = hello.nonce
    const sections = decodeSections(hello.sections)
    const digest = sections.find((section) => section.tag === 'digest')
    if (digest?.tag === 'digest') session.theirDigest = digest.digest
    if (!hello.signatureValid) throw unsigned()
    const invitation = invitations[hello.keyIndex - discovery.length]
    if (hello.mode === 'join') {
      if (invitation === undefined) throw stranger()
      return { kind: 'join', device: hello.device, code: invitation.code, sections }
    }
    if (invitation !== undefined) throw stranger()
    const revocation = this.#authority.revocationOf(hello.device)
    if (revocation !== undefined) return { kind: 'turn-away', device: hello.device, revocation }
    const device = this.#prove(hello)
    return device === undefined
      ? { kind: 'need-certificate' }
      : { kind: 'member', device, sections }
  }

  /** The member whose hello this is; undefined when its certificate is not known here and it has shown no chain. */
  #prove(hello: Hello): string | undefined {
    if (!hello.signatureValid) throw unsigned()
    const shown = hello.certificates.map((certificate: Certificate) => certificate.bytes)
    const device =
      shown.length > 0
        ? this.#authority.acceptChain(shown)
        : hello.certificateId === undefined
          ? undefined
          : this.#authority.deviceOfCertificate(hello.certificateId)
    if (device !== undefined && device !== hello.device) throw stranger()
    return device
  }

  #seal(
    session: Session,
    key: Uint8Array,
    showChain: boolean,
    peerNonce: Uint8Array | undefined,
    sections: readonly Plain[],
  ): Uint8Array {
    const own = this.#authority.ownCertificate()
    return sealHello(
      {
        key,
        side: session.side,
        mode: 'member',
        keys: this.#authority.keys,
        certificates: showChain ? own.chain : [],
        certificateId: own.id,
        ownNonce: session.ownNonce,
        peerNonce,
        binding: session.binding,
        mesh: bytesToHex(this.#authority.mesh),
        sections: encodeSections(sections),
      },
      this.#random,
    )
  }

  #refuse(session: Session, code: string): Uint8Array {
    if (session.helloKey === undefined) throw new TypeError('strangers get no answer')
    return sealHelloRefusal({ key: session.helloKey, side: session.side, code }, this.#random)
  }
}

function stranger(): HavenError {
  return new HavenError(
    'NOT_A_MEMBER',
    'A device that does not belong to this mesh wanted to connect. If it should belong, invite it.',
  )
}

function unsigned(): HavenError {
  return new HavenError(
    'BAD_SIGNATURE',
    'A device could not prove that it is the one that it says it is.',
  )
}

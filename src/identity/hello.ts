/**
 * The first frame of each side of a connection: it proves membership, and shows nothing to anybody else
 * (docs/protocol.md, Handshake).
 */
import { bytesToHex, concatBytes, emptyBytes, equalBytes, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import type { Random } from '../core/environment.ts'
import { assert, HavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { open, seal } from '../crypto/cipher.ts'
import { domainBytes, hmacSha256, sha256 } from '../crypto/hash.ts'
import { hkdf } from '../crypto/kdf.ts'
import { verify } from '../crypto/signing.ts'
import { type Certificate, decodeCertificate } from './certificate.ts'
import type { DeviceKeys } from './device-key.ts'

export type Side = 'dialler' | 'listener'
type HelloMode = 'member' | 'join' | 'recover'

const protocolVersion = { major: 1, minor: 0 } as const

export interface HelloTerms {
  /** 32 bytes that both sides have: discovery key, join key or recovery key. */
  readonly key: Uint8Array
  /** Whose hello it is. */
  readonly side: Side
  readonly mode: HelloMode
  readonly keys: DeviceKeys
  /** From the device's own up to one issued by the root; empty when the peer is believed to know the device. */
  readonly certificates: readonly Certificate[]
  /** The device's own certificate, in hex; undefined while joining. */
  readonly certificateId: string | undefined
  /** 16 random bytes, new for each connection. */
  readonly ownNonce: Uint8Array
  /** The dialler's, in the listener's hello; undefined in the dialler's. */
  readonly peerNonce: Uint8Array | undefined
  /** What ties the proof to the carrier. */
  readonly binding: Uint8Array
  readonly mesh: string
  /** Encoded sections. */
  readonly sections: Uint8Array
}

/** A hello that opened. Who it comes from is proven only if `signatureValid`. */
export interface Hello {
  readonly kind: 'hello'
  /** Index of the key under which it was sealed: a listener answers under the same. */
  readonly keyIndex: number
  /** The peer's minor version; the lower of the two is spoken. */
  readonly minor: number
  readonly mode: HelloMode
  readonly device: string
  /** Decoded, not verified. */
  readonly certificates: readonly Certificate[]
  /** Undefined while joining. */
  readonly certificateId: string | undefined
  /** The sender's. */
  readonly nonce: Uint8Array
  readonly sections: Uint8Array
  /** The device signed both nonces, the binding and the sections: it is there, on this connection, now. */
  readonly signatureValid: boolean
}

/** The listener's answer instead of a hello, e.g. `CERTIFICATE_NEEDED`. */
export interface HelloRefusal {
  readonly kind: 'refusal'
  readonly keyIndex: number
  readonly minor: number
  readonly code: string
}

/** @throws HavenError `LIMIT_EXCEEDED` when the dialler's frame would be longer than a listener accepts */
export function sealHello(terms: HelloTerms, random: Random): Uint8Array {
  const nonces = orderNonces(terms.side, terms.ownNonce, terms.peerNonce)
  const signed = signedBytes({ ...terms, nonces })
  const writer = new ByteWriter()
    .u8(modeNumbers[terms.mode])
    .bytes(hexToBytes(terms.keys.device))
    .varint(terms.certificates.length)
  for (const certificate of terms.certificates) writer.lengthPrefixed(certificate.bytes)
  const body = writer
    .bytes(terms.certificateId === undefined ? zeros16 : hexToBytes(terms.certificateId))
    .bytes(terms.ownNonce)
    .bytes(terms.keys.signing.sign(signDomain, signed))
    .bytes(terms.sections)
    .finish()
  const frame = sealFrame(terms, body, random)
  if (frame.length > maxFrameBytes(terms.side)) {
    throw new HavenError('LIMIT_EXCEEDED', 'The first frame of a connection has become too long.')
  }
  return frame
}

/** @param code - e.g. `CERTIFICATE_NEEDED`: the dialler says hello again, with its chain */
export function sealHelloRefusal(
  terms: { readonly key: Uint8Array; readonly side: Side; readonly code: string },
  random: Random,
): Uint8Array {
  const body = new ByteWriter().u8(refusalMode).text(terms.code).finish()
  return sealFrame(terms, body, random)
}

/**
 * Opens the first frame of a peer.
 *
 * @param terms.keys - candidates, the likeliest first
 * @param terms.sender - whose hello it is
 * @param terms.diallerNonce - own nonce of the dialler who opens the listener's hello; undefined for a listener
 * @returns undefined when it was sealed under none of the keys: a stranger, to whom nothing is answered
 * @throws HavenError `VERSION_MISMATCH`; `MALFORMED` when who has the key wrote something else inside
 */
export function openHello(
  frame: Uint8Array,
  terms: {
    readonly keys: readonly Uint8Array[]
    readonly sender: Side
    readonly diallerNonce: Uint8Array | undefined
    readonly binding: Uint8Array
    readonly mesh: string
  },
): Hello | HelloRefusal | undefined {
  if (frame.length < clearBytes || frame.length > maxFrameBytes(terms.sender)) return undefined
  if (frame[0] !== magic) return undefined
  if (frame[1] !== protocolVersion.major) {
    throw new HavenError(
      'VERSION_MISMATCH',
      `The peer speaks version ${frame[1]} of the protocol, this device version ${protocolVersion.major}. Update the older one.`,
    )
  }
  const nonce = frame.subarray(3, 19)
  const tag = frame.subarray(19, clearBytes)
  const keyIndex = terms.keys.findIndex((key) => equalBytes(helloTag(key, nonce), tag))
  if (keyIndex < 0) return undefined
  const sealKey = deriveSeal(terms.keys[keyIndex]!, nonce, terms.sender)
  const body = open(
    sealKey.key,
    sealKey.nonce,
    frame.subarray(clearBytes),
    frame.subarray(0, clearBytes),
  )
  if (body === undefined) return undefined
  return readBody(body, { ...terms, keyIndex, minor: frame[2]! })
}

/** What the hellos of a recovery are sealed under: who has the recovery words, or anything that the root signed, has it. */
export function recoveryKey(rootPublicKey: Uint8Array, mesh: string): Uint8Array {
  return hkdf(rootPublicKey, hexToBytes(mesh), domainBytes('havenmesh/recover/v1'), 32)
}

/** The clear beginning of a first frame, with what follows the version. */
export function helloHead(rest: Uint8Array): Uint8Array {
  return concatBytes(Uint8Array.of(magic, protocolVersion.major, protocolVersion.minor), rest)
}

const magic = 0x48
const clearBytes = 27
const signDomain = 'havenmesh/hello/v1'
const refusalMode = 0
const modes = ['member', 'join', 'recover'] as const
const modeNumbers = { member: 1, join: 2, recover: 3 } as const
const refusalCodeMaxBytes = 64
const zeros16 = new Uint8Array(16)

/** A listener opens frames of strangers; a dialler those of whom it chose, which may bring keys to a joining device. */
function maxFrameBytes(sender: Side): number {
  return sender === 'dialler' ? limits.helloBytes : limits.frameBytes
}

function sealFrame(
  terms: { readonly key: Uint8Array; readonly side: Side },
  body: Uint8Array,
  random: Random,
): Uint8Array {
  const nonce = random.bytes(16)
  const clear = new ByteWriter(clearBytes)
    .u8(magic)
    .u8(protocolVersion.major)
    .u8(protocolVersion.minor)
    .bytes(nonce)
    .bytes(helloTag(terms.key, nonce))
    .finish()
  const sealKey = deriveSeal(terms.key, nonce, terms.side)
  return concatBytes(clear, seal(sealKey.key, sealKey.nonce, body, clear))
}

function readBody(
  body: Uint8Array,
  terms: {
    readonly keyIndex: number
    readonly minor: number
    readonly sender: Side
    readonly diallerNonce: Uint8Array | undefined
    readonly binding: Uint8Array
    readonly mesh: string
  },
): Hello | HelloRefusal {
  const { keyIndex, minor } = terms
  const reader = new ByteReader(body, 'hello')
  const modeNumber = reader.u8()
  if (modeNumber === refusalMode) {
    const code = reader.text(refusalCodeMaxBytes)
    reader.end()
    return { kind: 'refusal', keyIndex, minor, code }
  }
  const mode = modes[modeNumber - 1] ?? reader.fail('an unknown mode')
  const device = reader.bytes(32)
  const certificates = Array.from({ length: reader.count(1, limits.certificateChain) }, () =>
    decodeCertificate(reader.lengthPrefixed(limits.helloBytes)),
  )
  const certificateId = reader.bytes(16)
  const nonce = reader.bytes(16)
  const signature = reader.bytes(64)
  const sections = reader.rest()
  const nonces = orderNonces(terms.sender, nonce, terms.diallerNonce)
  const signed = signedBytes({ ...terms, side: terms.sender, nonces, sections })
  return {
    kind: 'hello',
    keyIndex,
    minor,
    mode,
    device: bytesToHex(device),
    certificates,
    certificateId: equalBytes(certificateId, zeros16) ? undefined : bytesToHex(certificateId),
    nonce,
    sections,
    signatureValid: verify(device, signDomain, signed, signature),
  }
}

function signedBytes(terms: {
  readonly side: Side
  readonly binding: Uint8Array
  readonly mesh: string
  readonly nonces: Uint8Array
  readonly sections: Uint8Array
}): Uint8Array {
  return new ByteWriter()
    .u8(sideNumbers[terms.side])
    .lengthPrefixed(terms.binding)
    .bytes(hexToBytes(terms.mesh))
    .bytes(terms.nonces)
    .bytes(sha256(terms.sections))
    .finish()
}

/** The dialler's nonce, then the listener's: zero in the dialler's hello, which can't know it yet. */
function orderNonces(
  side: Side,
  ownNonce: Uint8Array,
  diallerNonce: Uint8Array | undefined,
): Uint8Array {
  assert((side === 'listener') === (diallerNonce !== undefined), 'a listener answers a nonce')
  return concatBytes(diallerNonce ?? emptyBytes, ownNonce, diallerNonce ? emptyBytes : zeros16)
}

const sideNumbers = { dialler: 1, listener: 2 } as const

function helloTag(key: Uint8Array, nonce: Uint8Array): Uint8Array {
  return hmacSha256(key, domainBytes('havenmesh/hello-tag/v1'), nonce).subarray(0, 8)
}

function deriveSeal(key: Uint8Array, nonce: Uint8Array, side: Side) {
  const info = domainBytes('havenmesh/hello-seal/v1', Uint8Array.of(sideNumbers[side]))
  const bytes = hkdf(key, nonce, info, 44)
  return { key: bytes.subarray(0, 32), nonce: bytes.subarray(32) }
}

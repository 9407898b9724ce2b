/** Revocations: a device is removed, and what it writes from then on is not shown (docs/protocol.md, Control facts). */
import { bytesToHex, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import type { Random } from '../core/environment.ts'
import { domainHash16 } from '../crypto/hash.ts'
import { type SigningKey, verify } from '../crypto/signing.ts'
import { type FeedPlace, readFeedPlaces, writeFeedPlaces } from './feed-place.ts'
import { sealedFactMaxBytes } from './sealed-fact.ts'

/** Ids and public identity keys are lower-case hex. */
export interface Revocation {
  /** Hash of what is signed; 16 bytes. */
  readonly id: string
  readonly mesh: string
  readonly serial: string
  /** Who is removed. */
  readonly device: string
  /** An admin, or the root's public key. */
  readonly author: string
  /** Milliseconds since 1970 by the author's clock; for people, never for order. */
  readonly timeMs: number
  /** How far the author knew the device's feeds. */
  readonly heads: readonly FeedPlace[]
  /** Sealed to readers by sealed-fact.ts; empty: none given. */
  readonly reason: Uint8Array
  /** Signed form; what is stored and sent. */
  readonly bytes: Uint8Array
}

export interface RevocationTerms {
  readonly mesh: string
  readonly device: string
  readonly timeMs: number
  readonly heads: readonly FeedPlace[]
  readonly reason?: Uint8Array
}

export function issueRevocation(
  terms: RevocationTerms,
  author: SigningKey,
  random: Random,
): Revocation {
  const body = new ByteWriter()
    .u8(version)
    .bytes(hexToBytes(terms.mesh))
    .bytes(random.bytes(16))
    .bytes(hexToBytes(terms.device))
    .bytes(author.publicKey)
    .u64(terms.timeMs)
  writeFeedPlaces(body, terms.heads)
  const signed = body.lengthPrefixed(terms.reason ?? new Uint8Array(0)).finish()
  return decodeRevocation(
    new ByteWriter(signed.length + signatureBytes)
      .bytes(signed)
      .bytes(author.sign(signDomain, signed))
      .finish(),
  )
}

/**
 * Reads the signed form; the signature is for {@link verifyRevocation}. The result does not share memory with `bytes`.
 *
 * @throws HavenError `MALFORMED`
 */
export function decodeRevocation(bytes: Uint8Array): Revocation {
  const own = bytes.slice()
  const reader = new ByteReader(own, 'revocation')
  if (reader.u8() !== version) reader.fail('an unknown version')
  const mesh = bytesToHex(reader.bytes(16))
  const serial = bytesToHex(reader.bytes(16))
  const device = bytesToHex(reader.bytes(32))
  const author = bytesToHex(reader.bytes(32))
  const timeMs = reader.u64()
  const heads = readFeedPlaces(reader)
  const reason = reader.lengthPrefixed(sealedFactMaxBytes)
  const id = bytesToHex(domainHash16('havenmesh/revocation-id/v1', own.subarray(0, reader.offset)))
  reader.bytes(signatureBytes)
  reader.end()
  return { id, mesh, serial, device, author, timeMs, heads, reason, bytes: own }
}

/** Whether its author signed it. */
export function verifyRevocation(revocation: Revocation): boolean {
  const { bytes } = revocation
  const signed = bytes.subarray(0, -signatureBytes)
  return verify(hexToBytes(revocation.author), signDomain, signed, bytes.subarray(-signatureBytes))
}

const version = 1
const signatureBytes = 64
const signDomain = 'havenmesh/revocation/v1'

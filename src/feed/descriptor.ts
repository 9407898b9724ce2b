/** A feed's descriptor: whose it is, of which collection, lane and incarnation. It travels before the first commit. */
import { bytesToHex, emptyBytes, equalBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { HavenError } from '../core/errors.ts'
import { domainHash, domainHash16 } from '../crypto/hash.ts'
import { verify } from '../crypto/signing.ts'
import type { SigningKey } from '../crypto/signing.ts'

const lanes = ['routine', 'urgent'] as const
export type Lane = (typeof lanes)[number]

export interface FeedDescriptor {
  /** 16 bytes, hex: names this descriptor. */
  readonly feed: string
  readonly mesh: Uint8Array
  /** Identity key of the author, 32 bytes. */
  readonly device: Uint8Array
  readonly collection: Uint8Array
  readonly lane: Lane
  readonly incarnation: Uint8Array
  /** Empty for a device's first incarnation. */
  readonly previousIncarnation: Uint8Array
  readonly salt: Uint8Array
  /** Body and signature, as stored and sent. */
  readonly bytes: Uint8Array
}

const version = 1
const bodyBytes = 106
const signatureBytes = 64
const zeroIncarnation = new Uint8Array(16)
const signDomain = 'havenmesh/feed-sig/v1'

/** Makes and signs the descriptor of a new feed. */
export function createDescriptor(
  parts: Omit<FeedDescriptor, 'feed' | 'bytes' | 'device'>,
  key: SigningKey,
): FeedDescriptor {
  const body = new ByteWriter(bodyBytes + signatureBytes)
    .u8(version)
    .bytes(parts.mesh)
    .bytes(key.publicKey)
    .bytes(parts.collection)
    .u8(lanes.indexOf(parts.lane))
    .bytes(parts.incarnation)
    .bytes(parts.previousIncarnation.length === 0 ? zeroIncarnation : parts.previousIncarnation)
    .bytes(parts.salt)
    .finish()
  const bytes = new ByteWriter(bodyBytes + signatureBytes)
    .bytes(body)
    .bytes(key.sign(signDomain, body))
    .finish()
  return { ...parts, device: key.publicKey, feed: feedIdOf(body), bytes }
}

/**
 * @throws HavenError `MALFORMED`; `BAD_SIGNATURE` when the device did not sign it
 */
export function decodeDescriptor(bytes: Uint8Array): FeedDescriptor {
  const reader = new ByteReader(bytes, 'feed descriptor')
  if (reader.u8() !== version) reader.fail('a version that is not 1')
  const mesh = reader.bytes(16)
  const device = reader.bytes(32)
  const collection = reader.bytes(16)
  const lane = lanes[reader.u8()] ?? reader.fail('an unknown lane')
  const incarnation = reader.bytes(16)
  const previous = reader.bytes(16)
  const salt = reader.bytes(8)
  const signature = reader.bytes(signatureBytes)
  reader.end()
  const body = bytes.subarray(0, bodyBytes)
  if (!verify(device, signDomain, body, signature)) {
    throw new HavenError('BAD_SIGNATURE', 'A feed descriptor is not signed by its device.')
  }
  return {
    feed: feedIdOf(body),
    mesh,
    device,
    collection,
    lane,
    incarnation,
    previousIncarnation: equalBytes(previous, zeroIncarnation) ? emptyBytes : previous,
    salt,
    bytes,
  }
}

/** Whose feed it is (hex), by a descriptor that was verified before; undefined when it is none. */
export function deviceOf(bytes: Uint8Array): string | undefined {
  if (bytes.length !== bodyBytes + signatureBytes || bytes[0] !== version) return undefined
  return bytesToHex(bytes.subarray(17, 49))
}

/**
 * A feed's Yjs client id in every document (docs/data-model.md): 53 bits, so that it survives as a JavaScript number.
 *
 * @param purpose - fields and free types have one each
 */
export function yjsClientId(descriptor: FeedDescriptor, purpose: 'fields' | 'free'): number {
  const hash = domainHash(
    'havenmesh/client/v1',
    Buffer.from(descriptor.feed, 'hex'),
    descriptor.salt,
    Uint8Array.of(purpose === 'fields' ? 0 : 1),
  )
  const view = new DataView(hash.buffer, hash.byteOffset, 8)
  return view.getUint32(0) * 0x20_0000 + (view.getUint32(4) >>> 11)
}

function feedIdOf(body: Uint8Array): string {
  return bytesToHex(domainHash16('havenmesh/feed/v1', body))
}

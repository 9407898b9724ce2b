/** What a device says of itself, signed, passed on by everyone: which commits it holds durably, and which epochs it can read. */
import { bytesToHex, equalBytes, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { HavenError } from '../core/errors.ts'
import { verify } from '../crypto/signing.ts'
import type { SigningKey } from '../crypto/signing.ts'

export interface Announcement {
  readonly device: string
  readonly incarnation: string
  /** See {@link announcementNumber}. */
  readonly number: number
  /** By the device's own wall clock. */
  readonly timeMs: number
  /** First 8 bytes of the epochs that it can read, hex. */
  readonly epochs: readonly string[]
  readonly clockDigest: string
  readonly commits: number
  /** As signed and passed on. */
  readonly bytes: Uint8Array
}

/**
 * The number of the next announcement: the incarnation's generation (how often the store began anew) times 2^34, and below it a
 * count that follows the wall clock in seconds. So a restored device's numbers are above its old ones.
 */
export function announcementNumber(last: number, generation: number, nowMs: number): number {
  const seconds = Math.min(Math.max(0, Math.floor(nowMs / 1000)), 2 ** 33)
  return Math.max(last + 1, generation * 2 ** 34 + seconds)
}

/** How often the store that made an announcement had begun anew. */
export function generationOf(number: number): number {
  return Math.floor(number / 2 ** 34)
}

const version = 1
const everything = 1
const epochsMax = 1024
const signDomain = 'havenmesh/announcement/v1'

export function createAnnouncement(
  parts: Omit<Announcement, 'bytes' | 'device'> & { readonly mesh: Uint8Array },
  key: SigningKey,
): Announcement {
  const writer = new ByteWriter(256)
    .u8(version)
    .bytes(parts.mesh)
    .bytes(key.publicKey)
    .bytes(hexToBytes(parts.incarnation))
    .varint(parts.number)
    .u64(parts.timeMs)
    .u8(everything)
    .varint(parts.epochs.length)
  for (const epoch of parts.epochs) writer.bytes(hexToBytes(epoch.slice(0, 16)))
  const body = writer.bytes(hexToBytes(parts.clockDigest)).varint(parts.commits).finish()
  const bytes = new ByteWriter(body.length + 64)
    .bytes(body)
    .bytes(key.sign(signDomain, body))
    .finish()
  const { mesh: _, ...rest } = parts
  return { ...rest, device: bytesToHex(key.publicKey), bytes }
}

/** @throws HavenError `MALFORMED`, `WRONG_MESH`, `BAD_SIGNATURE` */
export function decodeAnnouncement(bytes: Uint8Array, mesh: Uint8Array): Announcement {
  const reader = new ByteReader(bytes, 'announcement')
  if (reader.u8() !== version) reader.fail('a version that is not 1')
  if (!equalBytes(reader.bytes(16), mesh))
    throw new HavenError('WRONG_MESH', 'An announcement is of another mesh.')
  const device = reader.bytes(32)
  const incarnation = bytesToHex(reader.bytes(16))
  const number = reader.varint()
  const timeMs = reader.u64()
  reader.u8()
  const epochs = Array.from({ length: reader.count(8, epochsMax) }, () =>
    bytesToHex(reader.bytes(8)),
  )
  const clockDigest = bytesToHex(reader.bytes(16))
  const commits = reader.varint()
  const body = bytes.subarray(0, reader.offset)
  const signature = reader.bytes(64)
  reader.end()
  if (!verify(device, signDomain, body, signature)) {
    throw new HavenError('BAD_SIGNATURE', 'An announcement is not signed by its device.')
  }
  return {
    device: bytesToHex(device),
    incarnation,
    number,
    timeMs,
    epochs,
    clockDigest,
    commits,
    bytes: bytes.slice(),
  }
}

/** A commit's header, id and signature (docs/protocol.md, Commit). Its content is `seal.ts`'s business. */
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { limits } from '../core/limits.ts'
import { domainHash, sha256 } from '../crypto/hash.ts'

export interface CommitHeader {
  /** As on the wire: 1 records, 2 control facts; others are carried unread. */
  readonly kind: number
  /** The payload goes on in the next commit. */
  readonly continued: boolean
  readonly mesh: Uint8Array
  readonly collection: Uint8Array
  readonly feed: Uint8Array
  /** From 1. */
  readonly seq: number
  /** Id of the commit before; zero for the first. */
  readonly prev: Uint8Array
  readonly epoch: Uint8Array
  readonly salt: Uint8Array
  /** Days since 1970 by the author's clock. */
  readonly day: number
  readonly ciphertextBytes: number
}

export const commitKinds = { records: 1, control: 2 } as const
export const headerBytes = 130
export const commitSignDomain = 'havenmesh/commit-sig/v1'
export const zeroId: Uint8Array = new Uint8Array(32)

const version = 1
const suite = 1
const continuedFlag = 1

export function encodeHeader(header: CommitHeader): Uint8Array {
  return new ByteWriter(headerBytes)
    .u8(version)
    .u8(suite)
    .u8(header.kind)
    .u8(header.continued ? continuedFlag : 0)
    .bytes(header.mesh)
    .bytes(header.collection)
    .bytes(header.feed)
    .u64(header.seq)
    .bytes(header.prev)
    .bytes(header.epoch)
    .bytes(header.salt)
    .u16(header.day)
    .u32(header.ciphertextBytes)
    .finish()
}

/** @throws HavenError `MALFORMED` */
export function decodeHeader(bytes: Uint8Array): CommitHeader {
  const reader = new ByteReader(bytes, 'commit header')
  if (reader.u8() !== version) reader.fail('a version that is not 1')
  if (reader.u8() !== suite) reader.fail('an unknown suite')
  const kind = reader.u8()
  const flags = reader.u8()
  if ((flags & ~continuedFlag) !== 0) reader.fail('unknown flags')
  const header: CommitHeader = {
    kind,
    continued: flags === continuedFlag,
    mesh: reader.bytes(16),
    collection: reader.bytes(16),
    feed: reader.bytes(16),
    seq: reader.u64(),
    prev: reader.bytes(32),
    epoch: reader.bytes(16),
    salt: reader.bytes(16),
    day: reader.u16(),
    ciphertextBytes: reader.u32(),
  }
  reader.end()
  if (header.seq === 0) reader.fail('seq 0')
  if (header.ciphertextBytes > limits.commitCiphertextBytes) reader.fail('too long a ciphertext')
  return header
}

/** A chain of ids can be checked from headers and ciphertext hashes alone. */
export function commitId(header: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  return domainHash('havenmesh/commit/v1', header, sha256(ciphertext))
}

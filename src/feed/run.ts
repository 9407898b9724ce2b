/**
 * A run: consecutive commits of one feed in one frame, of which only the last needs its signature.
 *
 * Whatever follows from the place (mesh, collection, feed, seq, prev) is left out: about 40 bytes of overhead a commit instead of 210.
 */
import { bytesToHex, equalBytes, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { HavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { verify } from '../crypto/signing.ts'
import type { Place } from './chain.ts'
import { commitId, commitSignDomain, decodeHeader, encodeHeader } from './commit.ts'
import type { StoredCommit } from './commit-store.ts'
import type { FeedDescriptor } from './descriptor.ts'

/** A run as it came in: nothing in it is verified before its place is known. */
export interface ReceivedRun {
  readonly feed: string
  readonly baseSeq: number
  /** First 8 bytes of the id of the commit before, hex; zeros at the start. */
  readonly baseId: string
  readonly commits: readonly RunCommit[]
  readonly signature: Uint8Array
  /** Of the whole run on the wire. */
  readonly bytes: number
}

interface RunCommit {
  readonly kind: number
  readonly continued: boolean
  readonly epoch: Uint8Array
  readonly salt: Uint8Array
  readonly day: number
  readonly ciphertext: Uint8Array
  readonly signature: Uint8Array | undefined
}

const continuedFlag = 1
const signatureFollowsFlag = 0x80
const commitBytesMin = 1 + 1 + 1 + 16 + 2 + 1

/** Bytes that a commit takes in a run at most, signature included. */
export function runBytesOf(commit: StoredCommit): number {
  return commit.ciphertext.length + 64 + 16 + commitBytesMin + 3
}

/**
 * @param base - the place before the first of `commits`, which follow each other and end with a signed one
 * @param keepSignatures - also of inner commits: for who serves parts of runs
 */
export function encodeRun(
  base: Place,
  commits: readonly StoredCommit[],
  keepSignatures = false,
): Uint8Array {
  const last = commits.at(-1)
  if (last?.signature === undefined) throw new TypeError('a run ends with a signed commit')
  const writer = new ByteWriter(commits.reduce((sum, commit) => sum + runBytesOf(commit), 64))
    .bytes(hexToBytes(last.feed))
    .varint(base.seq)
    .bytes(hexToBytes(base.id.slice(0, 16)))
    .varint(commits.length)
  const epochs: Uint8Array[] = []
  for (const commit of commits) {
    const header = decodeHeader(commit.header)
    const inner = keepSignatures && commit !== last && commit.signature !== undefined
    writer
      .u8(header.kind)
      .u8((header.continued ? continuedFlag : 0) | (inner ? signatureFollowsFlag : 0))
    const known = epochs.findIndex((epoch) => equalBytes(epoch, header.epoch))
    writer.varint(known === -1 ? epochs.length : known)
    if (known === -1) {
      epochs.push(header.epoch)
      writer.bytes(header.epoch)
    }
    writer.bytes(header.salt).u16(header.day).lengthPrefixed(commit.ciphertext)
    if (inner) writer.bytes(commit.signature)
  }
  return writer.bytes(last.signature).finish()
}

/** @throws HavenError `MALFORMED` */
export function decodeRun(bytes: Uint8Array): ReceivedRun {
  const reader = new ByteReader(bytes, 'run of commits')
  if (bytes.length > limits.runBytes) reader.fail('too many bytes')
  const feed = bytesToHex(reader.bytes(16))
  const baseSeq = reader.varint()
  const baseId = bytesToHex(reader.bytes(8))
  const count = reader.count(commitBytesMin, limits.runCommits)
  if (count === 0) reader.fail('no commit')
  const epochs: Uint8Array[] = []
  const commits: RunCommit[] = []
  for (let index = 0; index < count; index++) {
    const kind = reader.u8()
    const flags = reader.u8()
    if ((flags & ~(continuedFlag | signatureFollowsFlag)) !== 0) reader.fail('unknown flags')
    const epochIndex = reader.varint()
    if (epochIndex === epochs.length) {
      const epoch = reader.bytes(16)
      if (epochs.some((each) => equalBytes(each, epoch)))
        reader.fail('an epoch that it names twice')
      epochs.push(epoch)
    }
    commits.push({
      kind,
      continued: (flags & continuedFlag) !== 0,
      epoch: epochs[epochIndex] ?? reader.fail('an epoch that it does not name'),
      salt: reader.bytes(16),
      day: reader.u16(),
      ciphertext: reader.lengthPrefixed(limits.commitCiphertextBytes),
      signature: (flags & signatureFollowsFlag) === 0 ? undefined : reader.bytes(64),
    })
  }
  const signature = reader.bytes(64)
  reader.end()
  return { feed, baseSeq, baseId, commits, signature, bytes: bytes.length }
}

/**
 * The commits of a run, now that its place is known: ids follow from the chain, and the signature of the last proves them all.
 *
 * @param base - held here; its id must be the one that the run names
 * @throws HavenError `BAD_CHAIN` when the run does not begin there; `BAD_SIGNATURE` when the device has not signed it
 */
export function verifyRun(
  run: ReceivedRun,
  base: Place,
  descriptor: FeedDescriptor,
): StoredCommit[] {
  if (base.seq !== run.baseSeq || !base.id.startsWith(run.baseId)) {
    throw new HavenError(
      'BAD_CHAIN',
      'A run of commits does not continue what it says it continues.',
    )
  }
  const feed = hexToBytes(run.feed)
  let prev = hexToBytes(base.id)
  const commits = run.commits.map((commit, index): StoredCommit => {
    const seq = base.seq + 1 + index
    const header = encodeHeader({
      kind: commit.kind,
      continued: commit.continued,
      mesh: descriptor.mesh,
      collection: descriptor.collection,
      feed,
      seq,
      prev,
      epoch: commit.epoch,
      salt: commit.salt,
      day: commit.day,
      ciphertextBytes: commit.ciphertext.length,
    })
    const id = commitId(header, commit.ciphertext)
    prev = id
    const last = index === run.commits.length - 1
    return {
      feed: run.feed,
      seq,
      id,
      header,
      // The frame's buffer is not ours to keep.
      ciphertext: commit.ciphertext.slice(),
      signature: last ? run.signature.slice() : commit.signature?.slice(),
    }
  })
  for (const commit of commits) {
    if (
      commit.signature !== undefined &&
      !verify(descriptor.device, commitSignDomain, commit.id, commit.signature)
    ) {
      throw new HavenError(
        'BAD_SIGNATURE',
        'A run of commits is not signed by the device whose feed it is in.',
      )
    }
  }
  return commits
}

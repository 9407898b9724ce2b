/** Writing a feed: payloads become commits, chained, sealed and signed. Pure; the caller makes them durable. */
import { hexToBytes } from '../core/bytes.ts'
import type { Random } from '../core/environment.ts'
import { limits } from '../core/limits.ts'
import type { SigningKey } from '../crypto/signing.ts'
import { commitId, commitSignDomain, encodeHeader } from './commit.ts'
import type { StoredCommit } from './commit-store.ts'
import type { FeedDescriptor } from './descriptor.ts'
import { ciphertextLength, packPayload, sealPlaintext } from './seal.ts'
import type { Place } from './chain.ts'

const dayMs = 24 * 60 * 60 * 1000

export interface AuthorContext {
  readonly descriptor: FeedDescriptor
  /** Where the feed ends now. */
  readonly tip: Place
  /** Day of the last commit; days never decrease. */
  readonly lastDay: number
  readonly epoch: Uint8Array
  readonly epochKey: Uint8Array
  readonly key: SigningKey
  readonly nowMs: number
  readonly random: Random
}

/**
 * The commits that carry one payload: one, or several continued ones where it is too long for one.
 *
 * Every one is signed.
 */
export function writeCommits(
  context: AuthorContext,
  kind: number,
  payload: Uint8Array,
): StoredCommit[] {
  const parts = split(payload)
  const commits: StoredCommit[] = []
  let { seq } = context.tip
  let prev = hexToBytes(context.tip.id)
  const day = Math.max(
    context.lastDay,
    Math.min(0xffff, Math.max(0, Math.floor(context.nowMs / dayMs))),
  )
  const feed = hexToBytes(context.descriptor.feed)
  for (const [index, part] of parts.entries()) {
    seq += 1
    const salt = context.random.bytes(16)
    const header = encodeHeader({
      kind,
      continued: index < parts.length - 1,
      mesh: context.descriptor.mesh,
      collection: context.descriptor.collection,
      feed,
      seq,
      prev,
      epoch: context.epoch,
      salt,
      day,
      ciphertextBytes: ciphertextLength(part),
    })
    const ciphertext = sealPlaintext(part, { epochKey: context.epochKey, salt, feed, seq }, header)
    const id = commitId(header, ciphertext)
    commits.push({
      feed: context.descriptor.feed,
      seq,
      id,
      header,
      ciphertext,
      signature: context.key.sign(commitSignDomain, id),
    })
    prev = id
  }
  return commits
}

/** Whether a payload fits into one commit: imports fill commits up to the limit. */
function fitsOneCommit(packed: Uint8Array): boolean {
  return ciphertextLength(packed) <= limits.commitCiphertextBytes
}

/** Packed parts of at most one commit each; halving finds parts that fit also where little compresses. */
function split(payload: Uint8Array): Uint8Array[] {
  if (payload.length <= limits.commitPlaintextBytes) {
    const packed = packPayload(payload)
    if (fitsOneCommit(packed)) return [packed]
  }
  const middle = Math.ceil(payload.length / 2)
  return [...split(payload.subarray(0, middle)), ...split(payload.subarray(middle))]
}

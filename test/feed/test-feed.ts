import { bytesToHex } from '../../src/core/bytes.ts'
import { signingKeyFromSeed } from '../../src/crypto/signing.ts'
import { writeCommits } from '../../src/feed/author.ts'
import { startPlace } from '../../src/feed/chain.ts'
import type { Place } from '../../src/feed/chain.ts'
import type { StoredCommit } from '../../src/feed/commit-store.ts'
import { createDescriptor } from '../../src/feed/descriptor.ts'
import type { FeedDescriptor } from '../../src/feed/descriptor.ts'
import { seededRandom } from '../crypto/seeded-random.ts'

/** Counts up from a first byte: easy to make in any language. */
export function sequence(first: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (first + i) & 0xff)
}

export const authorKey = signingKeyFromSeed(sequence(1, 32))
export const epochKey: Uint8Array = sequence(200, 32)
export const epoch: Uint8Array = sequence(180, 16)

export const descriptor: FeedDescriptor = createDescriptor(
  {
    mesh: sequence(10, 16),
    collection: sequence(30, 16),
    lane: 'routine',
    incarnation: sequence(50, 16),
    previousIncarnation: new Uint8Array(0),
    salt: sequence(70, 8),
  },
  authorKey,
)

/** Commits of payloads that follow each other. */
export function commitsOf(
  payloads: readonly Uint8Array[],
  { after = startPlace, seed = 'commits' }: { after?: Place; seed?: string } = {},
): StoredCommit[] {
  const random = seededRandom(seed)
  let tip = after
  return payloads.flatMap((payload) => {
    const commits = writeCommits(
      {
        descriptor,
        tip,
        lastDay: 20_000,
        epoch,
        epochKey,
        key: authorKey,
        nowMs: 20_500 * 86_400_000,
        random,
      },
      1,
      payload,
    )
    const last = commits.at(-1)!
    tip = { seq: last.seq, id: bytesToHex(last.id) }
    return commits
  })
}

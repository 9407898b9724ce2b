import { bytesToHex } from '../../src/core/bytes.ts'
import { startPlace } from '../../src/feed/chain.ts'
import { encodeRun } from '../../src/feed/run.ts'
import { yjsClientId } from '../../src/feed/descriptor.ts'
import { clockDigest, clockOf, encodeClock } from '../../src/feed/vector-clock.ts'
import { commitsOf, descriptor, epoch, epochKey, sequence } from './test-feed.ts'

/** One of everything that feed/ hashes, signs, seals or encodes, from fixed inputs. */
export function feedVectors() {
  // The first is long and even enough to be compressed, the second too short.
  const payloads = [new Uint8Array(300).fill(97), sequence(3, 5)]
  const commits = commitsOf(payloads, { seed: 'vectors' })
  const entries = [
    { feed: descriptor.feed, floor: 0, seq: 2, head: bytesToHex(commits[1]!.id.subarray(0, 8)) },
    {
      feed: bytesToHex(sequence(1, 16)),
      floor: 300,
      seq: 70_000,
      head: bytesToHex(sequence(2, 8)),
    },
  ]
  return {
    descriptor: {
      secretKey: bytesToHex(sequence(1, 32)),
      feed: descriptor.feed,
      bytes: bytesToHex(descriptor.bytes),
      clientIds: [yjsClientId(descriptor, 'fields'), yjsClientId(descriptor, 'free')],
    },
    epoch: { id: bytesToHex(epoch), key: bytesToHex(epochKey) },
    commits: commits.map((commit, index) => ({
      payload: bytesToHex(payloads[index]!),
      header: bytesToHex(commit.header),
      ciphertext: bytesToHex(commit.ciphertext),
      id: bytesToHex(commit.id),
      signature: bytesToHex(commit.signature!),
    })),
    run: bytesToHex(encodeRun(startPlace, commits)),
    clock: {
      entries,
      bytes: bytesToHex(encodeClock(clockOf(entries))),
      digest: clockDigest(clockOf(entries)),
    },
  }
}

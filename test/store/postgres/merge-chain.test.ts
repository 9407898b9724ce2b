/** How commits that come in change a chain, on rows in memory: many more histories than a database takes. */
import { test } from '@fast-check/vitest'
import * as fc from 'fast-check'
import { describe, expect } from 'vitest'
import { bytesToHex } from '../../../src/core/bytes.ts'
import { FeedChain } from '../../../src/feed/chain.ts'
import type { StoredCommit } from '../../../src/feed/commit-store.ts'
import { encodeCommitRow, prevOf } from '../../../src/store/commit-row.ts'
import { linkOf } from '../../../src/store/postgres/commit-reader.ts'
import type { CommitRow } from '../../../src/store/postgres/commit-reader.ts'
import { chainOfAll, mergeChain } from '../../../src/store/postgres/merge-chain.ts'
import type { FeedRows } from '../../../src/store/postgres/merge-chain.ts'
import { commitOf, feedA } from '../../contract/commit-store-contract.ts'
import { chainWith } from '../../contract/shared-store-contract.ts'

const runs = { numRuns: 1_000 }
const rowsOfPage = 3

/** Each commit follows the last one, an earlier one, or none. */
const history = fc
  .array(fc.oneof({ weight: 5, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.nat(9) }), {
    minLength: 1,
    maxLength: 20,
  })
  .map((steps) => {
    const commits: StoredCommit[] = []
    for (const [index, back] of steps.entries()) {
      const before = back === 0 ? undefined : commits[index - back]
      const place = before === undefined ? { seq: 1 } : { seq: before.seq + 1, prev: before.id }
      commits.push(commitOf({ content: `number ${index}`, ciphertextBytes: 20, ...place }))
    }
    return commits
  })

/** Which of the commits come in, batch by batch. */
const batches = fc.array(fc.array(fc.nat(19), { minLength: 1, maxLength: 8 }), { maxLength: 8 })

/** A feed as the tables have it. */
class Feed implements FeedRows {
  readonly feed = feedA
  readonly held = new Map<string, StoredCommit>()
  chain: FeedChain | undefined = new FeedChain(feedA)
  #countBefore: (seq: number) => number = () => 0

  async take(commits: readonly StoredCommit[]): Promise<void> {
    const before = [...this.held.values()]
    this.#countBefore = (seq) => before.filter((commit) => commit.seq === seq).length
    const incoming = [...new Set(commits)].map((commit) => ({
      link: linkOf(commit),
      isNew: !this.held.has(bytesToHex(commit.id)),
    }))
    for (const commit of commits) this.held.set(bytesToHex(commit.id), commit)
    const inOrder = incoming.toSorted((a, b) => a.link.seq - b.link.seq)
    this.chain = await mergeChain(this.chain, inOrder, this)
  }

  countAt(seq: number): number {
    return this.#countBefore(seq)
  }

  async *pages(from: number, to: number): AsyncGenerator<CommitRow[]> {
    const rows = [...this.held.values()]
      .filter(({ seq }) => seq >= from && seq <= to)
      .map((commit) => ({
        seq: commit.seq,
        id8: commit.id.subarray(0, 8),
        value: encodeCommitRow(commit),
      }))
      .toSorted((a, b) => a.seq - b.seq || Buffer.compare(a.id8, b.id8))
    for (let at = 0; at < rows.length; at += rowsOfPage)
      yield await Promise.resolve(rows.slice(at, at + rowsOfPage))
  }

  /** What hangs together with the start. */
  get connected(): StoredCommit[] {
    const ids = new Set<string>()
    return [...this.held.values()]
      .toSorted((a, b) => a.seq - b.seq)
      .filter((commit) => {
        const isConnected = commit.seq === 1 || ids.has(bytesToHex(prevOf(commit.header)))
        if (isConnected) ids.add(bytesToHex(commit.id))
        return isConnected
      })
  }
}

function chosen(commits: readonly StoredCommit[], indexes: readonly number[]): StoredCommit[] {
  return indexes.flatMap((index) => commits[index] ?? [])
}

describe('the chain of a feed', () => {
  test.prop([history, batches], runs)(
    'is that of all commits, when each comes with or after the one that it follows',
    async (commits, picks) => {
      const feed = new Feed()
      for (const pick of [...picks, commits.map((_, index) => index)]) {
        const possible: StoredCommit[] = []
        const follows = (commit: StoredCommit): boolean =>
          commit.seq === 1 ||
          feed.held.has(bytesToHex(prevOf(commit.header))) ||
          possible.some(({ id }) => bytesToHex(id) === bytesToHex(prevOf(commit.header)))
        const inOrder = [...new Set(chosen(commits, pick))].toSorted((a, b) => a.seq - b.seq)
        for (const commit of inOrder) if (follows(commit)) possible.push(commit)
        await feed.take(possible)
        if (feed.held.size > 0) expect(feed.chain).toEqual(chainWith([...feed.held.values()]))
      }
    },
  )

  test.prop([history, batches], runs)(
    'has nothing that does not hang together with its start, and all of it when it is sent again',
    async (commits, picks) => {
      const feed = new Feed()
      for (const pick of picks) {
        await feed.take(chosen(commits, pick))
        const { chain } = feed
        const all = chainWith(feed.connected.length > 0 ? feed.connected : commits.slice(0, 1))
        expect(chain!.count).toBeLessThanOrEqual(all.count)
        // It never names what is not held.
        const ids = new Set(feed.connected.map(({ id }) => bytesToHex(id)))
        for (const { first, head } of chain!.segments) {
          expect(ids).toContain(first)
          expect(ids).toContain(head)
        }
      }
      await feed.take(commits)
      expect(feed.chain).toEqual(chainWith(commits))
    },
  )

  test.prop([history, batches], runs)(
    'can be made anew of all that is held',
    async (commits, picks) => {
      const feed = new Feed()
      for (const pick of picks) await feed.take(chosen(commits, pick))
      const connected = feed.connected
      const expected = connected.length > 0 ? chainWith(connected) : new FeedChain(feedA)
      expect(await chainOfAll(feed)).toEqual(expected)
      // As where the row of the chain can't be read.
      feed.chain = undefined
      await feed.take(commits)
      expect(feed.chain).toEqual(chainWith(commits))
    },
  )
})

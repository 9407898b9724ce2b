/** On which days commits were written, by the clocks of their authors: that is in the header, which carriers can read as well. */
import { decodeHeader } from '../feed/commit.ts'
import type { CommitStore, StoredCommit } from '../feed/commit-store.ts'
import type { LoneCommits } from '../sync/lone-commits.ts'
import type { HeldPlace } from '../sync/site-coverage.ts'
import type { Stretches } from '../sync/stretches.ts'
import { bytesToHex } from '../core/bytes.ts'
import { segmentNamed } from './chain-lookup.ts'

const dayMs = 24 * 60 * 60 * 1000

export class CommitDays {
  readonly #store: CommitStore
  readonly #stretches: Stretches
  readonly #days = new Map<string, Promise<string | undefined>>()

  constructor(store: CommitStore, stretches: Stretches) {
    this.#store = store
    this.#stretches = stretches
  }

  /** `2026-11-20`; undefined: the commit can't be read from the store (any more). */
  dayOf({ stretch, seq }: HeldPlace): Promise<string | undefined> {
    const key = `${stretch}/${seq}`
    const known = this.#days.get(key)
    if (known !== undefined) return known
    const day = this.#read(stretch, seq)
    this.#days.set(key, day)
    return day
  }

  async #read(stretch: number, seq: number): Promise<string | undefined> {
    const { feed, segment } = this.#stretches.all[stretch]!
    const commits = await this.#store.commits({ feed, after: seq - 1, upTo: seq })
    const commit = commits.length < 2 ? commits[0] : await this.#ofSegment(commits, feed, segment)
    return commit === undefined ? undefined : dayText(decodeHeader(commit.header).day * dayMs)
  }

  /** Of several branches that of the segment. */
  async #ofSegment(
    commits: readonly StoredCommit[],
    feed: string,
    segment: number,
  ): Promise<StoredCommit | undefined> {
    const { chain } = this.#stretches.feed(feed)!
    for (const commit of commits) {
      const place = { seq: commit.seq, idPrefix: bytesToHex(commit.id) }
      if ((await segmentNamed(this.#store, chain, place)) === segment) return commit
    }
    return undefined
  }
}

/** The oldest of several, by day; of what is not held here, by the day on which its holder first said that it has it. */
export async function oldestOf(
  alone: readonly LoneCommits[],
  days: CommitDays,
): Promise<LoneCommits & { readonly day: string | undefined }> {
  let oldest: (LoneCommits & { readonly day: string | undefined }) | undefined
  let least: string | undefined
  for (const each of alone) {
    const day = each.oldest === undefined ? undefined : await days.dayOf(each.oldest)
    const by = day ?? (each.namedMs === undefined ? undefined : dayText(each.namedMs))
    if (oldest !== undefined && (by === undefined || (least !== undefined && by >= least))) continue
    oldest = { ...each, day }
    least = by
  }
  return oldest!
}

/** A day that no calendar has is one, too: the header is what a device wrote. */
function dayText(ms: number): string {
  return new Date(Math.min(Math.max(ms, 0), 8.64e15)).toISOString().split('T')[0]!
}

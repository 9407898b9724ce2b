import { bytesToHex } from '../core/bytes.ts'
import type { StoredCommit } from '../feed/commit-store.ts'
import { prevOf } from './commit-row.ts'
import { startOfFeed } from './feed-walk.ts'
import type { Place } from './feed-walk.ts'

/** Commits of a feed that should be there and are not: from ≤ seq ≤ to. */
export interface Hole {
  readonly feed: string
  readonly from: number
  readonly to: number
}

type Ids = ReadonlyMap<string, Uint8Array>

/**
 * Finds what is missing among the commits of a feed, given those that are intact in the order of seq: gaps, commits of a
 * branch whose predecessor is missing, and a place that was there before.
 */
export class FeedCheck {
  readonly feed: string
  /** The first commit to give is the one after this seq. */
  readonly beginAfter: number
  readonly holes: Hole[] = []
  readonly #begin: Place | undefined
  #seq: number
  /** Ids at `#seq` and at the seq before, where they are known. */
  #ids: Map<string, Uint8Array> | undefined
  #idsBefore: Ids | undefined
  #intactEnd: Place | undefined

  /** @param begin - a place that was there, or the start of the feed; or only the seq before the first commit */
  constructor(feed: string, begin: Place | number) {
    this.feed = feed
    this.#begin = typeof begin === 'number' ? undefined : begin
    this.beginAfter = typeof begin === 'number' ? begin : Math.max(0, begin.seq - 1)
    this.#seq = this.beginAfter
    if (this.#begin?.seq === 0) this.#ids = new Map([[bytesToHex(this.#begin.id), this.#begin.id]])
  }

  next(commit: StoredCommit): void {
    if (commit.seq > this.#seq) this.#moveTo(commit.seq)
    const prev = bytesToHex(prevOf(commit.header))
    if (this.#idsBefore?.has(prev) === false) this.#missing(commit.seq - 1, commit.seq - 1)
    this.#ids?.set(bytesToHex(commit.id), commit.id)
  }

  /** To be called after the last commit of the feed. */
  end(): void {
    this.#endLevel()
    const { seq } = this.#begin ?? startOfFeed
    if (seq > this.#seq) this.#missing(seq, seq)
  }

  /** The last place before the first hole. */
  get intactEnd(): Place {
    if (this.#intactEnd !== undefined) return this.#intactEnd
    const begin = this.#begin ?? startOfFeed
    const [first] = this.holes
    return first === undefined || begin.seq < first.from ? begin : startOfFeed
  }

  #moveTo(seq: number): void {
    this.#endLevel()
    const isNext = seq === this.#seq + 1
    if (!isNext) this.#missing(this.#seq + 1, seq - 1)
    this.#idsBefore = isNext ? this.#ids : undefined
    this.#ids = new Map()
    this.#seq = seq
  }

  #endLevel(): void {
    const begin = this.#begin
    if (this.#ids === undefined) return
    if (begin?.seq === this.#seq && !this.#ids.has(bytesToHex(begin.id))) {
      this.#missing(begin.seq, begin.seq)
    }
    const [id] = this.#ids.values()
    if (this.holes.length === 0 && id !== undefined) this.#intactEnd = { seq: this.#seq, id }
  }

  #missing(from: number, to: number): void {
    const last = this.holes.at(-1)
    if (last !== undefined && from <= last.to) return
    this.holes.push({ feed: this.feed, from, to })
    // A branch without its predecessor ends what is intact before that.
    if (this.#intactEnd !== undefined && this.#intactEnd.seq >= from) this.#intactEnd = undefined
  }
}

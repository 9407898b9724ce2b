/** Whether the commits of a feed follow each other, from a place that is known to be right. */
import { bytesToHex, compareBytes } from '../core/bytes.ts'
import type { StoredCommit } from '../feed/commit-store.ts'
import { zeroId } from '../feed/commit.ts'
import { prevOf } from './commit-row.ts'

/** A commit of a feed, by its whole id. */
export interface Place {
  readonly seq: number
  readonly id: Uint8Array
}

export const startOfFeed: Place = { seq: 0, id: zeroId }

/** Follows `prev` along every branch, in the order of seq. */
export class FeedWalk {
  #seq: number
  /** Ids at `#seq` that lead back to where the walk began. */
  #heads: Map<string, Uint8Array>
  /** The same one seq later. */
  #next = new Map<string, Uint8Array>()
  #isBroken = false

  constructor(from: Place) {
    this.#seq = from.seq
    this.#heads = new Map([[bytesToHex(from.id), from.id]])
  }

  /** False once nothing that comes can be connected any more. */
  step(commit: StoredCommit): boolean {
    if (commit.seq > this.#seq + 1) this.#advance()
    if (this.#isBroken || commit.seq !== this.#seq + 1) return false
    if (this.#heads.has(bytesToHex(prevOf(commit.header)))) {
      this.#next.set(bytesToHex(commit.id), commit.id)
    }
    return true
  }

  /** The furthest place that was reached; of several branches the one with the lowest id. */
  tip(): Place {
    this.#advance()
    const [id] = [...this.#heads.values()].toSorted(compareBytes)
    return { seq: this.#seq, id: id! }
  }

  #advance(): void {
    if (this.#next.size === 0) {
      this.#isBroken = true
      return
    }
    this.#seq++
    this.#heads = this.#next
    this.#next = new Map()
  }
}

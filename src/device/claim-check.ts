/**
 * What others say that they hold, checked against what is held here. A claim (feed, seq, head) counts for a commit only where `head` is held
 * and the commit lies in its chain: whoever is ahead of us in a feed proves nothing about it, since it may be ahead on another branch.
 */
import type { CommitStore } from '../feed/commit-store.ts'
import type { ChainPlace } from '../feed/coverage.ts'
import { reachOf } from '../feed/coverage.ts'
import type { ClockEntry } from '../feed/vector-clock.ts'
import type { Claim } from '../sync/clock-book.ts'
import type { Replica } from '../sync/replica.ts'
import { segmentNamed } from './chain-lookup.ts'

/** Places of one feed, as a claim speaks of them. */
interface Reach {
  /** By segment: the seq up to which the claim covers it. */
  readonly reach: readonly number[]
  /** The claim also names commits that are not held here. */
  readonly goesBeyond: boolean
}

/** For one moment: what was looked up once is not looked up again. */
export class ClaimCheck {
  readonly #store: CommitStore
  readonly #replica: Pick<Replica, 'chain'>
  readonly #places = new Map<string, Promise<ChainPlace | undefined>>()

  constructor({ store, replica }: { store: CommitStore; replica: Pick<Replica, 'chain'> }) {
    this.#store = store
    this.#replica = replica
  }

  async reach(feed: string, claim: Claim): Promise<Reach> {
    const places = await Promise.all(claim.entries(feed).map((entry) => this.place(entry)))
    return {
      reach: reachOf(
        this.#replica.chain(feed),
        places.filter((place) => place !== undefined),
      ),
      goesBeyond: places.includes(undefined),
    }
  }

  /** Whether the claim covers all of these commits; undefined: it can't be checked. */
  async covers(
    claim: Claim,
    places: ReadonlyMap<string, readonly ChainPlace[]>,
  ): Promise<boolean | undefined> {
    let checked = true
    for (const [feed, ofFeed] of places) {
      const { reach, goesBeyond } = await this.reach(feed, claim)
      if (ofFeed.every(({ segment, seq }) => reach[segment]! >= seq)) continue
      if (!goesBeyond) return false
      checked = false
    }
    return checked ? true : undefined
  }

  /** Where the commits are that a claim ends with in a feed; undefined: not all are held here. */
  async endsOf(feed: string, claim: Claim): Promise<ChainPlace[] | undefined> {
    const places = await Promise.all(claim.entries(feed).map((entry) => this.place(entry)))
    return places.includes(undefined) ? undefined : (places as ChainPlace[])
  }

  /** Where the commit is that an entry names; undefined: it is not held here. */
  place(entry: ClockEntry): Promise<ChainPlace | undefined> {
    const key = `${entry.feed}/${entry.seq}/${entry.head}`
    const known = this.#places.get(key)
    if (known !== undefined) return known
    const place = this.#lookUp(entry)
    this.#places.set(key, place)
    return place
  }

  async #lookUp({ feed, floor, seq, head }: ClockEntry): Promise<ChainPlace | undefined> {
    // Nobody keeps less than whole feeds yet: what a part of one would cover is for a later version to say.
    if (floor > 0) return undefined
    const chain = this.#replica.chain(feed)
    const segment = await segmentNamed(this.#store, chain, { seq, idPrefix: head })
    return segment === undefined ? undefined : { segment, seq }
  }
}

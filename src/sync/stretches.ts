/** What is held here, as a list of stretches of feeds without a fork in them: the form in which coverage is counted. */
import type { FeedChain } from '../feed/chain.ts'
import type { ChainPlace } from '../feed/coverage.ts'
import type { ClockEntry } from '../feed/vector-clock.ts'

export interface Stretch {
  readonly feed: string
  /** Its index in the chain of the feed. */
  readonly segment: number
  /** The device that wrote it. */
  readonly author: string
  readonly from: number
  readonly to: number
}

export interface HeldFeed {
  readonly chain: FeedChain
  readonly author: string
  /** What a clock says of it that ends as it does here; absent where it has forked. */
  readonly end: ClockEntry | undefined
  /** The index of its first stretch; the others follow. */
  readonly at: number
}

export class Stretches {
  readonly all: readonly Stretch[]
  readonly #feeds = new Map<string, HeldFeed>()
  readonly #authorOf: (feed: string) => string | undefined
  readonly #byAuthor = new Map<string, number[]>()

  /** @param authorOf - the device of each feed whose descriptor is held */
  constructor(chains: Iterable<FeedChain>, authorOf: (feed: string) => string | undefined) {
    this.#authorOf = authorOf
    const all: Stretch[] = []
    for (const chain of chains) {
      const author = authorOf(chain.feed)
      if (author === undefined || chain.segments.length === 0) continue
      const end = chain.forked ? undefined : chain.entries()[0]
      this.#feeds.set(chain.feed, { chain, author, end, at: all.length })
      for (const [segment, { from, to }] of chain.segments.entries()) {
        this.#indexesOf(author).push(all.length)
        all.push({ feed: chain.feed, segment, author, from, to })
      }
    }
    this.all = all
  }

  feed(feed: string): HeldFeed | undefined {
    return this.#feeds.get(feed)
  }

  /** Undefined: nobody has shown here whose it is. */
  authorOf(feed: string): string | undefined {
    return this.#feeds.get(feed)?.author ?? this.#authorOf(feed)
  }

  /** Indexes of the stretches that a device wrote. */
  by(author: string): readonly number[] {
    return this.#byAuthor.get(author) ?? []
  }

  /** Reaching nowhere. */
  nothing(): Float64Array {
    return Float64Array.from(this.all, ({ from }) => from - 1)
  }

  /** The place that an entry names where that is the end of a stretch; other places only the store knows. */
  endNamed({ chain }: HeldFeed, { floor, seq, head }: ClockEntry): ChainPlace | undefined {
    if (floor > 0) return undefined
    const segment = chain.segments.findIndex((end) => end.to === seq && end.head.startsWith(head))
    return segment === -1 ? undefined : { segment, seq }
  }

  #indexesOf(author: string): number[] {
    const indexes = this.#byAuthor.get(author) ?? []
    this.#byAuthor.set(author, indexes)
    return indexes
  }
}

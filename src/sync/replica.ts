/**
 * What this replica holds: the chain of each feed, as it is durable, and as it will be when what is on its way to the disk has
 * arrived. Only what is durable is ever said to peers.
 */
import { limits } from '../core/limits.ts'
import { FeedChain } from '../feed/chain.ts'
import type { FeedDescriptor } from '../feed/descriptor.ts'
import { clockDigest } from '../feed/vector-clock.ts'
import type { ClockEntry, VectorClock } from '../feed/vector-clock.ts'

export interface ClockComparison {
  /** Commits that we lack of the other clock, per feed; feeds without any are absent. */
  readonly behind: number
  /** Commits of ours that it lacks. */
  readonly ahead: number
}

export class Replica {
  readonly #durable = new Map<string, FeedChain>()
  readonly #staged = new Map<string, FeedChain>()
  readonly #descriptors = new Map<string, FeedDescriptor>()
  readonly #clock = new Map<string, ClockEntry[]>()
  #digest: string | undefined
  #commits = 0

  restore(descriptors: Iterable<FeedDescriptor>, chains: Iterable<FeedChain>): void {
    for (const descriptor of descriptors) this.#descriptors.set(descriptor.feed, descriptor)
    for (const chain of chains) {
      this.#staged.set(chain.feed, chain)
      this.durable(chain)
    }
  }

  descriptor(feed: string): FeedDescriptor | undefined {
    return this.#descriptors.get(feed)
  }

  descriptors(): Iterable<FeedDescriptor> {
    return this.#descriptors.values()
  }

  /** A descriptor is staged with its feed's first commits. */
  addDescriptor(descriptor: FeedDescriptor): boolean {
    if (this.#descriptors.size >= limits.clockFeeds && !this.#descriptors.has(descriptor.feed))
      return false
    this.#descriptors.set(descriptor.feed, descriptor)
    return true
  }

  /** With what is on its way to the disk. */
  staged(feed: string): FeedChain {
    return this.#staged.get(feed) ?? new FeedChain(feed)
  }

  chain(feed: string): FeedChain {
    return this.#durable.get(feed) ?? new FeedChain(feed)
  }

  chains(): Iterable<FeedChain> {
    return this.#durable.values()
  }

  stage(chain: FeedChain): void {
    this.#staged.set(chain.feed, chain)
  }

  /** What was staged has reached the disk. */
  durable(chain: FeedChain): void {
    this.#commits += chain.count - this.chain(chain.feed).count
    this.#durable.set(chain.feed, chain)
    this.#clock.set(chain.feed, chain.entries())
    this.#digest = undefined
  }

  /** The disk failed: nothing that was staged will come. */
  forgetStaged(): void {
    this.#staged.clear()
    for (const [feed, chain] of this.#durable) this.#staged.set(feed, chain)
    // A descriptor reaches the disk with its feed's first commits.
    for (const feed of this.#descriptors.keys())
      if (!this.#durable.has(feed)) this.#descriptors.delete(feed)
  }

  get clock(): VectorClock {
    return this.#clock
  }

  get digest(): string {
    this.#digest ??= clockDigest(this.#clock)
    return this.#digest
  }

  get feeds(): number {
    return this.#durable.size
  }

  get commits(): number {
    return this.#commits
  }

  /** How many commits of `entries`, what another replica has of one feed, are not held here. */
  behindOf(
    feed: string,
    entries: readonly ClockEntry[],
    held: (entry: ClockEntry) => boolean,
  ): number {
    const chain = this.chain(feed)
    let behind = 0
    for (const entry of entries) {
      if (chain.tipAt(entry.seq, entry.head) !== undefined) continue
      if (entry.seq > chain.seq) behind = Math.max(behind, entry.seq - chain.seq)
      else if (chain.tips().some((tip) => tip.seq === entry.seq) && !chain.forked)
        behind = Math.max(behind, 1)
      else if ((chain.forked || entries.length > 1) && !held(entry)) behind = Math.max(behind, 1)
    }
    return behind
  }

  /** How many commits held here of one feed are not in `entries`. */
  aheadOf(feed: string, entries: readonly ClockEntry[]): number {
    const chain = this.chain(feed)
    const [first] = entries
    // The usual case, for each feed whenever somebody comes: both hold the same of it.
    if (entries.length === 1 && !chain.forked && chain.tipAt(first!.seq, first!.head) !== undefined)
      return 0
    let ahead = 0
    for (const index of chain.leaves()) {
      const leaf = chain.segments[index]!
      if (entries.some((entry) => entry.seq === leaf.to && leaf.head.startsWith(entry.head)))
        continue
      if (!chain.forked && entries.some((entry) => entry.seq > leaf.to)) continue
      const theirs = Math.max(
        0,
        ...entries.filter((entry) => entry.seq < leaf.to).map((entry) => entry.seq),
      )
      ahead += leaf.to - Math.max(theirs, leaf.from - 1)
    }
    return ahead
  }

  /** Against a clock last heard of a device that may be far away. */
  compare(clock: VectorClock): ClockComparison {
    let behind = 0
    let ahead = 0
    for (const [feed, entries] of clock) behind += this.behindOf(feed, entries, () => true)
    for (const feed of this.#durable.keys()) ahead += this.aheadOf(feed, clock.get(feed) ?? [])
    return { behind, ahead }
  }
}

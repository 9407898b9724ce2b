/** What of a feed lies in the chains that end at given commits: in a forked feed a greater seq alone says nothing. */
import type { FeedChain } from './chain.ts'

/** A commit that is held: the stretch of the feed that it is part of, and its number. */
export interface ChainPlace {
  /** Index of the segment in its chain. */
  readonly segment: number
  readonly seq: number
}

/**
 * How far the chains that end in these commits reach into each segment: the seq of the last commit of the segment that is in one of
 * them; one less than the segment's first where none is.
 */
export function reachOf(chain: FeedChain, ends: Iterable<ChainPlace>): number[] {
  const reach = chain.segments.map(({ from }) => from - 1)
  for (const { segment, seq } of ends) {
    for (let at = segment; at !== -1; at = chain.segments[at]!.parent)
      reach[at] = Math.max(reach[at]!, Math.min(seq, chain.segments[at]!.to))
  }
  return reach
}

/** Commits held of the feed that are in none of the chains. */
export function beyondReach(chain: FeedChain, reach: readonly number[]): number {
  let count = 0
  for (const [index, { to }] of chain.segments.entries()) count += to - reach[index]!
  return count
}

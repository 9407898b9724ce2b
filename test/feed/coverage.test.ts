import { test } from '@fast-check/vitest'
import * as fc from 'fast-check'
import { describe, expect } from 'vitest'

import type { FeedChain, Link } from '../../src/feed/chain.ts'
import { beyondReach, reachOf } from '../../src/feed/coverage.ts'
import { chainOf, tree } from './feed-tree.ts'

/** The ids of a commit and of all before it. */
function historyOf(link: Link, links: readonly Link[]): Set<string> {
  const ids = new Set<string>()
  for (let at: Link | undefined = link; at !== undefined;) {
    const { id, prev }: Link = at
    ids.add(id)
    at = links.find((each) => each.id === prev)
  }
  return ids
}

/** The segment whose stretch of the tree a commit is on: looked for from its end backwards. */
function segmentOf(link: Link, chain: FeedChain, links: readonly Link[]): number {
  return chain.segments.findIndex(
    ({ from, to, head }) =>
      from <= link.seq &&
      link.seq <= to &&
      historyOf(
        links.find(({ id }) => id === head)!,
        links,
      ).has(link.id),
  )
}

describe('what lies in the chains that end at some commits', () => {
  test.prop([tree, fc.array(fc.nat(), { maxLength: 4 })])(
    'is they, and what they lead back to, and nothing else',
    (links, picks) => {
      const chain = chainOf(links)
      const ends = picks.map((pick) => links[pick % links.length]!)
      const reach = reachOf(
        chain,
        ends.map((end) => ({ segment: segmentOf(end, chain, links), seq: end.seq })),
      )
      const within = new Set(ends.flatMap((end) => [...historyOf(end, links)]))
      for (const link of links) {
        const isWithin = reach[segmentOf(link, chain, links)]! >= link.seq
        expect(isWithin).toBe(within.has(link.id))
      }
      expect(beyondReach(chain, reach)).toBe(links.length - within.size)
    },
  )
})

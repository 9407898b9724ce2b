import { test } from '@fast-check/vitest'
import * as fc from 'fast-check'
import { describe, expect } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { FeedChain, startPlace } from '../../src/feed/chain.ts'
import type { Link } from '../../src/feed/chain.ts'
import { growChain } from '../../src/feed/grow-chain.ts'
import { chainOf, feed, tree } from './feed-tree.ts'

const bySeq = (links: readonly Link[]): Link[] => links.toSorted((a, b) => a.seq - b.seq)

/** Of a tree: what is held, with all that it follows, and the rest. */
function split(links: readonly Link[], keys: readonly boolean[]): [Link[], Link[]] {
  const held = new Map<string, Link>()
  for (const [index, link] of links.entries()) {
    const follows = link.prev === startPlace.id || held.has(link.prev)
    if (follows && keys[index] === true) held.set(link.id, link)
  }
  return [[...held.values()], links.filter(({ id }) => !held.has(id))]
}

const choice = fc.array(fc.boolean(), { minLength: 40, maxLength: 40 })

describe('a chain grows', () => {
  test.prop([tree, choice])(
    'to the chain of all commits, wherever their places are',
    (links, keys) => {
      const [held, rest] = split(links, keys)
      const { chain, left } = growChain(chainOf(held), bySeq(rest), held)
      expect(left).toEqual([])
      expect(chain).toEqual(chainOf(links))
    },
  )

  test.prop([tree, choice])('without the commits whose predecessor is missing', (links, keys) => {
    const [connected, orphans] = split(links, keys)
    // What follows directly would have a place.
    const ids = new Set(connected.map(({ id }) => id))
    const far = orphans.filter(({ prev }) => prev !== startPlace.id && !ids.has(prev))
    const known = new Set(far.map(({ id }) => id))
    const { chain, left } = growChain(new FeedChain(feed), bySeq([...connected, ...far]), [])
    expect(chain).toEqual(chainOf(connected))
    expect(new Set(left.map(({ id }) => id))).toEqual(known)
  })

  test('to as many branches as are kept, and no further', () => {
    const id = (number: number): string => number.toString(16).padStart(64, '0')
    const roots = Array.from({ length: limits.branchesPerFeed + 3 }, (_, index) => ({
      seq: 1,
      id: id(index + 1),
      prev: startPlace.id,
    }))
    const { chain, left } = growChain(new FeedChain(feed), roots, [])
    expect(chain.leaves()).toHaveLength(limits.branchesPerFeed)
    expect(left).toHaveLength(3)
    expect(FeedChain.decode(feed, chain.encode())).toEqual(chain)
    const next = { seq: 2, id: id(999), prev: roots[0]!.id }
    expect(growChain(chain, [next], []).left).toEqual([])
  })
})

import { test } from '@fast-check/vitest'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { bytesToHex } from '../../src/core/bytes.ts'
import { FeedChain, startPlace } from '../../src/feed/chain.ts'
import type { Link } from '../../src/feed/chain.ts'
import { segmentHolding } from '../../src/feed/grow-chain.ts'
import { chainOf, feed, tree } from './feed-tree.ts'

/** An order in which each commit comes after the one that it follows. */
function shuffled(links: readonly Link[], keys: readonly number[]): Link[] {
  const order: Link[] = []
  const waiting = links.map((link, index) => ({ link, key: keys[index % keys.length]! }))
  const known = new Set([startPlace.id])
  while (waiting.length > 0) {
    const ready = waiting.filter(({ link }) => known.has(link.prev))
    const next = ready.toSorted((a, b) => a.key - b.key)[0]!
    waiting.splice(waiting.indexOf(next), 1)
    known.add(next.link.id)
    order.push(next.link)
  }
  return order
}

describe('what is held of a feed', () => {
  test.prop([tree, fc.array(fc.nat(), { minLength: 40, maxLength: 40 })])(
    'is the same in whatever order its commits came',
    (links, keys) => {
      const chain = chainOf(links)
      const other = chainOf(shuffled(links, keys))
      expect(bytesToHex(other.encode())).toBe(bytesToHex(chain.encode()))
      expect(other.equals(chain)).toBe(true)
    },
  )

  test.prop([tree])('has every commit once, and a tip for each that nothing follows', (links) => {
    const chain = chainOf(links)
    expect(chain.count).toBe(links.length)
    expect(chain.seq).toBe(Math.max(...links.map(({ seq }) => seq)))
    const followed = new Set(links.map(({ prev }) => prev))
    const ends = links.filter(({ id }) => !followed.has(id))
    expect(
      chain
        .tips()
        .map(({ id }) => id)
        .toSorted(),
    ).toEqual(ends.map(({ id }) => id).toSorted())
    for (const { seq, id } of ends) {
      expect(chain.tipAt(seq, id.slice(0, 16))?.id).toBe(id)
      expect(chain.entries()).toContainEqual({ feed, floor: 0, seq, head: id.slice(0, 16) })
    }
    expect(chain.forked).toBe(ends.length > 1)
  })

  test.prop([tree])('finds the segment of each commit, which begins at a fork', (links) => {
    const chain = chainOf(links)
    const byId = new Map(links.map((link) => [link.id, link]))
    for (const link of links) {
      const segment = chain.segments[segmentHolding(chain, link.seq, link.id, links)!]!
      let at = link
      while (at.id !== segment.first) at = byId.get(at.prev)!
      expect(at.seq).toBe(segment.from)
      const siblings = links.filter(({ prev }) => prev === at.prev)
      expect(siblings.length > 1 || at.seq === 1).toBe(true)
    }
  })

  test.prop([tree])(
    'names its writers by the feed before the first fork, by commits after it',
    (links) => {
      const chain = chainOf(links)
      const names = chain.segments.map((_, index) => chain.writerOf(index))
      expect(new Set(names).size).toBe(names.length)
      const roots = links.filter(({ seq }) => seq === 1)
      expect(names.includes(feed)).toBe(roots.length === 1)
      for (const [index, name] of names.entries())
        if (name !== feed) expect(name).toBe(chain.segments[index]!.first)
    },
  )

  test.prop([tree])('is read as it was written', (links) => {
    const chain = chainOf(links)
    expect(FeedChain.decode(feed, chain.encode()).segments).toEqual(chain.segments)
  })

  it('refuses a commit that has no place', () => {
    const chain = chainOf([{ seq: 1, id: '11'.repeat(32), prev: startPlace.id }])
    expect(() => chain.with({ seq: 2, id: '22'.repeat(32), prev: '33'.repeat(32) }, 0)).toThrow(
      'predecessor',
    )
    expect(() => chain.with({ seq: 5, id: '22'.repeat(32), prev: '11'.repeat(32) }, 0)).toThrow(
      'place',
    )
  })
})

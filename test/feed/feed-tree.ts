import * as fc from 'fast-check'

import { bytesToHex } from '../../src/core/bytes.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import { FeedChain, startPlace } from '../../src/feed/chain.ts'
import type { Link } from '../../src/feed/chain.ts'
import { segmentHolding } from '../../src/feed/grow-chain.ts'

export const feed = 'ab'.repeat(16)

/** Each commit grows out of an earlier one, or out of nothing: a feed of a machine that was restored again and again. */
export const tree = fc
  .array(fc.oneof({ weight: 6, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.nat(30) }), {
    minLength: 1,
    maxLength: 40,
  })
  .map((steps) => {
    const links: Link[] = []
    for (const [index, back] of steps.entries()) {
      const before = links[index - back]
      const id = bytesToHex(sha256(Uint8Array.of(index, 1, 2)))
      links.push({ seq: (before?.seq ?? 0) + 1, id, prev: before?.id ?? startPlace.id })
    }
    return links
  })

/** Puts a commit where the receiver would. */
function insert(chain: FeedChain, link: Link, held: readonly Link[]): FeedChain {
  const at = link.seq === 1 ? -1 : segmentHolding(chain, link.seq - 1, link.prev, held)
  const next = held.find((each) => each.prev === link.prev && each.seq === link.seq)
  return chain.with(link, at!, next?.id)
}

export function chainOf(links: readonly Link[]): FeedChain {
  let chain = new FeedChain(feed)
  for (const [index, link] of links.entries()) chain = insert(chain, link, links.slice(0, index))
  return chain
}

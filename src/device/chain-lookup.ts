import { bytesToHex } from '../core/bytes.ts'
import { decodeHeader } from '../feed/commit.ts'
import type { CommitStore } from '../feed/commit-store.ts'
import type { FeedChain } from '../feed/chain.ts'

/**
 * The segment of a chain that holds the commit at a place; undefined: it is not held.
 *
 * @param place.idPrefix - first bytes of its id, in hex
 */
export async function segmentNamed(
  store: CommitStore,
  chain: FeedChain,
  { seq, idPrefix }: { readonly seq: number; readonly idPrefix: string },
): Promise<number | undefined> {
  const candidates = chain.segmentsAt(seq)
  if (candidates.length === 0) return undefined
  for (const index of candidates) {
    const segment = chain.segments[index]!
    if (segment.to === seq && segment.head.startsWith(idPrefix)) return index
  }
  const ids = await store.idsAt(chain.feed, seq)
  const id = ids.find((each) => bytesToHex(each).startsWith(idPrefix))
  if (id === undefined) return undefined
  if (candidates.length === 1) return candidates[0]
  // A forked feed: back along the chain to where a branch begins.
  let at = await store.commit(chain.feed, seq, id)
  while (at !== undefined) {
    const current = bytesToHex(at.id)
    const found = chain.segments.findIndex((segment) => segment.first === current)
    if (found !== -1) return found
    at = await store.commit(chain.feed, at.seq - 1, decodeHeader(at.header).prev)
  }
  return undefined
}

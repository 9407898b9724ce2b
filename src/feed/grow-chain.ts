/** A chain and commits that are to come into it, wherever their place is. */
import { limits } from '../core/limits.ts'
import type { FeedChain, Link } from './chain.ts'

export interface GrownChain {
  readonly chain: FeedChain
  /** Commits without a place: what they follow is not held, or the feed has forked as often as can be kept. */
  readonly left: readonly Link[]
}

/**
 * The chain with commits more.
 *
 * @param commits - in the order of seq; none of them is in the chain
 * @param links - of the chain's commits, those around the places that are no tips ({@link linksAround})
 */
export function growChain(
  chain: FeedChain,
  commits: readonly Link[],
  links: readonly Link[],
): GrownChain {
  let grown = chain
  const left: Link[] = []
  const known = new Map<string, Link>()
  const nextOf = new Map<string, Link>()
  const learn = (link: Link): void => {
    known.set(link.id, link)
    nextOf.set(link.prev, link)
  }
  for (const link of links) learn(link)
  for (const link of commits) {
    const leaf = grown.leaves().find((index) => isEnd(grown, index, link))
    if (leaf === undefined && grown.leaves().length >= limits.branchesPerFeed) {
      left.push(link)
      continue
    }
    const at = leaf ?? placeOf(grown, link, known)
    if (at === undefined) {
      left.push(link)
      continue
    }
    grown = grown.with(link, at, nextOf.get(link.prev)?.id)
    learn(link)
  }
  return { chain: grown, left }
}

/** Of which of the chain's commits the links have to be known, to find the places of commits that follow `from` ≤ seq ≤ `to`. */
export function linksAround(
  chain: FeedChain,
  from: number,
  to: number,
): { readonly from: number; readonly to: number } {
  return { from: Math.max(1, Math.min(from, ...sideBySide(chain, from, to))), to }
}

/** The segment in which a held commit lies. */
export function segmentHolding(
  chain: FeedChain,
  seq: number,
  id: string,
  links: readonly Link[],
): number | undefined {
  return segmentOf(chain, { seq, id }, new Map(links.map((each) => [each.id, each])))
}

function segmentOf(
  chain: FeedChain,
  { seq, id }: { readonly seq: number; readonly id: string },
  byId: ReadonlyMap<string, Link>,
): number | undefined {
  const candidates = chain.segmentsAt(seq)
  if (candidates.length === 1) return candidates[0]
  for (let at = byId.get(id); at !== undefined; at = byId.get(at.prev)) {
    const current = at
    const found = candidates.find((index) => chain.segments[index]!.first === current.id)
    if (found !== undefined) return found
  }
  return undefined
}

/** The segment that holds a commit's predecessor; -1 for the start. */
function placeOf(
  chain: FeedChain,
  link: Link,
  known: ReadonlyMap<string, Link>,
): number | undefined {
  if (link.seq === 1) return -1
  if (!known.has(link.prev)) return undefined
  return segmentOf(chain, { seq: link.seq - 1, id: link.prev }, known)
}

function isEnd(chain: FeedChain, index: number, link: Link): boolean {
  const { to, head } = chain.segments[index]!
  return to === link.seq - 1 && head === link.prev
}

/** Where the segments begin that run beside others between two places: the way back there tells which commit is in which. */
function sideBySide(chain: FeedChain, from: number, to: number): number[] {
  const within = chain.segments.filter((segment) => segment.from <= to && segment.to >= from)
  return within
    .filter((one) =>
      within.some((each) => each !== one && each.from <= one.to && one.from <= each.to),
    )
    .map((segment) => segment.from)
}

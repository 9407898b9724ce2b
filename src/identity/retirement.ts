/**
 * Which devices are being retired: they are to be wiped, take no write any more, and count as holders of nothing
 * (docs/protocol.md, What the facts mean).
 */
import type { HybridTime } from '../core/hybrid-time.ts'
import { compareTimes } from '../core/hybrid-time.ts'
import type { Fact } from './control-fact.ts'

/** The commit by which a device said that it retires. */
export interface Retirement {
  /** Its feed in `_mesh`. */
  readonly feed: string
  readonly seq: number
  /** 32 bytes in hex. */
  readonly commitId: string
  readonly time: HybridTime
}

interface Placed extends Retirement {
  readonly fact: Fact
  readonly author: string
}

/**
 * By device, of those that retire: the last that a device said of itself stands. In one feed that is the fact with the greatest seq;
 * of several feeds (incarnations), that of the latest time. Where a fork leaves two, the device retires.
 */
export function retirementsOf(facts: readonly Placed[]): ReadonlyMap<string, Retirement> {
  const last = new Map<string, Map<string, Placed>>()
  for (const placed of facts) {
    if (placed.fact.kind !== 'retiring') continue
    const feeds = last.get(placed.author) ?? new Map<string, Placed>()
    last.set(placed.author, feeds)
    const other = feeds.get(placed.feed)
    if (other === undefined || compareInFeed(placed, other) > 0) feeds.set(placed.feed, placed)
  }
  const retirements = new Map<string, Retirement>()
  for (const [device, feeds] of last) {
    const [stands] = [...feeds.values()].toSorted((a, b) => compareFeeds(b, a))
    if (isCancelled(stands!)) continue
    const { feed, seq, commitId, time } = stands!
    retirements.set(device, { feed, seq, commitId, time })
  }
  return retirements
}

function isCancelled({ fact }: Placed): boolean {
  return fact.kind === 'retiring' && fact.cancelled
}

function compareInFeed(a: Placed, b: Placed): number {
  if (a.seq !== b.seq) return a.seq - b.seq
  if (a.commitId === b.commitId) return isCancelled(b) ? 1 : -1
  if (isCancelled(a) !== isCancelled(b)) return isCancelled(b) ? 1 : -1
  return a.commitId < b.commitId ? -1 : 1
}

function compareFeeds(a: Placed, b: Placed): number {
  return compareTimes(a.time, b.time) || (a.commitId < b.commitId ? -1 : 1)
}

/**
 * What is held of one feed: a chain, or a tree where the feed has forked.
 *
 * A segment is a stretch without a fork in it. The segment from the first commit on is named by the feed; one that starts at a fork by the
 * id of its first commit: each branch is a writer of its own (docs/data-model.md). The tree, and with it the names, is a pure
 * function of the set of commits.
 */
import { bytesToHex, equalBytes, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { assert } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { ClockEntry } from './vector-clock.ts'

/** A commit's place in its feed. */
export interface Place {
  readonly seq: number
  /** Whole id, hex; of seq 0: 64 zeros. */
  readonly id: string
}

export interface Segment {
  /** Index of the segment that it grows out of; -1: none. */
  readonly parent: number
  readonly from: number
  readonly to: number
  /** Ids of commits `from` and `to`, hex. */
  readonly first: string
  readonly head: string
}

/** Where a commit that arrives belongs. */
export interface Link {
  readonly seq: number
  readonly id: string
  readonly prev: string
}

export const startPlace: Place = { seq: 0, id: '0'.repeat(64) }

export class FeedChain {
  readonly feed: string
  readonly segments: readonly Segment[]

  constructor(feed: string, segments: readonly Segment[] = []) {
    this.feed = feed
    this.segments = segments
  }

  get forked(): boolean {
    return this.segments.length > 1
  }

  /** Commits held. */
  get count(): number {
    let count = 0
    for (const segment of this.segments) count += segment.to - segment.from + 1
    return count
  }

  /** The highest seq held. */
  get seq(): number {
    let seq = 0
    for (const segment of this.segments) seq = Math.max(seq, segment.to)
    return seq
  }

  /** Ends of all branches, in the order of the tree. */
  tips(): Place[] {
    return this.leaves().map((index) => ({
      seq: this.segments[index]!.to,
      id: this.segments[index]!.head,
    }))
  }

  leaves(): number[] {
    // Nearly every feed is one stretch.
    if (this.segments.length === 1) return [0]
    const parents = new Set(this.segments.map((segment) => segment.parent))
    return this.segments.flatMap((_, index) => (parents.has(index) ? [] : [index]))
  }

  entries(): ClockEntry[] {
    return this.tips().map((tip) => ({
      feed: this.feed,
      floor: 0,
      seq: tip.seq,
      head: tip.id.slice(0, 16),
    }))
  }

  /** The name of a segment as a writer. */
  writerOf(index: number): string {
    const segment = this.segments[index]!
    const roots = this.segments.filter((each) => each.parent === -1).length
    return segment.parent === -1 && roots === 1 ? this.feed : segment.first
  }

  /** The tip whose place is `seq` and whose id starts with `head`, if it is a tip. */
  tipAt(seq: number, head: string): Place | undefined {
    const [only] = this.segments
    if (only !== undefined && this.segments.length === 1) {
      const isTip = only.to === seq && only.head.startsWith(head)
      return isTip ? { seq, id: only.head } : undefined
    }
    return this.tips().find((tip) => tip.seq === seq && tip.id.startsWith(head))
  }

  /** The segments that hold a commit number `seq`. */
  segmentsAt(seq: number): number[] {
    return this.segments.flatMap((segment, index) =>
      segment.from <= seq && seq <= segment.to ? [index] : [],
    )
  }

  childrenOf(index: number): number[] {
    return this.segments.flatMap((segment, child) => (segment.parent === index ? [child] : []))
  }

  /**
   * The chain with a commit more.
   *
   * @param link - must not be held yet; its `prev` must be held (or be the start)
   * @param at - the segment that holds `prev`, -1 for the start
   * @param next - where `prev` is not the end of its segment: the id of the commit after it in that segment
   */
  with(link: Link, at: number, next?: string): FeedChain {
    const grown: Segment = {
      parent: at,
      from: link.seq,
      to: link.seq,
      first: link.id,
      head: link.id,
    }
    if (at === -1) return new FeedChain(this.feed, normalize([...this.segments, grown]))
    const base = this.segments[at]!
    if (base.to === link.seq - 1) {
      assert(base.head === link.prev, 'a commit is appended to its predecessor')
      if (this.childrenOf(at).length > 0)
        return new FeedChain(this.feed, normalize([...this.segments, grown]))
      const segments = this.segments.slice()
      segments[at] = { ...base, to: link.seq, head: link.id }
      return new FeedChain(this.feed, segments)
    }
    assert(
      next !== undefined && base.from <= link.seq - 1 && link.seq - 1 < base.to,
      'a fork has a place',
    )
    const rest: Segment = { parent: at, from: link.seq, to: base.to, first: next, head: base.head }
    const restIndex = this.segments.length
    const segments = this.segments.map((segment) =>
      segment.parent === at ? { ...segment, parent: restIndex } : segment,
    )
    segments[at] = { ...base, to: link.seq - 1, head: link.prev }
    segments.push(rest, grown)
    return new FeedChain(this.feed, normalize(segments))
  }

  encode(): Uint8Array {
    const writer = new ByteWriter(80 * this.segments.length + 4).varint(this.segments.length)
    for (const segment of this.segments) {
      writer
        .varint(segment.parent + 1)
        .varint(segment.from)
        .varint(segment.to)
        .bytes(hexToBytes(segment.first))
        .bytes(hexToBytes(segment.head))
    }
    return writer.finish()
  }

  static decode(feed: string, bytes: Uint8Array): FeedChain {
    const reader = new ByteReader(bytes, 'feed chain')
    const count = reader.count(67, limits.branchesPerFeed * 2)
    const segments = Array.from({ length: count }, () => ({
      parent: reader.varint() - 1,
      from: reader.varint(),
      to: reader.varint(),
      first: bytesToHex(reader.bytes(32)),
      head: bytesToHex(reader.bytes(32)),
    }))
    reader.end()
    return new FeedChain(feed, segments)
  }

  equals(other: FeedChain): boolean {
    return this.feed === other.feed && equalBytes(this.encode(), other.encode())
  }
}

/** A canonical order of the segments, parents first, so that equal sets make equal chains. */
function normalize(segments: Segment[]): Segment[] {
  const order: { segment: Segment; old: number }[] = []
  const visit = (parent: number): void => {
    const children = segments
      .map((segment, old) => ({ segment, old }))
      .filter(({ segment }) => segment.parent === parent)
      .toSorted((a, b) => (a.segment.first < b.segment.first ? -1 : 1))
    for (const child of children) {
      order.push(child)
      visit(child.old)
    }
  }
  visit(-1)
  const newIndexByOld = new Map(order.map(({ old }, index) => [old, index]))
  return order.map(({ segment }) => ({
    ...segment,
    parent: segment.parent === -1 ? -1 : newIndexByOld.get(segment.parent)!,
  }))
}

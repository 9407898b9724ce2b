/**
 * What a device was known to hold before its newest claim, so that it can be said since when it has held something: that time must
 * not move with each new claim.
 *
 * Whole clocks would be too large: only what differs from the next newer claim is kept, and of that a bounded part. When there are too
 * many claims, one between two others is given up, so that the gaps grow with the age; the oldest stays as long as there is room. So what
 * is said to be held "since" is never earlier than what was heard, and later by at most about a third of its age.
 */
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { bytesToHex, hexToBytes } from '../core/bytes.ts'
import { limits } from '../core/limits.ts'
import { readEntries, writeEntries } from '../feed/vector-clock.ts'
import type { ClockEntry, VectorClock } from '../feed/vector-clock.ts'

export interface OlderClaim {
  /** When it was first made. */
  readonly timeMs: number
  /** The time is by this device's clock, to which it was told; else by that of the device itself. */
  readonly direct: boolean
  /** Its entries for the feeds in which it differs from the next newer claim; none: it did not name the feed. */
  readonly feeds: ReadonlyMap<string, readonly ClockEntry[]>
}

/**
 * @param claims - the newest first
 * @param replaced - the claim that is replaced now
 * @param newer - by what
 */
export function withOlder(
  claims: readonly OlderClaim[],
  replaced: { readonly timeMs: number; readonly direct: boolean; readonly clock: VectorClock },
  newer: { readonly timeMs: number; readonly clock: VectorClock },
): OlderClaim[] {
  const { timeMs, direct, clock } = replaced
  const kept = [{ timeMs, direct, feeds: differingFeeds(clock, newer.clock) }, ...claims]
  while (kept.length > limits.claimsKept) giveUpOne(kept, newer.timeMs)
  while (entryCount(kept) > limits.claimEntriesKept) kept.pop()
  return kept
}

function differingFeeds(
  clock: VectorClock,
  newer: VectorClock,
): Map<string, readonly ClockEntry[]> {
  const differing = new Map<string, readonly ClockEntry[]>()
  for (const feed of new Set([...clock.keys(), ...newer.keys()])) {
    const entries = clock.get(feed) ?? []
    if (!haveSame(entries, newer.get(feed) ?? [])) differing.set(feed, entries)
  }
  return differing
}

function haveSame(a: readonly ClockEntry[], b: readonly ClockEntry[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ seq, head }) => b.some((other) => other.seq === seq && other.head === head))
  )
}

/** The one whose loss leaves the smallest gap for its age; never the oldest. */
function giveUpOne(claims: OlderClaim[], newestMs: number): void {
  let least = Infinity
  let at = 0
  for (let index = 0; index < claims.length - 1; index++) {
    const after = claims[index - 1]?.timeMs ?? newestMs
    const before = claims[index + 1]!.timeMs
    const gap = Math.abs(after - before) / (Math.abs(newestMs - before) + 1)
    if (gap < least) {
      least = gap
      at = index
    }
  }
  const [given] = claims.splice(at, 1)
  const older = claims[at]!
  claims[at] = { ...older, feeds: new Map([...given!.feeds, ...older.feeds]) }
}

/** A feed that a claim did not name takes room as well. */
function entryCount(claims: readonly OlderClaim[]): number {
  let count = 0
  for (const { feeds } of claims)
    for (const entries of feeds.values()) count += Math.max(1, entries.length)
  return count
}

export function writeOlderClaims(writer: ByteWriter, claims: readonly OlderClaim[]): void {
  writer.varint(claims.length)
  for (const { timeMs, direct, feeds } of claims) {
    writer
      .u64(timeMs)
      .u8(direct ? 1 : 0)
      .varint(feeds.size)
    for (const [feed, entries] of feeds) {
      writer.bytes(hexToBytes(feed))
      writeEntries(writer, entries)
    }
  }
}

export function readOlderClaims(reader: ByteReader): OlderClaim[] {
  return Array.from({ length: reader.count(10, limits.claimsKept) }, () => ({
    timeMs: reader.u64(),
    direct: reader.u8() === 1,
    feeds: new Map(
      Array.from({ length: reader.count(17, limits.claimEntriesKept) }, () => [
        bytesToHex(reader.bytes(16)),
        readEntries(reader),
      ]),
    ),
  }))
}

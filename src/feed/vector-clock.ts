/**
 * The vector clock: what a replica holds, exactly (docs/protocol.md, Vector clock).
 *
 * Strictly a version vector. Entries carry the first bytes of the id of their last commit, so that two histories of one
 * feed are told apart; a forked feed has an entry for each branch.
 */
import { bytesToHex } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { limits } from '../core/limits.ts'
import { domainHash16 } from '../crypto/hash.ts'

export interface ClockEntry {
  readonly feed: string
  /** Holds floor < n <= seq. */
  readonly floor: number
  readonly seq: number
  /** First 8 bytes of the id of commit `seq`, hex. */
  readonly head: string
}

/** Entries by feed; more than one where the feed has forked. */
export type VectorClock = ReadonlyMap<string, readonly ClockEntry[]>

const entryBytesMin = 16 + 1 + 1 + 8

function writeEntry(writer: ByteWriter, entry: ClockEntry): void {
  writer.hex(entry.feed).varint(entry.floor).varint(entry.seq).hex(entry.head)
}

function readEntry(reader: ByteReader): ClockEntry {
  const feed = bytesToHex(reader.bytes(16))
  const floor = reader.varint()
  const seq = reader.varint()
  if (seq === 0 || floor >= seq) reader.fail('an entry that holds nothing')
  return { feed, floor, seq, head: bytesToHex(reader.bytes(8)) }
}

export function writeEntries(writer: ByteWriter, entries: readonly ClockEntry[]): void {
  writer.varint(entries.length)
  for (const entry of entries) writeEntry(writer, entry)
}

export function readEntries(reader: ByteReader): ClockEntry[] {
  const count = reader.count(entryBytesMin, limits.clockFeeds)
  return Array.from({ length: count }, () => readEntry(reader))
}

/** All entries in the canonical order: feed, seq, head. */
export function sortedEntries(clock: VectorClock): ClockEntry[] {
  return [...clock.values()].flat().toSorted(compareEntries)
}

export function encodeClock(clock: VectorClock): Uint8Array {
  const writer = new ByteWriter(32 * clock.size + 8)
  writeEntries(writer, sortedEntries(clock))
  return writer.finish()
}

/** 16 bytes, hex. Two replicas with equal digests hold the same commits. */
export function clockDigest(clock: VectorClock): string {
  return bytesToHex(domainHash16('havenmesh/clock/v1', encodeClock(clock)))
}

export function clockOf(entries: Iterable<ClockEntry>): Map<string, ClockEntry[]> {
  const clock = new Map<string, ClockEntry[]>()
  for (const entry of entries) {
    const known = clock.get(entry.feed)
    if (known === undefined) clock.set(entry.feed, [entry])
    else known.push(entry)
  }
  return clock
}

/** How many commits a clock holds, branches counted from where each entry's own history begins is not known: an estimate. */
export function commitCount(clock: VectorClock): number {
  let count = 0
  for (const entries of clock.values()) {
    count += Math.max(...entries.map((entry) => entry.seq - entry.floor))
  }
  return count
}

export interface ClockDifference {
  readonly added: readonly ClockEntry[]
  readonly removed: readonly ClockEntry[]
}

/** What makes `clock` of `base`. */
export function differenceFrom(base: VectorClock, clock: VectorClock): ClockDifference {
  return { added: missingIn(base, clock), removed: missingIn(clock, base) }
}

export function applyDifference(
  base: VectorClock,
  difference: ClockDifference,
): Map<string, ClockEntry[]> {
  const gone = new Set(difference.removed.map(entryKey))
  const kept = [...base.values()].flat().filter((entry) => !gone.has(entryKey(entry)))
  return clockOf([...kept, ...difference.added])
}

function sameEntry(a: ClockEntry, b: ClockEntry): boolean {
  return a.feed === b.feed && a.seq === b.seq && a.head === b.head && a.floor === b.floor
}

function missingIn(clock: VectorClock, other: VectorClock): ClockEntry[] {
  const missing: ClockEntry[] = []
  for (const entries of other.values()) {
    for (const entry of entries) {
      if (!clock.get(entry.feed)?.some((known) => sameEntry(known, entry))) missing.push(entry)
    }
  }
  return missing.toSorted(compareEntries)
}

function compareEntries(a: ClockEntry, b: ClockEntry): number {
  if (a.feed !== b.feed) return a.feed < b.feed ? -1 : 1
  return a.seq - b.seq || (a.head < b.head ? -1 : a.head > b.head ? 1 : a.floor - b.floor)
}

function entryKey(entry: ClockEntry): string {
  return `${entry.feed}/${entry.floor}/${entry.seq}/${entry.head}`
}

/**
 * What a device had said that it held, and does not hold any more by its newer words: it was put back to an older state, or has lost its
 * disk. Commits that it dropped on purpose (the floor of an entry says so) are not lost.
 */
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { clockOf, readEntries, sortedEntries, writeEntries } from '../feed/vector-clock.ts'
import type { ClockEntry, VectorClock } from '../feed/vector-clock.ts'

export interface LostClaims {
  /** When the first claim without it was made; undefined: there may be a newer one that has it. */
  readonly sinceMs: number | undefined
  /** What it had said, by feed. */
  readonly feeds: VectorClock
  /** About how many: of a feed that has forked, it can't be told from clocks. */
  readonly commits: number
}

/**
 * @param before - what was lost by the claim before
 * @param old - that claim
 * @param timeMs - of the new one; undefined when it may be the older one of the two
 */
export function lostAfter(
  before: LostClaims | undefined,
  old: VectorClock | undefined,
  claim: VectorClock,
  timeMs: number | undefined,
): LostClaims | undefined {
  const feeds = new Map<string, readonly ClockEntry[]>()
  let commits = 0
  const expected = before === undefined ? (old ?? []) : new Map([...(old ?? []), ...before.feeds])
  for (const [feed, entries] of expected) {
    const current = claim.get(feed) ?? []
    const missing = uncovered(entries, current)
    if (missing.length === 0) continue
    feeds.set(feed, entries)
    // Who makes seqs up gets no sum that can't be written down.
    for (const entry of missing)
      commits = Math.min(commits + lacking(entry, current), Number.MAX_SAFE_INTEGER)
  }
  if (feeds.size === 0) return undefined
  return { sinceMs: before?.sinceMs ?? timeMs, feeds, commits }
}

/** A device began anew: nothing that it had said counts any more, and its next claim tells what it still has. */
export function allInDoubt(
  before: LostClaims | undefined,
  old: VectorClock | undefined,
): LostClaims | undefined {
  const lost = lostAfter(before, old, new Map(), undefined)
  return lost && { ...lost, sinceMs: before?.sinceMs }
}

/** Each entry is covered by itself, or by one further on in its branch: which branch that is, a clock does not say, but one for each has to be there. */
function uncovered(entries: readonly ClockEntry[], current: readonly ClockEntry[]): ClockEntry[] {
  const free = [...current]
  const take = (covers: (one: ClockEntry) => boolean): boolean => {
    const index = free.findIndex(covers)
    if (index !== -1) free.splice(index, 1)
    return index !== -1
  }
  return entries
    .filter(({ seq, head }) => !take((one) => one.seq === seq && one.head === head))
    .toSorted((a, b) => b.seq - a.seq)
    .filter(({ seq }) => !take((one) => one.seq > seq))
}

function lacking({ seq, floor }: ClockEntry, current: readonly ClockEntry[]): number {
  const held = Math.max(floor, ...current.map((one) => one.seq).filter((one) => one < seq))
  return seq - held
}

export function writeLostClaims(writer: ByteWriter, lost: LostClaims): void {
  writer.u64(lost.sinceMs ?? 0).varint(lost.commits)
  writeEntries(writer, sortedEntries(lost.feeds))
}

export function readLostClaims(reader: ByteReader): LostClaims {
  const sinceMs = reader.u64()
  const commits = reader.varint()
  return {
    sinceMs: sinceMs === 0 ? undefined : sinceMs,
    commits,
    feeds: clockOf(readEntries(reader)),
  }
}

/**
 * What each write of a record took the place of, and in which order the writes are told: docs/data-model.md, "History".
 * A pure function of the writes and of who had seen what.
 */
import { compareTimes, type HybridTime } from '../core/hybrid-time.ts'
import { compareCandidates, compareText, liveAmong, sees } from './candidates.ts'
import type { Candidate, Causality } from './candidates.ts'
import { elementKey } from './slots.ts'
import { isOfElement, type WriterId } from './writes.ts'

/** A commit of a writer. */
export interface Head {
  readonly writer: WriterId
  readonly feed: string
  readonly seq: number
  readonly time: HybridTime
}

/**
 * Of the newest commits of each writer the one to be told first: no other had seen it, and of those the last in the total order.
 * Undefined for none.
 */
export function latestOf<T extends Head>(heads: readonly T[], causality: Causality): T | undefined {
  const latestFirst = heads.toSorted((a, b) => compareHeads(b, a))
  return latestFirst.find(
    (one) => !heads.some((other) => other !== one && causality.isInPast(one, other)),
  )
}

function compareHeads(a: Head, b: Head): number {
  return (
    compareTimes(a.time, b.time) || compareText(a.feed, b.feed) || compareText(a.writer, b.writer)
  )
}

/** Whether nothing in these commits or before them can be unknown to all of the writes. */
export function allSeen(
  heads: readonly Head[],
  by: readonly Candidate[],
  causality: Causality,
): boolean {
  const whole = by.filter(({ write }) => write.unseen.length === 0)
  return heads.every((head) =>
    whole.some(({ write, by: { writer } }) =>
      causality.isInPast(head, { writer, seq: write.commit.seq }),
    ),
  )
}

/**
 * The value of a field after these writes of it, counts aside: the write that no other of them saw, of several the greatest.
 * Undefined where that is no value by itself, but an element of a set or of a newer version.
 */
export function lastValue(
  writes: readonly Candidate[],
  causality: Causality,
): Candidate | undefined {
  const values = writes.filter(({ write }) => write.op !== 'count')
  const last = values
    .filter((one) => !values.some((other) => sees(other, one, causality)))
    .toSorted((a, b) => compareCandidates(b, a))
  return last.every(({ write: { op } }) => op === 'put' || op === 'keep') ? last[0] : undefined
}

/**
 * What the write took the place of: what was live in its causal past, less what it names as unseen, which is what its author saw. The
 * greatest first.
 *
 * @param before - of each writer what {@link seenOf} gives
 */
export function replacedBy(
  write: Candidate,
  before: readonly Candidate[],
  causality: Causality,
): Candidate[] {
  return liveAmong(before, causality)
    .filter((other) => isOfTheSame(write, other))
    .toSorted((a, b) => compareCandidates(b, a))
}

/**
 * Of one writer's accepted writes of the field, those that were its candidates when the write was made.
 *
 * @param newestFirst - read no further than needed
 */
export async function seenOf(
  write: Candidate,
  newestFirst: AsyncIterable<Candidate>,
  causality: Causality,
): Promise<Candidate[]> {
  const seen: Candidate[] = []
  const candidates: Candidate[] = []
  for await (const other of newestFirst) {
    if (!sees(write, other, causality)) continue
    // Also what has itself been replaced since took the place of others in its time.
    const isReplaced = seen.some((by) => isOfTheSame(by, other) && sees(by, other, causality))
    if (!isReplaced) candidates.push(other)
    seen.push(other)
    if (endsWhatCounts(write, other)) break
  }
  return candidates
}

/** Whether nothing that the same writer had written before can make a difference. */
function endsWhatCounts({ write, by }: Candidate, { write: other, by: its }: Candidate): boolean {
  if (other.unseen.some(({ feed }) => feed === its.feed)) return false
  if (isOfElement(other.op)) return false
  if (other.op === 'count') return write.op === 'count' && by === its
  // All before it was replaced, but for counts.
  return write.op !== 'count' || by !== its
}

/** A write of the field as a whole concerns all of it but counts; one of an element its element; a count its writer's. */
function isOfTheSame({ write, by }: Candidate, { write: other, by: its }: Candidate): boolean {
  if (write.op === 'count') return other.op === 'count' && by.feed === its.feed
  if (isOfElement(write.op)) return isOfElement(other.op) && sameElement(write, other)
  return other.op !== 'count'
}

function sameElement(a: { value: string | undefined }, b: { value: string | undefined }): boolean {
  return elementKey(a.value) === elementKey(b.value)
}

/**
 * Which writes of a record are live: a pure function of what the writers' commits say and had seen. docs/data-model.md,
 * "What is visible".
 */
import { compareTimes } from '../core/hybrid-time.ts'
import type { Place } from './causality.ts'
import {
  acceptedWrites,
  type AcceptedWrite,
  type RecordState,
  type WriterState,
} from './record-state.ts'
import { isReserved } from './reserved-fields.ts'
import { elementKey } from './slots.ts'
import { isOfElement, type WriterId } from './writes.ts'

/** What visibility needs of a CausalIndex. */
export interface Causality {
  isInPast(a: Place, b: Place): boolean
  isBranchOf(writer: WriterId, ancestor: WriterId): boolean
}

/** A write that its own writer has not replaced. */
export interface Candidate {
  readonly write: AcceptedWrite
  readonly by: WriterState
}

/** The candidates of one field. */
export interface FieldCandidates {
  readonly all: readonly Candidate[]
  /** Those that no other candidate of the field replaces. */
  readonly live: readonly Candidate[]
}

/** By field; the empty one stands for the record. */
export function candidatesOf(state: RecordState): Map<string, Candidate[]> {
  const byField = new Map<string, Candidate[]>()
  for (const by of state.writers.values()) {
    for (const write of acceptedWrites(by)) addTo(byField, write.field, { write, by })
  }
  return byField
}

export function addTo<K, T>(lists: Map<K, T[]>, key: K, item: T): void {
  const list = lists.get(key)
  if (list === undefined) lists.set(key, [item])
  else list.push(item)
}

/** Of the candidates of one field those that no other replaces. */
export function liveAmong(
  candidates: readonly Candidate[],
  causality: Causality,
): readonly Candidate[] {
  if (candidates.length === 1) return candidates
  if (candidates.every(isOfWhole)) {
    return candidates.filter((one) => !candidates.some((other) => sees(other, one, causality)))
  }
  // Element by element: a set may have thousands.
  const whole = candidates.filter(isOfWhole)
  const byElement = new Map<string, Candidate[]>()
  for (const one of candidates) {
    if (isOfElement(one.write.op)) addTo(byElement, elementKey(one.write.value), one)
  }
  const rivals = (one: Candidate): readonly Candidate[] => {
    if (isOfWhole(one)) return whole
    const same = isOfElement(one.write.op) ? byElement.get(elementKey(one.write.value))! : []
    return one.write.op === 'count' ? whole.filter(isUnknownToCounters) : [...same, ...whole]
  }
  return candidates.filter((one) => !rivals(one).some((other) => sees(other, one, causality)))
}

/** A write of the field as a whole, which replaces what it saw of it. */
function isOfWhole({ write }: Candidate): boolean {
  return !isOfElement(write.op) && write.op !== 'count'
}

/** What no version but a newer one could say of a counter. A put or a deletion of the value replaces no count: none is lost. */
function isUnknownToCounters({ write }: Candidate): boolean {
  return write.op !== 'put' && write.op !== 'keep'
}

/** Whether the author of `later` knew `earlier` and did not set it aside as unseen. */
export function sees(later: Candidate, earlier: Candidate, causality: Causality): boolean {
  if (later === earlier) return false
  const { write, by } = later
  const { seq: earlierSeq } = earlier.write.commit
  if (by === earlier.by) {
    if (earlier.write.clock >= write.clock) return false
    // What a commit brings itself it can't set aside.
    if (earlierSeq === write.commit.seq) return true
  } else if (!causality.isInPast(placeOf(earlier), placeOf(later))) return false
  return !write.unseen.some(({ feed, seq }) => seq === earlierSeq && feed === earlier.by.feed)
}

function placeOf({ write, by }: Candidate): Place {
  return { writer: by.writer, seq: write.commit.seq }
}

/** What the deletions of a record come to. */
export interface Fate {
  readonly deleted: boolean
  readonly resurrected: boolean
  /** Live deletions that somebody overruled without knowing of them. */
  readonly overruled: readonly Candidate[]
  /** Where only a part is shown, because the record was re-created: whether this is. */
  readonly shows: ((one: Candidate) => boolean) | undefined
  /** Nobody has edited its texts since it was deleted: if it was re-created, it is without them. */
  readonly withoutTexts: boolean
}

const untouched: Fate = {
  deleted: false,
  resurrected: false,
  overruled: [],
  shows: undefined,
  withoutTexts: false,
}

/** The last commit of a writer that edited text or other free types of the record. */
export interface EditPlace extends Place {
  readonly feed: string
}

export function editsOf({ writers }: RecordState): EditPlace[] {
  const edits: EditPlace[] = []
  for (const { writer, feed, free } of writers.values()) {
    if (free !== undefined && free.shownSeq > 0) edits.push({ writer, feed, seq: free.shownSeq })
  }
  return edits.toSorted((a, b) => compareText(a.writer, b.writer))
}

export function fateOf(
  fields: ReadonlyMap<string, FieldCandidates>,
  edits: readonly EditPlace[],
  causality: Causality,
): Fate {
  const ofRecord = fields.get('')
  if (ofRecord === undefined) return untouched
  const restorations = ofRecord.all.filter(({ write }) => write.op === 'restore')
  const counts = (one: Candidate): boolean =>
    isDelete(one) && !restorations.some((by) => sees(by, one, causality))
  const deletes = ofRecord.all.filter(counts)
  if (deletes.length === 0) return untouched
  const uncovered = [...fields]
    .flatMap(([field, { all }]) => (isReserved(field) ? [] : all))
    .filter((one) => !isDelete(one) && !deletes.some((by) => sees(by, one, causality)))
  const uncoveredEdits = edits.filter(
    (edit) => !deletes.some((by) => seesEdit(by, edit, causality)),
  )
  if (uncovered.length === 0 && uncoveredEdits.length === 0)
    return { ...untouched, deleted: true, withoutTexts: true }
  const liveDeletes = ofRecord.live.filter(counts)
  const overruled = liveDeletes.filter(
    (deletion) =>
      uncovered.some((one) => !sees(one, deletion, causality)) ||
      uncoveredEdits.some((edit) => !causality.isInPast(placeOf(deletion), edit)),
  )
  if (overruled.length > 0) return { ...untouched, resurrected: true, overruled }
  const shown = new Set(uncovered)
  return {
    ...untouched,
    shows: (one) => shown.has(one),
    withoutTexts: uncoveredEdits.length === 0,
  }
}

/** Within one commit there is no saying which came first. */
function seesEdit(deletion: Candidate, edit: EditPlace, causality: Causality): boolean {
  const { unseen } = deletion.write
  return (
    causality.isInPast(edit, placeOf(deletion)) &&
    !unseen.some(({ feed, seq }) => feed === edit.feed && seq === edit.seq)
  )
}

function isDelete({ write }: Candidate): boolean {
  return write.op === 'delete'
}

/** The total order of writes, which breaks ties between those that did not see each other. */
export function compareCandidates(a: Candidate, b: Candidate): number {
  return (
    compareTimes(a.write.commit.time, b.write.commit.time) ||
    compareText(a.by.feed, b.by.feed) ||
    compareText(a.by.writer, b.by.writer) ||
    a.write.clock - b.write.clock
  )
}

export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

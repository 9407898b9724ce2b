/**
 * What people see of a record: a pure function of the commits that a replica holds. docs/data-model.md, "What is
 * visible".
 */
import { compareTimes, type HybridTime } from '../core/hybrid-time.ts'
import type { Place } from './causality.ts'
import type { AcceptedWrite, RecordState, WriterState } from './record-state.ts'
import { isKnownOp, type WriterId } from './writes.ts'

/** `lww`: the greatest live write is the field's value; `mvr`: a person has to choose among them. */
export type Strategy = 'lww' | 'mvr'

/** What visibility needs of a CausalIndex. */
export interface Causality {
  isInPast(a: Place, b: Place): boolean
}

export interface LiveWrite {
  readonly field: string
  readonly op: string
  /** JSON text; absent: removed. */
  readonly value: string | undefined
  readonly writer: WriterId
  readonly feed: string
  readonly seq: number
  /** Position in the writer's array. */
  readonly clock: number
  readonly time: HybridTime
  readonly schemaVersion: number
  readonly actor: string
}

export interface RecordView {
  readonly id: string
  /** Somebody wrote it, and it is not deleted. */
  readonly exists: boolean
  readonly deleted: boolean
  /** A write that did not see the deletion brought it back, whole. */
  readonly resurrected: boolean
  /** JSON text by field, in the order in which the shown values were written. */
  readonly fields: ReadonlyMap<string, string>
  /** Where concurrent values differ: one write of each value, the greatest first. */
  readonly conflicts: ReadonlyMap<string, readonly LiveWrite[]>
  /** Conflicts that a person has to decide: those of `mvr` fields. */
  readonly undecided: readonly string[]
  /** Fields with a live write of a newer version: to be read, not written. Empty: the record as a whole. */
  readonly unknownOps: readonly string[]
  /** All live writes in their total order, deletes included, whether shown or not. */
  readonly live: readonly LiveWrite[]
}

interface Candidate {
  readonly write: AcceptedWrite
  readonly by: WriterState
}

export function viewRecord(
  state: RecordState,
  causality: Causality,
  { strategyOf }: { readonly strategyOf: (field: string) => Strategy },
): RecordView {
  const candidatesByField = candidatesOf(state)
  const liveByField = new Map<string, Candidate[]>()
  for (const [field, candidates] of candidatesByField) {
    liveByField.set(field, liveAmong(candidates, causality))
  }
  const fate = fateOf(candidatesByField, liveByField, causality)
  const shown: LiveWrite[] = []
  const conflicts = new Map<string, readonly LiveWrite[]>()
  const unknownOps: string[] = []
  for (const [field, live] of liveByField) {
    const visible = fate.shows === undefined ? live : live.filter((one) => fate.shows!.has(one))
    if (visible.some(({ write }) => !isKnownOp(write.op))) unknownOps.push(field)
    if (field === '' || fate.deleted || visible.length === 0) continue
    const greatestFirst = visible.map(liveWrite).toSorted((a, b) => compareWrites(b, a))
    const values = distinctValues(greatestFirst)
    if (values.length > 1) conflicts.set(field, values)
    if (values[0]!.value !== undefined) shown.push(values[0]!)
  }
  shown.sort(compareWrites)
  return {
    id: state.id,
    exists: !fate.deleted && (candidatesByField.size > 0 || hasFreeTypes(state)),
    deleted: fate.deleted,
    resurrected: fate.resurrected,
    fields: new Map(shown.map(({ field, value }) => [field, value!])),
    conflicts: new Map([...conflicts].toSorted(([a], [b]) => compareText(a, b))),
    undecided: [...conflicts.keys()].filter((field) => strategyOf(field) === 'mvr').toSorted(),
    unknownOps: unknownOps.toSorted(),
    live: [...liveByField.values()].flat().map(liveWrite).toSorted(compareWrites),
  }
}

/** What a record counts for in its collection. */
export interface RecordSummary {
  readonly exists: boolean
  /** Some field has several live writes, or there is a deletion: knowing more of who saw what may change the verdict. */
  readonly contested: boolean
  readonly live: readonly Pick<AcceptedWrite, 'field' | 'op' | 'value'>[]
}

/** The same verdicts as {@link viewRecord}, without what only a reader needs: every integrated record is summed up. */
export function summaryOf(state: RecordState, causality: Causality): RecordSummary {
  if (state.writers.size === 1) {
    const [by] = state.writers.values()
    if (by !== undefined && !by.writes.has('')) {
      // One writer, no deletion: each field has one candidate, and all are live.
      const exists = by.writes.size > 0 || by.free?.updates !== undefined
      return { exists, contested: false, live: [...by.writes.values()] }
    }
  }
  const candidatesByField = candidatesOf(state)
  const liveByField = new Map<string, Candidate[]>()
  for (const [field, candidates] of candidatesByField) {
    liveByField.set(field, liveAmong(candidates, causality))
  }
  const { deleted } = fateOf(candidatesByField, liveByField, causality)
  const live = [...liveByField.values()]
  return {
    exists: !deleted && (candidatesByField.size > 0 || hasFreeTypes(state)),
    contested: candidatesByField.has('') || live.some((writes) => writes.length > 1),
    live: live.flat().map(({ write }) => write),
  }
}

/** The total order of writes, which breaks ties between those that did not see each other. */
function compareWrites(a: LiveWrite, b: LiveWrite): number {
  return (
    compareTimes(a.time, b.time) ||
    compareText(a.feed, b.feed) ||
    compareText(a.writer, b.writer) ||
    a.clock - b.clock
  )
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function candidatesOf(state: RecordState): Map<string, Candidate[]> {
  const byField = new Map<string, Candidate[]>()
  for (const by of state.writers.values()) {
    for (const write of by.writes.values()) {
      const candidates = byField.get(write.field)
      if (candidates === undefined) byField.set(write.field, [{ write, by }])
      else candidates.push({ write, by })
    }
  }
  return byField
}

/** Those that no other candidate of the field replaces. */
function liveAmong(candidates: Candidate[], causality: Causality): Candidate[] {
  if (candidates.length === 1) return candidates
  return candidates.filter((one) => !candidates.some((other) => sees(other, one, causality)))
}

/** Whether the author of `later` knew `earlier` and did not set it aside as unseen. */
function sees(later: Candidate, earlier: Candidate, causality: Causality): boolean {
  if (later === earlier) return false
  const { write, by } = later
  const inPast =
    by === earlier.by
      ? earlier.write.clock < write.clock
      : causality.isInPast(placeOf(earlier), placeOf(later))
  if (!inPast) return false
  return !write.unseen.some(
    ({ feed, seq }) => feed === earlier.by.feed && seq === earlier.write.commit.seq,
  )
}

function placeOf({ write, by }: Candidate): Place {
  return { writer: by.writer, seq: write.commit.seq }
}

interface Fate {
  readonly deleted: boolean
  readonly resurrected: boolean
  /** Where only a part is shown: the record was re-created. */
  readonly shows?: ReadonlySet<Candidate>
}

/** What the deletions of a record come to. */
function fateOf(
  candidatesByField: ReadonlyMap<string, Candidate[]>,
  liveByField: ReadonlyMap<string, Candidate[]>,
  causality: Causality,
): Fate {
  const deletes = (candidatesByField.get('') ?? []).filter(isDelete)
  if (deletes.length === 0) return { deleted: false, resurrected: false }
  const uncovered = [...candidatesByField.values()]
    .flat()
    .filter((one) => !isDelete(one) && !deletes.some((by) => sees(by, one, causality)))
  if (uncovered.length === 0) return { deleted: true, resurrected: false }
  const liveDeletes = (liveByField.get('') ?? []).filter(isDelete)
  const recreated = uncovered.every((one) =>
    liveDeletes.every((deletion) => sees(one, deletion, causality)),
  )
  if (!recreated) return { deleted: false, resurrected: true }
  return { deleted: false, resurrected: false, shows: new Set(uncovered) }
}

function isDelete({ write }: Candidate): boolean {
  return write.op === 'delete'
}

function hasFreeTypes(state: RecordState): boolean {
  for (const { free } of state.writers.values()) if (free?.updates !== undefined) return true
  return false
}

function liveWrite({ write, by }: Candidate): LiveWrite {
  const { seq, time, schemaVersion, actor } = write.commit
  return {
    field: write.field,
    op: write.op,
    value: write.value,
    writer: by.writer,
    feed: by.feed,
    seq,
    clock: write.clock,
    time,
    schemaVersion,
    actor,
  }
}

/** Of each different value the greatest write. */
function distinctValues(greatestFirst: readonly LiveWrite[]): LiveWrite[] {
  if (greatestFirst.length === 1) return [...greatestFirst]
  return greatestFirst.filter(
    (one, i) =>
      greatestFirst.findIndex((other) => other.op === one.op && other.value === one.value) === i,
  )
}

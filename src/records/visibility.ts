/**
 * What people see of a record: a pure function of the commits that a replica holds, read by one version of the
 * collection's schema. docs/data-model.md, "What is visible".
 */
import type { HybridTime } from '../core/hybrid-time.ts'
import {
  addTo,
  candidatesOf,
  compareCandidates,
  compareText,
  editsOf,
  fateOf,
  liveAmong,
  sees,
} from './candidates.ts'
import type { Candidate, Causality, EditPlace, Fate, FieldCandidates } from './candidates.ts'
import { distinct, fieldValue, type Dispute, type FieldValue } from './field-value.ts'
import { elementsOf } from './json-text.ts'
import { lensesFor } from './lenses-for.ts'
import type { Inexpressible, Lenses, OutOfPlace, Rank, ReadField, Reading } from './reading.ts'
import { acceptedWrites } from './record-state.ts'
import type { AcceptedWrite, RecordState } from './record-state.ts'
import { isReserved } from './reserved-fields.ts'
import { textsOf } from './text.ts'
import { isKnownOp, isOfElement, type UnseenPlace, type WriterId } from './writes.ts'

export type { Causality } from './candidates.ts'

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
  /** Places in its causal past that its author had not before them. */
  readonly unseen: readonly UnseenPlace[]
}

/** One of the values that do not agree, in the terms of the reading. */
export interface ConflictValue extends LiveWrite {
  /** The device's clock was visibly wrong: it had seen something of the record that its own time comes before, or its time is yet to come. */
  readonly clockOff: boolean
  /** It stands there as it was written in another version of the schema: this one can't say it. */
  readonly foreign?: true
}

export interface Conflict {
  /** Empty: the record as a whole. */
  readonly field: string
  readonly kind: 'update-update' | 'delete-update' | 'schema'
  /** `open`: a person has to decide; `review`: decided by the rule of the field, and to be looked at. */
  readonly state: 'open' | 'review'
  readonly rank: Rank
  /** One of each different value, the greatest first; of a record the deletions. */
  readonly values: readonly ConflictValue[]
  /** Why it can't be shown in this version of the schema. */
  readonly problem?: string
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
  /** Sorted by field. */
  readonly conflicts: readonly Conflict[]
  /** Fields whose several values a person has settled by keeping all, sorted by field: JSON texts, the shown one first. */
  readonly kept: ReadonlyMap<string, readonly string[]>
  /** Of counters the integer that was counted, besides what was put. */
  readonly counted: ReadonlyMap<string, string>
  /** Fields with a live write of a newer version: to be read, not written. Empty: the record as a whole. */
  readonly unknownOps: readonly string[]
  /** All live writes in their total order as they were written, deletions included, whether shown or not. */
  readonly live: readonly LiveWrite[]
  /** Of text and other free types, sorted by writer. */
  readonly edits: readonly EditPlace[]
  /** Its texts are those of a record that was deleted: none of them shows, and who writes one begins anew. */
  readonly withoutTexts: boolean
}

/** Clocks are set by hand: what is further ahead of this device's own is taken for wrong. */
const aheadMs = 10 * 60 * 1000

/**
 * @param nowMs - this device's clock: tells what comes from the future. Nothing but `clockOff` depends on it.
 */
export function viewRecord(
  state: RecordState,
  causality: Causality,
  reading: Reading,
  nowMs?: number,
): RecordView {
  const raw = liveFields(candidatesOf(state), causality)
  const edits = editsOf(state)
  const fate = fateOf(raw, edits, causality)
  const viewer = new Viewer(state, { causality, reading, fate, nowMs })
  const read = fate.deleted ? nothingRead : viewer.read(shownOf(raw))
  const conflicts = [...read.conflicts]
  if (fate.resurrected) conflicts.push(viewer.deletionConflict(raw))
  return {
    id: state.id,
    exists: !fate.deleted && (shownOf(raw).size > 0 || hasFreeTypes(state)),
    deleted: fate.deleted,
    resurrected: fate.resurrected,
    fields: read.fields,
    conflicts: conflicts.toSorted((a, b) => compareText(a.field, b.field)),
    kept: new Map([...read.kept].toSorted(([a], [b]) => compareText(a, b))),
    counted: read.counted,
    unknownOps: unknownOpsOf(raw, fate, read.unknown),
    live: [...raw.values()]
      .flatMap(({ live }) => live)
      .toSorted(compareCandidates)
      .map(liveWrite),
    edits,
    withoutTexts: fate.withoutTexts,
  }
}

/** What a record counts for in its collection. */
export interface RecordSummary {
  readonly exists: boolean
  /** Some field has live writes of several writers, or there is a deletion: knowing more of who saw what may change the verdict. */
  readonly contested: boolean
  readonly live: readonly Pick<AcceptedWrite, 'field' | 'op' | 'value'>[]
}

/** The same verdicts as {@link viewRecord}, without what only a reader needs: every integrated record is summed up. */
export function summaryOf(state: RecordState, causality: Causality): RecordSummary {
  if (state.writers.size === 1) {
    const [by] = state.writers.values()
    const live = by === undefined ? [] : [...acceptedWrites(by)]
    // What a newer version wrote replaces counts that stand in its writer's array all the same.
    if (by !== undefined && !by.writes.has('') && live.every(({ op }) => isKnownOp(op))) {
      // One writer, no deletion: what it has not replaced itself is live.
      const exists = live.some(({ field }) => !isReserved(field)) || by.free?.updates !== undefined
      return { exists, contested: by.beside.length > 0, live }
    }
  }
  const raw = liveFields(candidatesOf(state), causality)
  const { deleted } = fateOf(raw, editsOf(state), causality)
  const fields = [...raw.values()]
  return {
    exists: !deleted && (shownOf(raw).size > 0 || hasFreeTypes(state)),
    contested: raw.has('') || fields.some(({ live }) => isContested(live)),
    live: fields.flatMap(({ live }) => live).map(({ write }) => write),
  }
}

function isContested(live: readonly Candidate[]): boolean {
  if (live.length < 2) return false
  const [first] = live
  return live.some(({ by, write }) => by !== first!.by || first!.by.beside.includes(write))
}

/** Without fields of Havenmesh's own. */
function shownOf(raw: ReadonlyMap<string, FieldCandidates>): ReadonlyMap<string, FieldCandidates> {
  if (![...raw.keys()].some(isReserved)) return raw
  return new Map([...raw].filter(([field]) => !isReserved(field)))
}

function liveFields(
  byField: ReadonlyMap<string, readonly Candidate[]>,
  causality: Causality,
): Map<string, FieldCandidates> {
  const fields = new Map<string, FieldCandidates>()
  for (const [field, all] of byField) fields.set(field, { all, live: liveAmong(all, causality) })
  return fields
}

interface Read {
  readonly fields: ReadonlyMap<string, string>
  readonly conflicts: readonly Conflict[]
  readonly kept: ReadonlyMap<string, readonly string[]>
  readonly counted: ReadonlyMap<string, string>
  readonly unknown: readonly string[]
}

const nothingRead: Read = {
  fields: new Map(),
  conflicts: [],
  kept: new Map(),
  counted: new Map(),
  unknown: [],
}

/** The value of a write in the terms of the reading. */
type Said = Pick<ConflictValue, 'value' | 'foreign'>

/** A candidate in canonical terms, and the write that it is a part of. */
interface PartCandidate extends Candidate {
  readonly whole: Candidate
}

/** A candidate that can't be said in canonical terms. */
interface FailedCandidate extends OutOfPlace {
  readonly whole: Candidate
}

class Viewer {
  readonly #state: RecordState
  readonly #causality: Causality
  readonly #reading: Reading
  readonly #fate: Fate
  readonly #nowMs: number | undefined

  constructor(
    state: RecordState,
    how: {
      readonly causality: Causality
      readonly reading: Reading
      readonly fate: Fate
      readonly nowMs: number | undefined
    },
  ) {
    this.#state = state
    this.#causality = how.causality
    this.#reading = how.reading
    this.#fate = how.fate
    this.#nowMs = how.nowMs
  }

  read(raw: ReadonlyMap<string, FieldCandidates>): Read {
    const shown: { field: string; value: string; by: Candidate }[] = []
    const conflicts: Conflict[] = []
    const kept = new Map<string, readonly string[]>()
    const counted = new Map<string, string>()
    const unknown: string[] = []
    const taken = new Set<string>()
    const lenses = lensesFor(this.#state, this.#reading)
    const { fields, inexpressible } =
      lenses === undefined ? { fields: raw, inexpressible: [] } : this.#canonical(raw, lenses)
    const readFields = lenses?.fieldsFrom([...fields.keys()].filter((field) => field !== ''))
    for (const readField of readFields ?? plainFields(fields)) {
      const seen = this.#field(readField, fields)
      if (seen === undefined) continue
      const { field } = readField
      taken.add(field)
      if (seen.unknown) unknown.push(field)
      if (seen.kept !== undefined) kept.set(field, seen.kept)
      if (seen.counted !== undefined) counted.set(field, seen.counted)
      if (seen.conflict !== undefined) conflicts.push(seen.conflict)
      if (seen.value !== undefined) shown.push({ field, value: seen.value, by: seen.by })
    }
    for (const unsaid of inexpressible) {
      const beside = this.#takeConflict(conflicts, unsaid.field, shown)
      conflicts.push({ ...unsaid, values: [...unsaid.values, ...beside] })
    }
    // Parts of one write are different fields here.
    shown.sort((a, b) => compareCandidates(a.by, b.by) || compareText(a.field, b.field))
    const values = new Map(shown.map(({ field, value }) => [field, value]))
    // Only where nobody wrote anything, not even what can't be shown.
    const isWritten = new Set([...taken, ...conflicts.map(({ field }) => field)])
    for (const [field, value] of lenses?.defaults ?? [])
      if (!isWritten.has(field)) values.set(field, value)
    this.#addTexts(values, conflicts, raw)
    return { fields: values, conflicts, kept, counted, unknown }
  }

  /** What else there is to choose from in a field: of one field there is one conflict. */
  #takeConflict(
    conflicts: Conflict[],
    field: string,
    shown: readonly { readonly field: string; readonly value: string; readonly by: Candidate }[],
  ): readonly ConflictValue[] {
    const at = conflicts.findIndex((conflict) => conflict.field === field)
    if (at !== -1) return conflicts.splice(at, 1)[0]!.values
    const one = shown.find((each) => each.field === field)
    if (one === undefined) return []
    const { by, value } = one
    return [{ ...liveWrite(by), field, op: 'put', value, clockOff: this.#isClockOff(by, [by]) }]
  }

  /** The writes of all versions in the fields where they meet. */
  #canonical(
    raw: ReadonlyMap<string, FieldCandidates>,
    lenses: Lenses,
  ): { fields: Map<string, FieldCandidates>; inexpressible: Conflict[] } {
    const parts = new Map<string, PartCandidate[]>()
    const inexpressible: Conflict[] = []
    const failed = new Map<string, FailedCandidate[]>()
    for (const [field, candidates] of raw) {
      if (field === '') continue
      for (const whole of candidates.all) {
        const { op, value, commit } = whole.write
        const ofWrite = lenses.partsOf({ schemaVersion: commit.schemaVersion, field, op, value })
        if (isInexpressible(ofWrite)) {
          if (!candidates.live.includes(whole) || !this.#isShown(whole)) continue
          addTo(failed, ofWrite.home?.field ?? field, { whole, ...ofWrite })
        } else {
          for (const part of ofWrite) {
            const write = { ...whole.write, field: part.field, value: part.value }
            addTo(parts, part.field, { write, by: whole.by, whole })
          }
        }
      }
    }
    for (const [field, ones] of failed) {
      const live = ones.filter((one) => !this.#isSettled(one, parts))
      const [greatest] = live.toSorted((x, y) => compareCandidates(y.whole, x.whole))
      if (greatest === undefined) continue
      const values = distinctOf(live.map(({ whole }) => whole))
      const dispute = { kind: 'schema', state: 'open', values, problem: greatest.problem } as const
      inexpressible.push(this.#conflict(field, dispute, raw.get(field)?.all ?? values))
    }
    return { fields: liveFields(parts, this.#causality), inexpressible }
  }

  /** Whether somebody who knew it has given the field a value that can be said. */
  #isSettled(
    { whole, home }: FailedCandidate,
    parts: ReadonlyMap<string, readonly PartCandidate[]>,
  ): boolean {
    const rivals = home === undefined ? [] : (parts.get(home.canonical) ?? [])
    return rivals.some(
      (one) =>
        (one.write.op === 'put' || one.write.op === 'keep') && sees(one, whole, this.#causality),
    )
  }

  #field(
    { field, from, read }: ReadField,
    fields: ReadonlyMap<string, FieldCandidates>,
  ): (Omit<FieldValue, 'dispute'> & { conflict: Conflict | undefined }) | undefined {
    const first = fields.get(from[0]!)
    if (read === asWrittenThere && this.#fate.shows === undefined && first?.live.length === 1) {
      const [one] = first.live
      // Most fields of most records: one value, about which no rule has anything to say.
      if (one!.write.op === 'put') return { ...unquestioned, value: one!.write.value, by: one! }
    }
    const rule = this.#reading.ruleOf(this.#state.id, field)
    const parts = from.map((name) => {
      const candidates = fields.get(name)
      if (candidates === undefined) return undefined
      const live = this.#shownOf(candidates)
      return live.length === 0
        ? undefined
        : fieldValue({ all: candidates.all, live }, rule, this.#causality)
    })
    const present = parts.filter((part) => part !== undefined)
    if (present.length === 0) return undefined
    const by = present.map((part) => part.by).reduce(earlier)
    const unknown = present.some((part) => part.unknown)
    const shownParts = parts.map((part) => part?.value)
    const value = read(shownParts)
    const all = from.flatMap((name) => fields.get(name)?.all ?? [])
    const disputes = present.flatMap(({ dispute }) => dispute ?? [])
    // One part as this write has it, the others as they are shown.
    const said = (one: Candidate): Said => {
      const index = from.indexOf(one.write.field)
      return translated(one, (part) => read(shownParts.with(index, part))) ?? this.#asWritten(one)
    }
    if (isInexpressible(value)) {
      const values = present
        .flatMap((part) => part.dispute?.values ?? [part.by])
        .toSorted((a, b) => compareCandidates(b, a))
      const dispute = { kind: 'schema', state: 'open', values, problem: value.problem } as const
      const conflict = this.#conflict(field, dispute, all, said)
      return { value: undefined, by, kept: undefined, unknown, conflict }
    }
    const [onlyPart] = parts.length === 1 ? parts : []
    const counted = onlyPart?.counted === undefined ? {} : { counted: onlyPart.counted }
    const kept = onlyPart?.kept
      ?.map((each) => read([each]))
      .filter((each) => typeof each === 'string')
    const seen = { value, by, kept, unknown, ...counted }
    if (disputes.length === 0) return { ...seen, conflict: undefined }
    const conflict = this.#conflict(field, joined(disputes), all, said)
    return { ...seen, conflict: withoutRepeats(conflict) }
  }

  /** Of a counter all or nothing: no count is ever lost, nor what it was counted on. */
  #shownOf({ all, live }: FieldCandidates): readonly Candidate[] {
    const shown = live.filter((one) => this.#isShown(one))
    return shown.length > 0 && all.some(({ write }) => write.op === 'count') ? live : shown
  }

  /** Whatever it has become in the fields where versions meet. */
  #asWritten(one: Candidate | PartCandidate): Said {
    const { value, commit } = ('whole' in one ? one.whole : one).write
    const reading = this.#reading
    const isOwn =
      commit.schemaVersion === reading.version ||
      (reading.knows(commit.schemaVersion) && reading.lensesOf(this.#state.id) === undefined)
    return isOwn ? { value } : { value, foreign: true }
  }

  #isShown(one: Candidate | PartCandidate): boolean {
    const whole = 'whole' in one ? one.whole : one
    return this.#fate.shows?.(whole) ?? true
  }

  #conflict(
    field: string,
    dispute: Dispute,
    all: readonly Candidate[],
    said: (one: Candidate) => Said = (one) => this.#asWritten(one),
  ): Conflict {
    return {
      field,
      kind: dispute.kind,
      state: dispute.state,
      rank: this.#reading.ruleOf(this.#state.id, field).rank,
      values: dispute.values.map((one) => ({
        ...liveWrite(one),
        field,
        ...said(one),
        clockOff: this.#isClockOff(one, all),
      })),
      ...(dispute.problem !== undefined && { problem: dispute.problem }),
    }
  }

  /** A deletion by somebody who had not seen what was written. */
  deletionConflict(raw: ReadonlyMap<string, FieldCandidates>): Conflict {
    const policy = this.#reading.deletePolicyOf(this.#state.id)
    const values = this.#fate.overruled.toSorted((a, b) => compareCandidates(b, a))
    const all = raw.get('')!.all
    return {
      ...this.#conflict('', { kind: 'update-update', state: 'review', values }, all),
      kind: 'delete-update',
      state: policy === 'confirm' ? 'open' : 'review',
      // Whether the whole record is there: as grave as any of its fields.
      rank: 'critical',
    }
  }

  /** Proof in the causal order, whatever the clocks say; or a time that this device's clock has not reached. */
  #isClockOff(one: Candidate, all: readonly Candidate[]): boolean {
    const { ms } = one.write.commit.time
    const latestMs = this.#nowMs === undefined ? Infinity : this.#nowMs + aheadMs
    if (ms > latestMs) return true
    return all.some((other) => {
      const otherMs = other.write.commit.time.ms
      return otherMs > ms && otherMs <= latestMs && sees(one, other, this.#causality)
    })
  }

  /** Texts are free types; a value that was put before the field became a text is shown until it has been taken over. */
  #addTexts(
    values: Map<string, string>,
    conflicts: Conflict[],
    raw: ReadonlyMap<string, FieldCandidates>,
  ): void {
    const names = this.#reading.textFieldsOf(this.#state.id)
    if (names.length === 0 || this.#fate.withoutTexts || !hasFreeTypes(this.#state)) return
    for (const [field, text] of textsOf(this.#state, names)) {
      if (text === '' && values.has(field)) continue
      const json = JSON.stringify(text)
      const put = values.get(field)
      values.set(field, json)
      if (put === undefined || put === json) continue
      const at = conflicts.findIndex((conflict) => conflict.field === field)
      if (at !== -1) conflicts.splice(at, 1)
      const live = (raw.get(field)?.live ?? []).filter((one) => this.#isShown(one))
      const problem = 'Besides the text, a value was written as a whole.'
      const dispute = { kind: 'schema', state: 'open', values: distinctOf(live), problem } as const
      conflicts.push(this.#conflict(field, dispute, live))
    }
  }
}

function plainFields(fields: ReadonlyMap<string, unknown>): ReadField[] {
  return [...fields.keys()]
    .filter((field) => field !== '')
    .map((field) => ({ field, from: [field], read: asWrittenThere }))
}

const unquestioned = { kept: undefined, unknown: false, conflict: undefined } as const

function asWrittenThere([value]: readonly (string | undefined)[]): string | undefined {
  return value
}

/** Several parts of one field in dispute: one list, in which each value differs in one part. */
function joined(disputes: readonly Dispute[]): Dispute {
  if (disputes.length === 1) return disputes[0]!
  return {
    kind: disputes.some(({ kind }) => kind === 'schema') ? 'schema' : 'update-update',
    state: disputes.some(({ state }) => state === 'open') ? 'open' : 'review',
    values: disputes.flatMap(({ values }) => values).toSorted((a, b) => compareCandidates(b, a)),
  }
}

/** Of each different value the greatest write, the greatest first. */
function distinctOf(candidates: readonly Candidate[]): Candidate[] {
  return distinct(candidates.toSorted((a, b) => compareCandidates(b, a)))
}

function earlier(a: Candidate, b: Candidate): Candidate {
  return compareCandidates(a, b) < 0 ? a : b
}

/** Values that differ in the fields where versions meet may be one in this version. */
function withoutRepeats(conflict: Conflict): Conflict | undefined {
  const seen = new Set<string>()
  const values = conflict.values.filter(({ op, value }) => {
    const key = `${op}\0${value ?? '\0'}`
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
  return values.length === 1 && conflict.kind !== 'schema' ? undefined : { ...conflict, values }
}

/** In the terms of another version; undefined where it can't be said. */
function translated(
  one: Candidate,
  read: (value: string | undefined) => string | undefined | Inexpressible,
): Said | undefined {
  const { op, value } = one.write
  if (op === 'put') {
    const said = read(value)
    return isInexpressible(said) ? undefined : { value: said }
  }
  if (isOfElement(op)) {
    const said = read(`[${value}]`)
    return typeof said === 'string' ? { value: elementsOf(said)[0] } : undefined
  }
  if (op !== 'keep') return { value }
  const elements = elementsOf(value!).map(read)
  return elements.every((each) => typeof each === 'string')
    ? { value: `[${elements.join(',')}]` }
    : undefined
}

function isInexpressible(what: unknown): what is Inexpressible {
  return typeof what === 'object' && what !== null && 'problem' in what
}

function unknownOpsOf(
  raw: ReadonlyMap<string, FieldCandidates>,
  fate: Fate,
  fields: readonly string[],
): string[] {
  const ofRecord = (raw.get('')?.live ?? []).some(
    (one) => !isKnownOp(one.write.op) && (fate.shows?.(one) ?? true),
  )
  return [...(ofRecord ? [''] : []), ...fields].toSorted()
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
    unseen: write.unseen,
  }
}

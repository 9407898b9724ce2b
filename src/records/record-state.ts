/**
 * What a replica derives of one record from the commits that touch it, and how the next commit changes it.
 *
 * A state is a value: every function returns a new one. It can be thrown away and rebuilt from the commits, in any
 * interleaving of the writers, as long as each writer's commits come in their order.
 */
import type { HybridTime } from '../core/hybrid-time.ts'
import { HavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { encodeFieldsUpdate, readFieldsUpdate } from './fields-update.ts'
import { appendFreeUpdate, newFreeState, type FreeState } from './free-state.ts'
import { countOf, countText, integerOf } from './counts.ts'
import { isCompactJson } from './json-text.ts'
import { elementPrefix, isElementSlot, slotOf } from './slots.ts'
import {
  isOfElement,
  problemOfWrite,
  unseenPairs,
  type PlannedWrite,
  type UnseenPlace,
  type Write,
  type WriterId,
} from './writes.ts'

export interface RecordState {
  readonly id: string
  readonly writers: ReadonlyMap<WriterId, WriterState>
}

export interface WriterState {
  readonly writer: WriterId
  /** Hex; the writer itself unless that is a branch. */
  readonly feed: string
  /** Seq of the last commit that touched the record, accepted or not: `back` of the next one. 0: none. */
  readonly lastSeq: number
  readonly clientId: number
  /** Where this writer's structs begin: above 0 for a branch. */
  readonly baseClock: number
  readonly nextClock: number
  /** By slot, each the last accepted write that is not hidden. */
  readonly writes: ReadonlyMap<string, AcceptedWrite>
  /** Older ones that the writer itself named as unseen when it wrote the last: they stand beside it. */
  readonly beside: readonly AcceptedWrite[]
  readonly free: FreeState | undefined
}

/** What the writes of one commit have in common. */
export interface CommitStamp {
  readonly seq: number
  readonly time: HybridTime
  readonly schemaVersion: number
  readonly actor: string
}

export interface AcceptedWrite {
  readonly field: string
  readonly op: string
  readonly value: string | undefined
  /** Places in the causal past that this write does not replace. */
  readonly unseen: readonly UnseenPlace[]
  /** Position in the writer's array. */
  readonly clock: number
  readonly commit: CommitStamp
}

/** Who writes: the same for all commits of a writer in a collection. */
export interface Writer {
  readonly writer: WriterId
  readonly feed: string
  readonly clientId: number
  /** Yjs client id for text and free types. */
  readonly freeClientId: number
  /** For a branch: what it branched off, nearest first. */
  readonly ancestors?: readonly WriterId[]
}

/** The feeds (hex) that a commit names, by their indexes. */
export interface FeedNames {
  feedAt(index: number): string | undefined
  indexOf(feed: string): number | undefined
}

export type Applied =
  | { readonly state: RecordState; readonly accepted: true }
  | { readonly state: RecordState; readonly accepted: false; readonly reason: string }

export function emptyRecord(id: string): RecordState {
  return { id, writers: new Map() }
}

/** Seq of the writer's last commit that touched the record: the `back` of its next one; 0 for none. */
export function backOf(state: RecordState, writer: WriterId): number {
  return state.writers.get(writer)?.lastSeq ?? 0
}

/** Whatever stands in the writer's array and is not replaced there: the writer's candidates, in no order. */
export function acceptedWrites({ writes, beside }: WriterState): Iterable<AcceptedWrite> {
  return beside.length === 0 ? writes.values() : [...writes.values(), ...beside]
}

/**
 * The update for a commit that this device is about to make. Of several writes of one thing the last counts, and counts add up. The
 * earlier writes of a commit lie in the past of the later ones: a put after a delete re-creates the record.
 *
 * @param change.feeds - the table of the commit: `unseen` may name its feeds and the writer's own
 * @throws HavenError `INVALID_VALUE`, `TOO_LARGE`
 */
export function planWrites(
  state: RecordState,
  writer: Writer,
  commit: CommitStamp,
  { writes, feeds }: { readonly writes: readonly PlannedWrite[]; readonly feeds: FeedNames },
): { readonly update: Uint8Array; readonly state: RecordState } {
  const before = writerState(state, writer)
  let planned: Write[] = []
  const fields = new Set<string>()
  for (const write of withTotals(writes, (field) => ownTotal(state, writer, before, field))) {
    const coded = asWritten(write, writer, feeds)
    checkOwnWrite(coded)
    if (fields.has(coded.field)) {
      planned = planned.filter((earlier) => !replacesOwn(coded, earlier))
    }
    fields.add(coded.field)
    planned.push(coded)
  }
  const after = withWrites(before, commit, { writes: planned, feeds })
  const deletedClocks = replacedClocks(before, after)
  const update = encodeFieldsUpdate(writer.clientId, before.nextClock, {
    writes: planned,
    deletedClocks,
  })
  if (update.length > limits.updateBytes) {
    throw new HavenError('TOO_LARGE', 'One change of a record may take 8 MiB. Split it.')
  }
  if (sizeOf(after) > limits.fieldsPerRecord) {
    throw new HavenError(
      'TOO_LARGE',
      `A record may have ${limits.fieldsPerRecord} fields and elements of sets.`,
    )
  }
  return { update, state: withWriter(state, after) }
}

/** Counts as the commit says them: what the writer has counted in all, and what is new. */
function withTotals(
  writes: readonly PlannedWrite[],
  totalOf: (field: string) => number,
): PlannedWrite[] {
  const deltas = new Map<string, number>()
  return writes.map((write) => {
    if (write.op !== 'count') return write
    const delta = (deltas.get(write.field) ?? 0) + (integerOf(write.value) ?? Number.NaN)
    deltas.set(write.field, delta)
    const count = { total: totalOf(write.field) + delta, delta }
    if (!Number.isSafeInteger(count.total) || !Number.isSafeInteger(delta)) {
      throw new HavenError(
        'INVALID_VALUE',
        'A counter counts whole numbers up to 9007199254740991.',
      )
    }
    return { ...write, value: countText(count) }
  })
}

function ownTotal(state: RecordState, writer: Writer, before: WriterState, field: string): number {
  const slot = slotOf({ field, op: 'count', value: undefined })
  const inherited = nearestAncestor(state, writer, (ancestor) => ancestor.writes.has(slot))
  const last = before.writes.get(slot) ?? inherited?.writes.get(slot)
  return countOf(last?.value)?.total ?? 0
}

function asWritten(
  { field, op, value, unseen = [] }: PlannedWrite,
  writer: Writer,
  feeds: FeedNames,
): Write {
  if (unseen.length === 0) return { field, op, value }
  if (unseen.length > unseenPairs) {
    throw new HavenError(
      'TOO_LARGE',
      'Too much has been written meanwhile. Look at the record as it is now, and write again.',
    )
  }
  const pairs = unseen.flatMap(({ feed, seq }) => {
    if (feed === writer.feed) return [0, seq]
    const index = feeds.indexOf(feed)
    // What the commit can't name is not in its past either, and so is not replaced anyway.
    return index === undefined ? [] : [index + 1, seq]
  })
  return pairs.length === 0 ? { field, op, value } : { field, op, value, unseen: pairs }
}

function checkOwnWrite(write: Write): void {
  const problem = problemOfWrite(write)
  if (problem !== undefined) throw new HavenError('INVALID_VALUE', `This would be ${problem}.`)
  if (!write.field.isWellFormed()) {
    throw new HavenError('INVALID_VALUE', 'A field name has to be Unicode text.')
  }
  if (write.value !== undefined && !isCompactJson(write.value)) {
    throw new HavenError('INVALID_VALUE', 'A value has to be JSON text without white space.')
  }
}

/** Whether a writer's later write takes the place of its earlier one. */
function replacesOwn(later: Slotted, earlier: Slotted): boolean {
  if (later.field !== earlier.field) return false
  if (isOfElement(later.op) || later.op === 'count') return slotOf(later) === slotOf(earlier)
  return earlier.op !== 'count'
}

type Slotted = Pick<AcceptedWrite, 'field' | 'op' | 'value'>

/** Where the writer's array holds what `after` no longer does, ascending. */
function replacedClocks(before: WriterState, after: WriterState): number[] {
  const kept = new Set<AcceptedWrite>(acceptedWrites(after))
  const clocks: number[] = []
  for (const write of acceptedWrites(before)) if (!kept.has(write)) clocks.push(write.clock)
  return clocks.toSorted((a, b) => a - b)
}

function sizeOf({ writes, beside }: WriterState): number {
  return writes.size + beside.length
}

/**
 * Takes a fields update of a commit in. One that is hidden takes its place in the writer's array, and its values don't
 * count; one that is not accepted changes nothing but `back`.
 */
export function applyFieldsUpdate(
  state: RecordState,
  writer: Writer,
  commit: CommitStamp,
  {
    update,
    hidden,
    feeds,
  }: { readonly update: Uint8Array; readonly hidden: boolean; readonly feeds: FeedNames },
): Applied {
  const before = writerState(state, writer)
  const read = readFieldsUpdate(update, writer.clientId, before.nextClock)
  if ('problem' in read) return refused(state, touched(before, commit), read.problem)
  const after = hidden
    ? { ...touched(before, commit), nextClock: before.nextClock + read.writes.length }
    : withWrites(before, commit, { writes: read.writes, feeds })
  if (sizeOf(after) > limits.fieldsPerRecord) {
    return refused(state, touched(before, commit), 'too many fields')
  }
  return { state: withWriter(state, after), accepted: true }
}

/**
 * Takes a free update of a commit in. docs/data-model.md, "Free types". What is accepted does not count yet: `settleFree`
 * tells when it does.
 */
export function applyFreeUpdate(
  state: RecordState,
  writer: Writer,
  commit: CommitStamp,
  {
    update,
    stateVector,
    hidden,
  }: { readonly update: Uint8Array; readonly stateVector: Uint8Array; readonly hidden: boolean },
): Applied {
  const before = writerState(state, writer)
  const inherited = nearestAncestor(state, writer, (ancestor) => ancestor.free !== undefined)
  const appended = appendFreeUpdate(
    before.free ?? newFreeState(writer.freeClientId, inherited?.free?.nextClock ?? 0),
    { seq: commit.seq, update, stateVector, hidden },
  )
  if ('problem' in appended) return refused(state, touched(before, commit), appended.problem)
  return {
    state: withWriter(state, { ...touched(before, commit), free: appended }),
    accepted: true,
  }
}

function refused(state: RecordState, writer: WriterState, reason: string): Applied {
  return { state: withWriter(state, writer), accepted: false, reason }
}

function touched(before: WriterState, { seq }: CommitStamp): WriterState {
  return { ...before, lastSeq: Math.max(before.lastSeq, seq) }
}

function withWriter(state: RecordState, after: WriterState): RecordState {
  const writers = new Map(state.writers)
  writers.set(after.writer, after)
  return { id: state.id, writers }
}

function writerState(state: RecordState, writer: Writer): WriterState {
  const known = state.writers.get(writer.writer)
  if (known !== undefined) return known
  const baseClock = nearestAncestor(state, writer, () => true)?.nextClock ?? 0
  return {
    writer: writer.writer,
    feed: writer.feed,
    lastSeq: 0,
    clientId: writer.clientId,
    baseClock,
    nextClock: baseClock,
    writes: new Map(),
    beside: noWrites,
    free: undefined,
  }
}

function nearestAncestor(
  state: RecordState,
  { ancestors = [] }: Writer,
  counts: (ancestor: WriterState) => boolean,
): WriterState | undefined {
  for (const ancestor of ancestors) {
    const known = state.writers.get(ancestor)
    if (known !== undefined && counts(known)) return known
  }
  return undefined
}

const noPlaces: readonly UnseenPlace[] = []
const noWrites: readonly AcceptedWrite[] = []

function withWrites(
  before: WriterState,
  commit: CommitStamp,
  { writes, feeds }: { writes: readonly Write[]; feeds: FeedNames },
): WriterState {
  const bySlot = new Map(before.writes)
  let { beside } = before
  let clock = before.nextClock
  // Few records have sets.
  let hasElements = false
  for (const slot of bySlot.keys()) hasElements ||= isElementSlot(slot)
  for (const { field, op, value, unseen } of writes) {
    const write: AcceptedWrite = {
      field,
      op,
      value,
      unseen: unseen === undefined ? noPlaces : placesOf(unseen, before.feed, feeds),
      clock: clock++,
      commit,
    }
    if (beside.length > 0 || write.unseen.length > 0) {
      beside = besideAfter(write, { bySlot, beside, feed: before.feed })
    }
    hasElements ||= isOfElement(op)
    if (hasElements && replacesElements(write)) {
      const prefix = elementPrefix(field)
      for (const slot of bySlot.keys()) if (slot.startsWith(prefix)) bySlot.delete(slot)
    }
    bySlot.set(slotOf(write), write)
  }
  return { ...touched(before, commit), nextClock: clock, writes: bySlot, beside }
}

function replacesElements({ op }: AcceptedWrite): boolean {
  return !isOfElement(op) && op !== 'count'
}

/** What of the writer's own stands beside its new write, which does not replace it. */
function besideAfter(
  write: AcceptedWrite,
  own: {
    readonly bySlot: ReadonlyMap<string, AcceptedWrite>
    readonly beside: readonly AcceptedWrite[]
    readonly feed: string
  },
): readonly AcceptedWrite[] {
  // A total goes on from the one before, whether its author had that in view or not.
  if (write.op === 'count') return own.beside
  // A commit can't set aside what it brings itself: everything in it would stay, and have to be weighed against everything.
  const isUnseen = ({ commit: { seq } }: AcceptedWrite): boolean =>
    seq !== write.commit.seq &&
    write.unseen.some((place) => place.seq === seq && place.feed === own.feed)
  const stays = own.beside.filter((earlier) => !replacesOwn(write, earlier) || isUnseen(earlier))
  const joins = [...own.bySlot.values()].filter(
    (earlier) => replacesOwn(write, earlier) && isUnseen(earlier),
  )
  return [...stays, ...joins]
}

/** An index that the commit could not name is left out: it makes no difference to what others wrote. */
function placesOf(unseen: readonly number[], ownFeed: string, feeds: FeedNames): UnseenPlace[] {
  const places: UnseenPlace[] = []
  for (let i = 0; i < unseen.length; i += 2) {
    const feed = unseen[i] === 0 ? ownFeed : feeds.feedAt(unseen[i]! - 1)
    if (feed !== undefined) places.push({ feed, seq: unseen[i + 1]! })
  }
  return places
}

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
import { appendFreeUpdate, type FreeState } from './free-update.ts'
import { isCompactJson } from './json-text.ts'
import { problemOfWrite, type Write, type WriterId } from './writes.ts'

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
  /** By field, each the last accepted write that is not hidden. */
  readonly writes: ReadonlyMap<string, AcceptedWrite>
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

export interface UnseenPlace {
  readonly feed: string
  readonly seq: number
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

/** Gives the feed (hex) of an index that a commit names. */
export interface FeedNames {
  feedAt(index: number): string | undefined
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

/**
 * The update for a commit that this device is about to make. Of several writes of one field the last counts. The
 * earlier writes of a commit lie in the past of the later ones: a put after a delete re-creates the record.
 *
 * @throws HavenError `INVALID_VALUE`, `TOO_LARGE`
 */
export function planWrites(
  state: RecordState,
  writer: Writer,
  commit: CommitStamp,
  { writes, feeds }: { readonly writes: readonly Write[]; readonly feeds: FeedNames },
): { readonly update: Uint8Array; readonly state: RecordState } {
  const before = writerState(state, writer)
  const lastByField = new Map<string, Write>()
  for (const write of writes) {
    checkOwnWrite(write)
    lastByField.delete(write.field)
    lastByField.set(write.field, write)
  }
  const planned = [...lastByField.values()]
  const deletedClocks: number[] = []
  for (const { field } of planned) {
    const replaced = before.writes.get(field)
    if (replaced !== undefined) deletedClocks.push(replaced.clock)
  }
  deletedClocks.sort((a, b) => a - b)
  const update = encodeFieldsUpdate(writer.clientId, before.nextClock, {
    writes: planned,
    deletedClocks,
  })
  if (update.length > limits.updateBytes) {
    throw new HavenError('TOO_LARGE', 'One change of a record may take 8 MiB. Split it.')
  }
  const after = withWrites(before, commit, { writes: planned, feeds })
  if (after.writes.size > limits.fieldsPerRecord) {
    throw new HavenError('TOO_LARGE', `A record may have ${limits.fieldsPerRecord} fields.`)
  }
  return { update, state: withWriter(state, after) }
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
  if (after.writes.size > limits.fieldsPerRecord) {
    return refused(state, touched(before, commit), 'too many fields')
  }
  return { state: withWriter(state, after), accepted: true }
}

/** Takes a free update of a commit in. docs/data-model.md, "Free types". */
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
    before.free ?? {
      clientId: writer.freeClientId,
      baseClock: inherited?.free?.nextClock ?? 0,
      nextClock: inherited?.free?.nextClock ?? 0,
      updates: undefined,
    },
    { update, stateVector, hidden },
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

function withWrites(
  before: WriterState,
  commit: CommitStamp,
  { writes, feeds }: { writes: readonly Write[]; feeds: FeedNames },
): WriterState {
  const byField = new Map(before.writes)
  let clock = before.nextClock
  for (const { field, op, value, unseen } of writes) {
    byField.set(field, {
      field,
      op,
      value,
      unseen: unseen === undefined ? noPlaces : placesOf(unseen, feeds),
      clock: clock++,
      commit,
    })
  }
  return { ...touched(before, commit), nextClock: clock, writes: byField }
}

/** An index that the commit could not name is left out: it makes no difference to what others wrote. */
function placesOf(unseen: readonly number[], feeds: FeedNames): UnseenPlace[] {
  const places: UnseenPlace[] = []
  for (let i = 0; i < unseen.length; i += 2) {
    const feed = feeds.feedAt(unseen[i]!)
    if (feed !== undefined) places.push({ feed, seq: unseen[i + 1]! })
  }
  return places
}

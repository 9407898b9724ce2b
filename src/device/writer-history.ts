/**
 * The commits in which one writer touched a record, the newest first, each read again from the store.
 *
 * A commit says which one of its feed had touched the record before (docs/data-model.md, "Back"). What an author says there is relied
 * upon only where all that it ever said held; otherwise, and where the feed has forked, its commits are read from the first one on, and taken
 * in once more as they were then.
 */
import { bytesToHex } from '../core/bytes.ts'
import type { HybridTime } from '../core/hybrid-time.ts'
import { startPlace } from '../feed/chain.ts'
import type { FeedChain, Place } from '../feed/chain.ts'
import type { CommitStore } from '../feed/commit-store.ts'
import type { FeedDescriptor } from '../feed/descriptor.ts'
import { FeedTable } from '../records/feed-table.ts'
import { firstClockOf } from '../records/fields-update.ts'
import type { ContextEntry, RecordUpdate } from '../records/record-payload.ts'
import {
  acceptedWrites,
  applyFieldsUpdate,
  applyFreeUpdate,
  emptyRecord,
} from '../records/record-state.ts'
import type { AcceptedWrite, CommitStamp, RecordState, Writer } from '../records/record-state.ts'
import { chainFrom, readBytes } from './commit-opener.ts'
import type { CommitOpener, OpenedPayload } from './commit-opener.ts'

/** What one commit did to the record. */
export interface Touch {
  readonly writer: string
  readonly feed: string
  readonly seq: number
  readonly time: HybridTime
  readonly actor: string
  /** What of other feeds had come to its author since this feed's commit before. */
  readonly context: readonly ContextEntry[]
  /** It is kept and carried, and not shown. */
  readonly hidden: boolean
  /** In the order in which they were written. */
  readonly writes: readonly AcceptedWrite[]
  /** What it did to free types. */
  readonly free: Uint8Array | undefined
  /** Why parts of it were not accepted. */
  readonly refused: readonly string[]
}

export interface WriterHistoryOptions {
  readonly store: CommitStore
  readonly opener: CommitOpener
  readonly record: string
  readonly descriptor: FeedDescriptor
  readonly chain: FeedChain
  /** The stretch of the feed that is the writer's. */
  readonly segment: number
  readonly writerOf: (segment: number) => Writer
  /** How far the feed is part of the records. */
  readonly integrated: { readonly seq: number; readonly table: FeedTable }
  readonly isHidden: (seq: number, id: string) => boolean
  /** What the feed's commits say of the ones before holds. */
  readonly straight: boolean
  /** Seq of the last commit that touched the record. */
  readonly lastSeq: number
}

/** A commit that is part of the records can't be read now: what lies before it can't be told. */
export class CommitUnreadable extends Error {}

/** @throws CommitUnreadable after all that could be read */
export async function* touchesOf(options: WriterHistoryOptions): AsyncGenerator<Touch> {
  if (options.straight && !options.chain.forked) yield* touchesByPointers(options)
  else yield* touchesFromTheStart(options)
}

async function* touchesByPointers(options: WriterHistoryOptions): AsyncGenerator<Touch> {
  const writer = options.writerOf(options.segment)
  for (let seq = options.lastSeq; seq > 0;) {
    const opened = await options.opener.openAt(
      options.descriptor.feed,
      seq,
      options.integrated.table,
    )
    const update = opened?.payload.records.find(({ id }) => id === options.record)
    if (opened === undefined || update === undefined || update.back >= seq)
      throw new CommitUnreadable()
    const state = stateBefore(options.record, writer, update)
    yield touchOf(options, opened, {
      ...writesOf(state, writer, { opened, update }),
      free: update.free?.update,
    })
    seq = update.back
  }
}

/** It was accepted: where it begins is where the writer's array ended. */
function stateBefore(record: string, writer: Writer, { fields }: RecordUpdate): RecordState {
  const { writer: name, feed, clientId } = writer
  const nextClock = fields === undefined ? 0 : firstClockOf(fields)
  const known = { writer: name, feed, clientId, nextClock, baseClock: 0, lastSeq: 0 }
  const nothing = { writes: new Map(), beside: [], free: undefined }
  return { id: record, writers: new Map([[name, { ...known, ...nothing }]]) }
}

async function* touchesFromTheStart(options: WriterHistoryOptions): AsyncGenerator<Touch> {
  const { chain, store, opener, record, descriptor } = options
  const path: number[] = []
  for (let at = options.segment; at !== -1; at = chain.segments[at]!.parent) path.unshift(at)
  const touches: Touch[] = []
  let place: Place = startPlace
  let table = FeedTable.empty
  let state = emptyRecord(record)
  for (const at of path) {
    const { from, to, first } = chain.segments[at]!
    const upTo = at === options.segment ? Math.min(to, options.integrated.seq) : to
    const writer = options.writerOf(at)
    while (place.seq < upTo) {
      const read = await store.commits({
        feed: descriptor.feed,
        after: place.seq,
        upTo,
        maxBytes: readBytes,
      })
      const commits = chainFrom(read, place.id, place.seq < from ? first : undefined)
      const { payloads, end } = await opener.open(commits, table)
      if (end === undefined) throw new CommitUnreadable()
      for (const opened of payloads) {
        const update = opened.payload.records.find(({ id }) => id === record)
        if (update === undefined) continue
        const taken = takenIn(state, writer, { opened, update, options })
        state = taken.state
        if (at === options.segment) touches.push(taken.touch)
      }
      place = end
      table = end.table
    }
  }
  yield* touches.toReversed()
}

/** A commit's part in the record, and the record after it, as when it was taken in first. */
function takenIn(
  state: RecordState,
  writer: Writer,
  {
    opened,
    update,
    options,
  }: { opened: OpenedPayload; update: RecordUpdate; options: WriterHistoryOptions },
): { touch: Touch; state: RecordState } {
  const { writes, refused } = writesOf(state, writer, { opened, update })
  const stamp = stampOf(opened)
  const hidden = options.isHidden(opened.seq, bytesToHex(opened.id))
  let after = state
  if (update.fields !== undefined) {
    const fields = { update: update.fields, hidden, feeds: opened.table }
    after = applyFieldsUpdate(after, writer, stamp, fields).state
  }
  let free: Uint8Array | undefined
  if (update.free !== undefined) {
    const applied = applyFreeUpdate(after, writer, stamp, { ...update.free, hidden })
    after = applied.state
    if (applied.accepted) free = update.free.update
    else refused.push(applied.reason)
  }
  return { touch: touchOf(options, opened, { writes, refused, free }), state: after }
}

/** What a commit wrote into fields, also a hidden one; or why that was not accepted. */
function writesOf(
  state: RecordState,
  writer: Writer,
  { opened, update }: { opened: OpenedPayload; update: RecordUpdate },
): { writes: AcceptedWrite[]; refused: string[] } {
  if (update.fields === undefined) return { writes: [], refused: [] }
  const stamp = stampOf(opened)
  const fields = { update: update.fields, hidden: false, feeds: opened.table }
  const applied = applyFieldsUpdate(state, writer, stamp, fields)
  if (!applied.accepted) return { writes: [], refused: [applied.reason] }
  const after = applied.state.writers.get(writer.writer)!
  const writes = [...acceptedWrites(after)].filter(({ commit }) => commit === stamp)
  return { writes: writes.toSorted((a, b) => a.clock - b.clock), refused: [] }
}

function touchOf(
  options: WriterHistoryOptions,
  { seq, id, payload }: OpenedPayload,
  what: Pick<Touch, 'writes' | 'free' | 'refused'>,
): Touch {
  return {
    writer: options.chain.writerOf(options.segment),
    feed: options.descriptor.feed,
    seq,
    time: payload.time,
    actor: payload.actor,
    context: payload.context,
    hidden: options.isHidden(seq, bytesToHex(id)),
    ...what,
  }
}

function stampOf({ seq, payload }: OpenedPayload): CommitStamp {
  const { time, schemaVersion, actor } = payload
  return { seq, time, schemaVersion, actor }
}

/** The binary form of a record's state, as the store keeps it (sealed). Derived, so that it may change with a version. */
import { bytesToHex, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { limits } from '../core/limits.ts'
import type { FreeCommit, FreeState, WaitingUpdate } from './free-state.ts'
import { acceptedWrites } from './record-state.ts'
import type { AcceptedWrite, CommitStamp, RecordState, WriterState } from './record-state.ts'
import { slotOf } from './slots.ts'
import { opNameBytes, type UnseenPlace } from './writes.ts'

const format = 1
const anyBytes = Number.MAX_SAFE_INTEGER

export function encodeRecordState(state: RecordState): Uint8Array {
  const out = new ByteWriter(1024)
  out.u8(format).text(state.id).varint(state.writers.size)
  for (const writer of state.writers.values()) encodeWriter(out, writer)
  return out.finish()
}

/** @throws HavenError `MALFORMED` when the store gave something else than {@link encodeRecordState} wrote */
export function decodeRecordState(bytes: Uint8Array): RecordState {
  const reader = new ByteReader(bytes, 'state of a record')
  if (reader.u8() !== format) reader.fail('a format that this version does not know')
  const id = reader.text(limits.recordIdBytes)
  const writers = new Map<string, WriterState>()
  for (let rest = reader.count(1); rest > 0; rest--) {
    const writer = decodeWriter(reader)
    writers.set(writer.writer, writer)
  }
  reader.end()
  return { id, writers }
}

/** The id alone, without reading the rest. */
export function recordIdOfState(bytes: Uint8Array): string {
  const reader = new ByteReader(bytes, 'state of a record')
  if (reader.u8() !== format) reader.fail('a format that this version does not know')
  return reader.text(limits.recordIdBytes)
}

// The head of a writer.
const branch = 1
const withBeside = 2

const noWrites: readonly AcceptedWrite[] = []

function encodeWriter(out: ByteWriter, writer: WriterState): void {
  out.lengthPrefixed(hexToBytes(writer.writer))
  const isBranch = writer.writer !== writer.feed
  out.u8((isBranch ? branch : 0) | (writer.beside.length > 0 ? withBeside : 0))
  if (isBranch) out.lengthPrefixed(hexToBytes(writer.feed))
  out.varint(writer.lastSeq).varint(writer.clientId)
  out.varint(writer.baseClock).varint(writer.nextClock)
  const indexes = new Map<CommitStamp, number>()
  for (const { commit } of acceptedWrites(writer)) {
    if (!indexes.has(commit)) indexes.set(commit, indexes.size)
  }
  out.varint(indexes.size)
  for (const { seq, time, schemaVersion, actor } of indexes.keys()) {
    out.varint(seq).varint(time.ms).varint(time.counter).varint(schemaVersion)
    out.text(actor)
  }
  out.varint(writer.writes.size)
  for (const write of writer.writes.values()) encodeWrite(out, write, indexes.get(write.commit)!)
  if (writer.beside.length > 0) out.varint(writer.beside.length)
  for (const write of writer.beside) encodeWrite(out, write, indexes.get(write.commit)!)
  encodeFree(out, writer.free)
}

function decodeWriter(reader: ByteReader): WriterState {
  const writer = bytesToHex(reader.lengthPrefixed(32))
  const head = reader.u8()
  const feed = (head & branch) === 0 ? writer : bytesToHex(reader.lengthPrefixed(32))
  const lastSeq = reader.varint()
  const clientId = reader.varint()
  const baseClock = reader.varint()
  const nextClock = reader.varint()
  const stamps: CommitStamp[] = []
  for (let rest = reader.count(5); rest > 0; rest--) {
    const seq = reader.varint()
    const time = { ms: reader.varint(), counter: reader.varint() }
    stamps.push({
      seq,
      time,
      schemaVersion: reader.varint(),
      actor: reader.text(limits.actorBytes),
    })
  }
  const writes = new Map<string, AcceptedWrite>()
  for (let rest = reader.count(4); rest > 0; rest--) {
    const write = decodeWrite(reader, stamps)
    writes.set(slotOf(write), write)
  }
  const beside: AcceptedWrite[] = []
  for (let rest = (head & withBeside) === 0 ? 0 : reader.count(4); rest > 0; rest--) {
    beside.push(decodeWrite(reader, stamps))
  }
  return {
    writer,
    feed,
    lastSeq,
    clientId,
    baseClock,
    nextClock,
    writes,
    beside: beside.length === 0 ? noWrites : beside,
    free: decodeFree(reader),
  }
}

// The head of a write: what op, and which parts follow.
const opPut = 0
const opDelete = 1
const opOther = 2
const opMask = 3
const withValue = 4
const withUnseen = 8

const noPlaces: readonly UnseenPlace[] = []

function encodeWrite(out: ByteWriter, write: AcceptedWrite, stamp: number): void {
  const op = write.op === 'put' ? opPut : write.op === 'delete' ? opDelete : opOther
  out.u8(
    op | (write.value === undefined ? 0 : withValue) | (write.unseen.length === 0 ? 0 : withUnseen),
  )
  out.varint(stamp).varint(write.clock).text(write.field)
  if (op === opOther) out.text(write.op)
  if (write.value !== undefined) out.text(write.value)
  if (write.unseen.length === 0) return
  out.varint(write.unseen.length)
  for (const { feed, seq } of write.unseen) out.lengthPrefixed(hexToBytes(feed)).varint(seq)
}

function decodeWrite(reader: ByteReader, stamps: readonly CommitStamp[]): AcceptedWrite {
  const head = reader.u8()
  const commit = stamps[reader.varint()] ?? reader.fail('a write of no commit')
  const clock = reader.varint()
  const field = reader.text(limits.fieldNameBytes)
  const kind = head & opMask
  const op = kind === opPut ? 'put' : kind === opDelete ? 'delete' : reader.text(opNameBytes)
  const value = (head & withValue) === 0 ? undefined : reader.text(limits.valueBytes)
  let unseen = noPlaces
  if ((head & withUnseen) !== 0) {
    const places: UnseenPlace[] = []
    for (let rest = reader.count(2); rest > 0; rest--) {
      places.push({ feed: bytesToHex(reader.lengthPrefixed(32)), seq: reader.varint() })
    }
    unseen = places
  }
  return { field, op, value, unseen, clock, commit }
}

// The head of free types.
const withUpdates = 2
const withWaiting = 4

function encodeFree(out: ByteWriter, free: FreeState | undefined): void {
  if (free === undefined) {
    out.u8(0)
    return
  }
  const { updates, waiting } = free
  out.u8(1 | (updates === undefined ? 0 : withUpdates) | (waiting.length === 0 ? 0 : withWaiting))
  out.varint(free.clientId).varint(free.baseClock).varint(free.shownSeq)
  // Differences, since a text has a commit for every few letters.
  out.varint(free.commits.length)
  let last: FreeCommit = { seq: 0, end: free.baseClock }
  for (const commit of free.commits) {
    out.varint(commit.seq - last.seq).varint(commit.end - last.end)
    last = commit
  }
  if (updates !== undefined) out.lengthPrefixed(updates)
  if (waiting.length === 0) return
  out.varint(waiting.length)
  for (const { seq, hidden, update } of waiting) {
    out
      .varint(seq)
      .u8(hidden ? 1 : 0)
      .lengthPrefixed(update)
  }
}

const noUpdates: readonly WaitingUpdate[] = []

function decodeFree(reader: ByteReader): FreeState | undefined {
  const head = reader.u8()
  if (head === 0) return undefined
  const clientId = reader.varint()
  const baseClock = reader.varint()
  const shownSeq = reader.varint()
  const commits: FreeCommit[] = []
  let last: FreeCommit = { seq: 0, end: baseClock }
  for (let rest = reader.count(2); rest > 0; rest--) {
    last = { seq: last.seq + reader.varint(), end: last.end + reader.varint() }
    commits.push(last)
  }
  const updates = (head & withUpdates) === 0 ? undefined : reader.lengthPrefixed(anyBytes).slice()
  const waiting: WaitingUpdate[] = []
  for (let rest = (head & withWaiting) === 0 ? 0 : reader.count(3); rest > 0; rest--) {
    const seq = reader.varint()
    const hidden = reader.u8() === 1
    waiting.push({ seq, hidden, update: reader.lengthPrefixed(anyBytes).slice() })
  }
  return {
    clientId,
    baseClock,
    nextClock: last.end,
    shownSeq,
    updates,
    commits,
    waiting: waiting.length === 0 ? noUpdates : waiting,
  }
}

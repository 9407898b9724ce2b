/** The binary form of a record's state, as the store keeps it (sealed). Derived, so that it may change with a version. */
import * as Y from 'yjs'
import { bytesToHex, emptyBytes, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { limits } from '../core/limits.ts'
import type { CausalIndex } from './causality.ts'
import type { FreeCommit, FreeState, HiddenEntry, WaitingUpdate } from './free-state.ts'
import { encodeRecordCausality, RecordCausality } from './record-causality.ts'
import type { AcceptedWrite, RecordState, WriterState } from './record-state.ts'
import { slotOf } from './slots.ts'
import { WriteDecoder, WriteEncoder } from './write-bytes.ts'

const format = 2
const anyBytes = Number.MAX_SAFE_INTEGER

/** Used again for each record: this runs for every one that arrives. */
const scratch = new ByteWriter(4096)

/** @param index - of the record's collection: what it knows of the record's commits is kept with them */
export function encodeRecordState(
  state: RecordState,
  index?: Pick<CausalIndex, 'reachOf'>,
): Uint8Array {
  const out = scratch.clear()
  out.u8(format).text(state.id).varint(state.writers.size)
  const writes = new WriteEncoder(out, hasFieldsOnce(state))
  for (const writer of state.writers.values()) encodeWriter(out, writer, writes)
  const causality = index && encodeRecordCausality(state, index)
  if (causality !== undefined) out.lengthPrefixed(causality)
  // Small ones share memory, which is soon free again: a row is sealed and forgotten.
  const copy = Buffer.from(out.view())
  return new Uint8Array(copy.buffer, copy.byteOffset, copy.byteLength)
}

/** The usual case: one writer, who has one write for each field. */
function hasFieldsOnce({ writers }: RecordState): boolean {
  if (writers.size !== 1) return false
  for (const { writes, beside } of writers.values()) {
    if (beside.length > 0) return false
    for (const [slot, { field }] of writes) if (slot !== field) return false
  }
  return true
}

/** Of the writer that was written last: most records have the same ones. */
let lastWriter = { hex: '', bytes: emptyBytes }

function bytesOfWriter(hex: string): Uint8Array {
  if (hex !== lastWriter.hex) lastWriter = { hex, bytes: hexToBytes(hex) }
  return lastWriter.bytes
}

/** @throws HavenError `MALFORMED` when the store gave something else than {@link encodeRecordState} wrote */
export function decodeRecordState(bytes: Uint8Array): RecordState {
  return decodeRecord(bytes).state
}

/**
 * Also with what was known of its causality when it was stored: it can be viewed with that, whatever else is there.
 *
 * @throws HavenError `MALFORMED`
 */
export function decodeRecord(bytes: Uint8Array): {
  readonly state: RecordState
  readonly causality: RecordCausality | undefined
} {
  const reader = new ByteReader(bytes, 'state of a record')
  if (reader.u8() !== format) reader.fail('a format that this version does not know')
  const id = reader.text(limits.recordIdBytes)
  const writers = new Map<string, WriterState>()
  const writes = new WriteDecoder(reader)
  for (let rest = reader.count(1); rest > 0; rest--) {
    const writer = decodeWriter(reader, writes)
    writers.set(writer.writer, writer)
  }
  const state = { id, writers }
  const seen = reader.remaining === 0 ? undefined : reader.lengthPrefixed(anyBytes)
  reader.end()
  return { state, causality: seen && new RecordCausality(state, seen) }
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
const withFree = 4

const noWrites: readonly AcceptedWrite[] = []

function encodeWriter(out: ByteWriter, writer: WriterState, encoder: WriteEncoder): void {
  const { lastSeq, baseClock, writes, beside, free } = writer
  const isBranch = writer.writer !== writer.feed
  out.u8(
    (isBranch ? branch : 0) |
      (beside.length > 0 ? withBeside : 0) |
      (free === undefined ? 0 : withFree),
  )
  out.bytes(bytesOfWriter(writer.writer))
  if (isBranch) out.bytes(hexToBytes(writer.feed))
  out.varint(lastSeq).varint(writer.clientId).varint(baseClock).varint(writer.nextClock)
  encoder.begin({ seq: lastSeq, clock: baseClock })
  out.varint(writes.size)
  for (const write of byClock(writes)) encoder.write(write)
  if (beside.length > 0) out.varint(beside.length)
  for (const write of beside) encoder.write(write)
  if (free !== undefined) encodeFree(out, free)
}

/** In the order of the writer's array each write stands near the one before. */
function byClock(writes: ReadonlyMap<string, AcceptedWrite>): Iterable<AcceptedWrite> {
  let last = -1
  for (const { clock } of writes.values()) {
    if (clock < last) return [...writes.values()].toSorted((a, b) => a.clock - b.clock)
    last = clock
  }
  return writes.values()
}

function decodeWriter(reader: ByteReader, decoder: WriteDecoder): WriterState {
  const head = reader.u8()
  const isBranch = (head & branch) !== 0
  const writer = bytesToHex(reader.bytes(isBranch ? 32 : 16))
  const feed = isBranch ? bytesToHex(reader.bytes(16)) : writer
  const lastSeq = reader.varint()
  const clientId = reader.varint()
  const baseClock = reader.varint()
  const nextClock = reader.varint()
  decoder.begin({ seq: lastSeq, clock: baseClock })
  const writes = new Map<string, AcceptedWrite>()
  for (let rest = reader.count(2); rest > 0; rest--) {
    const write = decoder.read()
    writes.set(slotOf(write), write)
  }
  const beside: AcceptedWrite[] = []
  for (let rest = (head & withBeside) === 0 ? 0 : reader.count(2); rest > 0; rest--) {
    beside.push(decoder.read())
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
    free: (head & withFree) === 0 ? undefined : decodeFree(reader),
  }
}

// The head of free types.
const withUpdates = 1
const withWaiting = 2
const withHiddenEntries = 4

function encodeFree(out: ByteWriter, free: FreeState): void {
  const { updates, waiting, hiddenEntries } = free
  out.u8(
    (updates === undefined ? 0 : withUpdates) |
      (waiting.length === 0 ? 0 : withWaiting) |
      (hiddenEntries.length === 0 ? 0 : withHiddenEntries),
  )
  out.varint(free.clientId).varint(free.baseClock).varint(free.shownSeq)
  // Differences, since a text has a commit for every few letters.
  out.varint(free.commits.length)
  let last: FreeCommit = { seq: 0, end: free.baseClock }
  for (const commit of free.commits) {
    out.varint(commit.seq - last.seq).varint(commit.end - last.end)
    last = commit
  }
  if (updates !== undefined) out.lengthPrefixed(updates)
  if (waiting.length > 0) out.varint(waiting.length)
  for (const { seq, hidden, update } of waiting) {
    out
      .varint(seq)
      .u8(hidden ? 1 : 0)
      .lengthPrefixed(update)
  }
  if (hiddenEntries.length > 0) out.varint(hiddenEntries.length)
  for (const entry of hiddenEntries) encodeHiddenEntry(out, entry)
}

/** 0: it has an origin; 1: a root type and a key; 2: a type within one and a key; 3: neither is known. */
function encodeHiddenEntry(out: ByteWriter, { clock, origin, parent, key }: HiddenEntry): void {
  out.varint(clock)
  if (origin !== null) out.u8(0).varint(origin.client).varint(origin.clock)
  else if (parent === null || key === null) out.u8(3)
  else if (typeof parent === 'string') out.u8(1).text(parent).text(key)
  else out.u8(2).varint(parent.client).varint(parent.clock).text(key)
}

function decodeHiddenEntry(reader: ByteReader): HiddenEntry {
  const clock = reader.varint()
  const place = (): Y.ID => Y.createID(reader.varint(), reader.varint())
  switch (reader.u8()) {
    case 0:
      return { clock, origin: place(), parent: null, key: null }
    case 1:
      return { clock, origin: null, parent: reader.text(anyBytes), key: reader.text(anyBytes) }
    case 2:
      return { clock, origin: null, parent: place(), key: reader.text(anyBytes) }
    default:
      return { clock, origin: null, parent: null, key: null }
  }
}

const noUpdates: readonly WaitingUpdate[] = []
const noEntries: readonly HiddenEntry[] = []

function decodeFree(reader: ByteReader): FreeState {
  const head = reader.u8()
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
  const hiddenEntries: HiddenEntry[] = []
  for (let rest = (head & withHiddenEntries) === 0 ? 0 : reader.count(2); rest > 0; rest--) {
    hiddenEntries.push(decodeHiddenEntry(reader))
  }
  return {
    clientId,
    baseClock,
    nextClock: last.end,
    shownSeq,
    updates,
    commits,
    waiting: waiting.length === 0 ? noUpdates : waiting,
    hiddenEntries: hiddenEntries.length === 0 ? noEntries : hiddenEntries,
  }
}

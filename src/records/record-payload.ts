/** The payload of a commit of records, format 1. docs/data-model.md. */
import { bytesToHex, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { assert, HavenError } from '../core/errors.ts'
import type { HybridTime } from '../core/hybrid-time.ts'
import { limits } from '../core/limits.ts'
import type { FeedTable } from './feed-table.ts'

export interface RecordPayload {
  readonly time: HybridTime
  /** 0: the built-in one. */
  readonly schemaVersion: number
  /** Empty: not said. */
  readonly actor: string
  readonly context: readonly ContextEntry[]
  /** Each record once. */
  readonly records: readonly RecordUpdate[]
}

/** A place of another feed (or of another branch) that this feed's author had reached. */
export interface ContextEntry {
  /** In hex. */
  readonly feed: string
  readonly seq: number
  /** The first 4 bytes of the commit's id. */
  readonly id: Uint8Array
}

export interface RecordUpdate {
  readonly id: string
  /** Seq of this feed's previous commit that touched the record, 0 for none. */
  readonly back: number
  readonly fields?: Uint8Array
  readonly free?: { readonly stateVector: Uint8Array; readonly update: Uint8Array }
}

const format = 1
const feedIdBytes = 16
const idPrefixBytes = 4
const partFields = 1
const partFree = 2
/** One entry for each client of a document. */
const stateVectorBytes = 256 * 1024

/**
 * @param feeds - what the feed named before this commit; the table of the next commit is
 *   `feeds.naming(payload.context.map((entry) => entry.feed))`
 */
export function encodePayload(payload: RecordPayload, feeds: FeedTable): Uint8Array {
  const out = new ByteWriter(1024)
  out.u8(format)
  encodeTime(out, payload.time)
  out.varint(payload.schemaVersion).text(payload.actor)
  out.varint(payload.context.length)
  const added = new Map<string, number>()
  for (const { feed, seq, id } of payload.context) {
    assert(id.length === idPrefixBytes, 'an id in a context has 4 bytes')
    const index = feeds.indexOf(feed) ?? added.get(feed)
    if (index === undefined) {
      added.set(feed, feeds.size + added.size)
      out.varint(0).bytes(hexToBytes(feed))
    } else out.varint(index + 1)
    out.varint(seq).bytes(id)
  }
  out.varint(payload.records.length)
  for (const { id, back, fields, free } of payload.records) {
    encodeRecordId(out, id)
    out.varint(back)
    out.u8((fields === undefined ? 0 : partFields) | (free === undefined ? 0 : partFree))
    if (fields !== undefined) out.lengthPrefixed(fields)
    if (free !== undefined) out.lengthPrefixed(free.stateVector).lengthPrefixed(free.update)
  }
  return out.finish()
}

/**
 * Updates are views into `bytes`.
 *
 * @param feeds - what the feed named before this commit. A later table gives the same for every honest author; to decide
 *   the same about a dishonest one, take `feeds.first(size)` with the size that the table had then.
 * @returns the payload, and the table after it
 * @throws HavenError `MALFORMED`
 */
export function decodePayload(
  bytes: Uint8Array,
  feeds: FeedTable,
): { readonly payload: RecordPayload; readonly feeds: FeedTable } {
  const reader = new ByteReader(bytes, 'payload of a commit')
  if (reader.u8() !== format) reader.fail('a format that this version does not know')
  const time = decodeTime(reader)
  const schemaVersion = reader.varint()
  const actor = reader.text(limits.actorBytes)
  const { context, feeds: after } = decodeContext(reader, feeds)
  const records: RecordUpdate[] = []
  const ids = new Set<string>()
  for (let rest = reader.count(5, limits.commitRecords); rest > 0; rest--) {
    const record = decodeRecord(reader)
    if (ids.has(record.id)) reader.fail('a record twice')
    ids.add(record.id)
    records.push(record)
  }
  reader.end()
  return { payload: { time, schemaVersion, actor, context, records }, feeds: after }
}

/** 48 bits of milliseconds, 16 bits of counter; control facts begin with it too. */
function encodeTime(out: ByteWriter, { ms, counter }: HybridTime): void {
  out.u16(Math.floor(ms / 0x1_0000_0000)).u32(ms % 0x1_0000_0000)
  out.u16(counter)
}

function decodeTime(reader: ByteReader): HybridTime {
  const ms = reader.u16() * 0x1_0000_0000 + reader.u32()
  return { ms, counter: reader.u16() }
}

function decodeContext(
  reader: ByteReader,
  feeds: FeedTable,
): { context: ContextEntry[]; feeds: FeedTable } {
  const context: ContextEntry[] = []
  const named = new Set<string>()
  // In the order of their indexes, for a table that ends before this commit.
  const addedFeeds: string[] = []
  for (let rest = reader.count(1 + 1 + idPrefixBytes, limits.contextEntries); rest > 0; rest--) {
    const place = reader.varint()
    let feed: string | undefined
    if (place === 0) {
      feed = bytesToHex(reader.bytes(feedIdBytes))
      if (named.has(feed)) reader.fail('a feed that it names as new after it had named it')
      if (feeds.indexOf(feed) === undefined) addedFeeds.push(feed)
    } else feed = feeds.feedAt(place - 1) ?? addedFeeds[place - 1 - feeds.size]
    if (feed === undefined) reader.fail('a feed that it never named')
    named.add(feed)
    context.push({ feed, seq: reader.varint(), id: reader.bytes(idPrefixBytes) })
  }
  return { context, feeds: feeds.naming(addedFeeds) }
}

function decodeRecord(reader: ByteReader): RecordUpdate {
  const id = decodeRecordId(reader)
  const back = reader.varint()
  const parts = reader.u8()
  if (parts < 1 || parts > (partFields | partFree))
    reader.fail('parts that this version does not know')
  const record: { -readonly [K in keyof RecordUpdate]: RecordUpdate[K] } = { id, back }
  if ((parts & partFields) !== 0) record.fields = reader.lengthPrefixed(limits.updateBytes)
  if ((parts & partFree) !== 0) {
    record.free = {
      stateVector: reader.lengthPrefixed(stateVectorBytes),
      update: reader.lengthPrefixed(limits.updateBytes),
    }
  }
  return record
}

const uuidAtEnd = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const uuidLength = 36

function encodeRecordId(out: ByteWriter, id: string): void {
  // Nobody could read the commit, nor this device the record's state.
  if (id === '' || Buffer.byteLength(id, 'utf8') > limits.recordIdBytes || !id.isWellFormed()) {
    throw new HavenError('INVALID_ID', `An id has 1 to ${limits.recordIdBytes} bytes of text.`)
  }
  if (!uuidAtEnd.test(id)) {
    out.u8(0).text(id)
    return
  }
  out.u8(1).text(id.slice(0, -uuidLength))
  out.bytes(hexToBytes(id.slice(-uuidLength).replaceAll('-', '')))
}

function decodeRecordId(reader: ByteReader): string {
  const kind = reader.u8()
  if (kind > 1) reader.fail('a record id of an unknown form')
  const text = reader.text(limits.recordIdBytes)
  if (kind === 0) {
    if (text === '' || uuidAtEnd.test(text))
      reader.fail('a record id that is not in its shortest form')
    return text
  }
  const id = text + uuidOf(reader.bytes(16))
  if (Buffer.byteLength(id, 'utf8') > limits.recordIdBytes)
    reader.fail('a record id that is too long')
  return id
}

/** In its usual form, lower-case. */
export function uuidOf(bytes: Uint8Array): string {
  const hex = bytesToHex(bytes)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

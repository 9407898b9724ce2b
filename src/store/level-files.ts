/**
 * Reads LevelDB's files directly, with the checksums that classic-level leaves unchecked, and without its C++ code,
 * which ends the process on some kinds of damage.
 *
 * @see https://github.com/google/leveldb/tree/v1.20/doc: log_format.txt, table_format.txt; db/version_edit.cc
 */
import { crc32c } from './crc32c.ts'

/** A version of a row; the one with the greatest sequence stands. */
export interface RowVersion {
  readonly key: Uint8Array
  /** Absent where the row was deleted. */
  readonly value: Uint8Array | undefined
  readonly sequence: number
}

export interface LogContent {
  readonly records: Uint8Array[]
  /** Something before the last good record can't be read. */
  readonly isDamaged: boolean
  /** Something after the last good record can't be read: after a power cut, that is how a log ends. */
  readonly isTorn: boolean
}

export interface TableContent {
  readonly rows: RowVersion[]
  readonly isDamaged: boolean
}

/** What a manifest says that there should be. */
export interface LiveFiles {
  readonly tableBytesByNumber: ReadonlyMap<number, number>
  /** Logs with lower numbers are in tables. */
  readonly logNumber: number
  readonly lastSequence: number
}

const logBlockBytes = 32 * 1024
const logHeaderBytes = 7
const recordTypes = { zero: 0, full: 1, first: 2, middle: 3, last: 4 } as const
const footerBytes = 48
const blockTrailerBytes = 5
const tableMagic = [0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb]
const uncompressed = 0
const deletion = 0
const insertion = 1
const sequenceAndTypeBytes = 8

export function readLog(file: Uint8Array): LogContent {
  const records: Uint8Array[] = []
  let parts: Uint8Array[] = []
  let isSuspect = false
  let isDamaged = false
  for (let block = 0; block < file.length; block += logBlockBytes) {
    const end = Math.min(block + logBlockBytes, file.length)
    let at = block
    while (end - at >= logHeaderBytes) {
      const length = file[at + 4]! + file[at + 5]! * 256
      const type = file[at + 6]!
      // Space that was allocated and not used.
      if (type === recordTypes.zero && length === 0) break
      const next = at + logHeaderBytes + length
      const isGood =
        next <= end &&
        type <= recordTypes.last &&
        unmask(readU32(file, at)) === crc32c(file.subarray(at + 6, next))
      if (!isGood) {
        // Its length can't be trusted: what follows begins with the next block.
        isSuspect = true
        parts = []
        break
      }
      // A good record after something that was not: no power cut leaves this.
      isDamaged ||= isSuspect
      const data = file.subarray(at + logHeaderBytes, next)
      at = next
      if (type === recordTypes.full || type === recordTypes.first) {
        isDamaged ||= parts.length > 0
        parts = [data]
      } else if (parts.length > 0) {
        parts.push(data)
      } else {
        isDamaged = true
      }
      if (parts.length > 0 && (type === recordTypes.full || type === recordTypes.last)) {
        records.push(parts.length === 1 ? data : joined(parts))
        parts = []
      }
    }
    // A header that was cut; at the end of a full block there is only padding.
    isSuspect ||= at < end && end - at < logHeaderBytes && end < block + logBlockBytes
  }
  return { records, isDamaged, isTorn: isSuspect || parts.length > 0 }
}

/** The rows of one batch in a log; `undefined` when it makes no sense. */
export function readBatch(record: Uint8Array): RowVersion[] | undefined {
  const cursor = new Cursor(record)
  const sequence = cursor.u64()
  const count = cursor.u32()
  const rows: RowVersion[] = []
  while (cursor.isGood && cursor.left > 0) {
    const type = cursor.u8()
    const key = cursor.bytes(cursor.varint())
    const value = type === insertion ? cursor.bytes(cursor.varint()) : undefined
    if (type > insertion) return undefined
    rows.push({ key, value, sequence: sequence + rows.length })
  }
  return cursor.isGood && rows.length === count ? rows : undefined
}

/** Whatever is in the blocks whose checksums are right. */
export function readTable(file: Uint8Array): TableContent {
  const index = indexOf(file)
  if (index === undefined) return { rows: [], isDamaged: true }
  const rows: RowVersion[] = []
  let isDamaged = false
  for (const { value } of index) {
    const block = blockAt(file, new Cursor(value))
    const entries = block === undefined ? undefined : entriesOf(block)
    for (const { key, value: rowValue } of entries ?? []) {
      const row = rowVersion(key, rowValue)
      if (row === undefined) isDamaged = true
      else rows.push(row)
    }
    isDamaged ||= entries === undefined
  }
  return { rows, isDamaged }
}

/** Checksums only. */
export function isTableIntact(file: Uint8Array): boolean {
  const index = indexOf(file)
  return index?.every(({ value }) => blockAt(file, new Cursor(value)) !== undefined) ?? false
}

/** `undefined` when the manifest is damaged. */
export function readManifest(file: Uint8Array): LiveFiles | undefined {
  const { records, isDamaged } = readLog(file)
  if (isDamaged || records.length === 0) return undefined
  const tableBytesByNumber = new Map<number, number>()
  let logNumber = 0
  let lastSequence = 0
  for (const record of records) {
    const cursor = new Cursor(record)
    const skip = (): void => void cursor.bytes(cursor.varint())
    while (cursor.isGood && cursor.left > 0) {
      switch (cursor.varint()) {
        case 1: // comparator
          skip()
          break
        case 2:
          logNumber = cursor.varint()
          break
        case 3: // next file number
        case 9: // previous log number
          cursor.varint()
          break
        case 4:
          lastSequence = cursor.varint()
          break
        case 5: // where compaction goes on: level, key
          cursor.varint()
          skip()
          break
        case 6: // a table that is no longer used: level, number
          cursor.varint()
          tableBytesByNumber.delete(cursor.varint())
          break
        case 7: {
          // A new table: level, number, bytes, first key, last key.
          cursor.varint()
          const number = cursor.varint()
          tableBytesByNumber.set(number, cursor.varint())
          skip()
          skip()
          break
        }
        default:
          return undefined
      }
    }
    if (!cursor.isGood) return undefined
  }
  return { tableBytesByNumber, logNumber, lastSequence }
}

interface Entry {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

function indexOf(file: Uint8Array): Entry[] | undefined {
  if (file.length < footerBytes) return undefined
  const footer = file.subarray(file.length - footerBytes)
  const magic = footer.subarray(footerBytes - tableMagic.length)
  if (!tableMagic.every((byte, at) => magic[at] === byte)) return undefined
  const cursor = new Cursor(footer)
  // The place of the metaindex, which is empty.
  cursor.varint()
  cursor.varint()
  const block = blockAt(file, cursor)
  return block === undefined ? undefined : entriesOf(block)
}

/** The content of the block at offset and length, which come next in `handle`. */
function blockAt(file: Uint8Array, handle: Cursor): Uint8Array | undefined {
  const offset = handle.varint()
  const length = handle.varint()
  const end = offset + length + blockTrailerBytes
  if (!handle.isGood || end > file.length) return undefined
  const checked = file.subarray(offset, end - 4)
  if (checked[length] !== uncompressed) return undefined
  return unmask(readU32(file, end - 4)) === crc32c(checked)
    ? checked.subarray(0, length)
    : undefined
}

function entriesOf(block: Uint8Array): Entry[] | undefined {
  if (block.length < 4) return undefined
  const end = block.length - 4 - 4 * readU32(block, block.length - 4)
  if (end < 0) return undefined
  const cursor = new Cursor(block.subarray(0, end))
  const entries: Entry[] = []
  let last: Uint8Array = new Uint8Array(0)
  while (cursor.isGood && cursor.left > 0) {
    const shared = cursor.varint()
    const added = cursor.varint()
    const valueLength = cursor.varint()
    if (shared > last.length) return undefined
    last = joined([last.subarray(0, shared), cursor.bytes(added)])
    entries.push({ key: last, value: cursor.bytes(valueLength) })
  }
  return cursor.isGood ? entries : undefined
}

function rowVersion(internalKey: Uint8Array, value: Uint8Array): RowVersion | undefined {
  const at = internalKey.length - sequenceAndTypeBytes
  if (at < 0) return undefined
  const type = internalKey[at]!
  if (type > insertion) return undefined
  const view = new DataView(internalKey.buffer, internalKey.byteOffset + at)
  const sequence = Math.floor(view.getUint32(0, true) / 256) + view.getUint32(4, true) * 2 ** 24
  const key = internalKey.subarray(0, at)
  return { key, value: type === deletion ? undefined : value, sequence }
}

/** Little-endian, as LevelDB writes; past the end it returns zeros and says so. */
class Cursor {
  readonly #bytes: Uint8Array
  #at = 0
  isGood = true

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  u8(): number {
    return this.bytes(1)[0] ?? 0
  }

  u32(): number {
    const bytes = this.bytes(4)
    return bytes.length === 4 ? readU32(bytes, 0) : 0
  }

  /** At most 2^53; sequences have 56 bits and never get there. */
  u64(): number {
    const low = this.u32()
    return low + this.u32() * 2 ** 32
  }

  varint(): number {
    let value = 0
    for (let scale = 1; scale <= 2 ** 49; scale *= 128) {
      const byte = this.u8()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
    this.isGood = false
    return 0
  }

  bytes(count: number): Uint8Array {
    if (count > this.left) {
      this.isGood = false
      this.#at = this.#bytes.length
      return new Uint8Array(0)
    }
    this.#at += count
    return this.#bytes.subarray(this.#at - count, this.#at)
  }
}

function readU32(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
  )
}

/** LevelDB stores checksums masked, because checksums of data that contain checksums are weak. */
function unmask(masked: number): number {
  const rotated = (masked - 0xa282ead8) >>> 0
  return ((rotated >>> 17) | (rotated << 15)) >>> 0
}

function joined(parts: Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

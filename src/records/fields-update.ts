/**
 * Updates of fields: Yjs V1 bytes, written and read without opening a document. docs/data-model.md, "Fields".
 *
 * The reader is strict on purpose. What Yjs itself would take (delete sets over other clients, structs in foreign
 * arrays, gaps, numbers in longer forms) is how an insider could erase what others wrote; and since replicas must agree
 * on what is accepted, it decides by the bytes and by how far the writer had come, and by nothing else.
 */
import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import { bytesToUtf8 } from '../core/bytes.ts'
import { limits } from '../core/limits.ts'
import { isCompactJson } from './json-text.ts'
import { problemOfWrite, unseenPairs, type Write } from './writes.ts'

export interface FieldsUpdate {
  /** In the order of the writer's array: the first has the clock that the update starts at. */
  readonly writes: readonly Write[]
  /** Own older writes that these replace, ascending. */
  readonly deletedClocks: readonly number[]
}

/** What has been read of an update that arrived. */
export interface ReadFieldsUpdate {
  readonly writes: readonly Write[]
  /** `[clock, length, …]` */
  readonly deletedRanges: readonly number[]
}

/** Name of a writer's root array. */
export function arrayName(clientId: number): string {
  if (clientId !== lastNamed.clientId) lastNamed = { clientId, name: '~' + clientId.toString(36) }
  return lastNamed.name
}

/** Updates of one writer come in rows. */
let lastNamed = { clientId: -1, name: '' }

/** The same bytes as Yjs gives for one transaction that pushes the writes and deletes the clocks. */
export function encodeFieldsUpdate(
  clientId: number,
  clock: number,
  { writes, deletedClocks }: FieldsUpdate,
): Uint8Array {
  const encoder = encoding.createEncoder()
  if (writes.length === 0) encoding.writeVarUint(encoder, 0)
  else {
    encoding.writeVarUint(encoder, 1)
    encoding.writeVarUint(encoder, 1)
    encoding.writeVarUint(encoder, clientId)
    encoding.writeVarUint(encoder, clock)
    writeItemHead(encoder, clientId, clock === 0 ? undefined : clock - 1, contentAny)
    encoding.writeVarUint(encoder, writes.length)
    for (const write of writes) encoding.writeAny(encoder, elementOf(write))
  }
  writeDeletions(encoder, clientId, rangesOf(deletedClocks))
  return encoding.toUint8Array(encoder)
}

export const contentAny = 8
const hasOrigin = 0x80

/** @param ranges - `[clock, length, …]` */
export function writeDeletions(
  encoder: encoding.Encoder,
  clientId: number,
  ranges: readonly number[],
): void {
  encoding.writeVarUint(encoder, ranges.length === 0 ? 0 : 1)
  if (ranges.length === 0) return
  encoding.writeVarUint(encoder, clientId)
  encoding.writeVarUint(encoder, ranges.length / 2)
  for (const number of ranges) encoding.writeVarUint(encoder, number)
}

/** Kind of content and place: behind a struct of the writer's array, or first in it. */
export function writeItemHead(
  encoder: encoding.Encoder,
  clientId: number,
  behind: number | undefined,
  content: number,
): void {
  if (behind !== undefined) {
    encoding.writeUint8(encoder, content | hasOrigin)
    encoding.writeVarUint(encoder, clientId)
    encoding.writeVarUint(encoder, behind)
  } else {
    encoding.writeUint8(encoder, content)
    encoding.writeVarUint(encoder, 1)
    encoding.writeVarString(encoder, arrayName(clientId))
  }
}

/** A write as the element of a Y.Array. */
export function elementOf({ field, op, value, unseen }: Write): (string | null | number[])[] {
  if (unseen !== undefined && unseen.length > 0) return [field, op, value ?? null, [...unseen]]
  return value === undefined ? [field, op] : [field, op, value]
}

function rangesOf(clocks: readonly number[]): number[] {
  const ranges: number[] = []
  for (const clock of clocks) {
    const last = ranges.length - 2
    if (last >= 0 && clock === ranges[last]! + ranges[last + 1]!) ranges[last + 1]!++
    else ranges.push(clock, 1)
  }
  return ranges
}

/**
 * Reads an update of the writer whose array ends at `clock`, or says why it is not accepted. Never throws and takes
 * time in proportion to the bytes, whatever they are.
 */
export function readFieldsUpdate(
  update: Uint8Array,
  clientId: number,
  clock: number,
): ReadFieldsUpdate | { readonly problem: string } {
  try {
    return new UpdateReader(update).read(clientId, clock)
  } catch (error) {
    if (error instanceof Refused) return { problem: error.message }
    throw error
  }
}

/**
 * Where an update that was accepted begins in its writer's array: the `clock` with which it is read again. One without writes is read
 * with any that is large enough.
 */
export function firstClockOf(update: Uint8Array): number {
  const decoder = decoding.createDecoder(update)
  if (decoding.readVarUint(decoder) === 0) return Number.MAX_SAFE_INTEGER
  // How many structs, and of which client.
  decoding.readVarUint(decoder)
  decoding.readVarUint(decoder)
  return decoding.readVarUint(decoder)
}

class Refused extends Error {}

function refuse(problem: string): never {
  throw new Refused(problem)
}

const endedEarly = 'it ends too early'

/**
 * Names that were read lately, by a few of their characters: most records say the same ones, and one text for all of them is found
 * in maps, and compared, without looking at its letters.
 */
const recentNames: string[] = Array.from({ length: 256 }, () => '')
/** Longer ones are rarely said twice. */
const recentNameLength = 64

class UpdateReader {
  readonly #bytes: Uint8Array
  /** The same bytes as characters, to cut texts from. */
  readonly #characters: string
  #at = 0

  constructor(bytes: Uint8Array) {
    if (bytes.length > limits.updateBytes) refuse('it is too long')
    this.#bytes = bytes
    this.#characters = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString(
      'latin1',
    )
  }

  read(clientId: number, clock: number): ReadFieldsUpdate {
    const writes: Write[] = []
    const clients = this.#varint()
    if (clients > 1) refuse('structs of several clients')
    if (clients === 1) {
      const structs = this.#varint()
      if (structs === 0) refuse('a client without structs')
      if (this.#varint() !== clientId) refuse('structs of another client')
      if (this.#varint() !== clock) refuse('structs that do not go on where the last ended')
      for (let i = 0; i < structs; i++) this.#struct(clientId, clock, writes)
    }
    const deletedRanges = this.#deleteSet(clientId, clock)
    if (this.#at !== this.#bytes.length) refuse('bytes after its end')
    return { writes, deletedRanges }
  }

  #struct(clientId: number, firstClock: number, writes: Write[]): void {
    const clock = firstClock + writes.length
    const head = this.#byte()
    if (head !== (clock > 0 ? contentAny | hasOrigin : contentAny)) {
      refuse('a struct that is no write at the end of the array')
    }
    if (clock > 0) {
      if (this.#varint() !== clientId || this.#varint() !== clock - 1) {
        refuse('a struct that does not follow the one before')
      }
    } else if (this.#varint() !== 1 || this.#text() !== arrayName(clientId)) {
      refuse('a struct in another array')
    }
    const count = this.#varint()
    if (count === 0) refuse('a struct without writes')
    if (writes.length + count > limits.fieldsPerRecord) refuse('too many writes')
    for (let i = 0; i < count; i++) writes.push(this.#write())
  }

  #write(): Write {
    if (this.#byte() !== anyArray) refuse('a write that is no list')
    const length = this.#varint()
    if (length < 2 || length > 4) refuse('a write of an unknown shape')
    const field = this.#anyText()
    const op = this.#anyText()
    let value: string | undefined
    if (length > 2) {
      const kind = this.#byte()
      if (kind === anyText) value = this.#text()
      else if (kind !== anyNull || length === 3) refuse('a value that is no text')
    }
    const write: Write =
      length < 4 ? { field, op, value } : { field, op, value, unseen: this.#unseen() }
    const problem = problemOfWrite(write)
    if (problem !== undefined) refuse(problem)
    if (value !== undefined && !isCompactJson(value)) refuse('a value that is no JSON')
    return write
  }

  #unseen(): number[] {
    if (this.#byte() !== anyArray) refuse('a list of unseen writes that is not one')
    const count = this.#varint()
    if (count === 0 || count > 2 * unseenPairs) refuse('a list of unseen writes that is not one')
    const unseen: number[] = []
    for (let i = 0; i < count; i++) unseen.push(this.#anyNumber())
    return unseen
  }

  #deleteSet(clientId: number, clock: number): number[] {
    const ranges: number[] = []
    const clients = this.#varint()
    if (clients > 1) refuse('deletions of several clients')
    if (clients === 0) return ranges
    if (this.#varint() !== clientId) refuse('deletions of another client')
    const count = this.#varint()
    if (count === 0 || count * 2 > this.#bytes.length - this.#at)
      refuse('an empty list of deletions')
    let end = -1
    for (let i = 0; i < count; i++) {
      const start = this.#varint()
      const length = this.#varint()
      if (length === 0 || start <= end) refuse('deletions that are out of order')
      end = start + length
      if (end > clock) refuse('deletions of what did not exist')
      ranges.push(start, length)
    }
    return ranges
  }

  #byte(): number {
    const byte = this.#bytes[this.#at]
    if (byte === undefined) refuse(endedEarly)
    this.#at++
    return byte
  }

  /** As Yjs writes them: unsigned, at most 2^53 - 1, in the shortest form. */
  #varint(): number {
    const bytes = this.#bytes
    const first = bytes[this.#at]
    if (first === undefined) refuse(endedEarly)
    this.#at++
    if (first < 0x80) return first
    let value = first & 0x7f
    let scale = 0x80
    for (;;) {
      const byte = this.#byte()
      value += (byte & 0x7f) * scale
      if (value > Number.MAX_SAFE_INTEGER) refuse('a number beyond 2^53')
      if (byte < 0x80) {
        if (byte === 0) refuse('a number that is not in its shortest form')
        return value
      }
      scale *= 0x80
      if (scale > 2 ** 53) refuse('a number beyond 2^53')
    }
  }

  #anyText(): string {
    if (this.#byte() !== anyText) refuse('a name that is no text')
    const start = this.#at
    const length = this.#bytes[start] ?? 0
    if (length === 0 || length > recentNameLength) return this.#text()
    const bytes = this.#bytes
    const slot = (bytes[start + 1]! * 7 + bytes[start + length]! * 13 + length * 31) & 0xff
    const recent = recentNames[slot]!
    if (recent.length === length && this.#isAt(start + 1, recent)) {
      this.#at = start + 1 + length
      return recent
    }
    // A copy: a part of the text of an update would keep all of it.
    const name = Buffer.from(this.#text(), 'utf8').toString('utf8')
    recentNames[slot] = name
    return name
  }

  /** Whether these characters stand there as bytes. */
  #isAt(start: number, text: string): boolean {
    const bytes = this.#bytes
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      if (code >= 0x80 || bytes[start + i] !== code) return false
    }
    return true
  }

  #text(): string {
    const length = this.#varint()
    const start = this.#at
    const end = start + length
    const bytes = this.#bytes
    if (end > bytes.length) refuse(endedEarly)
    this.#at = end
    for (let i = start; i < end; i++) {
      if (bytes[i]! >= 0x80) return utf8(bytes.subarray(start, end))
    }
    return this.#characters.slice(start, end)
  }

  #anyNumber(): number {
    const kind = this.#byte()
    if (kind === anyInteger) {
      // lib0's signed form: the second bit of the first byte is the sign
      const first = this.#byte()
      if ((first & 0x40) !== 0) refuse('a negative number')
      if (first < 0x80) return first
      const rest = this.#varint()
      const value = rest * 0x40 + (first & 0x3f)
      if (rest === 0 || value >= 2 ** 31) refuse('a number that is not in its shortest form')
      return value
    }
    if (kind !== anyFloat64 && kind !== anyFloat32) refuse('a place that is no number')
    const size = kind === anyFloat64 ? 8 : 4
    if (this.#at + size > this.#bytes.length) refuse(endedEarly)
    const view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset + this.#at, size)
    this.#at += size
    const value = size === 8 ? view.getFloat64(0) : view.getFloat32(0)
    if (!Number.isSafeInteger(value) || value < 2 ** 31) refuse('a place that is no number')
    return value
  }
}

// lib0's encoding of any value
const anyArray = 117
const anyText = 119
const anyFloat64 = 123
const anyFloat32 = 124
const anyInteger = 125
const anyNull = 126

function utf8(bytes: Uint8Array): string {
  try {
    return bytesToUtf8(bytes)
  } catch {
    return refuse('text that is not UTF-8')
  }
}

/**
 * The binary codec of everything that is hashed, signed, stored or sent.
 *
 * Integers are big-endian; a varint is unsigned LEB128 in its shortest form. A reader refuses whatever a writer would
 * not have written (longer varints, bytes left over), so that one value has exactly one encoding.
 */
import { bytesToUtf8 } from './bytes.ts'
import { HavenError } from './errors.ts'

const textEncoder = new TextEncoder()

/** Grows as needed; `finish` returns a copy of its own. */
export class ByteWriter {
  #buffer: Uint8Array
  #view: DataView
  #length = 0

  constructor(capacity = 256) {
    this.#buffer = new Uint8Array(capacity)
    this.#view = new DataView(this.#buffer.buffer)
  }

  get length(): number {
    return this.#length
  }

  u8(value: number): this {
    assertInteger(value, 0xff)
    this.#reserve(1)
    this.#buffer[this.#length++] = value
    return this
  }

  u16(value: number): this {
    assertInteger(value, 0xffff)
    this.#reserve(2)
    this.#view.setUint16(this.#length, value)
    this.#length += 2
    return this
  }

  u32(value: number): this {
    assertInteger(value, 0xffff_ffff)
    this.#reserve(4)
    this.#view.setUint32(this.#length, value)
    this.#length += 4
    return this
  }

  /** A safe integer (up to 2^53 - 1) in eight bytes. */
  u64(value: number): this {
    assertInteger(value, Number.MAX_SAFE_INTEGER)
    this.#reserve(8)
    this.#view.setUint32(this.#length, Math.floor(value / 0x1_0000_0000))
    this.#view.setUint32(this.#length + 4, value >>> 0)
    this.#length += 8
    return this
  }

  varint(value: number): this {
    assertInteger(value, Number.MAX_SAFE_INTEGER)
    this.#reserve(8)
    let rest = value
    while (rest >= 0x80) {
      this.#buffer[this.#length++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.#buffer[this.#length++] = rest
    return this
  }

  /** Bytes of a length that the reader knows. */
  bytes(bytes: Uint8Array): this {
    this.#reserve(bytes.length)
    this.#buffer.set(bytes, this.#length)
    this.#length += bytes.length
    return this
  }

  /** The bytes that hex stands for, without an array of their own. @throws TypeError when it is not lower-case hex of even length */
  hex(hex: string): this {
    const count = hex.length / 2
    if (!Number.isInteger(count)) throw new TypeError('not lower-case hex')
    this.#reserve(count)
    for (let i = 0; i < hex.length; i += 2)
      this.#buffer[this.#length++] =
        nibbleOf(hex.charCodeAt(i)) * 16 + nibbleOf(hex.charCodeAt(i + 1))
    return this
  }

  /** A varint length, then the bytes. */
  lengthPrefixed(bytes: Uint8Array): this {
    return this.varint(bytes.length).bytes(bytes)
  }

  /** A varint length in bytes, then UTF-8. */
  text(text: string): this {
    if (text.length >= 0x80) return this.#longText(text)
    // Most texts are short and ASCII: one byte of length, and no detour.
    this.#reserve(text.length + 1)
    const start = this.#length
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      if (code >= 0x80) {
        this.#length = start
        return this.#longText(text)
      }
      this.#buffer[start + 1 + i] = code
    }
    this.#buffer[start] = text.length
    this.#length = start + 1 + text.length
    return this
  }

  #longText(text: string): this {
    const bytes = Buffer.byteLength(text, 'utf8')
    this.varint(bytes)
    this.#reserve(bytes)
    textEncoder.encodeInto(text, this.#buffer.subarray(this.#length, this.#length + bytes))
    this.#length += bytes
    return this
  }

  /** Forgets what was written, and keeps the room for it. */
  clear(): this {
    this.#length = 0
    return this
  }

  finish(): Uint8Array {
    return this.#buffer.slice(0, this.#length)
  }

  /** What was written, without a copy: only until the next call of any method. */
  view(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }

  #reserve(count: number): void {
    const needed = this.#length + count
    if (needed <= this.#buffer.length) return
    const grown = new Uint8Array(Math.max(needed, this.#buffer.length * 2))
    grown.set(this.#buffer.subarray(0, this.#length))
    this.#buffer = grown
    this.#view = new DataView(grown.buffer)
  }
}

function nibbleOf(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  if (code >= 0x61 && code <= 0x66) return code - 0x61 + 10
  throw new TypeError('not lower-case hex')
}

/**
 * Reads what {@link ByteWriter} wrote. Every method throws {@link HavenError} `MALFORMED` instead of reading past the
 * end. Byte results are views into the input: copy what outlives it.
 */
export class ByteReader {
  readonly #buffer: Uint8Array
  readonly #view: DataView
  readonly #what: string
  #offset = 0

  /** @param what - names the thing that is read in the error's message, e.g. `commit header` */
  constructor(buffer: Uint8Array, what: string) {
    this.#buffer = buffer
    this.#view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength)
    this.#what = what
  }

  get offset(): number {
    return this.#offset
  }

  get remaining(): number {
    return this.#buffer.length - this.#offset
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1))
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2))
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4))
  }

  u64(): number {
    const at = this.#take(8)
    const value = this.#view.getUint32(at) * 0x1_0000_0000 + this.#view.getUint32(at + 4)
    if (!Number.isSafeInteger(value)) this.fail('a number beyond 2^53')
    return value
  }

  varint(): number {
    let value = 0
    let scale = 1
    for (let count = 1; ; count++) {
      const byte = this.u8()
      value += (byte & 0x7f) * scale
      if (value > Number.MAX_SAFE_INTEGER || count > 8) this.fail('a number beyond 2^53')
      if (byte < 0x80) {
        if (byte === 0 && count > 1) this.fail('a number that is not in its shortest form')
        return value
      }
      scale *= 0x80
    }
  }

  bytes(count: number): Uint8Array {
    const at = this.#take(count)
    return this.#buffer.subarray(at, at + count)
  }

  /** @param maxBytes - refused before anything is allocated */
  lengthPrefixed(maxBytes: number): Uint8Array {
    const count = this.varint()
    if (count > maxBytes) this.fail(`${count} bytes where at most ${maxBytes} may be`)
    return this.bytes(count)
  }

  /** @param maxBytes - in UTF-8 */
  text(maxBytes: number): string {
    const bytes = this.lengthPrefixed(maxBytes)
    try {
      return bytesToUtf8(bytes)
    } catch {
      return this.fail('text that is not UTF-8')
    }
  }

  /** A count of items that take at least `minBytesEach` bytes: refused when the input can't hold them. */
  count(minBytesEach: number, maxCount = Number.MAX_SAFE_INTEGER): number {
    const count = this.varint()
    if (count > maxCount || count * minBytesEach > this.remaining) {
      this.fail(`${count} items where there can't be as many`)
    }
    return count
  }

  rest(): Uint8Array {
    return this.bytes(this.remaining)
  }

  /** To be called last: nothing may be left over. */
  end(): void {
    if (this.remaining > 0) this.fail(`${this.remaining} bytes too many`)
  }

  fail(problem: string): never {
    throw new HavenError('MALFORMED', `The ${this.#what} has ${problem}.`)
  }

  #take(count: number): number {
    if (count > this.remaining) this.fail('ended too early')
    const at = this.#offset
    this.#offset += count
    return at
  }
}

function assertInteger(value: number, max: number): void {
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new TypeError(`not an integer from 0 to ${max}: ${value}`)
  }
}

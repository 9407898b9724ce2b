/** Cuts a stream of bytes into frames: a length in four bytes, then as many bytes. */
import { Uint8ArrayList } from 'uint8arraylist'
import { HavenError } from '../core/errors.ts'

const headerBytes = 4

export class FrameDecoder {
  readonly #buffer = new Uint8ArrayList()

  /** Of one frame; may be changed between frames. */
  maxBytes: number

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  get bufferedBytes(): number {
    return this.#buffer.byteLength
  }

  append(bytes: Uint8Array | Uint8ArrayList): void {
    this.#buffer.append(bytes)
  }

  /**
   * The next whole frame, as a copy of its own; undefined while it is incomplete.
   *
   * @throws HavenError `FRAME_TOO_LONG`, by the length alone: nothing is allocated for it
   */
  next(): Uint8Array | undefined {
    if (this.#buffer.byteLength < headerBytes) return undefined
    const length = this.#buffer.getUint32(0)
    if (length > this.maxBytes) {
      throw new HavenError('FRAME_TOO_LONG', `A frame of ${length} bytes is over ${this.maxBytes}.`)
    }
    const end = headerBytes + length
    if (this.#buffer.byteLength < end) return undefined
    const frame = this.#buffer.slice(headerBytes, end)
    this.#buffer.consume(end)
    return frame
  }
}

export function frameHeader(frame: Uint8Array): Uint8Array {
  const header = new Uint8Array(headerBytes)
  new DataView(header.buffer).setUint32(0, frame.length)
  return header
}

/**
 * Chance, in named streams that know nothing of each other: a draw more in one of them, or a device more, changes no other. A stream
 * follows from (seed, run, name) alone, so variants of a scenario meet the same mobility, the same writes and the same losses.
 */
import { createHash } from 'node:crypto'
import type { Random } from '../../src/core/environment.ts'

export class RandomStream implements Random {
  #a: number
  #b: number
  #c: number
  #d: number

  /** @param key - 16 bytes, not all zero */
  constructor(key: Uint8Array) {
    const view = new DataView(key.buffer, key.byteOffset, key.byteLength)
    this.#a = view.getInt32(0)
    this.#b = view.getInt32(4)
    this.#c = view.getInt32(8)
    this.#d = view.getInt32(12) | 1
  }

  /** 32 bits, unsigned: sfc32 of Chris Doty-Humphrey's PractRand. */
  u32(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#d) | 0
    this.#d = (this.#d + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0
    return sum >>> 0
  }

  /** From 0 up to, without, 1, in steps of 2^-53. */
  unit(): number {
    return ((this.u32() >>> 5) * 0x400_0000 + (this.u32() >>> 6)) / 0x20_0000_0000_0000
  }

  /** A whole number, both ends included. */
  int(min: number, max: number): number {
    return min + Math.floor(this.unit() * (max - min + 1))
  }

  /** True so often, from 0 to 1. */
  chance(probability: number): boolean {
    return this.unit() < probability
  }

  /** With this mean. `Math.log1p` gives the same bits on every Node; `**` does not. */
  exponential(mean: number): number {
    return -Math.log1p(-this.unit()) * mean
  }

  pick<T>(items: readonly T[]): T {
    return items[this.int(0, items.length - 1)]!
  }

  shuffled<T>(items: readonly T[]): T[] {
    const shuffled = [...items]
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = this.int(0, i)
      ;[shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!]
    }
    return shuffled
  }

  bytes(count: number): Uint8Array {
    const bytes = new Uint8Array(count)
    for (let at = 0; at < count; at += 4) {
      const word = this.u32()
      for (let i = 0; i < 4 && at + i < count; i++) bytes[at + i] = word >>> (8 * i)
    }
    return bytes
  }
}

export class RandomStreams {
  readonly #key: string
  readonly #streams = new Map<string, RandomStream>()

  constructor(seed: string, run: number) {
    this.#key = JSON.stringify([seed, run])
  }

  /** The same stream for the same name. */
  stream(name: string): RandomStream {
    let stream = this.#streams.get(name)
    if (stream === undefined) {
      const key = createHash('sha256')
        .update(`havenmesh/simulation/v1\0${this.#key}\0${name}`)
        .digest()
      stream = new RandomStream(key)
      // sfc32 needs a few rounds until the key is everywhere in its state.
      for (let i = 0; i < 12; i++) stream.u32()
      this.#streams.set(name, stream)
    }
    return stream
  }

  /** One more draw of every stream that was used, by name: two runs that drew alike say the same. */
  lastDraws(): string {
    return [...this.#streams]
      .map(([name, stream]) => `${name}=${stream.u32()}`)
      .toSorted()
      .join('\n')
  }
}

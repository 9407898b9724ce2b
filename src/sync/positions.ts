/**
 * By what an answerer tells what is new in its clock since an asker's last question (docs/protocol.md, Exchanges): it hands out a position with
 * each answer, and takes it back with the next question. One that it does not know costs a whole clock, and nothing else.
 */
import { equalBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'

/** What an answerer needs; a server of several processes may count together. */
export interface Positions {
  /** A feed's entries are others from now on. */
  moved(feed: string): void
  /** Opaque to who gets it; at most `limits.positionBytes`. */
  now(): Uint8Array
  /** The feeds that have moved since; undefined: not known here. */
  movedSince(position: Uint8Array): Iterable<string> | undefined
}

const nameBytes = 8

/** Of one process, in memory: it counts from its start. */
export class OwnPositions implements Positions {
  readonly #name: Uint8Array
  readonly #movedAt = new Map<string, number>()
  #count = 0

  /** @param name - 8 random bytes: no other process has them */
  constructor(name: Uint8Array) {
    this.#name = name
  }

  static readonly nameBytes = nameBytes

  moved(feed: string): void {
    this.#count += 1
    this.#movedAt.set(feed, this.#count)
  }

  now(): Uint8Array {
    return new ByteWriter(16).bytes(this.#name).u64(this.#count).finish()
  }

  movedSince(position: Uint8Array): string[] | undefined {
    if (position.length !== nameBytes + 8) return undefined
    if (!equalBytes(position.subarray(0, nameBytes), this.#name)) return undefined
    const count = new ByteReader(position.subarray(nameBytes), 'position').u64()
    if (count > this.#count) return undefined
    return [...this.#movedAt].filter(([, at]) => at > count).map(([feed]) => feed)
  }
}

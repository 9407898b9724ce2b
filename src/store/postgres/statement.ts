/** A statement with places for values, prepared once on each connection. */
import { createHash } from 'node:crypto'

export interface Statement {
  /** Follows from the text: two versions of the program on one connection pooler don't take each other's. */
  readonly name: string
  readonly text: string
}

export type Value = string | number | boolean | Uint8Array | null

export function statement(text: string): Statement {
  const name = `haven_${createHash('sha256').update(text).digest('hex').slice(0, 16)}`
  return { name, text }
}

const bytea = 17
const int8 = 20

/** How values come back: `bytea` as Uint8Array, `bigint` as number (none of ours is beyond 2^53). */
export const resultTypes = {
  getTypeParser(oid: number): (text: string) => unknown {
    if (oid === bytea) return bytesOf
    if (oid === int8) return Number
    return otherTypes[oid] ?? ((text) => text)
  },
}

const otherTypes: Readonly<Record<number, (text: string) => unknown>> = {
  16: (text) => text === 't',
  23: Number,
}

/** `\x` and hex digits. Not a Buffer, whose `slice` does not copy. */
function bytesOf(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.slice(2), 'hex'))
}

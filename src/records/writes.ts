/** A write: one element of a writer's array, before it has a place in a commit. docs/data-model.md, "Fields". */
import { limits } from '../core/limits.ts'

/** Lower-case hex: a feed id (16 bytes), or, for a branch of a forked feed, the id of its first commit (32 bytes). */
export type WriterId = string

export interface Write {
  /** Empty for what concerns the record as a whole. */
  readonly field: string
  /** `put`, `delete`, or what a newer version wrote. */
  readonly op: string
  /** JSON text without insignificant white space; absent: the field is removed. */
  readonly value: string | undefined
  /** `[feed index, seq, …]`: writes in the causal past that this one does not replace, by the commit's feed indexes. */
  readonly unseen?: readonly number[]
}

/** UTF-8 bytes of an op's name. */
export const opNameBytes = 32
/** Pairs in `unseen`: values that arrived while one form was open. */
export const unseenPairs = 256

export function isKnownOp(op: string): boolean {
  return op === 'put' || op === 'delete'
}

/**
 * What is wrong with the names of a write, or undefined. `put` is for fields, `delete` for the record; an op that this
 * version does not know may be either.
 */
export function problemOfWrite(write: Write): string | undefined {
  const { field, op, value, unseen } = write
  if (op === 'put' && field === '') return 'a put without a field'
  if (op === 'delete' && (field !== '' || value !== undefined)) return 'a delete of a field'
  if (op === '') return 'a write without an op'
  if (longerThan(field, limits.fieldNameBytes)) return 'a field name that is too long'
  if (longerThan(op, opNameBytes)) return 'an op name that is too long'
  if (value !== undefined && longerThan(value, limits.valueBytes)) return 'a value that is too long'
  if (unseen !== undefined && (unseen.length % 2 !== 0 || unseen.length > 2 * unseenPairs)) {
    return 'a list of unseen writes that is not one'
  }
  return undefined
}

/** Whether the text takes more bytes than that in UTF-8; counts only where its length leaves a doubt. */
function longerThan(text: string, maxBytes: number): boolean {
  if (text.length * 3 <= maxBytes) return false
  return text.length > maxBytes || Buffer.byteLength(text, 'utf8') > maxBytes
}

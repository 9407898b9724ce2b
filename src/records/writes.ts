/** A write: one element of a writer's array, before it has a place in a commit. docs/data-model.md, "Fields". */
import { limits } from '../core/limits.ts'
import { countOf } from './counts.ts'
import { elementsOf } from './json-text.ts'

/** Lower-case hex: a feed id (16 bytes), or, for a branch of a forked feed, the id of its first commit (32 bytes). */
export type WriterId = string

export interface Write {
  /** Empty for what concerns the record as a whole. */
  readonly field: string
  /** One of {@link knownOps}, or what a newer version wrote. */
  readonly op: string
  /** JSON text without insignificant white space; absent: the field is removed. */
  readonly value: string | undefined
  /**
   * `[feed, seq, …]`: writes in the causal past that this one does not replace; feed 0 is the writer's own, and any
   * other one more than the commit's feed index.
   */
  readonly unseen?: readonly number[]
}

/** The commit of a write that is not replaced, though it lies in the causal past. */
export interface UnseenPlace {
  /** In hex. */
  readonly feed: string
  readonly seq: number
}

/** A write that this device is about to make. */
export interface PlannedWrite {
  readonly field: string
  readonly op: string
  /** Of `count`: the difference, an integer. */
  readonly value: string | undefined
  readonly unseen?: readonly UnseenPlace[]
}

/**
 * - `put`: the value of a field
 * - `keep`: a list of values, all of which hold: a conflict that a person has settled by keeping both
 * - `add`, `remove`: one element of a set
 * - `count`: `[the writer's total, what was added]` of a counter
 * - `delete`, `restore`: the record; a restoration takes the deletions back that it saw
 */
const knownOps = ['put', 'keep', 'add', 'remove', 'count', 'delete', 'restore'] as const
type KnownOp = (typeof knownOps)[number]

/** UTF-8 bytes of an op's name. */
export const opNameBytes = 32
/** Pairs in `unseen`: values that arrived while one form was open. */
export const unseenPairs = 256

const known: ReadonlySet<string> = new Set(knownOps)

export function isKnownOp(op: string): op is KnownOp {
  return op === 'put' || known.has(op)
}

/** Whether a write is of one element, and leaves the others alone. */
export function isOfElement(op: string): boolean {
  return op === 'add' || op === 'remove'
}

/**
 * What is wrong with a write, or undefined. An op that this version does not know may be of a field or of the record.
 */
export function problemOfWrite(write: Write): string | undefined {
  const { field, op, value, unseen } = write
  if (op === '') return 'a write without an op'
  if (op === 'delete' || op === 'restore') {
    if (field !== '' || value !== undefined) return `a ${op} of a field`
  } else if (field === '' && isKnownOp(op)) return `a ${op} without a field`
  if (longerThan(field, limits.fieldNameBytes)) return 'a field name that is too long'
  if (longerThan(op, opNameBytes)) return 'an op name that is too long'
  if (value !== undefined && longerThan(value, limits.valueBytes)) return 'a value that is too long'
  if (isOfElement(op) && value === undefined) return `an ${op} without an element`
  if (op === 'count' && countOf(value) === undefined) return 'a count that is none'
  if (op === 'keep' && !isListOfSeveral(value)) return 'a keep of less than two values'
  if (unseen !== undefined && (unseen.length % 2 !== 0 || unseen.length > 2 * unseenPairs)) {
    return 'a list of unseen writes that is not one'
  }
  return undefined
}

function isListOfSeveral(value: string | undefined): boolean {
  if (value?.startsWith('[') !== true) return false
  try {
    return elementsOf(value).length > 1
  } catch {
    return false
  }
}

/** Whether the text takes more bytes than that in UTF-8; counts only where its length leaves a doubt. */
function longerThan(text: string, maxBytes: number): boolean {
  if (text.length * 3 <= maxBytes) return false
  return text.length > maxBytes || Buffer.byteLength(text, 'utf8') > maxBytes
}

/**
 * Where a value of some version's field is kept: the canonical fields, and what older and newer versions make of them.
 *
 * A slot that no version takes further apart is canonical, and holds the value as it is written. Any other is made of one or
 * several below it. Reading a slot gives back exactly what was written to it, lexemes included, as long as nobody has
 * written to a part of it since: what would not come back, or can't be said below at all, goes along in a mark.
 */
import type { Inexpressible } from '../reading.ts'
import { elementsOf } from '../json-text.ts'
import { joinTexts, splitText, type ValueChange } from './value-change.ts'

export interface Slot {
  readonly id: number
  /** The field's name in the version that it came with. */
  readonly name: string
  /** The version that it came with; 0: it was there all along. */
  readonly born: number
  /** Undefined: canonical. */
  madeOf: MadeOf | undefined
}

type MadeOf =
  | { readonly kind: 'same'; readonly slot: Slot }
  /** `change.toNew` takes the value of the slot below to this one's. */
  | { readonly kind: 'changed'; readonly slot: Slot; readonly change: ValueChange }
  | { readonly kind: 'parts'; readonly slots: readonly Slot[]; readonly separator: string }

/** JSON texts of canonical slots, in the order of {@link canonicalSlots}; undefined: the slot has no value. */
type Values = readonly (string | undefined)[]

/** The canonical slots that a slot is made of, in its order. */
export function canonicalSlots(slot: Slot): readonly Slot[] {
  return belowOf(slot)?.flatMap(canonicalSlots) ?? [slot]
}

/** Whether its value is kept just as it is written. */
export function isCanonical(slot: Slot): boolean {
  return slot.madeOf === undefined || (slot.madeOf.kind === 'same' && isCanonical(slot.madeOf.slot))
}

/** A value, taken apart. What is no text, or no list of elements that go through, is carried along as it is. */
export function writeSlot(slot: Slot, value: string | undefined): Values {
  if (value?.startsWith('[') === true && isOfOne(slot) && !isPlain(slot, value)) {
    return [
      `[${elementsOf(value)
        .map((element) => writeElement(slot, element))
        .join(',')}]`,
    ]
  }
  return writeOne(slot, value)
}

/** An element of a set; the slot is made of one. */
export function writeElement(slot: Slot, element: string): string {
  return writeOne(slot, element)[0]!
}

/** The value of an op that nobody here knows: not taken apart, and shown by this slot only. */
export function carryInSlot(slot: Slot, value: string | undefined): Values {
  if (value === undefined || isCanonical(slot)) return writeOne(slot, value)
  const [, ...others] = canonicalSlots(slot)
  return [opaqueMarkOf(slot, value), ...others.map(() => undefined)]
}

/** Whether a slot is made of one canonical slot, so that elements of sets can be said. */
export function isOfOne(slot: Slot): boolean {
  return slot.madeOf?.kind === 'parts'
    ? false
    : slot.madeOf === undefined || isOfOne(slot.madeOf.slot)
}

/** @param values - JSON texts. Never throws */
export function readSlot(slot: Slot, values: Values): string | undefined | Inexpressible {
  const [first] = values
  if (first?.startsWith('[') !== true || !isOfOne(slot) || isPlain(slot, first)) {
    return readOne(slot, values)
  }
  const elements: string[] = []
  for (const element of elementsOf(first)) {
    const read = readOne(slot, [element])
    if (typeof read !== 'string') return read
    elements.push(read)
  }
  return `[${elements.join(',')}]`
}

function writeOne(slot: Slot, value: string | undefined): Values {
  if (value === undefined) return canonicalSlots(slot).map(() => undefined)
  if (slot.madeOf === undefined) return [isMark(value) ? markOf(slot, value) : value]
  if (slot.madeOf.kind === 'same') return writeOne(slot.madeOf.slot, value)
  const below = writeBelow(slot.madeOf, value)
  if (below === undefined) {
    return canonicalSlots(slot).map((_, index) => (index === 0 ? markOf(slot, value) : undefined))
  }
  return readBelow(slot.madeOf, below) === value
    ? below
    : [markOf(slot, value, below[0]), ...below.slice(1)]
}

/** Undefined: the value can't be said below. */
function writeBelow(madeOf: MadeOf, value: string): Values | undefined {
  if (madeOf.kind === 'same') return writeOne(madeOf.slot, value)
  if (madeOf.kind === 'changed') {
    const changed = madeOf.change.toOld(value)
    return changed === undefined ? undefined : writeOne(madeOf.slot, changed)
  }
  const { slots, separator } = madeOf
  const parts = splitText(value, separator, slots.length)
  return parts && slots.flatMap((slot, index) => writeOne(slot, parts[index]))
}

function readOne(slot: Slot, values: Values): string | undefined | Inexpressible {
  if (values.every((value) => value === undefined)) return undefined
  const [first, ...others] = values
  if (first !== undefined && isMark(first)) {
    const mark = readMark(first)
    if (mark.below === null) return mark.slot === slot.id ? mark.value : notExpressible
    const { below } = mark
    const unmarked = (): string | undefined | Inexpressible =>
      below === undefined ? notExpressible : readOne(slot, [below, ...others])
    if (mark.slot === slot.id) {
      // As it was written, unless somebody has written to a part of it since.
      return isSame(writeOne(slot, mark.value), values) ? mark.value : unmarked()
    }
    if (!firstWay(slot).includes(mark.slot)) return unmarked()
  }
  return slot.madeOf === undefined ? first : readBelow(slot.madeOf, values)
}

function readBelow(madeOf: MadeOf, values: Values): string | undefined | Inexpressible {
  if (madeOf.kind === 'same') return readOne(madeOf.slot, values)
  if (madeOf.kind === 'changed') {
    const value = readOne(madeOf.slot, values)
    return typeof value === 'string' ? (madeOf.change.toNew(value) ?? notExpressible) : value
  }
  const texts: string[] = []
  let at = 0
  for (const slot of madeOf.slots) {
    const { length } = canonicalSlots(slot)
    const part = readOne(slot, values.slice(at, at + length))
    at += length
    if (typeof part === 'object') return part
    if (part !== undefined) texts.push(part)
  }
  return texts.length === 0 ? undefined : (joinTexts(texts, madeOf.separator) ?? notExpressible)
}

export const notExpressible: Inexpressible = {
  problem:
    'It was written in another version of the schema, in a way that this version can not say.',
}

function belowOf({ madeOf }: Slot): readonly Slot[] | undefined {
  return madeOf?.kind === 'parts' ? madeOf.slots : madeOf && [madeOf.slot]
}

/** Ids of the slots from this one down to its first canonical one. */
function firstWay(slot: Slot): number[] {
  const below = belowOf(slot)?.[0]
  return below === undefined ? [slot.id] : [slot.id, ...firstWay(below)]
}

function isSame(a: Values, b: Values): boolean {
  return a.every((value, index) => value === b[index])
}

/** Whether a list needs no look at its elements. */
function isPlain(slot: Slot, list: string): boolean {
  return slot.madeOf === undefined && !list.includes(markBegin)
}

// ---- marks ----

interface Mark {
  /** The slot that the value was written to. */
  readonly slot: number
  readonly value: string
  /** What stands below, for those who read there; undefined: they can't; null: nobody knows what the value means. */
  readonly below: string | null | undefined
}

/** A value that somebody wrote with the same beginning is marked as written to its canonical slot. */
const markBegin = '{"~lens":['

function isMark(value: string): boolean {
  return value.startsWith(markBegin)
}

function markOf(slot: Slot, value: string, below?: string): string {
  const all = below === undefined ? [slot.id, value] : [slot.id, value, below]
  return `{"~lens":${JSON.stringify(all)}}`
}

function opaqueMarkOf(slot: Slot, value: string): string {
  return `${markBegin}${slot.id},${JSON.stringify(value)},null]}`
}

function readMark(text: string): Mark {
  const parsed = JSON.parse(text) as {
    readonly '~lens': readonly [number, string, (string | null)?]
  }
  const [slot, value, below] = parsed['~lens']
  return { slot, value, below }
}

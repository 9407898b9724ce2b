/**
 * What of a record one write takes the place of in its writer's array: the field; of a set one element; of a counter the
 * writer's count.
 */
import { canonicalJson } from './json-text.ts'
import { isOfElement } from './writes.ts'

interface Slotted {
  readonly field: string
  readonly op: string
  readonly value: string | undefined
}

/** Text by which the writes of one writer are told apart: for most ops just the field. */
export function slotOf({ field, op, value }: Slotted): string {
  if (isOfElement(op)) return `${elementPrefix(field)}${elementKey(value)}`
  if (op === 'count') return `\0c${field}`
  return field.startsWith('\0') ? `\0p${field}` : field
}

/** All slots of elements of the field begin so. */
export function elementPrefix(field: string): string {
  return `\0e${field.length}:${field}`
}

/** Two texts of one element have the same, whatever the order of their members. */
export function elementKey(value: string | undefined): string {
  return canonicalJson(value ?? 'null')
}

/** Whether a slot is of an element, of any field. */
export function isElementSlot(slot: string): boolean {
  return slot.startsWith('\0e')
}

/** What a person or a program wants of a record, and the writes that say it: by what the record shows and by the rule of each field. */
import { HavenError } from '../core/errors.ts'
import { integerOf } from './counts.ts'
import { elementsOf } from './json-text.ts'
import type { Reading } from './reading.ts'
import { unseenSince, type RecordVersion } from './record-version.ts'
import { elementKey } from './slots.ts'
import type { LiveWrite, RecordView } from './visibility.ts'
import type { PlannedWrite } from './writes.ts'

/** JSON as text, without insignificant white space. */
export type Change =
  /** Value absent: the field is removed. */
  | { readonly op: 'put'; readonly field: string; readonly value: string | undefined }
  | { readonly op: 'add' | 'remove'; readonly field: string; readonly value: string }
  /** An integer. */
  | { readonly op: 'count'; readonly field: string; readonly delta: number }
  /** Several values at once, all of which hold. */
  | { readonly op: 'keep'; readonly field: string; readonly values: readonly string[] }
  /** The record as a whole. */
  | { readonly op: 'delete' | 'restore' }

/**
 * The writes that make the changes, none for what is so already. A new list in a field that is a set becomes additions
 * and removals, a new number of a counter a difference, so that nobody else's are undone.
 *
 * @param options.seen - the version that the changes were decided on: what came after it is not replaced
 * @throws HavenError `INVALID_VALUE`, `CONFLICT_CHANGED`, `NOT_ALLOWED` (a newer version wrote there)
 */
export function writesFor(
  view: RecordView,
  changes: readonly Change[],
  { reading, seen }: { readonly reading: Reading; readonly seen?: RecordVersion | undefined },
): PlannedWrite[] {
  const writes = changes.flatMap((change): PlannedWrite[] => {
    if ('field' in change) {
      assertWritable(view, change.field)
      return writesOfField(view, change, { reading, seen })
    }
    return [{ field: '', op: change.op, value: undefined }]
  })
  if (seen === undefined) return writes
  const unseen = unseenSince(seen, [...view.live, ...view.edits])
  const hasLenses = reading.lensesOf(view.id) !== undefined
  return writes.map((write) => {
    // What is counted is added to whatever there is.
    if (write.op === 'count') return write
    // Between versions of a schema other names may mean the same field.
    const places = unseen.filter(
      ({ feed, seq }) =>
        write.field === '' ||
        hasLenses ||
        view.live.some((one) => one.field === write.field && one.feed === feed && one.seq === seq),
    )
    return places.length === 0 ? write : { ...write, unseen: places }
  })
}

function assertWritable(view: RecordView, field: string): void {
  if (!view.unknownOps.includes(field) && !view.unknownOps.includes('')) return
  throw new HavenError(
    'NOT_ALLOWED',
    'A field was written by a newer version. Update this device before you change it.',
  )
}

function writesOfField(
  view: RecordView,
  change: Extract<Change, { field: string }>,
  by: { readonly reading: Reading; readonly seen: RecordVersion | undefined },
): PlannedWrite[] {
  const { field } = change
  const { reading } = by
  const { strategy } = reading.ruleOf(view.id, field)
  switch (change.op) {
    case 'put':
      if (strategy === 'counter') return [counterPut(view, { field, value: change.value, ...by })]
      return strategy === 'set' ? setPut(view, field, change.value) : [change]
    case 'keep':
      return [{ field, op: 'keep', value: `[${change.values.join(',')}]` }]
    case 'count':
      if (strategy !== 'counter') throw otherStrategy(field, 'counter', 'haven set')
      return [{ field, op: 'count', value: String(change.delta) }]
    case 'add':
    case 'remove':
    default:
      if (strategy !== 'set') throw otherStrategy(field, 'set', 'haven set')
      return [change]
  }
}

function otherStrategy(field: string, strategy: string, instead: string): HavenError {
  return new HavenError(
    'INVALID_VALUE',
    `The field ${JSON.stringify(field)} is no ${strategy} by the schema of its collection: use ${instead}, or change the schema.`,
  )
}

/**
 * A number for a counter that was counted is a correction: the difference to what is shown. Who has something older before
 * them can't say it.
 */
function counterPut(
  view: RecordView,
  {
    field,
    value,
    reading,
    seen,
  }: {
    readonly field: string
    readonly value: string | undefined
    readonly reading: Reading
    readonly seen: RecordVersion | undefined
  },
): PlannedWrite {
  const counts = view.live.filter((one) => one.op === 'count' && isOf(field, one, view, reading))
  const wanted = integerOf(value)
  if (value !== undefined && wanted === undefined) {
    throw new HavenError('INVALID_VALUE', 'A counter counts whole numbers.')
  }
  if (counts.length === 0) return { field, op: 'put', value }
  if (seen !== undefined && unseenSince(seen, counts).length > 0) {
    throw new HavenError(
      'CONFLICT_CHANGED',
      'It has been counted meanwhile. Look at the counter again, or say what is to be added with haven count.',
    )
  }
  if (wanted === undefined) {
    throw new HavenError(
      'INVALID_VALUE',
      'What was counted stays counted: give the counter a new number instead of removing it.',
    )
  }
  const shown = integerOf(view.fields.get(field))
  if (shown !== undefined) return { field, op: 'count', value: String(wanted - shown) }
  const counted = view.counted.get(field)
  if (counted !== undefined) return { field, op: 'put', value: String(wanted - Number(counted)) }
  throw new HavenError(
    'INVALID_VALUE',
    'The record is deleted, and its counter would go on from what was counted. Add to it with haven count, and look at it then.',
  )
}

/** Whether a write shows in a field, whatever that is called in the version of the schema that it was written in. */
function isOf(field: string, write: LiveWrite, { id }: RecordView, reading: Reading): boolean {
  const lenses = reading.lensesOf(id)
  const parts = lenses?.partsOf(write)
  if (lenses === undefined || parts === undefined || 'problem' in parts)
    return write.field === field
  return lenses.fieldsFrom(parts.map((part) => part.field)).some((one) => one.field === field)
}

/** A new list for a set that has elements: what is new is added, what is missing removed. */
function setPut(view: RecordView, field: string, value: string | undefined): PlannedWrite[] {
  const shown = listOf(view.fields.get(field))
  const wanted = listOf(value)
  const whole: PlannedWrite[] = [{ field, op: 'put', value }]
  if (shown === undefined || wanted === undefined) return whole
  const shownKeys = new Set(shown.map(elementKey))
  const wantedKeys = new Set(wanted.map(elementKey))
  // A list in which something stands twice is no set, and an empty list is said as such.
  if (shownKeys.size < shown.length || wantedKeys.size < wanted.length || wanted.length === 0) {
    return whole
  }
  return [
    ...shown
      .filter((element) => !wantedKeys.has(elementKey(element)))
      .map((element) => ({ field, op: 'remove', value: element })),
    ...wanted
      .filter((element) => !shownKeys.has(elementKey(element)))
      .map((element) => ({ field, op: 'add', value: element })),
  ]
}

function listOf(value: string | undefined): string[] | undefined {
  return value?.startsWith('[') === true ? elementsOf(value) : undefined
}

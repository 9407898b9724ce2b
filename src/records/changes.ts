/** What a person or a program wants of a record, and the writes that say it: by what the record shows and by the rule of each field. */
import { HavenError } from '../core/errors.ts'
import { integerOf } from './counts.ts'
import { canonicalJson, elementsOf } from './json-text.ts'
import type { Reading } from './reading.ts'
import { unseenSince, type RecordVersion } from './record-version.ts'
import { elementKey } from './slots.ts'
import type { LiveWrite, RecordView } from './visibility.ts'
import type { PlannedWrite, UnseenPlace } from './writes.ts'

/** JSON as text, without insignificant white space. */
export type Change =
  /** Value absent: the field is removed. `from`: what its author had before them, where that may be older than what is shown. */
  | {
      readonly op: 'put'
      readonly field: string
      readonly value: string | undefined
      readonly from?: string | undefined
    }
  | { readonly op: 'add' | 'remove'; readonly field: string; readonly value: string }
  /** An integer. */
  | { readonly op: 'count'; readonly field: string; readonly delta: number }
  /** Several values at once, all of which hold. */
  | { readonly op: 'keep'; readonly field: string; readonly values: readonly string[] }
  /** The record as a whole. */
  | { readonly op: 'delete' | 'restore' }

/**
 * The writes that make the changes, none for what is so already. A new list in a field that is a set becomes additions
 * and removals, a new number of a counter a difference, so that nobody else's are undone. Where the difference can't be told,
 * since what it was taken from is no longer shown and not said either, nothing is written.
 *
 * @param options.seen - the version that the changes were decided on: what came after it is not replaced
 * @throws HavenError `INVALID_VALUE`, `CONFLICT_CHANGED`, `NOT_ALLOWED` (a newer version wrote there)
 */
export function writesFor(
  view: RecordView,
  changes: readonly Change[],
  { reading, seen }: { readonly reading: Reading; readonly seen?: RecordVersion | undefined },
): PlannedWrite[] {
  const lastPuts = new Map(changes.map((change, at) => [change.op === 'put' && change.field, at]))
  const writes = changes.flatMap((change, at): PlannedWrite[] => {
    if ('field' in change) {
      // Differences of several would add up: the last counts.
      if (change.op === 'put' && lastPuts.get(change.field) !== at) return []
      assertWritable(view, change.field)
      return writesOfField(view, change, { reading, seen })
    }
    return [{ field: '', op: change.op, value: undefined }]
  })
  if (seen === undefined) return writes
  const unseen = unseenSince(seen, [...view.live, ...view.edits])
  const hasLenses = reading.lensesOf(view.id) !== undefined
  return writes.map((write) => {
    const isConcerned = (one: LiveWrite): boolean =>
      // A deletion that came meanwhile is not agreed to: the record comes back whole.
      one.op === 'delete' ||
      // What is counted is added to whatever there is.
      (write.op !== 'count' && one.field === write.field)
    const places = unseen.filter(
      ({ feed, seq }) =>
        write.field === '' ||
        // Between versions of a schema other names may mean the same field.
        (hasLenses && write.op !== 'count') ||
        view.live.some((one) => isConcerned(one) && one.feed === feed && one.seq === seq),
    )
    return places.length === 0 ? write : { ...write, unseen: places }
  })
}

/** The deletions that a record shows as deleted by, and that came after what somebody had before them. */
export function unseenDeletions(view: RecordView, seen: RecordVersion | undefined): UnseenPlace[] {
  if (seen === undefined || !view.deleted) return []
  return unseenSince(
    seen,
    view.live.filter(({ op }) => op === 'delete'),
  )
}

type Put = Extract<Change, { op: 'put' }>

interface By {
  readonly reading: Reading
  /** What the change was decided on. */
  readonly seen: RecordVersion | undefined
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
  by: By,
): PlannedWrite[] {
  const { field } = change
  const { reading } = by
  const { strategy } = reading.ruleOf(view.id, field)
  switch (change.op) {
    case 'put':
      if (strategy === 'counter') return counterPut(view, { field, value: change.value, ...by })
      if (strategy === 'set') return setPut(view, change, by)
      if (strategy === 'text') assertTextUnchanged(view, change, by)
      return [{ field, op: 'put', value: change.value }]
    case 'keep':
      return [{ field, op: 'keep', value: `[${change.values.join(',')}]` }]
    case 'count':
      if (strategy !== 'counter') throw otherStrategy(field, 'counter', 'haven set')
      return change.delta === 0 ? [] : [{ field, op: 'count', value: String(change.delta) }]
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
): PlannedWrite[] {
  const counts = view.live.filter((one) => one.op === 'count' && isOf(field, one, view, reading))
  const wanted = integerOf(value)
  if (value !== undefined && wanted === undefined) {
    throw new HavenError('INVALID_VALUE', 'A counter counts whole numbers.')
  }
  if (counts.length === 0) return [{ field, op: 'put', value }]
  if (seen !== undefined && unseenSince(seen, counts).length > 0) {
    throw new HavenError(
      'CONFLICT_CHANGED',
      `The counter ${JSON.stringify(field)} was counted meanwhile. Look at it again, or say what is to be added with haven count.`,
    )
  }
  if (wanted === undefined) {
    throw new HavenError(
      'INVALID_VALUE',
      'What was counted stays counted: give the counter a new number instead of removing it.',
    )
  }
  const shown = integerOf(view.fields.get(field))
  if (shown === wanted) return []
  if (shown !== undefined) return [{ field, op: 'count', value: String(wanted - shown) }]
  const counted = view.counted.get(field)
  if (counted !== undefined) return [{ field, op: 'put', value: String(wanted - Number(counted)) }]
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

/**
 * A new list for a set that has elements: what is new is added, what is missing removed. Against what its author had before
 * them: what others have added or removed since is not theirs to undo.
 */
function setPut(view: RecordView, change: Put, by: By): PlannedWrite[] {
  const { field, value } = change
  const from = listOf(change.from)
  const shown = listOf(view.fields.get(field))
  const wanted = listOf(value)
  const shownKeys = new Set(shown?.map(elementKey))
  const wantedKeys = new Set(wanted?.map(elementKey))
  const base = from ?? shown
  const baseKeys = new Set(base?.map(elementKey))
  // A list in which something stands twice is no set, and an empty list is said as such.
  const isDifference =
    base !== undefined &&
    wanted !== undefined &&
    baseKeys.size === base.length &&
    wantedKeys.size === wanted.length &&
    wanted.length > 0 &&
    (shown !== undefined || base.length > 0)
  const writes: PlannedWrite[] = isDifference
    ? [
        ...base
          .filter((element) => !wantedKeys.has(elementKey(element)))
          // Of a record that was deleted meanwhile nothing shows, but what comes back with it is to be without the element.
          .filter((element) => shown === undefined || shownKeys.has(elementKey(element)))
          .map((element) => ({ field, op: 'remove', value: element })),
        ...wanted
          .filter((element) => !baseKeys.has(elementKey(element)))
          .filter((element) => !shownKeys.has(elementKey(element)))
          .map((element) => ({ field, op: 'add', value: element })),
      ]
    : [{ field, op: 'put', value }]
  // Who takes all out that they saw undoes nothing: what came since stays.
  const isKnown = from !== undefined && (isDifference || wantedKeys.size === 0)
  if (!isKnown && writes.length > 0 && isWrittenSince(view, field, by)) throw changed(field)
  return writes
}

/** @throws HavenError `CONFLICT_CHANGED` where letters of others would go that the author of the text has not seen */
function assertTextUnchanged(view: RecordView, { field, value, from }: Put, by: By): void {
  if (by.seen === undefined || from?.startsWith('"') === true) return
  const shown = view.fields.get(field)
  if (canonicalJson(value ?? '""') === canonicalJson(shown ?? '""')) return
  // Which of the texts of a record a commit has edited is not kept: any of them counts.
  const isEdited = unseenSince(by.seen, view.edits).length > 0
  if (isEdited || isWrittenSince(view, field, by)) throw changed(field)
}

function isWrittenSince(view: RecordView, field: string, { reading, seen }: By): boolean {
  if (seen === undefined) return false
  const live = view.live.filter((one) => isOf(field, one, view, reading))
  return unseenSince(seen, live).length > 0
}

function changed(field: string): HavenError {
  return new HavenError(
    'CONFLICT_CHANGED',
    `The field ${JSON.stringify(field)} was changed meanwhile: look at it again. Nothing was written.`,
  )
}

function listOf(value: string | undefined): string[] | undefined {
  return value?.startsWith('[') === true ? elementsOf(value) : undefined
}

/** Settling a conflict: the writes that say what a person has decided. docs/data-model.md, "Conflicts". */
import { bytesToHex } from '../core/bytes.ts'
import { ByteWriter } from '../core/codec.ts'
import { HavenError } from '../core/errors.ts'
import { domainHash16 } from '../crypto/hash.ts'
import { integerOf } from './counts.ts'
import { elementsOf } from './json-text.ts'
import type { Reading } from './reading.ts'
import { elementKey } from './slots.ts'
import type { Conflict, ConflictValue, RecordView } from './visibility.ts'
import type { PlannedWrite } from './writes.ts'

export type Resolution =
  /** The value that has this number in the list, from 1. */
  | { readonly keep: number }
  /** JSON text without insignificant white space; absent: the field is removed. */
  | { readonly value: string | undefined }
  | { readonly keepBoth: true }
  /** Of a record that was deleted by somebody who had not seen a change of it. */
  | { readonly record: 'keep' | 'delete' }

/**
 * The conflict of a field, or of the record as a whole (field empty).
 *
 * @param seen - the token of the conflict that was decided on: refused when it is another one by now
 * @throws HavenError `NOT_IN_CONFLICT`, `CONFLICT_CHANGED`
 */
export function conflictOf(view: RecordView, field: string, seen?: string): Conflict {
  const conflict = view.conflicts.find((each) => each.field === field)
  if (conflict === undefined) {
    throw new HavenError(
      'NOT_IN_CONFLICT',
      'There is nothing to settle here any more: somebody may have done it. Look at the record with haven get.',
    )
  }
  if (seen !== undefined && seen !== conflictToken(view, conflict)) {
    throw new HavenError(
      'CONFLICT_CHANGED',
      'The values are not those that were shown: something has arrived meanwhile. Look at haven conflicts again.',
    )
  }
  return conflict
}

/** Short text that is another one when there is something else to decide on: which values, in which order, by whom. */
export function conflictToken(view: RecordView, { field, values }: Conflict): string {
  const out = new ByteWriter(256).text(view.id).text(field)
  // Whether a record may go depends on all of it.
  for (const { writer, clock } of field === '' ? view.live : values) out.text(writer).varint(clock)
  if (field === '') for (const { writer, seq } of view.edits) out.text(writer).varint(seq)
  return bytesToHex(domainHash16('havenmesh/conflict-token/v1', out.finish())).slice(0, 8)
}

/**
 * The writes that settle a conflict, for everybody who gets them. They replace all that the view shows of it.
 *
 * @throws HavenError `USAGE` for a number that is not in the list or a decision of another kind of conflict,
 *   `INVALID_VALUE` for values that this version of the schema can't say, `NOT_ALLOWED`
 */
export function writesToSettle(
  view: RecordView,
  conflict: Conflict,
  { resolution, reading }: { readonly resolution: Resolution; readonly reading: Reading },
): PlannedWrite[] {
  const { field } = conflict
  if (view.unknownOps.includes(field) || view.unknownOps.includes('')) {
    throw new HavenError(
      'NOT_ALLOWED',
      'A newer version wrote here. Update this device before you settle this.',
    )
  }
  if (field === '') return [writeOfRecord(resolution)]
  if ('record' in resolution) {
    throw new HavenError(
      'USAGE',
      'The record is not in question here: say --keep N or --value JSON.',
    )
  }
  const put = (value: string | undefined): PlannedWrite[] => [{ field, op: 'put', value }]
  if ('value' in resolution) return put(asPut(view, conflict, { value: resolution.value, reading }))
  if ('keep' in resolution) return [kept(conflict, resolution.keep)]
  return keptAll(view, conflict, reading)
}

function writeOfRecord(resolution: Resolution): PlannedWrite {
  if (!('record' in resolution)) {
    throw new HavenError('USAGE', 'The record as a whole is in question: say --keep or --delete.')
  }
  const op = resolution.record === 'keep' ? 'restore' : 'delete'
  return { field: '', op, value: undefined }
}

function kept({ field, values }: Conflict, number: number): PlannedWrite {
  const value = values[number - 1]
  if (value === undefined) {
    throw new HavenError(
      'USAGE',
      `There is no value ${number} here: ${values.length} are listed, from 1. Look at haven conflicts again.`,
    )
  }
  if (!isSayable(value)) throw notSayable()
  return { field, op: value.op, value: value.value }
}

function keptAll(view: RecordView, conflict: Conflict, reading: Reading): PlannedWrite[] {
  const { field } = conflict
  if (reading.ruleOf(view.id, field).strategy === 'counter') {
    throw new HavenError(
      'INVALID_VALUE',
      'A counter has one number: say --keep N or --value NUMBER.',
    )
  }
  const texts = new Map<string, string>()
  for (const value of conflict.values) {
    if (!isSayable(value)) throw notSayable()
    for (const text of textsOf(value))
      if (!texts.has(elementKey(text))) texts.set(elementKey(text), text)
  }
  const all = [...texts.values()]
  // A removal is no value that could be kept beside another.
  if (all.length < 2) return [{ field, op: 'put', value: all[0] }]
  if (all.every((text) => text.startsWith('['))) return [{ field, op: 'put', value: union(all) }]
  return [{ field, op: 'keep', value: `[${all.join(',')}]` }]
}

function textsOf({ op, value }: ConflictValue): readonly string[] {
  if (value === undefined) return []
  return op === 'keep' ? elementsOf(value) : [value]
}

/** One list with everything that is in any of them. What stands in one of them twice stays there twice. */
function union(lists: readonly string[]): string {
  const elements: string[] = []
  const keys = new Set<string>()
  for (const list of lists) {
    const fresh = elementsOf(list).filter((element) => !keys.has(elementKey(element)))
    elements.push(...fresh)
    for (const element of fresh) keys.add(elementKey(element))
  }
  return `[${elements.join(',')}]`
}

/** A counter's number is what it shows; what was counted is there besides. */
function asPut(
  view: RecordView,
  { field }: Conflict,
  { value, reading }: { readonly value: string | undefined; readonly reading: Reading },
): string | undefined {
  if (reading.ruleOf(view.id, field).strategy !== 'counter') return value
  const wanted = integerOf(value)
  if (wanted === undefined) throw new HavenError('INVALID_VALUE', 'A counter counts whole numbers.')
  return String(wanted - Number(view.counted.get(field) ?? 0))
}

/** Whether a listed value can be written again as it stands there. */
function isSayable({ op, foreign }: ConflictValue): boolean {
  return (op === 'put' || op === 'keep') && foreign !== true
}

function notSayable(): HavenError {
  return new HavenError(
    'INVALID_VALUE',
    'These values can not be kept as they are by the schema of this device: say what is right with --value JSON.',
  )
}

/** The conflicts of a record without all else that its view has: quick enough to be asked of many. */
import { candidatesOf } from './candidates.ts'
import type { Causality } from './candidates.ts'
import { lensesFor } from './lenses-for.ts'
import type { Reading } from './reading.ts'
import type { AcceptedWrite, RecordState, WriterState } from './record-state.ts'
import { viewRecord } from './visibility.ts'
import { isOfElement } from './writes.ts'

interface How {
  readonly causality: Causality
  readonly reading: Reading
}

/**
 * Whether the view of a record has conflicts, open or to be looked at. Every record that changes is asked this.
 *
 * @param contested - as its summary says
 */
export function hasConflicts(state: RecordState, contested: boolean, how: How): boolean {
  const { causality, reading } = how
  if (!contested && !mayDisagree(state, reading)) return false
  return viewRecord(disputedPart(state, reading), causality, reading).conflicts.length > 0
}

/**
 * As much of a state as its conflicts follow from: the view of it has the same. Where each field can be judged by itself, only those
 * with several candidates.
 */
export function disputedPart(state: RecordState, reading: Reading): RecordState {
  if (lensesFor(state, reading) !== undefined || reading.textFieldsOf(state.id).length > 0)
    return state
  const candidates = candidatesOf(state)
  if (candidates.has('')) return state
  const isDisputed = ({ field }: AcceptedWrite): boolean => candidates.get(field)!.length > 1
  const writers = new Map<string, WriterState>()
  for (const [name, writer] of state.writers) {
    const writes = new Map([...writer.writes].filter(([, write]) => isDisputed(write)))
    const beside = writer.beside.filter(isDisputed)
    writers.set(name, { ...writer, writes, beside, free: undefined })
  }
  return { id: state.id, writers }
}

/** Whether one writer alone could have written what does not go together. */
function mayDisagree(state: RecordState, reading: Reading): boolean {
  if (lensesFor(state, reading) !== undefined) return true
  const texts = reading.textFieldsOf(state.id)
  for (const writer of state.writers.values()) {
    if (hasSetsOrCounters(writer)) return true
    if (texts.length > 0 && writer.free?.updates !== undefined) return true
  }
  return false
}

function hasSetsOrCounters({ writes }: WriterState): boolean {
  for (const { op } of writes.values()) if (isOfElement(op) || op === 'count') return true
  return false
}

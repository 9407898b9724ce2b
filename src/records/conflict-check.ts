import type { Causality } from './candidates.ts'
import type { Reading } from './reading.ts'
import type { RecordState, WriterState } from './record-state.ts'
import { viewRecord } from './visibility.ts'
import { isOfElement } from './writes.ts'

/**
 * Whether the view of a record has conflicts, open or to be looked at. Every record that changes is asked this, so it is quick for those
 * that can have none.
 *
 * @param contested - as its summary says
 */
export function hasConflicts(
  state: RecordState,
  contested: boolean,
  { causality, reading }: { readonly causality: Causality; readonly reading: Reading },
): boolean {
  if (!contested && !mayDisagree(state, reading)) return false
  return viewRecord(state, causality, reading).conflicts.length > 0
}

/** Whether one writer alone could have written what does not go together. */
function mayDisagree(state: RecordState, reading: Reading): boolean {
  if (reading.lensesOf(state.id) !== undefined) return true
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

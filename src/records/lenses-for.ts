/** The way from the versions in which a record was written to the one that it is read by. */
import type { Inexpressible, Lenses, Reading } from './reading.ts'
import type { RecordState } from './record-state.ts'

/** Undefined where every write can be read as it is. */
export function lensesFor(state: RecordState, reading: Reading): Lenses | undefined {
  return reading.lensesOf(state.id) ?? (isKnown(state, reading) ? undefined : sameFields(reading))
}

function isKnown(state: RecordState, reading: Reading): boolean {
  for (const { writes, beside } of state.writers.values()) {
    let last: number | undefined
    for (const { commit } of writes.values()) {
      if (commit.schemaVersion === last) continue
      last = commit.schemaVersion
      if (!reading.knows(last)) return false
    }
    for (const { commit } of beside) if (!reading.knows(commit.schemaVersion)) return false
  }
  return true
}

/** All versions that are known have the same fields; what the others have can't be told. */
function sameFields(reading: Reading): Lenses {
  return {
    partsOf: ({ schemaVersion, field, value }) =>
      reading.knows(schemaVersion) ? [{ field, value }] : unknownVersion,
    fieldsFrom: (canonical) =>
      [...canonical].map((field) => ({ field, from: [field], read: ([value]) => value })),
    defaults: new Map(),
  }
}

export const unknownVersion: Inexpressible = {
  problem: 'It was written in a version of the schema that this device does not know.',
}

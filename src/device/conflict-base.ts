import type { Conflict } from '../records/visibility.ts'
import type { JsonText } from './api.ts'
import type { Collection } from './collection.ts'
import type { MeshRuntime } from './mesh-runtime.ts'
import { recordHistory } from './record-history.ts'

/** So far back it is looked for. */
const entriesBack = 200

/**
 * What all values of a conflict took the place of, read from the history of the record: its own author has replaced it, so the
 * record's state does not have it any more. Null: there was nothing, or it lies too far back, or can't be read here.
 */
export async function baseInHistory(
  runtime: MeshRuntime,
  collection: Collection,
  {
    name,
    id,
    conflict,
  }: { readonly name: string; readonly id: string; readonly conflict: Conflict },
): Promise<JsonText | null> {
  // Values of other versions of the schema would have to be translated.
  if (collection.reading.lensesOf(id) !== undefined) return null
  const { entries } = await recordHistory(runtime, name, id, { limit: entriesBack })
  const base = entries.find(
    ({ field, op, hidden, commit }) =>
      field === conflict.field &&
      !hidden &&
      (op === 'put' || op === 'keep') &&
      conflict.values.every((value) =>
        collection.causal.isInPast({ writer: commit.feed, seq: commit.seq }, value),
      ),
  )
  return base?.value ?? null
}

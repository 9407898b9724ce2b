import type { Conflict } from '../records/visibility.ts'
import type { JsonText } from './api.ts'
import type { Collection } from './collection.ts'
import type { MeshRuntime } from './mesh-runtime.ts'
import { replacedByAll } from './record-history.ts'

/** So far back it is looked for. */
const commitsBack = 200

/**
 * What all values of a conflict took the place of, read from the history of the record. The state of the record can't tell: what
 * the author of a value had replaced is not in it any more, and what is still there may be older than that. Null: there was
 * nothing, or it lies too far back, or can't be read here.
 */
export async function baseInHistory(
  runtime: MeshRuntime,
  collection: Collection,
  {
    name,
    id,
    conflict: { field, values },
  }: { readonly name: string; readonly id: string; readonly conflict: Conflict },
): Promise<JsonText | null> {
  // Values of other versions of the schema would have to be translated.
  if (collection.reading.lensesOf(id) !== undefined) return null
  const base = await replacedByAll(runtime, { name, id, field }, values, commitsBack)
  return base?.value ?? null
}

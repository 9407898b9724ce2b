/**
 * What a file says of a record, against what is here: a file is a statement of its own time, and may be older than what was written
 * since. docs/data-model.md, "FHIR".
 */
import type { Change } from './changes.ts'
import { exportedFields } from './export-lines.ts'
import { changesToReach } from './fhir.ts'
import { membersOf } from './json-text.ts'
import type { Reading } from './reading.ts'
import type { LiveWrite, RecordView } from './visibility.ts'

/**
 * - `new`: it is not here
 * - `unchanged`: it says just what is here
 * - `changed`: all that it says otherwise goes in
 * - `newer-here`: of what it says otherwise, at least a part is not known to be newer than what is here, and does not go in
 * - `deleted-here`: the record was deleted, and stays so
 * - `restored`: it was deleted, and comes back
 */
export type ImportOutcome =
  'new' | 'unchanged' | 'changed' | 'newer-here' | 'deleted-here' | 'restored'

export interface ImportChoices {
  /** What the file says replaces what is here, whichever is newer. */
  readonly overwrite: boolean
  /** Records that were deleted here come back. */
  readonly restore: boolean
  /** Milliseconds of an instant as FHIR writes it; undefined where it is none. */
  readonly instantMs: (text: string) => number | undefined
}

/** @param fields - of the resource: name and JSON text */
export function importPlan(
  view: RecordView,
  fields: readonly (readonly [name: string, json: string])[],
  { overwrite, restore, instantMs, reading }: ImportChoices & { readonly reading: Reading },
): { readonly outcome: ImportOutcome; readonly changes: readonly Change[] } {
  if (view.deleted && !restore) return { outcome: 'deleted-here', changes: [] }
  const changes = changesToReach(exportedFields(view), fields)
  if (!view.exists) return { outcome: view.deleted ? 'restored' : 'new', changes }
  if (changes.length === 0) return { outcome: 'unchanged', changes }
  if (overwrite) return { outcome: 'changed', changes }
  const times = new Times(view, reading, instantMs)
  const saidMs = times.ofMeta(new Map(fields).get('meta')) ?? -Infinity
  const newer = changes.filter((change) => {
    const heldMs = 'field' in change ? times.ofField(change.field) : undefined
    return heldMs === undefined || saidMs > heldMs
  })
  return { outcome: newer.length === changes.length ? 'changed' : 'newer-here', changes: newer }
}

/** Since when values are what they are. */
class Times {
  readonly #view: RecordView
  readonly #reading: Reading
  readonly #instantMs: ImportChoices['instantMs']
  readonly #meta: LiveWrite | undefined

  constructor(view: RecordView, reading: Reading, instantMs: ImportChoices['instantMs']) {
    this.#view = view
    this.#reading = reading
    this.#instantMs = instantMs
    const metas = view.live.filter(({ field }) => field === 'meta')
    this.#meta = metas.length === 1 ? metas[0] : undefined
  }

  /** Undefined where nobody ever wrote anything in the field; after all times where it can't be told. */
  ofField(field: string): number | undefined {
    const { id, live, edits } = this.#view
    // The letters of a text have no time of their own.
    if (this.#reading.ruleOf(id, field).strategy === 'text' && edits.length > 0) return Infinity
    // In another version of the schema its name may be another one.
    const isAny = this.#reading.lensesOf(id) !== undefined
    const times = live
      .filter((one) => isAny || one.field === field)
      .map((one) => this.#ofWrite(one))
    return times.length === 0 ? undefined : Math.max(...times)
  }

  /** When a resource was last updated, as its `meta` says. */
  ofMeta(meta: string | undefined): number | undefined {
    if (meta?.startsWith('{') !== true) return undefined
    const said = membersOf(meta).find(([name]) => name === 'lastUpdated')?.[1]
    return said?.startsWith('"') === true ? this.#instantMs(JSON.parse(said) as string) : undefined
  }

  /** What came in with the resource's own time, by an earlier import, is as old as that says. */
  #ofWrite({ writer, seq, time }: LiveWrite): number {
    const meta = this.#meta
    const isWithMeta = meta?.writer === writer && meta.seq === seq
    return (isWithMeta ? this.ofMeta(meta.value) : undefined) ?? time.ms
  }
}

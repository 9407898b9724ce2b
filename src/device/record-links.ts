/** The records that are linked as the same: docs/data-model.md, "Links". */
import { limits } from '../core/limits.ts'
import { linkedWith } from '../records/links.ts'
import type { RecordView } from '../records/visibility.ts'
import type { RecordLink } from './api.ts'
import type { Collection } from './collection.ts'

/** Records that are linked with each other, directly or through others, by id. */
export type Group = ReadonlyMap<string, RecordView>

/**
 * The others of a record's group.
 *
 * @param seen - the record as it has been read already: most are linked with none, and nothing has to be read for them
 */
export async function linksOf(
  collection: Collection,
  id: string,
  seen?: RecordView,
): Promise<RecordLink[]> {
  if (seen !== undefined && linkedWith(seen).length === 0) return []
  const group = await groupOf(collection, id)
  return [...group]
    .filter(([other]) => other !== id)
    .map(([other, view]) => ({
      id: other,
      state: view.exists ? 'present' : view.deleted ? 'deleted' : 'missing',
      linkedWith: linkedWith(view).filter((each) => group.has(each)),
    }))
}

/** A record's group, itself included, sorted by id: as much of it as a reader follows. */
export async function groupOf(collection: Collection, id: string): Promise<Group> {
  const group = new Map<string, RecordView>()
  let next = [id]
  while (next.length > 0) {
    const views = await viewsOf(collection, next.slice(0, limits.linkedRecords - group.size))
    for (const view of views) group.set(view.id, view)
    const named = new Set(views.flatMap(linkedWith))
    next = [...named].filter((each) => !group.has(each)).toSorted()
    if (group.size >= limits.linkedRecords) break
  }
  return new Map([...group].toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

export async function viewsOf(
  collection: Collection,
  ids: readonly string[],
): Promise<RecordView[]> {
  const states = await collection.states(ids)
  return Promise.all(states.map((state) => collection.view(state)))
}

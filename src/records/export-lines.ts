/** A record as an export has it: docs/data-model.md, "FHIR". */
import { compareText } from './candidates.ts'
import { isResourceId, plainMember, resourceText } from './fhir.ts'
import { elementsOf } from './json-text.ts'
import { type ExportedView, provenanceText, type ReviewContext } from './review-provenance.ts'
import { tagsOf, withoutTags, withTags } from './review-tags.ts'
import { elementKey } from './slots.ts'

/**
 * What an export says of a record, without its marks: a line of an import that has just these elements changes nothing.
 *
 * Of several values that hold together lists are one list.
 */
export function exportedFields(
  view: Pick<ExportedView, 'id' | 'fields' | 'kept'>,
): Map<string, string> {
  const fields = new Map<string, string>()
  for (const [field, value] of view.fields) {
    // Other programs may have written them; twice in a line, they would make it unreadable.
    if (isPartOfId(view.id, field)) continue
    const exported = joinedLists(view.kept.get(field)) ?? value
    const own = field === 'meta' && isResourceId(view.id) ? withoutTags(exported) : exported
    if (own !== undefined) fields.set(field, own)
  }
  return fields
}

/**
 * The line of a record, and behind it that of a Provenance if it is a FHIR resource with something that nobody has reviewed: JSON texts
 * without line feeds.
 */
export function exportLines(
  view: ExportedView,
  how: Pick<ReviewContext, 'deviceOf' | 'instantOf'> & { readonly collection: string },
): string[] {
  const { id } = view
  const exported = exportedFields(view)
  if (!isResourceId(id)) {
    return [plainText(how.collection, id, exported)]
  }
  const kept = new Map(
    [...view.kept]
      .filter(([field, values]) => exported.has(field) && joinedLists(values) === undefined)
      .toSorted(([a], [b]) => compareText(a, b)),
  )
  const conflicts = view.conflicts.filter(({ field }) => !isPartOfId(id, field))
  const tags = tagsOf(conflicts, kept.size > 0)
  if (tags.length === 0) return [resourceText(id, exported)]
  const meta = withTags(exported.get('meta'), tags)!
  const others = [...exported].filter(([field]) => field !== 'meta')
  return [
    resourceText(id, [['meta', meta], ...others]),
    provenanceText({ ...view, conflicts, kept }, { ...how, tags, exported }),
  ]
}

/** What stands in the id of a record, and can't be a field of it as well. */
export function isPartOfId(id: string, field: string): boolean {
  return field === 'id' || (field === 'resourceType' && id.includes('/'))
}

function joinedLists(values: readonly string[] | undefined): string | undefined {
  if (values === undefined || !values.every((value) => value.startsWith('['))) return undefined
  const elements = new Map<string, string>()
  for (const element of values.flatMap(elementsOf)) {
    const key = elementKey(element)
    if (!elements.has(key)) elements.set(key, element)
  }
  return `[${[...elements.values()].join(',')}]`
}

/** A record that is no FHIR resource says where it belongs: {@link plainMember}. */
function plainText(
  collection: string,
  id: string,
  fields: Iterable<readonly [string, string]>,
): string {
  const members = [
    [plainMember, JSON.stringify(collection)] as const,
    ['id', JSON.stringify(id)] as const,
    ...fields,
  ]
  return `{${members.map(([name, json]) => `${JSON.stringify(name)}:${json}`).join(',')}}`
}

/**
 * The tags that tell a receiving system what of an exported resource nobody has reviewed: docs/data-model.md, "What an export marks".
 *
 * They say something about one export. An import leaves them out, so that they never become a part of a record.
 */
import { elementsOf, membersOf } from './json-text.ts'
import type { RecordView } from './visibility.ts'

/** Nobody's domain: what stands here has to be recognised for as long as there are exports. */
export const reviewSystem = 'urn:havenmesh:review'

export interface ReviewTag {
  readonly code: string
  readonly display: string
}

const unreviewedConflict: ReviewTag = {
  code: 'unreviewed-conflict',
  display: 'An element was written in several ways; nobody has reviewed the one that stands here',
}
const unreviewedDeletion: ReviewTag = {
  code: 'unreviewed-deletion',
  display: 'Somebody deleted this without knowing of a change; nobody has reviewed whether it goes',
}
const furtherValues: ReviewTag = {
  code: 'further-values',
  display: 'An element has several values that hold together, of which one stands here',
}

/** In a fixed order; none for what is as people left it. */
export function tagsOf(conflicts: RecordView['conflicts'], hasFurtherValues: boolean): ReviewTag[] {
  return [
    ...(conflicts.some(({ field }) => field !== '') ? [unreviewedConflict] : []),
    ...(conflicts.some(({ field }) => field === '') ? [unreviewedDeletion] : []),
    ...(hasFurtherValues ? [furtherValues] : []),
  ]
}

/**
 * `meta` with these tags after its own. What is no `meta` by FHIR, or one with an empty member, stays as it is: it has to come back
 * from an import as it was.
 *
 * @param meta - JSON text; undefined: the resource has none
 */
export function withTags(meta: string | undefined, tags: readonly ReviewTag[]): string | undefined {
  if (tags.length === 0) return meta
  const added = tags.map((tag) => JSON.stringify({ system: reviewSystem, ...tag }))
  if (meta === undefined) return objectText([['tag', listText(added)]])
  const members = meta.startsWith('{') ? new Map(membersOf(meta)) : new Map<string, string>()
  const own = members.get('tag')
  if (members.size === 0) return meta
  if (own === undefined) members.set('tag', listText(added))
  else if (own.startsWith('[') && own !== '[]') {
    members.set('tag', listText([...elementsOf(own), ...added]))
  }
  return objectText(members)
}

/** `meta` without any of these tags, as it was before; undefined where nothing else was in it. */
export function withoutTags(meta: string | undefined): string | undefined {
  if (meta?.startsWith('{') !== true || !meta.includes(reviewSystem)) return meta
  const members = new Map(membersOf(meta))
  const tags = members.get('tag')
  if (tags?.startsWith('[') !== true) return meta
  const all = elementsOf(tags)
  const others = all.filter((tag) => !isReviewTag(tag))
  if (others.length === all.length) return meta
  if (others.length > 0) members.set('tag', listText(others))
  else members.delete('tag')
  return members.size === 0 ? undefined : objectText(members)
}

function isReviewTag(tag: string): boolean {
  return (
    tag.startsWith('{') &&
    membersOf(tag).some(([name, json]) => name === 'system' && json === `"${reviewSystem}"`)
  )
}

function listText(elements: readonly string[]): string {
  return `[${elements.join(',')}]`
}

function objectText(members: Iterable<readonly [string, string]>): string {
  return `{${[...members].map(([name, json]) => `${JSON.stringify(name)}:${json}`).join(',')}}`
}

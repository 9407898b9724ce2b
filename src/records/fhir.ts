/**
 * FHIR resources as records, and back: docs/data-model.md, "FHIR". What this version does not understand goes through
 * unchanged; what can't be a record is rejected one resource at a time.
 */
import { utf8ToBytes } from '../core/bytes.ts'
import { HavenError, isHavenError, type ErrorCode } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { domainHash16 } from '../crypto/hash.ts'
import type { Change } from './changes.ts'
import { canonicalJson, elementsOf, membersOf, replaceStrings } from './json-text.ts'
import { uuidOf } from './record-payload.ts'
import { isReserved } from './reserved-fields.ts'
import { isReviewProvenance } from './review-provenance.ts'
import { withoutTags } from './review-tags.ts'

export interface Resource {
  /** Empty: it is no resource, but another record of an export. */
  readonly type: string
  /** `Type/id` */
  readonly recordId: string
  readonly collection: string
  /** Top-level elements in their order, without `resourceType` and `id`: name and JSON text. */
  readonly fields: readonly (readonly [name: string, json: string])[]
}

export interface Rejection {
  /** Where in a Bundle, e.g. `entry[3]`; empty for what is no Bundle. */
  readonly path: string
  readonly code: ErrorCode
  /** Says what is wrong, and nothing of the content. */
  readonly message: string
}

/** FHIR's rules for ids. */
const idPattern = /^[A-Za-z0-9\-.]{1,64}$/
const typePattern = /^[A-Z][A-Za-z]{0,63}$/
/** In the line of a record that is no resource: its collection, and `id` is all of its id. No field can have this name. */
export const plainMember = '~record'
/** A Bundle in a Bundle in … */
const bundleDepth = 8

/**
 * The resources in a text: one, or those in a Bundle.
 *
 * @throws HavenError `JSON_INVALID` when the text as a whole can't be read
 */
export function resourcesOf(jsonText: string): {
  readonly resources: Resource[]
  readonly rejections: Rejection[]
} {
  const reading = new Reading()
  const members = new Map(membersOf(jsonText))
  reading.take(members, { path: '', depth: 0, id: undefined })
  return reading
}

/** `patients`, `documents` or `records`. */
export function collectionOf(type: string): string {
  if (type === 'Patient') return 'patients'
  return type === 'DocumentReference' || type === 'Binary' ? 'documents' : 'records'
}

/**
 * One resource, which has an id.
 *
 * @throws HavenError `JSON_INVALID`, `NOT_FHIR`, `INVALID_ID`, `TOO_LARGE`
 */
export function fieldsOf(jsonText: string): Resource {
  const members = new Map(membersOf(jsonText))
  return resourceOf(members, () => {
    throw new HavenError('INVALID_ID', 'The resource has no id.')
  })
}

/** The JSON text of a resource. */
export function resourceText(
  recordId: string,
  fields: Iterable<readonly [string, string]>,
): string {
  const slash = recordId.indexOf('/')
  const parts = [
    `"resourceType":${JSON.stringify(recordId.slice(0, slash))}`,
    `"id":${JSON.stringify(recordId.slice(slash + 1))}`,
  ]
  for (const [name, json] of fields) parts.push(`${JSON.stringify(name)}:${json}`)
  return `{${parts.join(',')}}`
}

/** Whether the id of a record is one that an import could have given it. */
export function isResourceId(recordId: string): boolean {
  const slash = recordId.indexOf('/')
  return typePattern.test(recordId.slice(0, slash)) && idPattern.test(recordId.slice(slash + 1))
}

/** Whether a record may have this id at all. */
export function isRecordId(id: string): boolean {
  if (id === '' || !id.isWellFormed()) return false
  if (Buffer.byteLength(id, 'utf8') > limits.recordIdBytes) return false
  for (const character of id) if (character < ' ' || character === '\u007f') return false
  return true
}

/** What has to be done so that a record shows these fields: what changed, and removals of what is no longer there. */
export function changesToReach(
  shown: ReadonlyMap<string, string>,
  fields: Resource['fields'],
): Change[] {
  const changes: Change[] = fields
    .filter(([field, value]) => !isSame(field, shown.get(field), value))
    .map(([field, value]) => ({ op: 'put', field, value }))
  const wanted = new Set(fields.map(([field]) => field))
  for (const field of shown.keys()) {
    if (!wanted.has(field)) changes.push({ op: 'put', field, value: undefined })
  }
  return changes
}

/** Tags that an export put into `meta` have been taken out again: its members may be written in another way since. */
function isSame(field: string, shown: string | undefined, value: string): boolean {
  if (shown === value) return true
  return field === 'meta' && shown !== undefined && canonicalJson(shown) === canonicalJson(value)
}

type Members = ReadonlyMap<string, string>

interface ReadingPlace {
  readonly path: string
  /** Bundles around it. */
  readonly depth: number
  /** For a resource that does not say its own. */
  readonly id: string | undefined
}

class Reading {
  readonly resources: Resource[] = []
  readonly rejections: Rejection[] = []

  take(members: Members, place: ReadingPlace): Resource | undefined {
    try {
      if (members.has(plainMember)) {
        this.resources.push(plainRecordOf(members))
        return undefined
      }
      if (members.get('resourceType') === '"Bundle"') {
        return this.#takeBundle(members, place)
      }
      const resource = resourceOf(members, () => place.id ?? idOfContent(members))
      // Of an earlier export, not of the records.
      if (isReviewProvenance(resource.recordId, resource.fields)) return undefined
      this.resources.push(resource)
      return resource
    } catch (error) {
      this.#reject(place.path, error)
      return undefined
    }
  }

  #reject(path: string, error: unknown): void {
    if (!isHavenError(error)) throw error
    this.rejections.push({ path, code: error.code, message: error.message })
  }

  #takeBundle(bundle: Members, { path, depth, id }: ReadingPlace): Resource | undefined {
    if (depth >= bundleDepth) throw new HavenError('NOT_FHIR', 'Bundles are nested too deeply.')
    const entries = this.#entriesOf(bundle, path)
    const idByUrn = new Map<string, string>()
    for (const { urn, recordId } of entries) {
      if (urn !== undefined && recordId !== undefined) idByUrn.set(urn, recordId)
    }
    const isRecord = isMoreThanEnvelope(bundle)
    const kept = entries.map((entry) =>
      isRecord && isPlaceOnly(entry) ? entry.text : this.#takeEntry(entry, { idByUrn, depth }),
    )
    if (!isRecord) return undefined
    const withoutResources = new Map(bundle)
    if (bundle.has('entry')) withoutResources.set('entry', `[${kept.join(',')}]`)
    const resource = resourceOf(withoutResources, () => id ?? idOfContent(bundle))
    this.resources.push(resource)
    return resource
  }

  #entriesOf(bundle: Members, path: string): Entry[] {
    const texts = bundle.has('entry') ? elementsOf(bundle.get('entry')!) : []
    return texts.map((text, i) => {
      const at = `${path === '' ? '' : `${path}.`}entry[${i}]`
      try {
        return entryOf(text, at)
      } catch (error) {
        this.#reject(at, error)
        return { path: at, text, members: undefined, urn: undefined, recordId: undefined }
      }
    })
  }

  /** The entry as a Bundle's record keeps it: of the resource only type and id, if it is a record of its own. */
  #takeEntry(
    entry: Entry,
    { idByUrn, depth }: { idByUrn: ReadonlyMap<string, string>; depth: number },
  ): string {
    const text = entry.members?.get('resource')
    if (text === undefined) return entry.text
    const rewritten = text.includes('"urn:')
      ? replaceStrings(text, 'reference', (reference) => idByUrn.get(reference))
      : text
    const resource = this.take(new Map(membersOf(rewritten)), {
      path: entry.path,
      depth: depth + 1,
      id: entry.recordId === undefined ? undefined : idOf(entry.recordId),
    })
    if (resource === undefined) return entry.text
    return objectText(
      [...entry.members!].map(([name, json]) =>
        name === 'resource' ? [name, resourceText(resource.recordId, [])] : [name, json],
      ),
    )
  }
}

interface Entry {
  readonly path: string
  readonly text: string
  readonly members: Members | undefined
  /** Its `fullUrl`, where that is a name and no address. */
  readonly urn: string | undefined
  readonly recordId: string | undefined
}

function entryOf(text: string, path: string): Entry {
  if (!text.startsWith('{')) throw new HavenError('NOT_FHIR', 'An entry of a Bundle is an object.')
  const members = new Map(membersOf(text))
  const resource = members.get('resource')
  if (resource === undefined) return { path, text, members, urn: undefined, recordId: undefined }
  if (!resource.startsWith('{')) throw new HavenError('NOT_FHIR', 'A resource is an object.')
  const fullUrl = textOf(members.get('fullUrl'))
  const resourceMembers = new Map(membersOf(resource))
  const type = textOf(resourceMembers.get('resourceType'))
  const id = resourceMembers.has('id')
    ? textOf(resourceMembers.get('id'))
    : (idOfUrl(fullUrl, type) ?? idOfContent(resourceMembers))
  return {
    path,
    text,
    members,
    urn: fullUrl?.startsWith('urn:') ? fullUrl : undefined,
    recordId: type !== undefined && id !== undefined ? `${type}/${id}` : undefined,
  }
}

/** What is left of a resource in the record of its Bundle: it says which record it is, and not that the record is empty. */
function isPlaceOnly({ members }: Entry): boolean {
  const resource = members?.get('resource')
  if (resource === undefined) return false
  const names = membersOf(resource).map(([name]) => name)
  return names.length === 2 && names.includes('resourceType') && names.includes('id')
}

/** @throws HavenError `NOT_FHIR`, `INVALID_ID`, `TOO_LARGE` */
function resourceOf(members: Members, missingId: () => string): Resource {
  const type = textOf(members.get('resourceType'))
  if (type === undefined || !typePattern.test(type)) {
    throw new HavenError('NOT_FHIR', 'There is no resourceType that FHIR would allow.')
  }
  const id = members.has('id') ? textOf(members.get('id')) : missingId()
  if (id === undefined || !idPattern.test(id)) {
    throw new HavenError(
      'INVALID_ID',
      'The id is not one by FHIR: up to 64 letters, digits, "-" and ".".',
    )
  }
  const fields = [...members].flatMap(([name, json]): [string, string][] => {
    if (name === 'resourceType' || name === 'id') return []
    const own = name === 'meta' ? withoutTags(json) : json
    return own === undefined ? [] : [[name, own]]
  })
  assertFields(fields)
  return { type, recordId: `${type}/${id}`, collection: collectionOf(type), fields }
}

/** @throws HavenError `NOT_FHIR`, `INVALID_ID`, `TOO_LARGE` */
function plainRecordOf(members: Members): Resource {
  const collection = textOf(members.get(plainMember))
  const recordId = textOf(members.get('id'))
  if (collection === undefined || collection === '') {
    throw new HavenError('NOT_FHIR', `"${plainMember}" has to name a collection.`)
  }
  if (recordId === undefined || !isRecordId(recordId)) {
    throw new HavenError(
      'INVALID_ID',
      `An id has 1 to ${limits.recordIdBytes} bytes of text without control characters.`,
    )
  }
  const fields = [...members].filter(([name]) => name !== plainMember && name !== 'id')
  assertFields(fields)
  return { type: '', recordId, collection, fields }
}

/** @throws HavenError `NOT_FHIR`, `TOO_LARGE` */
function assertFields(fields: Resource['fields']): void {
  if (fields.length > limits.fieldsPerRecord) {
    throw new HavenError('TOO_LARGE', `A resource may have ${limits.fieldsPerRecord} elements.`)
  }
  let bytes = 0
  for (const [name, json] of fields) {
    if (
      name === '' ||
      isReserved(name) ||
      Buffer.byteLength(name, 'utf8') > limits.fieldNameBytes
    ) {
      throw new HavenError('NOT_FHIR', 'An element has a name that FHIR would not allow.')
    }
    const size = Buffer.byteLength(json, 'utf8')
    bytes += size
    if (size > limits.valueBytes || bytes > resourceBytes) {
      throw new HavenError('TOO_LARGE', 'An element may take 4 MiB, a resource 7 MiB.')
    }
  }
}

/** Leaves room in an update for names and places. */
const resourceBytes = limits.updateBytes - 1024 * 1024

/** Types that are a way to carry resources, and nothing that would be missed. */
const envelopes = new Set([
  'batch',
  'batch-response',
  'history',
  'searchset',
  'transaction',
  'transaction-response',
])

function isMoreThanEnvelope(bundle: Members): boolean {
  const type = textOf(bundle.get('type'))
  if (type !== undefined && envelopes.has(type)) return false
  return [...bundle.keys()].some((name) => !['resourceType', 'type', 'entry'].includes(name))
}

function textOf(json: string | undefined): string | undefined {
  return json?.startsWith('"') ? (JSON.parse(json) as string) : undefined
}

function idOf(recordId: string): string {
  return recordId.slice(recordId.indexOf('/') + 1)
}

/** The id in a `fullUrl`: `urn:uuid:…`, `urn:oid:…`, or an address that ends in `Type/id`. */
function idOfUrl(fullUrl: string | undefined, type: string | undefined): string | undefined {
  if (fullUrl === undefined || type === undefined) return undefined
  const urn = /^urn:(?:uuid|oid):(.*)$/.exec(fullUrl)?.[1]
  const segments = fullUrl.split('/')
  const id = urn ?? (segments.at(-2) === type ? segments.at(-1) : undefined)
  return id !== undefined && idPattern.test(id) ? id : undefined
}

/** A UUID of version 8 (RFC 9562): the same content has the same id on each import. */
function idOfContent(members: Members): string {
  const bytes = domainHash16('havenmesh/resource-id/v1', utf8ToBytes(objectText(members)))
  bytes[6] = (bytes[6]! & 0x0f) | 0x80
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  return uuidOf(bytes)
}

function objectText(members: Iterable<readonly [string, string]>): string {
  return `{${[...members].map(([name, json]) => `${JSON.stringify(name)}:${json}`).join(',')}}`
}

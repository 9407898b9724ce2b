/**
 * The Provenance (FHIR R4) that goes out beside a resource with unreviewed conflicts: which devices wrote what, and when. What stands
 * in the resource is one of the values; the others are here. docs/data-model.md, "What an export marks".
 */
import { utf8ToBytes } from '../core/bytes.ts'
import { domainHash16 } from '../crypto/hash.ts'
import { elementsOf, membersOf } from './json-text.ts'
import { uuidOf } from './record-payload.ts'
import { reviewSystem, type ReviewTag } from './review-tags.ts'
import type { LiveWrite, RecordView } from './visibility.ts'

interface ReviewDevice {
  readonly id: string
  readonly name: string | null
}

/** What an export needs of a record's view. */
export type ExportedView = Pick<RecordView, 'id' | 'fields' | 'conflicts' | 'kept' | 'live'>

export interface ReviewContext {
  readonly tags: readonly ReviewTag[]
  /** What the resource says: JSON text by element. */
  readonly exported: ReadonlyMap<string, string>
  readonly deviceOf: (feed: string) => ReviewDevice
  /** RFC 3339, with a year of four digits. */
  readonly instantOf: (ms: number) => string
}

const deviceSystem = 'urn:havenmesh:device'
const extensions = {
  element: 'urn:havenmesh:element',
  value: 'urn:havenmesh:value',
  op: 'urn:havenmesh:op',
  written: 'urn:havenmesh:written',
} as const
const participantType = 'http://terminology.hl7.org/CodeSystem/provenance-participant-type'

/** FHIR's limit for a string, and what a person wants to read of a value in a line. */
const stringLength = 1024 * 1024
const displayLength = 120

/**
 * The resource as JSON text, the same for the same view. It has one id for each record, so that a receiving system replaces the older one.
 *
 * @param view - with a conflict, or values that were kept together and do not all stand in the resource
 */
export function provenanceText(view: ExportedView, context: ReviewContext): string {
  const statements = statementsOf(view, context)
  const writes = [...disputed(view), ...keeps(view)]
  const devices = new Map(
    writes.map(({ feed }) => context.deviceOf(feed)).map((device) => [device.id, device]),
  )
  return JSON.stringify({
    resourceType: 'Provenance',
    id: provenanceIdOf(view.id),
    target: [{ reference: view.id }],
    recorded: context.instantOf(Math.max(...writes.map(({ time }) => time.ms))),
    activity: { coding: context.tags.map((tag) => ({ system: reviewSystem, ...tag })) },
    agent: [...devices.values()].map(agent),
    ...(statements.length > 0 && {
      entity: statements.map((statement) => entity(view.id, statement, context)),
    }),
  })
}

/** Whether this is such a Provenance: an import leaves it out. */
export function isReviewProvenance(
  recordId: string,
  fields: readonly (readonly [name: string, json: string])[],
): boolean {
  if (!recordId.startsWith('Provenance/')) return false
  const elements = new Map(fields)
  const target = textMember(firstOf(elements.get('target')), 'reference')
  const coding = firstOf(objectMember(elements.get('activity'), 'coding'))
  return (
    target !== undefined &&
    recordId === `Provenance/${provenanceIdOf(target)}` &&
    textMember(coding, 'system') === reviewSystem
  )
}

/** A UUID of version 8 (RFC 9562). */
function provenanceIdOf(recordId: string): string {
  const bytes = domainHash16('havenmesh/review-provenance/v1', utf8ToBytes(recordId))
  bytes[6] = (bytes[6]! & 0x0f) | 0x80
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  return uuidOf(bytes)
}

// ---- what was written besides ----

/** Something that was written and does not stand in the resource. Element empty: the resource as a whole. */
interface Statement {
  readonly element: string
  readonly op: string
  readonly value: string | undefined
  readonly write: LiveWrite
}

function disputed({ conflicts }: ExportedView): LiveWrite[] {
  return conflicts.flatMap(({ values }) => values)
}

function statementsOf(view: ExportedView, { exported }: ReviewContext): Statement[] {
  const inDispute = disputed(view)
    .filter(({ field, op, value }) => op !== 'put' || value !== exported.get(field))
    .map((write) => ({ element: write.field, op: write.op, value: write.value, write }))
  const kept = [...view.kept].flatMap(([element, values]) => {
    const settled = keeps(view)
    // In another version of the schema the field may have another name.
    const write = settled.findLast(({ field }) => field === element) ?? settled.at(-1)!
    return values.slice(1).map((value) => ({ element, op: 'put', value, write }))
  })
  return [...inDispute, ...kept]
}

/** What settled that several values hold together. */
function keeps({ live, kept }: ExportedView): LiveWrite[] {
  return kept.size === 0 ? [] : live.filter(({ op }) => op === 'keep')
}

// ---- FHIR ----

function agent({ id, name }: ReviewDevice): object {
  const display = name === null || name.trim() === '' ? {} : { display: name }
  return {
    type: { coding: [{ system: participantType, code: 'author', display: 'Author' }] },
    who: {
      type: 'Device',
      ...(id !== '' && { identifier: { system: deviceSystem, value: id } }),
      ...(id === '' ? { display: 'a device' } : display),
    },
  }
}

function entity(
  recordId: string,
  { element, op, value, write }: Statement,
  { deviceOf, instantOf }: ReviewContext,
): object {
  const isRemoval = value === undefined
  const said = isRemoval ? 'removed' : op === 'put' ? value : `${op} ${value}`
  return {
    extension: [
      ...(element === '' ? [] : [{ url: extensions.element, valueString: element }]),
      ...(op === 'put' || element === '' ? [] : [{ url: extensions.op, valueString: op }]),
      ...(isRemoval || value.length > stringLength
        ? []
        : [{ url: extensions.value, valueString: value }]),
      { url: extensions.written, valueInstant: instantOf(write.time.ms) },
    ],
    role: isRemoval ? 'removal' : 'source',
    what:
      element === ''
        ? { reference: recordId, display: 'deleted' }
        : { display: shortened(`${element}: ${said}`) },
    agent: [agent(deviceOf(write.feed))],
  }
}

function shortened(text: string): string {
  return text.length <= displayLength ? text : `${text.slice(0, displayLength - 1).toWellFormed()}…`
}

// ---- reading one again ----

function firstOf(list: string | undefined): string | undefined {
  return list?.startsWith('[') === true ? elementsOf(list)[0] : undefined
}

function objectMember(object: string | undefined, name: string): string | undefined {
  return object?.startsWith('{') === true ? new Map(membersOf(object)).get(name) : undefined
}

function textMember(object: string | undefined, name: string): string | undefined {
  const json = objectMember(object, name)
  return json?.startsWith('"') === true ? (JSON.parse(json) as string) : undefined
}

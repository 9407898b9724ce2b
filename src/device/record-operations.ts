/** Reading and writing records by collection name, as people and programs ask for it. */
import { HavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { utf8ToBytes } from '../core/bytes.ts'
import type { Lane } from '../feed/descriptor.ts'
import { exportLines, isPartOfId } from '../records/export-lines.ts'
import { isRecordId } from '../records/fhir.ts'
import { compactJson } from '../records/json-text.ts'
import type { LiveWrite, RecordView as SeenRecord } from '../records/visibility.ts'
import { unseenDeletions, writesFor } from '../records/changes.ts'
import type { Reading } from '../records/reading.ts'
import { assertTexts, textWrites } from '../records/text-writes.ts'
import type { TextWrites } from '../records/text-writes.ts'
import {
  versionFromToken,
  versionOf,
  versionsFromTokens,
  versionToken,
} from '../records/record-version.ts'
import type {
  ConflictValue,
  DeviceRef,
  ImportOptions,
  ImportProgress,
  ImportResult,
  ImportSource,
  JsonText,
  RecordChange,
  RecordView,
  WriteOptions,
  WriteResult,
} from './api.ts'
import { authorOf } from './author.ts'
import type { Collection } from './collection.ts'
import { Importer } from './importer.ts'
import type { MeshRuntime } from './mesh-runtime.ts'
import { linksOf } from './record-links.ts'
import { rfc3339 } from './system.ts'
import { withTexts } from './text-change.ts'

/** Records that are read in one go for an export. */
const exportBatch = 256

export class RecordOperations {
  readonly #runtime: MeshRuntime

  constructor(runtime: MeshRuntime) {
    this.#runtime = runtime
  }

  async import(
    sources: Iterable<ImportSource> | AsyncIterable<ImportSource>,
    {
      onProgress,
      ...choices
    }: ImportOptions & {
      onProgress?: ((progress: ImportProgress) => void) | undefined
    } = {},
  ): Promise<ImportResult> {
    this.#assertMayWrite()
    const importer = new Importer({
      writer: this.#runtime.writer,
      collectionNamed: (name) => this.#runtime.collectionId(name),
      choices,
      onProgress,
    })
    return importer.run(sources)
  }

  /** NDJSON lines, sorted by id of the record. */
  async *export(name?: string): AsyncIterable<string> {
    const names = name === undefined ? this.#runtime.collectionNames() : [name]
    // An empty export would be taken for a backup: who can read nothing is told so.
    if (names.length === 0) this.#runtime.collectionId('patients')
    const deviceOf = (feed: string): DeviceRef => authorOf(this.#runtime, feed)
    for (const each of names) {
      const collection = await this.#collection(each)
      const ids = await this.#existing(collection)
      for (let at = 0; at < ids.length; at += exportBatch) {
        for (const state of await collection.states(ids.slice(at, at + exportBatch))) {
          const view = await collection.view(state)
          if (view.exists) yield* exportLines(view, { deviceOf, instantOf, collection: each })
        }
      }
    }
  }

  async list(name: string): Promise<{ id: string }[]> {
    const ids = await this.#existing(await this.#collection(name))
    return ids.map((id) => ({ id }))
  }

  async get(name: string, id: string): Promise<RecordView> {
    const collection = await this.#collection(name)
    const state = await collection.state(checkedId(id))
    const view = state === undefined ? undefined : await collection.view(state)
    if (view === undefined || !(view.exists || view.deleted)) {
      throw notFound()
    }
    return {
      id,
      collection: name,
      fields: new Map(view.fields),
      conflicts: new Map(
        view.conflicts
          .filter(({ field }) => field !== '')
          .map(({ field, values }) => [field, values.map((write) => this.#valueOf(write))]),
      ),
      kept: new Map([...view.kept].map(([field, values]) => [field, [...values]])),
      deleted: view.deleted,
      resurrected: view.resurrected,
      links: await linksOf(collection, id, view),
      version: versionToken(versionOf(state!), { collection: collection.id, id }),
    }
  }

  async set(
    name: string,
    id: string,
    fields: Iterable<[string, JsonText | undefined]>,
    options: WriteOptions = {},
  ): Promise<WriteResult> {
    const pairs = asList(fields)
    if (!pairs.every(Array.isArray)) throw misshapen()
    const changes = pairs.map(([field, value]): RecordChange => ({ op: 'put', field, value }))
    if (changes.length === 0)
      throw new HavenError('USAGE', 'Name at least one field and its value.')
    return this.write(name, id, changes, options)
  }

  async delete(name: string, id: string, options: WriteOptions = {}): Promise<WriteResult> {
    return this.write(name, id, [{ op: 'delete' }], options)
  }

  async write(
    name: string,
    id: string,
    changes: readonly RecordChange[],
    { urgent = false, seen }: WriteOptions = {},
  ): Promise<WriteResult> {
    checkedId(id)
    const checked = asList(changes).map((change) => checkedChange(id, change))
    if (checked.length === 0) throw new HavenError('USAGE', 'Say what is to be changed.')
    const version =
      seen === undefined
        ? undefined
        : versionFromToken(seen, { collection: this.#runtime.collectionId(name), id })
    const splices = checked.filter((change) => change.op === 'text')
    const whole = checked.filter((change) => change.op !== 'text')
    const shown = new Map(
      whole.flatMap((change) =>
        change.op === 'put' && change.from !== undefined ? [[change.field, change.from]] : [],
      ),
    )
    return this.#write(name, id, urgent, {
      plan(view, reading) {
        if (!view.exists && checked.some(({ op }) => op === 'delete')) {
          throw new HavenError(
            'NOT_FOUND',
            'There is no such record here, or it is deleted already.',
          )
        }
        // Who takes something away wants no empty record. A form may not have heard of a deletion yet.
        const isFormOfDeleted = view.deleted && version !== undefined
        if (!view.exists && !isFormOfDeleted && checked.every((one) => takesAway(one, view)))
          throw notFound()
        const writes = writesFor(view, whole, { reading, seen: version })
        assertTexts(view, writes, reading)
        const overruled = unseenDeletions(view, version)
        const anew = view.withoutTexts && overruled.length === 0
        const planned = textWrites(view, writes, { reading, splices, shown, anew })
        const isSaid = planned.writes.some(({ unseen = [] }) => unseen.length > 0)
        if (overruled.length === 0 || isSaid || !planned.texts.some(changesText)) return planned
        // An edit of text can't say what it did not know of. This brings the record back whole, and takes no deletion back.
        const back = { field: '', op: 'restore', value: undefined, unseen: overruled }
        return { ...planned, writes: [...planned.writes, back] }
      },
      // What stood beside it in the same commit could not be named as unseen.
      alone: version !== undefined,
    })
  }

  async compare(
    name: string,
    a: string,
    b: string,
  ): Promise<'before' | 'after' | 'equal' | 'concurrent'> {
    const collection = await this.#collection(name)
    return collection.compare(...versionsFromTokens(a, b))
  }

  async #write(
    name: string,
    id: string,
    urgent: boolean,
    {
      plan,
      alone,
    }: {
      readonly plan: (view: SeenRecord, reading: Reading) => TextWrites
      readonly alone: boolean
    },
  ): Promise<WriteResult> {
    this.#assertMayWrite()
    const collection = this.#runtime.collectionId(name)
    const lane: Lane = urgent ? 'urgent' : 'routine'
    const { commit } = await this.#runtime.writer.write(
      collection,
      lane,
      [withTexts(checkedId(id), plan)],
      { alone },
    )
    return { id, commit: commit === undefined ? null : { ...commit } }
  }

  #assertMayWrite(): void {
    this.#runtime.control.assertTakesWrites()
    const role = this.#runtime.control.ownRole
    if (role !== 'admin' && role !== 'clinician') {
      throw new HavenError(
        'NOT_ALLOWED',
        `This device is a ${role} and can not write records. Ask an admin to invite it as a clinician.`,
      )
    }
  }

  async #collection(name: string): Promise<Collection> {
    const collection = await this.#runtime.integrator.collection(this.#runtime.collectionId(name))
    await this.#runtime.integrator.idle()
    return collection
  }

  async #existing(collection: Collection): Promise<string[]> {
    const ids: string[] = []
    for await (const state of collection.allStates()) {
      if ((await collection.view(state)).exists) ids.push(state.id)
    }
    return ids.toSorted()
  }

  #valueOf(write: LiveWrite): ConflictValue {
    const device = authorOf(this.#runtime, write.feed)
    return { value: write.value, device, time: rfc3339(write.time.ms) }
  }
}

function changesText({ edit }: TextWrites['texts'][number]): boolean {
  if ('to' in edit) return edit.from !== edit.to
  return (edit.remove ?? 0) > 0 || (edit.insert ?? '') !== ''
}

/** Where there is no record, nothing comes of it. */
function takesAway(change: RecordChange, { deleted }: SeenRecord): boolean {
  if (change.op === 'put') return change.value === undefined
  return change.op === 'remove' || (change.op === 'restore' && !deleted)
}

/** In FHIR, years have four digits. */
function instantOf(ms: number): string {
  return rfc3339(Math.min(ms, Date.UTC(9999, 11, 31, 23, 59, 59, 999)))
}

export function notFound(): HavenError {
  return new HavenError(
    'NOT_FOUND',
    'There is no such record here. It may not have arrived yet: see haven status.',
  )
}

/** @throws HavenError `INVALID_ID` */
export function checkedId(id: string): string {
  if (typeof id !== 'string' || !isRecordId(id)) {
    throw new HavenError(
      'INVALID_ID',
      `An id has 1 to ${limits.recordIdBytes} bytes of text without control characters.`,
    )
  }
  return id
}

const changeOps: ReadonlySet<string> = new Set<RecordChange['op']>([
  'put',
  'add',
  'remove',
  'count',
  'keep',
  'text',
  'delete',
  'restore',
])

// Programs are not all checked by a compiler.

function asList<T>(list: Iterable<T>): T[] {
  if (!isObject(list) || !(Symbol.iterator in list)) throw misshapen()
  return [...list]
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function hasItsParts(change: Extract<RecordChange, { field: string }>): boolean {
  const isText = (value: unknown): boolean => typeof value === 'string'
  const isTextOrNone = (value: unknown): boolean => value === undefined || isText(value)
  if (!isText(change.field)) return false
  switch (change.op) {
    case 'keep':
      return Array.isArray(change.values) && change.values.every(isText)
    case 'put':
      return isTextOrNone(change.value) && isTextOrNone(change.from)
    case 'text':
      return isTextOrNone(change.insert)
    case 'count':
      return true
    case 'add':
    case 'remove':
    default:
      return isText(change.value)
  }
}

function misshapen(): HavenError {
  return new HavenError(
    'USAGE',
    'Changes are a list, each with its op, field and value: fields and values are texts, a value JSON.',
  )
}

/** What a person typed, or another program sent, as text that a commit can hold. */
function checkedChange(id: string, change: RecordChange): RecordChange {
  if (!isObject(change)) throw misshapen()
  if (!changeOps.has(change.op)) {
    throw new HavenError('INVALID_VALUE', 'This is no change that this version knows.')
  }
  if (!('field' in change)) {
    if (change.op === 'delete' || change.op === 'restore') return change
    throw misshapen()
  }
  if (!hasItsParts(change)) throw misshapen()
  const field = checkedField(id, change.field)
  switch (change.op) {
    case 'count':
      if (!Number.isSafeInteger(change.delta)) {
        throw new HavenError('INVALID_VALUE', 'A counter counts whole numbers.')
      }
      return { ...change, field }
    case 'keep':
      if (change.values.length < 2) {
        throw new HavenError('INVALID_VALUE', 'Name at least two values to be kept.')
      }
      return { ...change, field, values: change.values.map((each) => checkedValue(field, each)!) }
    case 'put':
      return {
        ...change,
        field,
        value: checkedValue(field, change.value),
        from: checkedValue(field, change.from),
      }
    case 'text':
      return { ...change, field, insert: checkedText(change.insert) }
    case 'add':
    case 'remove':
    default:
      return { ...change, field, value: checkedValue(field, change.value)! }
  }
}

function checkedField(id: string, field: string): string {
  if (isPartOfId(id, field)) {
    throw new HavenError(
      'INVALID_VALUE',
      `The field "${field}" is part of the record's id. Write a record of another id instead.`,
    )
  }
  if (field.startsWith('~')) {
    throw new HavenError(
      'INVALID_VALUE',
      'Names that begin with "~" are kept for Havenmesh: choose another name for the field.',
    )
  }
  if (field === '' || !field.isWellFormed() || utf8ToBytes(field).length > limits.fieldNameBytes) {
    throw new HavenError(
      'INVALID_VALUE',
      `A field's name has 1 to ${limits.fieldNameBytes} bytes of text.`,
    )
  }
  return field
}

/** @throws HavenError `INVALID_VALUE`, `TOO_LARGE` */
export function checkedValue(field: string, value: JsonText | undefined): JsonText | undefined {
  if (value === undefined) return undefined
  if (utf8ToBytes(value).length > limits.valueBytes) {
    throw new HavenError(
      'TOO_LARGE',
      `The value of a field may have ${limits.valueBytes / 1024 / 1024} MiB.`,
    )
  }
  try {
    return compactJson(value)
  } catch (error) {
    throw new HavenError(
      'INVALID_VALUE',
      `The value of ${JSON.stringify(field)} is not JSON. Texts need quotes, such as '"text"'.`,
      { cause: error },
    )
  }
}

function checkedText(text: string | undefined): string | undefined {
  if (text !== undefined && utf8ToBytes(text).length > limits.valueBytes) {
    throw new HavenError('TOO_LARGE', `A text may have ${limits.valueBytes / 1024 / 1024} MiB.`)
  }
  return text
}

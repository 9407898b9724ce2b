/** The list of conflicts, and settling one of them, by collection name. */
import { HavenError } from '../core/errors.ts'
import { countOf } from '../records/counts.ts'
import { ranks } from '../records/reading.ts'
import { isReserved } from '../records/reserved-fields.ts'
import { conflictOf, conflictToken, writesToSettle } from '../records/resolution.ts'
import { joinedTexts, textWrites } from '../records/text-writes.ts'
import { patientIdOf, titleOf } from '../records/title.ts'
import type {
  Conflict as SeenConflict,
  LiveWrite,
  RecordView as SeenRecord,
} from '../records/visibility.ts'
import type {
  Conflict,
  ConflictsOptions,
  DeviceRef,
  JsonText,
  Resolution,
  ResolveOptions,
  WriteResult,
} from './api.ts'
import { authorOf } from './author.ts'
import { baseInHistory } from './conflict-base.ts'
import type { Collection } from './collection.ts'
import type { MeshRuntime } from './mesh-runtime.ts'
import { checkedId, checkedValue, notFound } from './record-operations.ts'
import { rfc3339 } from './system.ts'
import { withTexts } from './text-change.ts'

export class ConflictOperations {
  readonly #runtime: MeshRuntime
  /** By feed. */
  readonly #devices = new Map<string, DeviceRef>()

  constructor(runtime: MeshRuntime) {
    this.#runtime = runtime
  }

  async list({ collection, titles = false, bases = false }: ConflictsOptions): Promise<Conflict[]> {
    const names = collection === undefined ? this.#runtime.collectionNames() : [collection]
    // Nothing to settle is good news: who can read nothing is told so instead.
    if (names.length === 0) this.#runtime.collectionId(patientsName)
    const found: Found[] = []
    for (const name of names) {
      const id = this.#runtime.collectionId(name)
      const inCollection = await this.#runtime.integrator.collection(id)
      const views = await this.#runtime.integrator.disputes(id)
      const titleOfRecord = titles ? await this.#titles(inCollection, views) : undefined
      for (const view of views) {
        for (const conflict of view.conflicts) {
          const title = titleOfRecord?.get(view.id) ?? null
          const listed = this.#listed({ name, collection: inCollection, view, conflict, title })
          found.push({ name, collection: inCollection, conflict, listed })
        }
      }
    }
    found.sort((a, b) => gravestFirst(a.listed, b.listed))
    if (bases) await this.#addBases(found)
    return found.map(({ listed }) => listed)
  }

  /** To the gravest: only history has them. */
  async #addBases(found: readonly Found[]): Promise<void> {
    const ofFields = found.filter(({ listed }) => listed.field !== null)
    for (const { name, collection, conflict, listed } of ofFields.slice(0, basesMax)) {
      const where = { name, id: listed.id, conflict }
      listed.base = await baseInHistory(this.#runtime, collection, where)
    }
  }

  async resolve(
    name: string,
    id: string,
    field: string | null,
    resolution: Resolution,
    { urgent = false, seen }: ResolveOptions,
  ): Promise<WriteResult> {
    const decided =
      'value' in resolution
        ? { value: checkedValue(field ?? 'value', resolution.value) }
        : resolution
    if (field === '') throw new HavenError('USAGE', 'Name the field, or null for the record.')
    const { commit } = await this.#runtime.writer.write(
      this.#runtime.collectionId(name),
      urgent ? 'urgent' : 'routine',
      [
        withTexts(checkedId(id), (view, reading) => {
          if (!view.exists && !view.deleted) throw notFound()
          const conflict = conflictOf(view, field ?? '', seen)
          const writes = writesToSettle(view, conflict, { resolution: decided, reading })
          const settled = 'keepBoth' in decided ? joinedTexts(view, writes, reading) : writes
          return textWrites(view, settled, { reading })
        }),
      ],
    )
    return { id, commit: commit === undefined ? null : { ...commit } }
  }

  #listed({ name, collection, view, conflict, title }: Listing): Conflict {
    const { field, kind, state, rank, values, problem } = conflict
    return {
      collection: name,
      id: view.id,
      field: field === '' ? null : field,
      title,
      kind,
      state,
      rank,
      values: values.map((write, index) => ({
        n: index + 1,
        value: valueOf(write),
        together: write.op === 'keep',
        device: this.#deviceOf(write),
        actor: write.actor === '' ? null : write.actor,
        time: rfc3339(write.time.ms),
        clockOff: write.clockOff,
      })),
      base: null,
      ...(field === '' && { changes: this.#unknownTo(conflict, collection, view) }),
      ...(problem !== undefined && { problem }),
      seen: conflictToken(view, conflict),
    }
  }

  /** What had been written when somebody deleted the record, unknown to them. */
  #unknownTo(
    { values }: SeenConflict,
    { causal }: Collection,
    { live, edits }: SeenRecord,
  ): NonNullable<Conflict['changes']> {
    const isUnknown = (place: { writer: string; feed: string; seq: number }): boolean =>
      !values.every(
        (by) =>
          causal.isInPast(place, by) &&
          !by.unseen.some(({ feed, seq }) => feed === place.feed && seq === place.seq),
      )
    const written = live
      .filter(({ field }) => field !== '' && !isReserved(field))
      .filter(isUnknown)
      .map((write) => ({
        field: write.field,
        device: this.#deviceOf(write),
        time: rfc3339(write.time.ms),
      }))
    const edited = edits
      .filter(isUnknown)
      .map((edit) => ({ field: null, device: this.#deviceOf(edit), time: null }))
    return [...written, ...edited]
  }

  #deviceOf({ feed }: { readonly feed: string }): DeviceRef {
    const known = this.#devices.get(feed)
    if (known !== undefined) return known
    const device = authorOf(this.#runtime, feed)
    this.#devices.set(feed, device)
    return device
  }

  /** What people call the records: of what is about a patient, the patient too. */
  async #titles(
    collection: Collection,
    records: readonly SeenRecord[],
  ): Promise<Map<string, string>> {
    const fieldsOf = async (from: Collection, ids: Iterable<string>) => {
      const fields = new Map<string, ReadonlyMap<string, string>>()
      for (const state of await from.states([...ids])) {
        const view = await from.view(state)
        // One of several dates of birth tells nobody whom it is about.
        const isDisputed = view.conflicts.some(({ field }) => field === 'birthDate')
        fields.set(
          state.id,
          new Map([...view.fields].filter(([field]) => !isDisputed || field !== 'birthDate')),
        )
      }
      return fields
    }
    const own = await fieldsOf(collection, new Set(records.map(({ id }) => id)))
    const patientIds = new Set([...own.values()].flatMap((fields) => patientIdOf(fields) ?? []))
    const patients = await this.#patients()
    const ofPatients = patients === undefined ? own : await fieldsOf(patients, patientIds)
    const titles = new Map<string, string>()
    for (const [id, fields] of own) {
      const patient = ofPatients.get(patientIdOf(fields) ?? '')
      const parts = [titleOf(fields), patient && titleOf(patient)]
      const title = parts.filter((part) => part !== undefined).join(' of ')
      if (title !== '') titles.set(id, title)
    }
    return titles
  }

  /** Undefined where this device can't read them. */
  async #patients(): Promise<Collection | undefined> {
    if (!this.#runtime.collectionNames().includes(patientsName)) return undefined
    return this.#runtime.integrator.collection(this.#runtime.collectionId(patientsName))
  }
}

const patientsName = 'patients'

/** Each is a look at the older commits of a record. */
const basesMax = 50

interface Place {
  readonly name: string
  readonly collection: Collection
  readonly conflict: SeenConflict
}
interface Listing extends Place {
  readonly view: SeenRecord
  readonly title: string | null
}
interface Found extends Place {
  readonly listed: Conflict
}

/** JSON text, also of what is no value of the field by itself. */
function valueOf({ op, value }: LiveWrite): JsonText | undefined {
  if (op === 'add') return `[${value}]`
  if (op === 'count') return String(countOf(value)?.total)
  return op === 'remove' ? undefined : value
}

function gravestFirst(a: Conflict, b: Conflict): number {
  return (
    ranks.indexOf(a.rank) - ranks.indexOf(b.rank) ||
    compare(a.state, b.state) ||
    compare(newest(b), newest(a)) ||
    compare(a.collection, b.collection) ||
    compare(a.id, b.id) ||
    compare(a.field ?? '', b.field ?? '')
  )
}

/** RFC 3339 in UTC sorts as text. */
function newest({ values }: Conflict): string {
  return values.map(({ time }) => time).reduce((a, b) => (a > b ? a : b), '')
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

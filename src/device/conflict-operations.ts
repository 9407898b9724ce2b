/** The list of conflicts, and settling one of them, by collection name. */
import { bytesToHex } from '../core/bytes.ts'
import { HavenError } from '../core/errors.ts'
import { countOf } from '../records/counts.ts'
import { ranks } from '../records/reading.ts'
import { conflictOf, conflictToken, writesToSettle } from '../records/resolution.ts'
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
import type { Collection } from './collection.ts'
import type { MeshRuntime } from './mesh-runtime.ts'
import { checkedId, checkedValue, notFound } from './record-operations.ts'
import { rfc3339 } from './system.ts'

export class ConflictOperations {
  readonly #runtime: MeshRuntime

  constructor(runtime: MeshRuntime) {
    this.#runtime = runtime
  }

  async list({ collection, titles = false }: ConflictsOptions): Promise<Conflict[]> {
    const names = collection === undefined ? this.#runtime.collectionNames() : [collection]
    const found: Found[] = []
    for (const name of names) {
      const id = this.#runtime.collectionId(name)
      const inCollection = await this.#runtime.integrator.collection(id)
      const ids = await this.#runtime.integrator.inConflict(id)
      for (const state of await inCollection.states(ids)) {
        const view = await inCollection.view(state)
        for (const conflict of view.conflicts)
          found.push({ name, collection: inCollection, view, conflict })
      }
    }
    const titleOfView = titles ? await this.#titles(found) : () => null
    return found.map((each) => this.#listed(each, titleOfView(each.view))).toSorted(gravestFirst)
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
        {
          id: checkedId(id),
          plan(view, reading) {
            if (!view.exists && !view.deleted) throw notFound()
            const conflict = conflictOf(view, field ?? '', seen)
            return writesToSettle(view, conflict, { resolution: decided, reading })
          },
        },
      ],
    )
    return { id, commit: commit === undefined ? null : { ...commit } }
  }

  #listed({ name, collection, view, conflict }: Found, title: string | null): Conflict {
    const { field, kind, state, rank, values, base, problem } = conflict
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
      base: base ?? null,
      ...(field === '' && { changes: this.#unknownTo(conflict, collection, view) }),
      ...(problem !== undefined && { problem }),
      seen: conflictToken(view, conflict),
    }
  }

  /** What had been written when somebody deleted the record, unknown to them. */
  #unknownTo(
    { values }: SeenConflict,
    { causal }: Collection,
    { live }: SeenRecord,
  ): { field: string; device: DeviceRef; time: string }[] {
    return live
      .filter((write) => write.field !== '' && !values.every((by) => causal.isInPast(write, by)))
      .map((write) => ({
        field: write.field,
        device: this.#deviceOf(write),
        time: rfc3339(write.time.ms),
      }))
  }

  #deviceOf({ feed }: LiveWrite): DeviceRef {
    const descriptor = this.#runtime.replica.descriptor(feed)
    const id = descriptor === undefined ? '' : bytesToHex(descriptor.device)
    return { id, name: this.#runtime.control.nameOf(id) }
  }

  /** What people call the records: of what is about a patient, the patient too. */
  async #titles(found: readonly Found[]): Promise<(view: SeenRecord) => string | null> {
    const ids = new Set(found.flatMap(({ view }) => patientIdOf(view.fields) ?? []))
    const patients = new Map<string, string>()
    if (this.#runtime.collectionNames().includes(patientsName)) {
      const collection = await this.#runtime.integrator.collection(
        this.#runtime.collectionId(patientsName),
      )
      for (const state of await collection.states([...ids])) {
        const title = titleOf((await collection.view(state)).fields)
        if (title !== undefined) patients.set(state.id, title)
      }
    }
    return ({ fields }) => {
      const patient = patients.get(patientIdOf(fields) ?? '')
      const own = titleOf(fields)
      return patient !== undefined && own !== undefined
        ? `${own} of ${patient}`
        : (own ?? patient ?? null)
    }
  }
}

const patientsName = 'patients'

interface Found {
  readonly name: string
  readonly collection: Collection
  readonly view: SeenRecord
  readonly conflict: SeenConflict
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

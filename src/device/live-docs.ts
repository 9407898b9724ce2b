/**
 * Yjs documents of records: `device.doc(collection, id)`, and documents of applications that are bound to one.
 *
 * A document of `device.doc` stays open until it is destroyed, or until nobody holds it or listens to it any more: of those that are only held, the
 * latest stay for a while, the others go when memory is needed. Nothing that was typed is lost with one.
 */
import * as Y from 'yjs'

import { HavenError } from '../core/errors.ts'
import { AwarenessRelay } from './awareness-relay.ts'
import { BoundDoc } from './bound-doc.ts'
import { LiveRecord } from './live-record.ts'
import type { EditProblem } from './edit-queue.ts'
import type { MeshRuntime } from './mesh-runtime.ts'
import { checkedId } from './record-operations.ts'
import { isObserved, observerCounts } from './yjs-internals.ts'
import type { ObserverCounts } from './yjs-internals.ts'

export interface LiveDocsOptions {
  /** An edit of an open document could not be stored. */
  readonly problem: (place: { collection: string; id: string }, problem: EditProblem) => void
}

/** What who binds a document hears of it. */
export interface BindingEvents {
  problem?(problem: EditProblem): void
  /** All edits are durable. */
  saved?(): void
  /** The document was destroyed, or the device closed. */
  ended?(): void
}

/** So many documents that were handed out last are held, whether the application still does or not. */
const keptDocs = 64

interface Handed {
  readonly bound: BoundDoc
  readonly own: ObserverCounts
}

export class LiveDocs {
  #runtime: MeshRuntime
  readonly #options: LiveDocsOptions
  readonly #records = new Map<string, LiveRecord>()
  /** Bindings of each record that want to hear of it. */
  readonly #bindings = new Map<BoundDoc, { record: LiveRecord; events: BindingEvents }>()
  readonly #opening = new Map<string, Promise<Y.Doc>>()
  readonly #handed = new Map<string, Handed>()
  /** Of these, those that are held: the one that was asked for last at the end. */
  readonly #kept = new Set<string>()
  readonly #forgotten = new FinalizationRegistry<BoundDoc>((bound) => {
    this.#bindings.get(bound)?.record.gone(bound)
  })
  readonly #awareness = new WeakMap<LiveRecord, AwarenessRelay>()
  #closed = false

  constructor(runtime: MeshRuntime, options: LiveDocsOptions) {
    this.#runtime = runtime
    this.#options = options
    this.#listen(runtime)
  }

  #listen(runtime: MeshRuntime): void {
    runtime.incarnationListeners.add(() => {
      for (const record of this.#records.values()) record.renewed()
    })
    runtime.rebuildListeners.add((collection) => {
      for (const record of this.#records.values()) {
        if (record.collection === collection) record.rebuilt()
      }
    })
  }

  /** Records that documents follow. */
  get openRecords(): number {
    return this.#records.size
  }

  /** Everything that was typed is durable, and every document shows its record. */
  get isSettled(): boolean {
    return [...this.#records.values()].every((record) => record.isSettled)
  }

  /** The same document for the same record while it is open. */
  async open(name: string, id: string): Promise<Y.Doc> {
    const collection = this.#collectionId(name)
    const key = keyOf(collection, checkedId(id))
    const known = this.#handed.get(key)
    const doc = known?.bound.doc
    if (known !== undefined && doc !== undefined) {
      this.#keep(key, known)
      return doc
    }
    let opening = this.#opening.get(key)
    if (opening === undefined) {
      opening = this.#open(collection, id).finally(() => this.#opening.delete(key))
      this.#opening.set(key, opening)
    }
    return opening
  }

  #collectionId(name: string): string {
    if (this.#closed) throw new HavenError('STOPPED', 'This device has been closed.')
    return this.#runtime.collectionId(name)
  }

  async #open(collection: string, id: string): Promise<Y.Doc> {
    const key = keyOf(collection, id)
    const doc = new Y.Doc({ guid: key })
    const bound = new BoundDoc(doc, { origin: fromReplica, withFields: true })
    await this.#join(bound, { collection, id }, {})
    const handed = { bound, own: observerCounts(doc) }
    this.#forgotten.register(doc, bound)
    this.#handed.set(key, handed)
    this.#keep(key, handed)
    doc.emit('sync', [true, doc])
    return doc
  }

  /**
   * Binds a document of an application to a record. What is in it becomes an edit of this device.
   *
   * @throws HavenError `UNKNOWN_COLLECTION`, `INVALID_ID`, `NOT_ALLOWED` where this device only carries, `NOT_READABLE_YET`, `STOPPED`
   */
  async bind(
    place: { readonly name: string; readonly id: string },
    bound: BoundDoc,
    events: BindingEvents,
  ): Promise<void> {
    const collection = this.#collectionId(place.name)
    await this.#join(bound, { collection, id: checkedId(place.id) }, events)
  }

  /** The document follows no longer. Resolves when what was typed before is durable, or can't be made so now. */
  async unbind(bound: BoundDoc): Promise<void> {
    const binding = this.#bindings.get(bound)
    if (binding === undefined) return
    await binding.record.leave(bound)
    this.#bindings.delete(bound)
    await binding.record.settle()
    this.#dropUnused(binding.record)
  }

  /** Resolves when what was typed into it is durable, or can't be made so. */
  async settle(bound: BoundDoc): Promise<void> {
    await this.#bindings.get(bound)?.record.settle()
  }

  /** Resolves when all that was typed so far is durable, or can't be made so. */
  async settled(): Promise<void> {
    for (const record of this.#records.values()) await record.settle()
  }

  /** What could not be stored may be now. */
  tryAgain(): void {
    for (const record of this.#records.values()) record.changed()
  }

  /** What passes on who is in the document; undefined for one that is not bound. */
  awarenessOf(bound: BoundDoc): AwarenessRelay | undefined {
    const record = this.#bindings.get(bound)?.record
    if (record === undefined) return undefined
    const relay = this.#awareness.get(record) ?? new AwarenessRelay()
    this.#awareness.set(record, relay)
    return relay
  }

  unsaved(bound: BoundDoc): number {
    return this.#bindings.get(bound)?.record.unsaved ?? 0
  }

  async #join(
    bound: BoundDoc,
    place: { collection: string; id: string },
    events: BindingEvents,
  ): Promise<void> {
    const record = this.#recordAt(place)
    this.#bindings.set(bound, { record, events })
    try {
      await record.join(bound)
      await record.settle()
    } catch (error) {
      this.#bindings.delete(bound)
      this.#dropUnused(record)
      throw error
    }
  }

  #recordAt({ collection, id }: { collection: string; id: string }): LiveRecord {
    const key = keyOf(collection, id)
    const known = this.#records.get(key)
    if (known !== undefined) return known
    const record: LiveRecord = new LiveRecord(this.#runtime, {
      collection,
      id,
      events: {
        problem: (problem) => {
          this.#options.problem({ collection, id }, problem)
          for (const { events } of this.#bindingsOf(record)) events.problem?.(problem)
        },
        saved: () => {
          for (const { events } of this.#bindingsOf(record)) events.saved?.()
        },
        idle: () => {
          this.#dropUnused(record)
        },
        gone: (bound) => {
          const binding = this.#bindings.get(bound)
          this.#bindings.delete(bound)
          if (this.#handed.get(key)?.bound === bound) {
            this.#handed.delete(key)
            this.#kept.delete(key)
          }
          binding?.events.ended?.()
        },
      },
    })
    this.#records.set(key, record)
    return record
  }

  /** A record that no document follows, or is about to. */
  #dropUnused(record: LiveRecord): void {
    if (record.isUsed || this.#bindingsOf(record).length > 0) return
    this.#records.delete(keyOf(record.collection, record.id))
  }

  #bindingsOf(record: LiveRecord): { record: LiveRecord; events: BindingEvents }[] {
    return [...this.#bindings.values()].filter((binding) => binding.record === record)
  }

  /** Holds a document, and lets go of the one that was asked for longest ago if nobody listens to it. */
  #keep(key: string, { bound }: Handed): void {
    bound.hold()
    this.#kept.delete(key)
    this.#kept.add(key)
    if (this.#kept.size <= keptDocs) return
    for (const oldest of [...this.#kept].slice(0, 2)) {
      this.#kept.delete(oldest)
      const handed = this.#handed.get(oldest)
      const doc = handed?.bound.doc
      if (handed === undefined || doc === undefined) continue
      if (isObserved(doc, handed.own)) this.#kept.add(oldest)
      else handed.bound.release()
      if (this.#kept.size <= keptDocs) return
    }
  }

  /** Records have changed: what is open of them follows. */
  changed(collection: string, ids: readonly string[]): void {
    if (this.#records.size === 0) return
    for (const id of ids) this.#records.get(keyOf(collection, id))?.changed()
  }

  /** The store was opened again: documents go on where they were. */
  async resume(runtime: MeshRuntime): Promise<void> {
    this.#runtime = runtime
    this.#listen(runtime)
    for (const record of this.#records.values()) await record.resume(runtime)
  }

  /** What was typed last is stored when it resolves. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await Promise.all([...this.#opening.values()].map((opening) => opening.catch(() => {})))
    for (const record of this.#records.values()) await record.settle()
    for (const [bound, { record, events }] of this.#bindings) {
      const isOurs = [...this.#handed.values()].some((handed) => handed.bound === bound)
      if (isOurs) bound.doc?.destroy()
      else {
        await record.leave(bound)
        this.#bindings.delete(bound)
        events.ended?.()
      }
    }
    this.#records.clear()
  }
}

/** Marks what came from the replica. */
const fromReplica = Symbol('havenmesh')

function keyOf(collection: string, id: string): string {
  return `${collection}/${id}`
}

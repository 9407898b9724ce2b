/**
 * One record, and the Yjs documents of this device that follow it.
 *
 * What is typed into one document is in the others at once, and goes into the record as this device's edits. Normally every struct has the same id in
 * documents and record. Where that can't be (the device went on in a new feed, or wrote the text from elsewhere while somebody typed; content
 * that a document had before), the edits are stored under other ids, and as soon as nothing is on its way any more the documents begin again with what the
 * record says.
 */
import { randomInt } from 'node:crypto'
import * as Y from 'yjs'

import { bytesToHex } from '../core/bytes.ts'
import { HavenError } from '../core/errors.ts'
import { yjsClientId } from '../feed/descriptor.ts'
import type { FeedDescriptor } from '../feed/descriptor.ts'
import { fieldsUpdates, freeUpdates, mergedUpdates } from '../records/doc.ts'
import { decodeStructs, encodeStateVector } from '../records/free-update.ts'
import { ownEdit } from '../records/own-edit.ts'
import type { RecordState, WriterState } from '../records/record-state.ts'
import { BoundDoc } from './bound-doc.ts'
import type { DocRoom, Parting } from './bound-doc.ts'
import { EditQueue, ownClock } from './edit-queue.ts'
import type { EditProblem } from './edit-queue.ts'
import type { MeshRuntime } from './mesh-runtime.ts'

export interface LiveRecordEvents {
  /** Edits can't be stored, now or for good. */
  problem(problem: EditProblem): void
  /** Everything that was typed is durable. */
  saved(): void
  /** No document is left, and nothing is on its way. */
  idle(): void
  /** A document was destroyed, or nobody holds it any more. */
  gone(bound: BoundDoc): void
}

export class LiveRecord implements DocRoom {
  readonly collection: string
  readonly id: string
  readonly #events: LiveRecordEvents
  readonly #bound = new Set<BoundDoc>()
  #runtime: MeshRuntime
  /** Under which edits get their ids, and from which clock on as far as the record goes. */
  #clientId = 0
  #nextClock = 0
  /** Some ids in the documents are not those of the record. */
  #astray = false
  /** Client ids for edits while that is so. */
  readonly #scratchIds = new Map<BoundDoc, number>()
  /** Client ids of structs that came from elsewhere, and became this device's. */
  readonly #takenOver = new Set<number>()
  /** For each client id, where the structs end that documents have told of. */
  readonly #told = new Map<number, number>()
  readonly #queue: EditQueue
  /** What of each writer the documents have. */
  #applied = new Map<string, string>()
  /** The record has changed. */
  #stale = false
  /** There may be something of this device that the documents don't have yet. */
  #hasMissed = false
  /** It was built again: what was shown may be so no longer. */
  #suspect = false
  #reader: Promise<void> | undefined
  #step = Promise.withResolvers<void>()

  constructor(
    runtime: MeshRuntime,
    { collection, id, events }: { collection: string; id: string; events: LiveRecordEvents },
  ) {
    this.#runtime = runtime
    this.collection = collection
    this.id = id
    this.#events = events
    this.#queue = new EditQueue({
      write: (free) => this.#runtime.writer.write(collection, 'routine', [{ id, free }]),
      isOthers: () => this.#othersClients(),
      stored: (renamed) => {
        this.#stored(renamed)
      },
      problem: (problem) => {
        if (problem.refused) this.#begin()
        events.problem(problem)
      },
      progressed: () => {
        this.#progressed()
      },
    })
  }

  get unsaved(): number {
    return this.#queue.updates.length
  }

  get isUsed(): boolean {
    return this.#bound.size > 0 || !this.#queue.isEmpty || this.#isAtWork
  }

  get isSettled(): boolean {
    return this.#queue.isEmpty && !this.#isAtWork && !this.#astray
  }

  /** The document has what the record has, and the other way round, when it resolves: what was in it before becomes an edit. */
  async join(bound: BoundDoc): Promise<void> {
    await this.#runtime.atRecord(this.collection, this.id, (state, feed) => {
      this.#takeIn(state, feed)
      this.#admit(bound, state)
    })
    this.#go()
  }

  /** The document follows no longer: at once, or after what it shows under passing ids has been stored. */
  async leave(bound: BoundDoc): Promise<void> {
    while (this.#astray && this.#isAtWork) await this.#step.promise
    if (!this.#bound.delete(bound)) return
    const clocks = bound.doc === undefined ? new Map<number, number>() : clocksOf(bound.doc)
    const nextClock = clocks.get(this.#clientId) ?? 0
    bound.leave(this.#astray ? undefined : { clientId: this.#clientId, nextClock, clocks })
    this.#scratchIds.delete(bound)
    this.#checkIdle()
  }

  /** Resolves when everything typed so far is durable, or can't be made so now, and the documents show the record. */
  async settle(): Promise<void> {
    const { pushed } = this.#queue.counts
    const isDone = (): boolean => this.#queue.counts.done >= pushed && !this.#stale && !this.#astray
    while (this.#isAtWork && !isDone()) await this.#step.promise
  }

  /** The record has changed, or may be written again. */
  changed(): void {
    this.#stale = true
    this.#go()
    this.#queue.unblock()
  }

  /** Its collection is being built again. */
  rebuilt(): void {
    this.#suspect = true
    this.changed()
  }

  /** The device goes on in new feeds. */
  renewed(): void {
    this.changed()
  }

  /** The store was opened again, and nothing has been written since. */
  async resume(runtime: MeshRuntime): Promise<void> {
    await this.settle()
    this.#runtime = runtime
    this.#suspect = true
    await this.#refresh((state, feed) => {
      this.#queue.settleDoubt(state)
      this.#takeIn(state, feed)
    })
    this.changed()
  }

  // ---- what documents tell ----

  clientFor(bound: BoundDoc): number {
    const { doc } = bound
    if (!this.#astray && doc !== undefined) {
      if (Y.getState(doc.store, this.#clientId) === this.#clock) return this.#clientId
      // Somebody types in two documents at once, or right after this device wrote from elsewhere.
      this.#astray = true
    }
    const known = this.#scratchIds.get(bound)
    if (known !== undefined) return known
    const clientId = scratchId()
    this.#scratchIds.set(bound, clientId)
    return clientId
  }

  edited(bound: BoundDoc, update: Uint8Array, foreign: boolean): void {
    if (foreign) {
      const brought = this.#broughtBy(update)
      if (brought === 'others') return
      for (const clientId of brought) this.#takenOver.add(clientId)
      if (brought.size > 0) this.#astray = true
    }
    this.#push(bound, update)
  }

  stuck(clientIds: Iterable<number>): void {
    for (const clientId of clientIds) {
      if (!this.#takenOver.has(clientId)) continue
      this.#queue.report(
        new HavenError(
          'INVALID_VALUE',
          'Another provider goes on writing into this document, which is not stored. Let a document of a record have one provider.',
        ),
        false,
      )
    }
  }

  gone(bound: BoundDoc): void {
    if (this.#bound.delete(bound)) this.#events.gone(bound)
    bound.forget()
    this.#scratchIds.delete(bound)
    this.#checkIdle()
  }

  /**
   * The client ids under which an update brings structs that become this device's. What others' devices wrote comes by itself, whatever
   * other way it took into a document.
   */
  #broughtBy(update: Uint8Array): Set<number> | 'others' {
    const structs = decodeStructs(update)?.structs ?? []
    const clientIds = new Set(structs.map(({ id }) => id.client))
    const isOthers = this.#othersClients()
    const ours = new Set([...clientIds].filter((clientId) => !isOthers(clientId)))
    return ours.size === 0 && clientIds.size > 0 ? 'others' : ours
  }

  /** Where the next struct of this device begins, with what is typed already. */
  get #clock(): number {
    let clock = this.#nextClock
    for (const { doc } of this.#bound) {
      if (doc !== undefined) clock = Math.max(clock, Y.getState(doc.store, this.#clientId))
    }
    return clock
  }

  #othersClients(): (clientId: number) => boolean {
    let known: Set<number> | undefined
    return (clientId) => {
      if (clientId === this.#clientId) return false
      const { control, integrator } = this.#runtime
      known ??= new Set(
        integrator
          .feedsOf(this.collection)
          .filter(({ device }) => bytesToHex(device) !== control.device)
          .map((descriptor) => yjsClientId(descriptor, 'free')),
      )
      return known.has(clientId)
    }
  }

  #push(from: BoundDoc, told: Uint8Array): void {
    // What observers do in answer is told with what they answer to, and once more by itself.
    const update = Y.diffUpdate(told, encodeStateVector(this.#told))
    const { structs, deletions } = decodeStructs(update)!
    if (structs.length === 0 && deletions.size === 0) return
    for (const { id, length } of structs) this.#told.set(id.client, id.clock + length)
    this.#queue.push(update)
    for (const bound of this.#bound) if (bound !== from) bound.apply(update)
  }

  // ---- documents that come ----

  #admit(bound: BoundDoc, state: RecordState): void {
    const { doc } = bound
    if (doc === undefined) return
    const record = this.#recordFor(bound, state)
    const { parting } = bound
    const before = this.#clock
    bound.join(this)
    this.#bound.add(bound)
    if (doc.store.clients.size === 0) {
      bound.apply(record)
      return
    }
    if (parting !== undefined && this.#isTaken(doc, parting, before)) {
      // What was typed while it was unbound has ids that mean something else by now.
      const typed = Y.encodeStateAsUpdate(doc, encodeStateVector(parting.clocks))
      const { edit } = ownEdit([typed], { clientId: scratchId(), nextClock: 0 })
      this.#astray = true
      bound.reset(record)
      bound.apply(edit!.update)
      this.#push(bound, edit!.update)
      return
    }
    const news = newsOf(doc, record)
    bound.apply(record)
    if (news === undefined || this.#broughtBy(news) === 'others') return
    let clock = before
    for (const { id, length } of decodeStructs(news)!.structs) {
      if (id.client !== this.#clientId || id.clock !== clock) this.#astray = true
      clock += length
    }
    this.#push(bound, news)
  }

  #isTaken(doc: Y.Doc, parting: Parting, clock: number): boolean {
    if (Y.getState(doc.store, parting.clientId) === parting.nextClock) return false
    const isNext = parting.clientId === this.#clientId && parting.nextClock === clock
    return this.#astray || !isNext
  }

  /** With what is on its way into it. */
  #recordFor({ withFields }: BoundDoc, state: RecordState): Uint8Array {
    const fields = withFields ? [...fieldsUpdates(state).values()] : []
    return mergedUpdates([...fields, ...freeUpdates(state).values(), ...this.#queue.updates])
  }

  // ---- from the record into the documents ----

  #takeIn(state: RecordState, feed: FeedDescriptor): void {
    const clientId = yjsClientId(feed, 'free')
    const isIdle = this.#queue.isEmpty
    if (clientId !== this.#clientId && !isIdle) this.#astray = true
    if (this.#suspect && isIdle && !this.#astray) {
      this.#suspect = false
      this.#astray = [...this.#bound].some((bound) => !this.#shows(bound, state))
    }
    if (this.#astray) {
      if (isIdle) this.#beginAgain(state, clientId)
      return
    }
    if (isIdle) {
      this.#clientId = clientId
      this.#nextClock = ownClock(state, clientId)
    }
    this.#applyNews(state, isIdle)
  }

  /** What this device wrote is in the documents already, unless it wrote from elsewhere. */
  #applyNews(state: RecordState, isIdle: boolean): void {
    const free = freeUpdates(state)
    const fields = fieldsUpdates(state)
    for (const writer of state.writers.values()) {
      const version = versionOf(writer)
      if (this.#applied.get(writer.writer) === version) continue
      if (!isIdle && writer.free?.clientId === this.#clientId) {
        this.#hasMissed = true
        continue
      }
      this.#applied.set(writer.writer, version)
      for (const bound of this.#bound) {
        const updates = [
          free.get(writer.writer),
          bound.withFields ? fields.get(writer.writer) : undefined,
        ]
        for (const update of updates) if (update !== undefined) bound.apply(update)
      }
    }
  }

  #beginAgain(state: RecordState, clientId: number): void {
    this.#astray = false
    this.#suspect = false
    this.#queue.forgetRenames()
    this.#scratchIds.clear()
    this.#told.clear()
    this.#clientId = clientId
    this.#nextClock = ownClock(state, clientId)
    this.#applied = new Map(
      [...state.writers.values()].map((each) => [each.writer, versionOf(each)]),
    )
    // An observer may type in answer to what it sees of it.
    for (const bound of this.#bound) bound.reset(this.#recordFor(bound, state))
  }

  /** Whether the document has just what the record has. */
  #shows(bound: BoundDoc, state: RecordState): boolean {
    const { doc } = bound
    if (doc === undefined) return true
    const fresh = new Y.Doc({ guid: this.id })
    Y.applyUpdate(fresh, this.#recordFor(bound, state))
    return Y.equalSnapshots(Y.snapshot(doc), Y.snapshot(fresh))
  }

  /** The documents are to show what the record has, as soon as nothing is on its way into it. */
  #begin(): void {
    this.#astray = true
    this.#stale = true
    this.#go()
  }

  #stored(renamed: boolean): void {
    if (renamed) this.#astray = true
    if (!this.#queue.isEmpty) return
    if (this.#astray || this.#hasMissed || this.#suspect) {
      this.#stale = true
      this.#go()
    }
    this.#hasMissed = false
    this.#events.saved()
  }

  // ---- work ----

  get #isAtWork(): boolean {
    return this.#queue.isAtWork || this.#reader !== undefined
  }

  /** Beside what is being written: a slow disk does not keep others' words away. */
  #go(): void {
    if (!this.#stale) return
    this.#reader ??= this.#refreshAll().finally(() => {
      this.#reader = undefined
      this.#progressed()
      this.#go()
    })
  }

  async #refreshAll(): Promise<void> {
    while (this.#stale) {
      await this.#refresh((state, feed) => {
        this.#takeIn(state, feed)
      })
      this.#progressed()
    }
  }

  async #refresh(use: (state: RecordState, feed: FeedDescriptor) => void): Promise<void> {
    this.#stale = false
    try {
      await this.#runtime.atRecord(this.collection, this.id, use)
    } catch (error) {
      this.#queue.report(error, false)
    }
  }

  #progressed(): void {
    this.#step.resolve()
    this.#step = Promise.withResolvers()
    this.#checkIdle()
  }

  #checkIdle(): void {
    if (!this.isUsed) this.#events.idle()
  }
}

/** Never sent anywhere. */
function scratchId(): number {
  return randomInt(2 ** 48 - 1)
}

function clocksOf(doc: Y.Doc): Map<number, number> {
  return Y.decodeStateVector(Y.encodeStateVector(doc))
}

/** Another one when there is something new of the writer. */
function versionOf({ free, nextClock, lastSeq }: WriterState): string {
  return [lastSeq, nextClock, free?.commits.length ?? 0, free?.waiting.length ?? 0].join('/')
}

/** What the document has, and the record has not. */
function newsOf(doc: Y.Doc, record: Uint8Array): Uint8Array | undefined {
  const other = new Y.Doc({ guid: doc.guid })
  Y.applyUpdate(other, record)
  let news: Uint8Array | undefined
  other.on('update', (update: Uint8Array) => {
    news = news === undefined ? update : Y.mergeUpdates([news, update])
  })
  Y.applyUpdate(other, Y.encodeStateAsUpdate(doc, Y.encodeStateVector(other)))
  other.destroy()
  return news
}

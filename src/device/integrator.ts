/**
 * From commits to records: each feed is decrypted and taken in, in its own order, as far as its keys are held.
 *
 * Where a verdict changes (somebody was removed, or restored) or a feed turns out to have forked, the collection is built again from its
 * commits: what is visible is a function of the set of commits, and this is that function.
 */
import { bytesToHex, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import type { Clock } from '../core/environment.ts'
import { followTime, zeroTime } from '../core/hybrid-time.ts'
import type { HybridTime } from '../core/hybrid-time.ts'
import { limits } from '../core/limits.ts'
import type { FeedChain, Place } from '../feed/chain.ts'
import type { CommitStore, StoreChange, StoredCommit } from '../feed/commit-store.ts'
import type { FeedDescriptor } from '../feed/descriptor.ts'
import { FeedTable } from '../records/feed-table.ts'
import type { Reading } from '../records/reading.ts'
import { applyFieldsUpdate, applyFreeUpdate, backOf } from '../records/record-state.ts'
import type { RecordState, Writer } from '../records/record-state.ts'
import type { RecordView } from '../records/visibility.ts'
import type { Replica } from '../sync/replica.ts'
import { Collection } from './collection.ts'
import type { Measure } from './collection.ts'
import { chainFrom, CommitOpener, readBytes } from './commit-opener.ts'
import type { OpenedPayload } from './commit-opener.ts'
import type { ControlPlane } from './control-plane.ts'
import type { Mutex } from './mutex.ts'

/** How far a writer's commits are part of the derived state. */
export interface Position {
  readonly writer: string
  readonly seq: number
  readonly id: string
  readonly table: FeedTable
}

interface Progress {
  readonly positions: Map<string, Position>
  /** The verdict that the positions were reached under. */
  verdict: string
  /**
   * Everything in it was understood and accepted, and led back to the commits before as it should: a record's history can be
   * found by that way.
   */
  straight: boolean
}

/** What was read in one go. */
interface Integrable {
  readonly wholes: readonly OpenedPayload[]
  readonly end: Position
  readonly understood: boolean
}

export interface IntegratorOptions {
  readonly store: CommitStore
  readonly replica: Replica
  readonly control: ControlPlane
  readonly clock: Clock
  /** By the schema of a collection as it is now. */
  readonly readingOf: (collection: string) => Reading
  /** Held whenever derived state is read to be changed. */
  readonly lock: Mutex
  readonly changed: (collection: string, ids: readonly string[]) => void
  readonly rebuilding: (collection: string) => void
  readonly failed: (error: unknown) => void
  /** A foreign commit that can't be understood or accepted. */
  readonly marked: (feed: string, seq: number, reason: string) => void
}

export class Integrator {
  readonly #options: IntegratorOptions
  readonly #progress = new Map<string, Progress>()
  readonly #collections = new Map<string, Collection>()
  readonly #dirty = new Set<string>()
  /** Feeds that wait for the key of their next commit. */
  readonly waitingForKey = new Set<string>()
  #running: Promise<void> | undefined
  /** The last batch of derived rows. */
  #written: Promise<void> = Promise.resolve()
  time: HybridTime = zeroTime

  readonly #opener: CommitOpener

  constructor(options: IntegratorOptions) {
    this.#options = options
    this.#opener = new CommitOpener(options)
  }

  async restore(): Promise<void> {
    const { store, replica } = this.#options
    for (const { name, value } of await store.secrets('at/')) {
      const progress = decodeProgress(value)
      this.#progress.set(name.slice(3), progress)
      for (const { writer, seq } of progress.positions.values()) this.#integratedTo.set(writer, seq)
    }
    const time = await store.meta('time')
    if (time !== undefined) {
      const reader = new ByteReader(time, 'hybrid time')
      this.time = { ms: reader.u64(), counter: reader.u16() }
    }
    const interrupted = await store.secrets('rebuild/')
    for (const { name } of interrupted) await this.#rebuild(name.slice('rebuild/'.length))
    for (const { collection } of replica.descriptors()) {
      const { id, isOfOlderForm } = await this.collection(bytesToHex(collection))
      if (isOfOlderForm) this.#rebuilds.add(id)
    }
    this.verdictsChanged()
    for (const chain of replica.chains()) this.#dirty.add(chain.feed)
  }

  async collection(id: string): Promise<Collection> {
    let collection = this.#collections.get(id)
    if (collection === undefined) {
      collection = new Collection(id, {
        store: this.#options.store,
        replica: this.#options.replica,
        integratedTo: (writer) => this.#integratedTo.get(writer) ?? 0,
        reading: () => this.#options.readingOf(id),
        nowMs: () => this.#options.clock.nowMs(),
      })
      this.#collections.set(id, collection)
      await collection.restore()
    }
    return collection
  }

  /** The records of a collection that show a conflict, and of these as much as it follows from. */
  async disputes(id: string): Promise<RecordView[]> {
    const collection = await this.collection(id)
    for (;;) {
      await this.idle()
      const views = await collection.disputes()
      if (views !== undefined) return views
      await this.#options.lock.run(() => collection.indexConflicts())
    }
  }

  collections(): Iterable<Collection> {
    return this.#collections.values()
  }

  readonly #integratedTo = new Map<string, number>()

  positions(feed: string): Iterable<Position> {
    return this.#progress.get(feed)?.positions.values() ?? []
  }

  position(feed: string, writer: string): Position | undefined {
    return this.#progress.get(feed)?.positions.get(writer)
  }

  /** Whether the pointers in a feed's commits lead to all that touched a record: as far as it was integrated here. */
  isStraight(feed: string): boolean {
    return this.#progress.get(feed)?.straight ?? true
  }

  feedsOf(collection: string): FeedDescriptor[] {
    return [...this.#options.replica.descriptors()].filter(
      (each) => bytesToHex(each.collection) === collection,
    )
  }

  /** There are commits of these feeds that have not been integrated. */
  wake(feeds: Iterable<string>): void {
    for (const feed of feeds) this.#dirty.add(feed)
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
      if (this.#dirty.size > 0) this.wake([])
    })
  }

  /** Resolves when everything that is held and readable is part of the records. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running
    await this.#written.catch(() => {})
  }

  /** Something is being taken in or built again, or is about to. */
  get isAtWork(): boolean {
    return this.#running !== undefined || this.#rebuilds.size > 0 || this.#dirty.size > 0
  }

  /** Whether a writer's commits up to a place are part of the records, and these are not about to be built again. */
  hasReached({ feed, collection }: FeedDescriptor, writer: string, place: Place): boolean {
    if (this.#rebuilds.has(bytesToHex(collection))) return false
    return place.seq === 0 || this.position(feed, writer)?.id === place.id
  }

  /** Verdicts or keys may have changed: collections whose verdicts did are built again. */
  verdictsChanged(): void {
    const rebuild = new Set<string>()
    for (const descriptor of this.#options.replica.descriptors()) {
      const collection = bytesToHex(descriptor.collection)
      if (collection === this.#options.control.meshCollection) continue
      const progress = this.#progress.get(descriptor.feed)
      if (progress === undefined) continue
      if (progress.verdict !== this.#options.control.verdictOf(descriptor)) rebuild.add(collection)
      else if (this.#namesChanged(descriptor.feed, progress)) rebuild.add(collection)
    }
    for (const collection of rebuild) this.#rebuilds.add(collection)
    for (const feed of this.waitingForKey) this.#dirty.add(feed)
  }

  readonly #rebuilds = new Set<string>()

  /** Derived rows were damaged: all of them are built again. */
  rebuildAll(): void {
    for (const { collection } of this.#options.replica.descriptors()) {
      const id = bytesToHex(collection)
      if (id !== this.#options.control.meshCollection) this.#rebuilds.add(id)
    }
    this.wake([])
  }

  /** A feed has forked: its branches are writers of their own from now on. */
  forked(feed: string): void {
    const descriptor = this.#options.replica.descriptor(feed)
    if (descriptor !== undefined) this.#rebuilds.add(bytesToHex(descriptor.collection))
    this.wake([feed])
  }

  #namesChanged(feed: string, progress: Progress): boolean {
    const chain = this.#options.replica.chain(feed)
    const names = new Set(chain.segments.map((_, index) => chain.writerOf(index)))
    return [...progress.positions.values()].some((position) => !names.has(position.writer))
  }

  async #run(): Promise<void> {
    const { lock } = this.#options
    try {
      while (this.#dirty.size > 0 || this.#rebuilds.size > 0) {
        for (const collection of this.#rebuilds) await lock.run(() => this.#rebuild(collection))
        for (const feed of this.#dirty) {
          this.#dirty.delete(feed)
          const descriptor = this.#options.replica.descriptor(feed)
          if (
            this.#options.control.carriesOnly ||
            descriptor === undefined ||
            bytesToHex(descriptor.collection) === this.#options.control.meshCollection
          )
            continue
          while (this.#rebuilds.size === 0 && (await lock.run(() => this.#step(descriptor)))) {
            // One batch after the other, so that writers get their turn.
          }
          if (this.#rebuilds.size > 0) {
            // First of all: the rest of this round would only come back to this feed, for ever.
            this.#dirty.add(feed)
            break
          }
        }
      }
    } catch (error) {
      this.#options.failed(error)
    }
  }

  async #rebuild(id: string): Promise<void> {
    const { store } = this.#options
    // Not before the lock is held: whoever holds it has to know that what was read is about to be built again.
    this.#rebuilds.delete(id)
    this.#options.rebuilding(id)
    await this.#written
    const collection = await this.collection(id)
    const feeds = this.feedsOf(id).map(({ feed }) => feed)
    const positions = feeds.map((feed): StoreChange => ({
      kind: 'secret',
      name: `at/${feed}`,
      value: undefined,
    }))
    await store.batch([
      { kind: 'secret', name: `rebuild/${id}`, value: new Uint8Array([1]) },
      ...positions,
    ])
    for (const feed of feeds) {
      for (const writer of this.#progress.get(feed)?.positions.keys() ?? [])
        this.#integratedTo.delete(writer)
      this.#progress.delete(feed)
      this.#dirty.add(feed)
      await store.clearContexts(feed)
    }
    await store.batch([
      ...(await collection.forget()),
      { kind: 'secret', name: `rebuild/${id}`, value: undefined },
    ])
  }

  /** One batch of one feed. Returns whether there may be more. */
  async #step(descriptor: FeedDescriptor): Promise<boolean> {
    const { store, replica, control } = this.#options
    const chain = replica.chain(descriptor.feed)
    const progress = this.#progress.get(descriptor.feed) ?? {
      positions: new Map<string, Position>(),
      verdict: control.verdictOf(descriptor),
      straight: true,
    }
    if (this.#namesChanged(descriptor.feed, progress)) {
      this.#rebuilds.add(bytesToHex(descriptor.collection))
      return false
    }
    for (const [index, segment] of chain.segments.entries()) {
      const writer = chain.writerOf(index)
      const position = progress.positions.get(writer) ?? this.#startOf(chain, index, progress)
      if (position === undefined || position.seq >= segment.to) continue
      const read = await store.commits({
        feed: descriptor.feed,
        after: position.seq,
        upTo: segment.to,
        maxBytes: readBytes,
      })
      const commits = chainFrom(
        read,
        position.id,
        position.seq < segment.from ? segment.first : undefined,
      )
      const wholes = await this.#open(descriptor, commits, position)
      if (wholes === undefined) continue
      await this.#integrate(descriptor, { chain, index, progress }, wholes)
      return true
    }
    return false
  }

  #startOf(chain: FeedChain, index: number, progress: Progress): Position | undefined {
    const segment = chain.segments[index]!
    const writer = chain.writerOf(index)
    if (segment.parent === -1)
      return { writer, seq: segment.from - 1, id: '0'.repeat(64), table: FeedTable.empty }
    const parent = progress.positions.get(chain.writerOf(segment.parent))
    if (parent === undefined || parent.seq < chain.segments[segment.parent]!.to) return undefined
    return { ...parent, writer }
  }

  /** As many whole payloads as can be read; undefined when the first can't be (yet). */
  async #open(
    descriptor: FeedDescriptor,
    commits: readonly StoredCommit[],
    position: Position,
  ): Promise<Integrable | undefined> {
    const { payloads, end, lacksKey, malformed } = await this.#opener.open(commits, position.table)
    if (lacksKey) this.waitingForKey.add(descriptor.feed)
    else if (commits.length > 0) this.waitingForKey.delete(descriptor.feed)
    for (const { seq, reason } of malformed) this.#options.marked(descriptor.feed, seq, reason)
    if (end === undefined) return undefined
    return {
      wholes: payloads,
      end: { ...position, ...end },
      understood: malformed.length === 0,
    }
  }

  async #integrate(
    descriptor: FeedDescriptor,
    at: { chain: FeedChain; index: number; progress: Progress },
    { wholes, end, understood }: Integrable,
  ): Promise<void> {
    const { control, store, clock } = this.#options
    const collection = await this.collection(bytesToHex(descriptor.collection))
    collection.nameWriters(at.chain)
    const writer = collection.writerOf(descriptor, at.chain, at.index)
    const ids = [...new Set(wholes.flatMap(({ payload }) => payload.records.map(({ id }) => id)))]
    const before = await collection.states(ids)
    if (
      collection.needsCausality ||
      before.some(
        (state) =>
          state.writers.size > 1 || (state.writers.size === 1 && !state.writers.has(writer.writer)),
      )
    ) {
      await collection.causalityReady()
    }
    const measures = new Map<string, Measure>(
      before.map((state) => [state.id, collection.measure(state)]),
    )
    const states = new Map<string, RecordState>(before.map((state) => [state.id, state]))
    const changes: StoreChange[] = []
    let straight = understood
    for (const whole of wholes) {
      const { payload } = whole
      const hidden = control.isHidden(descriptor, whole.seq, bytesToHex(whole.id))
      if (!hidden)
        changes.push(
          ...(await collection.sees(
            {
              feed: descriptor.feed,
              writer: writer.writer,
              seq: whole.seq,
              id: whole.id,
            },
            payload.context,
          )),
        )
      this.time = followTime(this.time, payload.time, clock.nowMs())
      const stamp = {
        seq: whole.seq,
        time: payload.time,
        schemaVersion: payload.schemaVersion,
        actor: payload.actor,
      }
      for (const record of payload.records) {
        let state = states.get(record.id)!
        straight &&= record.back === lastTouch(state, writer)
        if (record.fields !== undefined) {
          const applied = applyFieldsUpdate(state, writer, stamp, {
            update: record.fields,
            hidden,
            feeds: whole.table,
          })
          state = applied.state
          if (!applied.accepted) this.#options.marked(descriptor.feed, whole.seq, applied.reason)
          straight &&= applied.accepted
        }
        if (record.free !== undefined) {
          const applied = applyFreeUpdate(state, writer, stamp, { ...record.free, hidden })
          state = applied.state
          if (!applied.accepted) this.#options.marked(descriptor.feed, whole.seq, applied.reason)
          straight &&= applied.accepted
        }
        states.set(record.id, state)
      }
    }
    for (const state of states.values())
      changes.push(...collection.replace(measures.get(state.id)!, state))
    at.progress.straight &&= straight
    changes.push(...this.moved(descriptor, at.progress, end))
    const reconsidered = await collection.integrated(descriptor.feed, states)
    changes.push(...reconsidered.changes)
    changes.push(collection.sumChange(), timeChange(this.time))
    // Derived: what a crash loses here is integrated again. The next batch is worked out while this one is written.
    await this.#written
    this.#written = store.batch(changes, { sync: false })
    this.#written.catch((error: unknown) => {
      this.#options.failed(error)
    })
    collection.onTheirWay(states.values(), this.#written)
    const changed = [...new Set([...ids, ...reconsidered.moved])]
    if (changed.length > 0) this.#options.changed(collection.id, changed)
  }

  /** A writer's position has moved: the rows to store. */
  moved(descriptor: FeedDescriptor, progress: Progress | undefined, end: Position): StoreChange[] {
    const known = progress ??
      this.#progress.get(descriptor.feed) ?? {
        positions: new Map<string, Position>(),
        verdict: this.#options.control.verdictOf(descriptor),
        straight: true,
      }
    known.positions.set(end.writer, end)
    this.#progress.set(descriptor.feed, known)
    this.#integratedTo.set(end.writer, end.seq)
    return [{ kind: 'secret', name: `at/${descriptor.feed}`, value: encodeProgress(known) }]
  }

  rememberIntegrated(): void {
    for (const progress of this.#progress.values()) {
      for (const position of progress.positions.values())
        this.#integratedTo.set(position.writer, position.seq)
    }
  }
}

/** What an honest author says as `back`: on a branch, the last that its stem says counts too. */
function lastTouch(state: RecordState, { writer, ancestors = [] }: Writer): number {
  for (const each of [writer, ...ancestors]) {
    const seq = backOf(state, each)
    if (seq > 0) return seq
  }
  return 0
}

export function timeChange(time: HybridTime): StoreChange {
  return {
    kind: 'meta',
    name: 'time',
    value: new ByteWriter(10).u64(time.ms).u16(time.counter).finish(),
  }
}

function encodeProgress(progress: Progress): Uint8Array {
  const out = new ByteWriter(256).text(progress.verdict).varint(progress.positions.size)
  for (const { writer, seq, id, table } of progress.positions.values()) {
    out.text(writer).varint(seq).bytes(hexToBytes(id)).lengthPrefixed(table.toBytes())
  }
  return out.u8(progress.straight ? 1 : 0).finish()
}

function decodeProgress(bytes: Uint8Array): Progress {
  const reader = new ByteReader(bytes, 'position')
  const verdict = reader.text(1024 * 1024)
  const positions = new Map<string, Position>()
  for (let rest = reader.count(35); rest > 0; rest--) {
    const writer = reader.text(64)
    const seq = reader.varint()
    const id = bytesToHex(reader.bytes(32))
    positions.set(writer, {
      writer,
      seq,
      id,
      table: FeedTable.fromBytes(reader.lengthPrefixed(limits.clockFeeds * 17)),
    })
  }
  // Older rows do not say.
  const straight = reader.remaining === 0 || reader.u8() === 1
  reader.end()
  return { verdict, positions, straight }
}

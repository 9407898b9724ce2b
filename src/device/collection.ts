/**
 * One collection's derived state: which writers there are, what their commits had seen, what the records look like.
 *
 * All of it follows from the commits, and can be thrown away and built again.
 */
import { bytesToHex, equalBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import type { FeedChain } from '../feed/chain.ts'
import type { CommitStore, StoreChange } from '../feed/commit-store.ts'
import { yjsClientId } from '../feed/descriptor.ts'
import type { FeedDescriptor } from '../feed/descriptor.ts'
import type { CausalIndex, Place } from '../records/causality.ts'
import { disputedPart, hasConflicts } from '../records/conflict-check.ts'
import { ContentSum, recordHash } from '../records/content-hash.ts'
import { canonicalFreeUpdate } from '../records/doc.ts'
import { hasWaitingUpdates, settleFree, settlesForGood } from '../records/settle-free.ts'
import { decodeRecord, encodeRecordState } from '../records/record-bytes.ts'
import { emptyRecord } from '../records/record-state.ts'
import { withPlanned } from '../records/planned-commit.ts'
import { encodeRecordCausality, type RecordCausality } from '../records/record-causality.ts'
import type { RecordState, Writer } from '../records/record-state.ts'
import type { Reading } from '../records/reading.ts'
import { compareVersions } from '../records/record-version.ts'
import type { RecordVersion } from '../records/record-version.ts'
import { summaryOf, viewRecord } from '../records/visibility.ts'
import type { RecordView } from '../records/visibility.ts'
import type { ContextEntry } from '../records/record-payload.ts'
import type { Replica } from '../sync/replica.ts'
import { ConflictIndex } from './conflict-index.ts'
import type { Standing } from './conflict-index.ts'
import { SeenContexts, type CommitPlace } from './seen-contexts.ts'

export class Collection {
  readonly id: string
  readonly #store: CommitStore
  readonly #contexts: SeenContexts
  /** Some record's part of the sum follows from what commits had seen, also from what a run before this one had not heard of yet. */
  #sumFollowsCausality = false
  /** While a collection that was empty is filled: all that it holds, so that nothing is looked up in vain. */
  #knownIds: Set<string> | undefined
  readonly #onItsWay = new Map<string, RecordState>()
  /** Of records with several writers what was known of their causality when they were stored: enough to view them. */
  readonly #stored = new WeakMap<RecordState, RecordCausality>()
  #sum = new ContentSum()
  #records = 0
  #isOfOlderForm = false
  readonly #index: ConflictIndex

  readonly #reading: () => Reading
  readonly #nowMs: () => number

  /**
   * @param ports.integratedTo - the seq up to which a writer's commits are part of the derived state
   * @param ports.reading - by the schema of this collection as it is now
   */
  constructor(
    id: string,
    ports: {
      store: CommitStore
      replica: Replica
      integratedTo: (writer: string) => number
      reading: () => Reading
      nowMs: () => number
    },
  ) {
    this.id = id
    this.#store = ports.store
    this.#reading = ports.reading
    this.#nowMs = ports.nowMs
    this.#contexts = new SeenContexts(id, ports)
    this.#index = new ConflictIndex(id, {
      ...ports,
      rows: { encoded: (state) => this.#encoded(state), decoded: (row) => this.#decoded(row) },
    })
  }

  /** How its records are read now. */
  get reading(): Reading {
    return this.#reading()
  }

  /** Who had seen what: complete after {@link causalityReady}. */
  get causal(): CausalIndex {
    return this.#contexts.causal
  }

  get contentHash(): string {
    return bytesToHex(this.#sum.toBytes())
  }

  /** Records that exist and are not deleted. */
  get recordCount(): number {
    return this.#records
  }

  async restore(): Promise<void> {
    const bytes = await this.#store.secret(`sum/${this.id}`)
    await this.#index.restore(bytes === undefined)
    if (bytes === undefined) {
      // Nothing has ever been integrated: sum and records are written together.
      this.#knownIds = new Set()
      return
    }
    const reader = new ByteReader(bytes, 'content sum')
    this.#sum = ContentSum.fromBytes(reader.bytes(32))
    this.#records = reader.varint()
    // Older rows do not say.
    this.#sumFollowsCausality = reader.remaining === 0 || reader.u8() === 1
    this.#isOfOlderForm = reader.remaining === 0 || reader.varint() < derivedForm
  }

  /** Its records were derived by an older version of this program, in another form: they have to be built again. */
  get isOfOlderForm(): boolean {
    return this.#isOfOlderForm
  }

  sumChange(): StoreChange {
    const value = new ByteWriter(48)
      .bytes(this.#sum.toBytes())
      .varint(this.#records)
      .u8(this.#sumFollowsCausality ? 1 : 0)
      .varint(derivedForm)
      .finish()
    return { kind: 'secret', name: `sum/${this.id}`, value }
  }

  /** The writer that a stretch of a feed is. */
  writerOf(descriptor: FeedDescriptor, chain: FeedChain, segment: number): Writer {
    const ancestors: string[] = []
    for (
      let at = chain.segments[segment]?.parent ?? -1;
      at !== -1;
      at = chain.segments[at]!.parent
    ) {
      ancestors.push(chain.writerOf(at))
    }
    const writer = chain.segments.length === 0 ? descriptor.feed : chain.writerOf(segment)
    return {
      writer,
      feed: descriptor.feed,
      clientId: yjsClientId(descriptor, 'fields'),
      freeClientId: yjsClientId(descriptor, 'free'),
      ancestors,
    }
  }

  /** Makes the writers of a feed known to the causal index. */
  nameWriters(chain: FeedChain): void {
    this.#contexts.nameWriters(chain)
  }

  /** Loads what commits had seen, once: needed as soon as two writers meet in a record. */
  causalityReady(): Promise<void> {
    this.#sumFollowsCausality = true
    return this.#contexts.ready()
  }

  /** What arrives from others may be what a context of an earlier run waits for: whose records count has to be known first. */
  get needsCausality(): boolean {
    return this.#sumFollowsCausality
  }

  /**
   * A commit is about to become part of the records: what it had seen counts from now on. Returns the rows to be written.
   */
  sees(commit: CommitPlace, context: readonly ContextEntry[]): Promise<StoreChange[]> {
    return this.#contexts.add(commit, context)
  }

  /** Commits that others have named and that are not part of the records here, and the writer that named each. */
  awaited(): Iterable<{ feed: string; seq: number; by: string }> {
    return this.#contexts.awaited()
  }

  /**
   * Commits of a feed have been integrated: contexts that named them count now. Returns the rows to be written.
   *
   * @param fresh - states of records that are not in the store yet, already in place
   */
  async integrated(feed: string, fresh: ReadonlyMap<string, RecordState>): Promise<Reconsidered> {
    const count = await this.#contexts.arrived(feed)
    if (count === undefined) return nothingReconsidered
    // Their records were not touched by what arrived, but what replaces what may have changed.
    const ids = await this.#index.contested()
    const stored = await this.states([...ids].filter((id) => !fresh.has(id)))
    const contested = [...stored, ...[...fresh.values()].filter(({ id }) => ids.has(id))]
    const before = contested.map((state) => this.measure(state))
    const causalities = contested.map((state) => encodeRecordCausality(state, this.causal))
    const changes = count()
    const moved: string[] = []
    for (const [index, state] of contested.entries()) {
      const after = this.measure(state)
      changes.push(...this.#recount(before[index]!, after))
      if (!isSame(before[index]!, after)) moved.push(state.id)
      const causality = encodeRecordCausality(state, this.causal)
      if (!isSameBytes(causality, causalities[index])) changes.push(this.#rowOf(this.#kept(state)))
    }
    return { changes, moved }
  }

  async states(ids: readonly string[]): Promise<RecordState[]> {
    const states = ids.map((id) =>
      this.#knownIds?.has(id) === false ? emptyRecord(id) : this.#onItsWay.get(id),
    )
    const missing = ids.filter((_, index) => states[index] === undefined)
    if (missing.length > 0) {
      const rows = await this.#store.records(this.id, missing)
      let next = 0
      for (const [index, state] of states.entries()) {
        if (state !== undefined) continue
        const row = rows[next++]
        states[index] = row === undefined ? emptyRecord(ids[index]!) : this.#decoded(row)
      }
    }
    return states as RecordState[]
  }

  async state(id: string): Promise<RecordState | undefined> {
    const newest = this.#onItsWay.get(id)
    if (newest !== undefined) return newest
    const row = await this.#store.record(this.id, id)
    return row === undefined ? undefined : this.#decoded(row)
  }

  /** States whose rows are being written: what is read until then is read from here. */
  onTheirWay(states: Iterable<RecordState>, written: Promise<void>): void {
    const these = [...states]
    const contextsArrived = this.#contexts.onTheirWay()
    for (const state of these) this.#onItsWay.set(state.id, state)
    const arrived = (): void => {
      contextsArrived()
      for (const state of these) {
        if (this.#onItsWay.get(state.id) === state) this.#onItsWay.delete(state.id)
      }
    }
    written.then(arrived, arrived)
  }

  async *allStates(): AsyncIterable<RecordState> {
    for await (const row of this.#store.allRecords(this.id)) yield this.#decoded(row)
  }

  #decoded(row: Uint8Array): RecordState {
    const { state, causality } = decodeRecord(row)
    if (causality !== undefined) this.#stored.set(state, causality)
    return state
  }

  #encoded(state: RecordState): Uint8Array {
    return encodeRecordState(state, this.#contexts.isLoaded ? this.causal : undefined)
  }

  async view(state: RecordState, reading = this.reading): Promise<RecordView> {
    const stored = this.#contexts.isLoaded ? undefined : this.#stored.get(state)
    if (stored !== undefined && !hasWaitingUpdates(state)) {
      return viewRecord(state, stored, reading, this.#nowMs())
    }
    if (state.writers.size > 1) await this.causalityReady()
    this.#contexts.nameWritersOf(state)
    return viewRecord(this.#settledNow(state), this.causal, reading, this.#nowMs())
  }

  /** With the text and free types that count by what is known now. */
  async settled(state: RecordState): Promise<RecordState> {
    if (!hasWaitingUpdates(state)) return state
    if (state.writers.size > 1) await this.causalityReady()
    return this.#settledNow(state)
  }

  /** As a commit finds it that this device is about to make at a place: that has seen whatever is here. */
  async settledFor(state: RecordState, place: Place): Promise<RecordState> {
    const settled = await this.settled(state)
    if (!hasWaitingUpdates(settled)) return settled
    return settleFree(settled, withPlanned(this.causal, place))
  }

  /** What somebody sees for whom such a commit is being made, and who shares it with others. */
  async viewFor(state: RecordState, reading: Reading, place: Place): Promise<RecordView> {
    const settled = await this.settledFor(state, place)
    if (state.writers.size > 1) await this.causalityReady()
    this.#contexts.nameWritersOf(state)
    return viewRecord(settled, withPlanned(this.causal, place), reading, this.#nowMs())
  }

  #settledNow(state: RecordState): RecordState {
    if (!hasWaitingUpdates(state)) return state
    this.#contexts.nameWritersOf(state)
    return settleFree(state, this.causal)
  }

  /** How two versions of a record lie to each other. Writers that are not held here count as unseen by all. */
  async compare(
    a: RecordVersion,
    b: RecordVersion,
  ): Promise<'before' | 'after' | 'equal' | 'concurrent'> {
    await this.causalityReady()
    const { causal } = this
    // A program may hand in anything: that makes no writers, who might turn out to be branches.
    const isInPast = (one: Place, other: Place): boolean =>
      causal.has(one.writer) && causal.has(other.writer) && causal.isInPast(one, other)
    return compareVersions(a, b, { isInPast })
  }

  /**
   * A record's new state, and its part of sum and count: `before` was measured before any context of this step counted. Returns the rows
   * to be written.
   */
  replace(before: Measure, after: RecordState): StoreChange[] {
    if (this.#knownIds?.add(after.id) !== undefined && this.#knownIds.size > knownIdsMax) {
      this.#knownIds = undefined
    }
    const kept = this.#kept(after)
    return [this.#rowOf(kept), ...this.#recount(before, this.measure(kept))]
  }

  /** As it is stored. */
  #kept(state: RecordState): RecordState {
    return settlesForGood(state) ? this.#settledNow(state) : state
  }

  #rowOf(kept: RecordState): StoreChange {
    return { kind: 'record', collection: this.id, id: kept.id, value: this.#encoded(kept) }
  }

  /** Replaces a record's part of sum and count. Returns the rows that change with it. */
  #recount(before: Measure, after: Measure): StoreChange[] {
    this.#apply(before, -1)
    this.#apply(after, 1)
    return this.#index.moved(before, after)
  }

  /** The caller has loaded the causality if the record has several writers. */
  measure(arrived: RecordState): Measure {
    const { id } = arrived
    if (arrived.writers.size === 0)
      return { id, exists: false, contested: false, disputed: undefined, hash: undefined }
    if (arrived.writers.size > 1) this.#contexts.nameWritersOf(arrived)
    const state = this.#settledNow(arrived)
    const { exists, live, ...summary } = summaryOf(state, this.causal)
    const contested =
      summary.contested || hasWaitingUpdates(settlesForGood(arrived) ? state : arrived)
    const free = canonicalFreeUpdate(state)
    const hash =
      live.length === 0 && free === undefined ? undefined : recordHash(id, { live, free })
    const how = { causality: this.causal, reading: this.reading }
    const disputed = hasConflicts(state, contested, how)
      ? disputedPart(arrived, how.reading)
      : undefined
    return { id, exists, contested, disputed, hash }
  }

  #apply(measure: Measure, sign: 1 | -1): void {
    if (measure.hash !== undefined) {
      if (sign === 1) this.#sum.add(measure.hash)
      else this.#sum.subtract(measure.hash)
    }
    if (measure.exists) this.#records += sign
  }

  /**
   * The records that show a conflict, and of these as much as it follows from. Undefined where that is not known by the schema of now:
   * after {@link indexConflicts} it is.
   */
  async disputes(): Promise<RecordView[] | undefined> {
    if (!this.#index.isCurrent) return undefined
    const views: RecordView[] = []
    for (const state of await this.#index.disputed()) views.push(await this.view(state))
    return views
  }

  /** Looks at every record for what {@link disputes} needs, where that is not known. The caller holds the lock. */
  async indexConflicts(): Promise<void> {
    if (this.#index.isCurrent) return
    await this.causalityReady()
    await this.#index.make(this.#measures())
  }

  async *#measures(): AsyncIterable<Measure> {
    const newest = new Map(this.#onItsWay)
    for await (const state of this.allStates()) if (!newest.has(state.id)) yield this.measure(state)
    for (const state of newest.values()) yield this.measure(state)
  }

  /** Throws everything derived away, to build it again from the commits. */
  async forget(): Promise<StoreChange[]> {
    await this.#store.clearRecords(this.id)
    this.#onItsWay.clear()
    this.#knownIds = new Set()
    this.#sum = new ContentSum()
    this.#records = 0
    this.#isOfOlderForm = false
    const indexRows = await this.#index.forget()
    this.#contexts.forget()
    this.#sumFollowsCausality = false
    return [this.sumChange(), ...indexRows]
  }
}

/** Some megabytes; after that looking up costs less than remembering. */
const knownIdsMax = 50_000

/** Of what is derived from commits: moves when rows that an older version wrote would be read wrongly. */
const derivedForm = 3

/** What more knowledge of who had seen what has changed. */
interface Reconsidered {
  readonly changes: readonly StoreChange[]
  /** Records that show something else than before. */
  readonly moved: readonly string[]
}

const nothingReconsidered: Reconsidered = { changes: [], moved: [] }

function isSame(before: Measure, after: Measure): boolean {
  if (before.exists !== after.exists) return false
  if ((before.disputed === undefined) !== (after.disputed === undefined)) return false
  return isSameBytes(before.hash, after.hash)
}

function isSameBytes(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  return one === undefined || other === undefined ? one === other : equalBytes(one, other)
}

/** What a record counts for in its collection. */
export interface Measure extends Standing {
  readonly exists: boolean
  readonly hash: Uint8Array | undefined
}

/**
 * One collection's derived state: which writers there are, what their commits had seen, what the records look like.
 *
 * All of it follows from the commits, and can be thrown away and built again.
 */
import { bytesToHex, equalBytes, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import type { FeedChain } from '../feed/chain.ts'
import type { CommitStore, StoreChange } from '../feed/commit-store.ts'
import { yjsClientId } from '../feed/descriptor.ts'
import type { FeedDescriptor } from '../feed/descriptor.ts'
import { CausalIndex } from '../records/causality.ts'
import type { Place } from '../records/causality.ts'
import { disputedPart, hasConflicts } from '../records/conflict-check.ts'
import { ContentSum, recordHash } from '../records/content-hash.ts'
import { canonicalFreeUpdate } from '../records/doc.ts'
import { hasWaitingUpdates, settleFree, settlesForGood } from '../records/free-state.ts'
import { decodeRecordState, encodeRecordState } from '../records/record-bytes.ts'
import { emptyRecord } from '../records/record-state.ts'
import type { RecordState, Writer } from '../records/record-state.ts'
import type { Reading } from '../records/reading.ts'
import { compareVersions } from '../records/record-version.ts'
import type { RecordVersion } from '../records/record-version.ts'
import { summaryOf, viewRecord } from '../records/visibility.ts'
import type { RecordView } from '../records/visibility.ts'
import type { ContextEntry } from '../records/record-payload.ts'
import type { Replica } from '../sync/replica.ts'
import { segmentNamed } from './chain-lookup.ts'
import { ConflictIndex } from './conflict-index.ts'
import type { Standing } from './conflict-index.ts'

/** What a commit had seen. */
interface SeenContext {
  readonly writer: string
  readonly seq: number
  readonly entries: readonly ContextEntry[]
}

/** An entry of a context whose commit is not held yet. */
interface PendingEntry {
  readonly writer: string
  readonly seq: number
  readonly entry: ContextEntry
}

export class Collection {
  readonly id: string
  readonly #store: CommitStore
  readonly #replica: Replica
  causal = new CausalIndex()
  readonly #pending = new Map<string, PendingEntry[]>()
  #causalReady: Promise<void> | undefined
  /** Contexts of this run whose rows may not be in the store when it is read. */
  readonly #unread = new Set<SeenContext>()
  /** Some record's part of the sum follows from what commits had seen, also from what a run before this one had not heard of yet. */
  #sumFollowsCausality = false
  /** While a collection that was empty is filled: all that it holds, so that nothing is looked up in vain. */
  #knownIds: Set<string> | undefined
  readonly #onItsWay = new Map<string, RecordState>()
  #sum = new ContentSum()
  #records = 0
  #isOfOlderForm = false
  readonly #index: ConflictIndex

  readonly #integratedTo: (writer: string) => number
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
    this.#replica = ports.replica
    this.#integratedTo = ports.integratedTo
    this.#reading = ports.reading
    this.#nowMs = ports.nowMs
    this.#index = new ConflictIndex(id, ports)
  }

  /** How its records are read now. */
  get reading(): Reading {
    return this.#reading()
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

  /** Makes the writers of a feed known to the causal index: parents first. */
  nameWriters(chain: FeedChain): void {
    if (chain.segments.length === 0) this.causal.addWriter(chain.feed)
    for (const [index, segment] of chain.segments.entries()) {
      const parent = chain.segments[segment.parent]
      this.causal.addWriter(
        chain.writerOf(index),
        parent === undefined
          ? undefined
          : { writer: chain.writerOf(segment.parent), seq: parent.to },
      )
    }
  }

  /** Loads what commits had seen, once: needed as soon as two writers meet in a record. */
  causalityReady(): Promise<void> {
    this.#sumFollowsCausality = true
    this.#causalReady ??= this.#loadCausality([...this.#unread])
    return this.#causalReady
  }

  /** What arrives from others may be what a context of an earlier run waits for: whose records count has to be known first. */
  get needsCausality(): boolean {
    return this.#sumFollowsCausality
  }

  async #loadCausality(unread: readonly SeenContext[]): Promise<void> {
    const feeds = [...this.#replica.descriptors()].filter(
      ({ collection }) => bytesToHex(collection) === this.id,
    )
    for (const { feed } of feeds) this.nameWriters(this.#replica.chain(feed))
    for (const { feed } of feeds) {
      for await (const row of this.#store.contexts(feed)) {
        const { writer, entries } = decodeContextRow(row.value)
        await this.#see(writer, row.seq, entries)
      }
    }
    for (const { writer, seq, entries } of unread) await this.#see(writer, seq, entries)
  }

  /**
   * A commit's context: what it names and we hold counts; the rest counts when it arrives.
   *
   * @returns the row to store
   */
  async sees(
    feed: string,
    writer: string,
    seq: number,
    id: Uint8Array,
    context: readonly ContextEntry[],
  ): Promise<StoreChange[]> {
    if (context.length === 0) return []
    if (this.#causalReady !== undefined) {
      await this.#causalReady
      await this.#see(writer, seq, context)
    } else this.#unread.add({ writer, seq, entries: context })
    return [{ kind: 'context', feed, seq, id, value: encodeContextRow(writer, context) }]
  }

  async #see(writer: string, seq: number, entries: readonly ContextEntry[]): Promise<void> {
    const resolved: { writer: string; seq: number }[] = []
    for (const entry of entries) {
      const seen = await this.#writerAt(entry)
      if (seen !== undefined) resolved.push({ writer: seen, seq: entry.seq })
      else {
        const waiting = this.#pending.get(entry.feed)
        if (waiting === undefined) this.#pending.set(entry.feed, [{ writer, seq, entry }])
        else waiting.push({ writer, seq, entry })
      }
    }
    if (resolved.length > 0) this.causal.addSeen(writer, seq, resolved)
  }

  /**
   * The writer whose commit is at a place, if its id is the one that is named and it has been integrated: only then the contexts on the
   * way to it are complete.
   */
  async #writerAt(entry: ContextEntry): Promise<string | undefined> {
    const chain = this.#replica.chain(entry.feed)
    if (entry.seq > chain.seq) return undefined
    const writer = await this.#writerNamed(chain, entry)
    return writer !== undefined && this.#integratedTo(writer) >= entry.seq ? writer : undefined
  }

  async #writerNamed(chain: FeedChain, entry: ContextEntry): Promise<string | undefined> {
    this.nameWriters(chain)
    const place = { seq: entry.seq, idPrefix: bytesToHex(entry.id) }
    const segment = await segmentNamed(this.#store, chain, place)
    return segment === undefined ? undefined : chain.writerOf(segment)
  }

  /** Commits that others have named and that are not part of the records here, and the writer that named each. */
  *awaited(): Iterable<{ feed: string; seq: number; by: string }> {
    for (const [feed, entries] of this.#pending)
      for (const { writer, entry } of entries) yield { feed, seq: entry.seq, by: writer }
  }

  /**
   * Commits of a feed have been integrated: contexts that named them count now. Returns the rows to be written.
   *
   * @param fresh - states of records that are not in the store yet, already in place
   */
  async integrated(feed: string, fresh: ReadonlyMap<string, RecordState>): Promise<Reconsidered> {
    if (this.#causalReady === undefined) return nothingReconsidered
    await this.#causalReady
    const waiting = this.#pending.get(feed)
    if (waiting === undefined) return nothingReconsidered
    const resolved: PendingEntry[] = []
    const still: PendingEntry[] = []
    for (const each of waiting) {
      if ((await this.#writerAt(each.entry)) === undefined) still.push(each)
      else resolved.push(each)
    }
    if (resolved.length === 0) return nothingReconsidered
    if (still.length === 0) this.#pending.delete(feed)
    else this.#pending.set(feed, still)
    // Their records were not touched by what arrived, but what replaces what may have changed.
    const ids = await this.#index.contested()
    const stored = await this.states([...ids].filter((id) => !fresh.has(id)))
    const contested = [...stored, ...[...fresh.values()].filter(({ id }) => ids.has(id))]
    const before = contested.map((state) => this.measure(state))
    for (const { writer, seq, entry } of resolved) await this.#see(writer, seq, [entry])
    const changes: StoreChange[] = []
    const moved: string[] = []
    for (const [index, state] of contested.entries()) {
      const after = this.measure(state)
      changes.push(...this.#recount(before[index]!, after))
      if (!isSame(before[index]!, after)) moved.push(state.id)
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
        states[index] = row === undefined ? emptyRecord(ids[index]!) : decodeRecordState(row)
      }
    }
    return states as RecordState[]
  }

  async state(id: string): Promise<RecordState | undefined> {
    const newest = this.#onItsWay.get(id)
    if (newest !== undefined) return newest
    const row = await this.#store.record(this.id, id)
    return row === undefined ? undefined : decodeRecordState(row)
  }

  /** States whose rows are being written: what is read until then is read from here. */
  onTheirWay(states: Iterable<RecordState>, written: Promise<void>): void {
    const these = [...states]
    const contexts = [...this.#unread]
    for (const state of these) this.#onItsWay.set(state.id, state)
    const arrived = (): void => {
      for (const context of contexts) this.#unread.delete(context)
      for (const state of these) {
        if (this.#onItsWay.get(state.id) === state) this.#onItsWay.delete(state.id)
      }
    }
    written.then(arrived, arrived)
  }

  async *allStates(): AsyncIterable<RecordState> {
    for await (const row of this.#store.allRecords(this.id)) yield decodeRecordState(row)
  }

  async view(state: RecordState, reading = this.reading): Promise<RecordView> {
    const settled = await this.settled(state)
    this.#nameWritersOf(state)
    return viewRecord(settled, this.causal, reading, this.#nowMs())
  }

  /** With the text and free types that count by what is known now. */
  async settled(state: RecordState): Promise<RecordState> {
    if (state.writers.size > 1) await this.causalityReady()
    return this.#settledNow(state)
  }

  /** As a commit finds it that this device is about to make at a place: that has seen whatever is here. */
  async settledFor(state: RecordState, { writer, seq }: Place): Promise<RecordState> {
    const settled = await this.settled(state)
    if (!hasWaitingUpdates(settled)) return settled
    const { causal } = this
    const isInPast = (a: Place, b: Place): boolean =>
      (b.writer === writer && b.seq >= seq) || causal.isInPast(a, b)
    return settleFree(settled, { isInPast })
  }

  #settledNow(state: RecordState): RecordState {
    if (!hasWaitingUpdates(state)) return state
    this.#nameWritersOf(state)
    return settleFree(state, this.causal)
  }

  /** How two versions of a record lie to each other. Writers that are not held here count as unseen by all. */
  async compare(
    a: RecordVersion,
    b: RecordVersion,
  ): Promise<'before' | 'after' | 'equal' | 'concurrent'> {
    await this.causalityReady()
    for (const writer of [...a.keys(), ...b.keys()]) {
      if (!this.causal.has(writer)) this.causal.addWriter(writer)
    }
    return compareVersions(a, b, this.causal)
  }

  #nameWritersOf(state: RecordState): void {
    for (const writer of state.writers.values()) {
      if (!this.causal.has(writer.writer)) this.nameWriters(this.#replica.chain(writer.feed))
      if (!this.causal.has(writer.writer)) this.causal.addWriter(writer.writer)
    }
  }

  /**
   * A record's new state, and its part of sum and count: `before` was measured before any context of this step counted. Returns the rows
   * to be written.
   */
  replace(before: Measure, after: RecordState): StoreChange[] {
    if (this.#knownIds?.add(after.id) !== undefined && this.#knownIds.size > knownIdsMax) {
      this.#knownIds = undefined
    }
    const kept = settlesForGood(after) ? this.#settledNow(after) : after
    const value = encodeRecordState(kept)
    return [
      { kind: 'record', collection: this.id, id: after.id, value },
      ...this.#recount(before, this.measure(kept)),
    ]
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
    if (arrived.writers.size > 1) this.#nameWritersOf(arrived)
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
    this.#pending.clear()
    this.causal = new CausalIndex()
    this.#causalReady = undefined
    this.#unread.clear()
    this.#sumFollowsCausality = false
    return [this.sumChange(), ...indexRows]
  }
}

/** Some megabytes; after that looking up costs less than remembering. */
const knownIdsMax = 50_000

/** Of what is derived from commits: moves when rows that an older version wrote would be read wrongly. */
const derivedForm = 2

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
  if (before.hash === undefined || after.hash === undefined) return before.hash === after.hash
  return equalBytes(before.hash, after.hash)
}

/** What a record counts for in its collection. */
export interface Measure extends Standing {
  readonly exists: boolean
  readonly hash: Uint8Array | undefined
}

function encodeContextRow(writer: string, entries: readonly ContextEntry[]): Uint8Array {
  const out = new ByteWriter(32 * entries.length + 40).text(writer).varint(entries.length)
  for (const entry of entries) out.bytes(hexToBytes(entry.feed)).varint(entry.seq).bytes(entry.id)
  return out.finish()
}

function decodeContextRow(bytes: Uint8Array): { writer: string; entries: ContextEntry[] } {
  const reader = new ByteReader(bytes, 'context row')
  const writer = reader.text(64)
  const entries = Array.from({ length: reader.count(21) }, () => ({
    feed: bytesToHex(reader.bytes(16)),
    seq: reader.varint(),
    id: reader.bytes(4).slice(),
  }))
  reader.end()
  return { writer, entries }
}

/** Every write of a record: by whom, when, what it took the place of, and what its author had seen. */
import { HavenError } from '../core/errors.ts'
import { visiblyOffMs } from '../core/hybrid-time.ts'
import { compareCandidates, sees } from '../records/candidates.ts'
import type { Candidate } from '../records/candidates.ts'
import type { CausalIndex, Place } from '../records/causality.ts'
import { countOf } from '../records/counts.ts'
import { FreeTypes } from '../records/free-edits.ts'
import { allSeen, lastValue, latestOf, replacedBy, seenOf } from '../records/history.ts'
import { linkOf } from '../records/links.ts'
import type { AcceptedWrite, RecordState, Writer, WriterState } from '../records/record-state.ts'
import { isReserved } from '../records/reserved-fields.ts'
import type {
  HistoryEntry,
  HistoryOptions,
  HistoryValue,
  RecordHistory,
  UnreadCommits,
} from './api.ts'
import { authorOf } from './author.ts'
import type { Collection } from './collection.ts'
import { CommitOpener } from './commit-opener.ts'
import type { MeshRuntime } from './mesh-runtime.ts'
import { checkedId, notFound } from './record-operations.ts'
import { rfc3339 } from './system.ts'
import { CommitUnreadable, touchesOf } from './writer-history.ts'
import type { Touch } from './writer-history.ts'

/** @throws HavenError `NOT_FOUND`, `USAGE` */
export async function recordHistory(
  runtime: MeshRuntime,
  name: string,
  id: string,
  { limit = Infinity }: HistoryOptions,
): Promise<RecordHistory> {
  if (!(limit >= 1)) throw new HavenError('USAGE', 'The limit is a whole number, at least 1.')
  const reader = await readerOf(runtime, name, id)
  const { entries, more } = await reader.entries(limit)
  return { id, collection: name, entries, more, unread: reader.unread() }
}

/**
 * What several writes of a field took the place of, all of them, however often their authors have written since.
 *
 * @param limit - so many commits back it is looked for
 * @returns undefined: nothing, or not known for sure
 * @throws HavenError `NOT_FOUND`
 */
export async function replacedByAll(
  runtime: MeshRuntime,
  { name, id, field }: { readonly name: string; readonly id: string; readonly field: string },
  places: readonly Place[],
  limit: number,
): Promise<AcceptedWrite | undefined> {
  const reader = await readerOf(runtime, name, id)
  return (await reader.replacedByAll(field, places, limit))?.write
}

async function readerOf(runtime: MeshRuntime, name: string, id: string): Promise<HistoryReader> {
  const collection = await runtime.integrator.collection(runtime.collectionId(name))
  await runtime.integrator.idle()
  const arrived = await collection.state(checkedId(id))
  if (arrived === undefined) throw notFound()
  await collection.causalityReady()
  const state = await collection.settled(arrived)
  return new HistoryReader(runtime, collection, state)
}

class HistoryReader {
  readonly #runtime: MeshRuntime
  readonly #collection: Collection
  readonly #causal: CausalIndex
  readonly #free: FreeTypes
  readonly #record: string
  readonly #pasts: Past[]

  constructor(runtime: MeshRuntime, collection: Collection, state: RecordState) {
    this.#runtime = runtime
    this.#collection = collection
    this.#causal = collection.causal
    this.#free = new FreeTypes(state)
    this.#record = state.id
    const opener = new CommitOpener(runtime)
    this.#pasts = [...state.writers.values()].map((by) => this.#pastOf(by, opener))
  }

  async entries(limit: number): Promise<{ entries: HistoryEntry[]; more: boolean }> {
    const entries: HistoryEntry[] = []
    for await (const { touch, past, heads } of this.#newestFirst()) {
      entries.push(...(await this.#entriesOf(touch, past, heads)))
      if (entries.length > limit) return { entries: entries.slice(0, limit), more: true }
    }
    return { entries, more: false }
  }

  async replacedByAll(
    field: string,
    places: readonly Place[],
    limit: number,
  ): Promise<Candidate | undefined> {
    const wanted = new Set(places.map(placeName))
    const found: Candidate[] = []
    const common: Candidate[] = []
    let left = limit
    // A write is told before all that it saw: what comes before the last of those wanted, not all of them saw.
    for await (const { touch, past, heads } of this.#newestFirst()) {
      if (left-- === 0 || allSeen(heads, common, this.#causal)) break
      if (touch.hidden) continue
      for (const write of touch.writes.toReversed()) {
        if (write.field !== field) continue
        const candidate = { write, by: past.by }
        if (wanted.delete(placeName(touch))) found.push(candidate)
        else if (wanted.size === 0 && found.every((by) => sees(by, candidate, this.#causal))) {
          common.push(candidate)
        }
      }
    }
    // Something of the field may lie between.
    if (this.#pasts.some(({ unreadable }) => unreadable)) return undefined
    return lastValue(common, this.#causal)
  }

  /** All commits that touched the record, none before those that had seen it. */
  async *#newestFirst(): AsyncGenerator<{ touch: Touch; past: Past; heads: readonly Touch[] }> {
    for (;;) {
      const heads = (await Promise.all(this.#pasts.map((past) => past.head()))).filter(
        (head) => head !== undefined,
      )
      const touch = latestOf(heads, this.#causal)
      if (touch === undefined) return
      const past = this.#pasts.find(({ by }) => by.writer === touch.writer)!
      yield { touch, past, heads }
      past.told()
    }
  }

  /** Commits of the collection that are not part of the records, and so not told. */
  unread(): UnreadCommits[] {
    const { integrator, replica } = this.#runtime
    const unread: UnreadCommits[] = []
    for (const { feed } of integrator.feedsOf(this.#collection.id)) {
      const chain = replica.chain(feed)
      let commits = 0
      for (const [index, { from, to }] of chain.segments.entries()) {
        const reached = integrator.position(feed, chain.writerOf(index))?.seq ?? 0
        commits += to - Math.min(to, Math.max(reached, from - 1))
      }
      const waits = integrator.waitingForKey.has(feed)
      const reason = waits ? 'key' : 'damaged'
      if (commits > 0) unread.push({ device: authorOf(this.#runtime, feed), feed, commits, reason })
    }
    for (const { by, unreadable } of this.#pasts) {
      if (!unreadable) continue
      const device = authorOf(this.#runtime, by.feed)
      unread.push({ device, feed: by.feed, commits: 1, reason: 'damaged' })
    }
    return unread
  }

  #pastOf(by: WriterState, opener: CommitOpener): Past {
    const { store, replica, integrator, control } = this.#runtime
    const descriptor = replica.descriptor(by.feed)
    const chain = replica.chain(by.feed)
    const segment = chain.segments.findIndex((_, index) => chain.writerOf(index) === by.writer)
    const integrated = integrator.position(by.feed, by.writer)
    if (descriptor === undefined || segment === -1 || integrated === undefined)
      return new Past(by, undefined, nothing())
    const touches = touchesOf({
      store,
      opener,
      record: this.#record,
      descriptor,
      chain,
      segment,
      writerOf: (at) => this.#collection.writerOf(descriptor, chain, at),
      integrated,
      isHidden: (seq, id) => control.isHidden(descriptor, seq, id),
      straight: integrator.isStraight(by.feed),
      lastSeq: by.lastSeq,
    })
    return new Past(by, this.#collection.writerOf(descriptor, chain, segment), touches)
  }

  /** The newest first. */
  async #entriesOf(touch: Touch, past: Past, heads: readonly Touch[]): Promise<HistoryEntry[]> {
    const common = {
      device: authorOf(this.#runtime, touch.feed),
      actor: touch.actor === '' ? null : touch.actor,
      time: rfc3339(touch.time.ms),
      clockOff: this.#isClockOff(touch, heads),
      commit: { feed: touch.feed, seq: touch.seq },
      seen: this.#seenBy(touch, past),
      hidden: touch.hidden,
    }
    const entries: HistoryEntry[] = touch.refused.map((refused) => ({
      ...common,
      ...plain(),
      field: null,
      op: 'refused',
      refused,
    }))
    const waits = past.by.free?.waiting.some(({ seq }) => seq === touch.seq) === true
    for (const edit of this.#editsOf(touch, past)) {
      const text = { inserted: [...edit.inserted], deleted: edit.deleted }
      const field = edit.field ?? null
      entries.push({ ...common, ...plain(), field, op: edit.other ? 'edit' : 'text', text, waits })
    }
    for (const write of touch.writes.toReversed()) {
      const candidate = { write, by: past.by }
      const link = linkOf(write)
      if (link !== undefined) {
        const op = link.isLinked ? 'link' : 'unlink'
        entries.push({ ...common, ...plain(), field: null, op, value: JSON.stringify(link.with) })
        continue
      }
      entries.push({
        ...common,
        ...plain(),
        field: write.field === '' ? null : write.field,
        op: write.op,
        value: valueOf(write),
        before: await this.#before(candidate),
      })
    }
    return entries
  }

  #editsOf({ free }: Touch, { by }: Past) {
    return free === undefined ? [] : this.#free.editsOf(free, by)
  }

  async #before(write: Candidate): Promise<HistoryValue[]> {
    const replaced = new Set<Candidate>()
    for (const place of this.#placesOf(write.write)) {
      const isThere = (other: AcceptedWrite): boolean => this.#placesOf(other).includes(place)
      const seen: Candidate[] = []
      for (const past of this.#pasts)
        seen.push(...(await seenOf(write, past.writesWhere(isThere), this.#causal)))
      for (const one of replacedBy(write, seen, this.#causal)) replaced.add(one)
    }
    return distinctWrites(replaced).map(({ write: { op, ...before }, by }) => ({
      op,
      ...(before.field !== write.write.field && { field: before.field }),
      ...(before.commit.schemaVersion !== write.write.commit.schemaVersion && {
        schemaVersion: before.commit.schemaVersion,
      }),
      value: valueOf({ op, ...before }),
      device: authorOf(this.#runtime, by.feed),
      time: rfc3339(before.commit.time.ms),
      commit: { feed: by.feed, seq: before.commit.seq },
    }))
  }

  /** Where a write and those of other versions of the schema meet, under whatever names: its field, if there is but one version. */
  #placesOf(write: AcceptedWrite): readonly string[] {
    const known = this.#places.get(write)
    if (known !== undefined) return known
    const { field, op, value, commit } = write
    const lenses = this.#collection.reading.lensesOf(this.#record)
    let places: readonly string[] = [field]
    if (lenses !== undefined && field !== '' && !isReserved(field)) {
      const parts = lenses.partsOf({ schemaVersion: commit.schemaVersion, field, op, value })
      if (!('problem' in parts)) places = parts.map((part) => part.field)
      else if (parts.home !== undefined) places = [parts.home.canonical]
    }
    this.#places.set(write, places)
    return places
  }

  readonly #places = new WeakMap<AcceptedWrite, readonly string[]>()

  /** Of what is hidden, the index does not know what its author had seen: there stands what the commit itself says. */
  #seenBy(touch: Touch, { writer }: Past): HistoryEntry['seen'] {
    const device = (feed: string) => authorOf(this.#runtime, feed)
    if (touch.hidden)
      return touch.context.map(({ feed, seq }) => ({ device: device(feed), feed, seq }))
    return this.#pasts.flatMap(({ by }) => {
      if (by.writer === touch.writer || writer?.ancestors?.includes(by.writer) === true) return []
      const seq = this.#causal.lastInPast(by.writer, touch)
      return seq === 0 ? [] : [{ device: device(by.feed), feed: by.feed, seq }]
    })
  }

  /** Proof in the causal order, whatever the clocks say; or a time that this device's clock has not reached. */
  #isClockOff(touch: Touch, heads: readonly Touch[]): boolean {
    const latestMs = this.#runtime.clock.nowMs() + visiblyOffMs
    const { ms } = touch.time
    if (ms > latestMs) return true
    return heads.some(
      (other) =>
        other.time.ms > ms && other.time.ms <= latestMs && this.#causal.isInPast(other, touch),
    )
  }
}

/** One writer's part in the record: read as far as somebody asks. */
class Past {
  readonly by: WriterState
  readonly writer: Writer | undefined
  /** What lies before could not be read. */
  unreadable = false
  readonly #touches: Touch[] = []
  readonly #source: AsyncGenerator<Touch>
  /** The newest ones that were told. */
  #told = 0

  constructor(by: WriterState, writer: Writer | undefined, source: AsyncGenerator<Touch>) {
    this.by = by
    this.writer = writer
    this.#source = source
  }

  head(): Promise<Touch | undefined> {
    return this.#at(this.#told)
  }

  told(): void {
    this.#told++
  }

  /** Those that count, the newest first; what was told is in nobody's past any more. */
  async *writesWhere(holds: (write: AcceptedWrite) => boolean): AsyncGenerator<Candidate> {
    for (let index = this.#told; ; index++) {
      const touch = await this.#at(index)
      if (touch === undefined) return
      if (touch.hidden) continue
      for (const write of touch.writes.toReversed()) if (holds(write)) yield { write, by: this.by }
    }
  }

  async #at(index: number): Promise<Touch | undefined> {
    while (this.#touches.length <= index) {
      try {
        const next = await this.#source.next()
        if (next.done === true) return undefined
        this.#touches.push(next.value)
      } catch (error) {
        if (!(error instanceof CommitUnreadable)) throw error
        this.unreadable = true
      }
    }
    return this.#touches[index]
  }
}

/** The greatest first; each once, though its value may stand in several places. */
function distinctWrites(candidates: Iterable<Candidate>): Candidate[] {
  const byWrite = new Map([...candidates].map((one) => [one.write, one]))
  return [...byWrite.values()].toSorted((a, b) => compareCandidates(b, a))
}

function placeName({ writer, seq }: Place): string {
  return `${writer}/${seq}`
}

/** Of what is no write of a field. */
function plain(): Pick<HistoryEntry, 'value' | 'before' | 'text' | 'refused' | 'waits'> {
  return { value: undefined, before: [], text: null, refused: null, waits: false }
}

async function* nothing(): AsyncGenerator<Touch> {}

/** Of a count what was added, since totals are a matter of the writer's own. */
function valueOf({ op, value }: Pick<AcceptedWrite, 'op' | 'value'>): string | undefined {
  return op === 'count' ? String(countOf(value)?.delta) : value
}

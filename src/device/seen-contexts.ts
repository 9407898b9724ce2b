/**
 * What the commits of a collection had seen: as rows, and as an index that is loaded when it is first needed.
 *
 * A commit names others by their places and a part of their ids. Such an entry counts once the named commit is held, and
 * part of the records. That it is the named one is checked once, and then stands in the row: a large collection is
 * loaded without looking its commits up.
 */
import { bytesToHex, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import type { FeedChain } from '../feed/chain.ts'
import type { CommitStore, StoreChange } from '../feed/commit-store.ts'
import { CausalIndex } from '../records/causality.ts'
import type { ContextEntry } from '../records/record-payload.ts'
import type { RecordState } from '../records/record-state.ts'
import type { WriterId } from '../records/writes.ts'
import type { Replica } from '../sync/replica.ts'
import { segmentNamed } from './chain-lookup.ts'

/** A commit and its writer. */
export interface CommitPlace {
  readonly feed: string
  readonly writer: WriterId
  readonly seq: number
  readonly id: Uint8Array
}

/** What one commit had seen. */
interface SeenContext {
  readonly commit: CommitPlace
  readonly entries: readonly ContextEntry[]
  /** Of each entry the writer of the commit that it names; undefined while that does not count. */
  readonly seen: (WriterId | undefined)[]
}

/** An entry of a context that does not count yet. */
interface Waiting {
  readonly context: SeenContext
  readonly index: number
}

/** Some megabytes: what arrives now is soon named by others. */
const recentIdsMax = 20_000
/** Rows that say more than before are written a part at a time, along with others. */
const betterRowsAtOnce = 500

export class SeenContexts {
  readonly #collection: string
  readonly #store: CommitStore
  readonly #replica: Replica
  readonly #integratedTo: (writer: WriterId) => number
  #causal = new CausalIndex()
  #ready: Promise<void> | undefined
  #isLoaded = false
  /** By the feed that they name. */
  readonly #waiting = new Map<string, Waiting[]>()
  /** Contexts of this run whose rows may not be in the store when it is read. */
  readonly #unread = new Set<SeenContext>()
  /** First bytes of the ids of commits that arrived last, by writer and seq. */
  readonly #recentIds = new Map<string, string>()
  /** Rows of contexts of which more is known than is stored. */
  readonly #better = new Set<SeenContext>()

  /** @param ports.integratedTo - the seq up to which a writer's commits are part of the records */
  constructor(
    collection: string,
    ports: { store: CommitStore; replica: Replica; integratedTo: (writer: WriterId) => number },
  ) {
    this.#collection = collection
    this.#store = ports.store
    this.#replica = ports.replica
    this.#integratedTo = ports.integratedTo
  }

  get causal(): CausalIndex {
    return this.#causal
  }

  /** Whether the index knows all that there is to know. */
  get isLoaded(): boolean {
    return this.#isLoaded
  }

  /** Loads the index, once. */
  ready(): Promise<void> {
    this.#ready ??= this.#load([...this.#unread])
    return this.#ready
  }

  /** Makes the writers of a feed known to the index: parents first. */
  nameWriters(chain: FeedChain): void {
    if (chain.segments.length === 0) this.#causal.addWriter(chain.feed)
    for (const [index, segment] of chain.segments.entries()) {
      const parent = chain.segments[segment.parent]
      this.#causal.addWriter(
        chain.writerOf(index),
        parent === undefined
          ? undefined
          : { writer: chain.writerOf(segment.parent), seq: parent.to },
      )
    }
  }

  nameWritersOf(state: RecordState): void {
    for (const { writer, feed } of state.writers.values()) {
      if (!this.#causal.has(writer)) this.nameWriters(this.#replica.chain(feed))
      if (!this.#causal.has(writer)) this.#causal.addWriter(writer)
    }
  }

  /**
   * A commit is about to become part of the records: what it names and we hold counts from now on, the rest when it
   * arrives. Returns the rows to store with it.
   */
  async add(commit: CommitPlace, entries: readonly ContextEntry[]): Promise<StoreChange[]> {
    this.#remember(commit)
    const rows = this.#betterRows()
    if (entries.length === 0) return rows
    const context: SeenContext = { commit, entries, seen: entries.map(() => undefined) }
    if (this.#ready !== undefined) {
      await this.#ready
      await this.#count(context)
    } else this.#unread.add(context)
    return [...rows, rowOf(context)]
  }

  /** Contexts whose rows are being written. The returned function says that they are written. */
  onTheirWay(): () => void {
    const contexts = [...this.#unread]
    return () => {
      for (const context of contexts) this.#unread.delete(context)
    }
  }

  /** Commits that others have named and that are not part of the records here, and the writer that named each. */
  *awaited(): Iterable<{ feed: string; seq: number; by: WriterId }> {
    for (const [feed, entries] of this.#waiting) {
      for (const { context, index } of entries) {
        yield { feed, seq: context.entries[index]!.seq, by: context.commit.writer }
      }
    }
  }

  /**
   * Commits of a feed have become part of the records. Undefined when nobody waited for them; otherwise the index changes
   * with a call of the returned function, which gives the rows to store.
   */
  async arrived(feed: string): Promise<(() => StoreChange[]) | undefined> {
    if (this.#ready === undefined) return undefined
    await this.#ready
    const waiting = this.#waiting.get(feed)
    if (waiting === undefined) return undefined
    const counted: [Waiting, WriterId][] = []
    const still: Waiting[] = []
    for (const each of waiting) {
      const writer = await this.#writerAt(each.context.entries[each.index]!)
      if (writer === undefined) still.push(each)
      else counted.push([each, writer])
    }
    if (counted.length === 0) return undefined
    if (still.length === 0) this.#waiting.delete(feed)
    else this.#waiting.set(feed, still)
    return () => {
      for (const [{ context, index }, writer] of counted) {
        context.seen[index] = writer
        const { commit, entries } = context
        this.#causal.addSeen(commit.writer, commit.seq, [{ writer, seq: entries[index]!.seq }])
        this.#better.add(context)
      }
      return this.#betterRows()
    }
  }

  /** The rows have been removed. */
  forget(): void {
    this.#causal = new CausalIndex()
    this.#ready = undefined
    this.#isLoaded = false
    this.#waiting.clear()
    this.#unread.clear()
    this.#better.clear()
  }

  async #load(unread: readonly SeenContext[]): Promise<void> {
    const causal = this.#causal
    const feeds = [...this.#replica.descriptors()].filter(
      ({ collection }) => bytesToHex(collection) === this.#collection,
    )
    for (const { feed } of feeds) this.nameWriters(this.#replica.chain(feed))
    for (const { feed } of feeds) {
      for await (const { seq, id, value } of this.#store.contexts(feed)) {
        // All has been forgotten meanwhile.
        if (this.#causal !== causal) return
        await this.#countRow(contextFrom({ feed, seq, id }, value))
      }
    }
    for (const context of unread) await this.#countRow(context)
    this.#isLoaded = this.#causal === causal
  }

  async #countRow(context: SeenContext): Promise<void> {
    const before = context.seen.filter((writer) => writer !== undefined).length
    await this.#count(context)
    const after = context.seen.filter((writer) => writer !== undefined).length
    if (after > before) this.#better.add(context)
  }

  async #count(context: SeenContext): Promise<void> {
    const places: { writer: WriterId; seq: number }[] = []
    for (const [index, entry] of context.entries.entries()) {
      const writer = (context.seen[index] ??= await this.#writerAt(entry))
      if (writer !== undefined) places.push({ writer, seq: entry.seq })
      else {
        const waiting = this.#waiting.get(entry.feed)
        if (waiting === undefined) this.#waiting.set(entry.feed, [{ context, index }])
        else waiting.push({ context, index })
      }
    }
    const { writer, seq } = context.commit
    if (places.length > 0) this.#causal.addSeen(writer, seq, places)
  }

  /**
   * The writer whose commit is at a place, if its id is the one that is named and it has been integrated: only then the contexts on
   * the way to it are complete.
   */
  async #writerAt(entry: ContextEntry): Promise<WriterId | undefined> {
    const chain = this.#replica.chain(entry.feed)
    if (entry.seq > chain.seq) return undefined
    const idPrefix = bytesToHex(entry.id)
    let isIntegrated = false
    for (const segment of chain.segmentsAt(entry.seq)) {
      const writer = chain.writerOf(segment)
      if (this.#integratedTo(writer) < entry.seq) continue
      isIntegrated = true
      if (this.#recentIds.get(placeName(writer, entry.seq)) === idPrefix)
        return this.#named(chain, writer)
    }
    if (!isIntegrated) return undefined
    const segment = await segmentNamed(this.#store, chain, { seq: entry.seq, idPrefix })
    if (segment === undefined) return undefined
    const writer = chain.writerOf(segment)
    return this.#integratedTo(writer) >= entry.seq ? this.#named(chain, writer) : undefined
  }

  #named(chain: FeedChain, writer: WriterId): WriterId {
    if (!this.#causal.has(writer)) this.nameWriters(chain)
    return writer
  }

  #remember({ writer, seq, id }: CommitPlace): void {
    if (this.#recentIds.size >= recentIdsMax) this.#recentIds.clear()
    this.#recentIds.set(placeName(writer, seq), bytesToHex(id.subarray(0, namedBytes)))
  }

  #betterRows(): StoreChange[] {
    const rows: StoreChange[] = []
    for (const context of this.#better) {
      rows.push(rowOf(context))
      this.#better.delete(context)
      if (rows.length === betterRowsAtOnce) break
    }
    return rows
  }
}

/** So much of an id stands in a context. */
const namedBytes = 4

function placeName(writer: WriterId, seq: number): string {
  return `${seq}/${writer}`
}

// What a row says of an entry besides the entry itself.
const doesNotCount = 0
const ofTheFeed = 1
const ofABranch = 2

function rowOf({ commit, entries, seen }: SeenContext): StoreChange {
  const out = new ByteWriter(32 * entries.length + 40).text(commit.writer).varint(entries.length)
  for (const entry of entries) out.bytes(hexToBytes(entry.feed)).varint(entry.seq).bytes(entry.id)
  for (const [index, { feed }] of entries.entries()) {
    const writer = seen[index]
    out.u8(writer === undefined ? doesNotCount : writer === feed ? ofTheFeed : ofABranch)
    if (writer !== undefined && writer !== feed) out.bytes(hexToBytes(writer))
  }
  const { feed, seq, id } = commit
  return { kind: 'context', feed, seq, id, value: out.finish() }
}

function contextFrom(
  place: { readonly feed: string; readonly seq: number; readonly id: Uint8Array },
  bytes: Uint8Array,
): SeenContext {
  const reader = new ByteReader(bytes, 'context row')
  const writer = reader.text(64)
  const entries: ContextEntry[] = []
  for (let rest = reader.count(namedBytes + 17); rest > 0; rest--) {
    entries.push({
      feed: bytesToHex(reader.bytes(16)),
      seq: reader.varint(),
      id: reader.bytes(namedBytes).slice(),
    })
  }
  const seen = entries.map(({ feed }) => {
    const said = reader.u8()
    if (said === ofABranch) return bytesToHex(reader.bytes(32))
    return said === ofTheFeed ? feed : undefined
  })
  reader.end()
  return { commit: { ...place, writer }, entries, seen }
}

/** The store of one mesh in PostgreSQL, for one of several processes. Tables and guarantees: docs/storage.md. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { bytesToHex, equalBytes, hexToBytes, utf8ToBytes } from '../../core/bytes.ts'
import { ByteReader, ByteWriter } from '../../core/codec.ts'
import { HavenError, assert } from '../../core/errors.ts'
import type {
  CommitRange,
  StoreChange,
  StoredCommit,
  StoredDescriptor,
} from '../../feed/commit-store.ts'
import { decodeChecked, encodeChecked } from '../checked-row.ts'
import type { Damage } from '../damage.ts'
import { FeedCheck } from '../feed-check.ts'
import type { Hole } from '../feed-check.ts'
import { FeedWalk, startOfFeed } from '../feed-walk.ts'
import type { Place } from '../feed-walk.ts'
import {
  feedKey,
  keyCheckKey,
  kindRange,
  metaKey,
  placeOfKey,
  placeRange,
  prefixRange,
  shortIdBytes,
} from '../layout.ts'
import type { KeyRange } from '../layout.ts'
import type { VerifyReport } from '../mesh-store.ts'
import type { OpenReport } from '../open-database.ts'
import { RowSealer, decodeContext, decodeNamed } from '../sealed-row.ts'
import type { SealedKind } from '../sealed-row.ts'
import type { SharedAnnouncement, SharedStore, StoreNews } from '../shared-store.ts'
import { WriteQueue } from '../write-queue.ts'
import { byteaArray } from './binary-array.ts'
import { commitOfRow, readPage } from './commit-reader.ts'
import type { CommitRow } from './commit-reader.ts'
import { databaseError } from './database-error.ts'
import type { PostgresDatabase } from './database.ts'
import type { Rows, Transaction } from './transaction.ts'
import { MeshState, StateDraft, learnSince } from './mesh-state.ts'
import type { Amount, KeyedRow } from './mesh-state.ts'
import type { Statement, Value } from './statement.ts'
import { storeOperations } from './store-operation.ts'
import type { StoreOperation } from './store-operation.ts'
import { sql } from './store-sql.ts'
import { removedError, wentBackError, writeBatch } from './write-batch.ts'

export interface PostgresStoreOptions {
  readonly database: PostgresDatabase
  /** Hex. There has to be room for it ({@link import('./server-tables.ts').ServerTables.addMesh}). */
  readonly mesh: string
  /** 32 bytes, the same for all processes. */
  readonly storeKey: Uint8Array
  /** Called for each damaged row, whenever one is read, before the reading resolves. */
  readonly onDamage?: ((damage: Damage) => void) | undefined
}

interface MeshRow {
  readonly revision: number
  readonly number: number | null
  readonly announcement: Uint8Array | null
}

const keyCheckText = utf8ToBytes('haven')
const rowsAtOnce = 500
/** Of commits that are checked in one go: some milliseconds of work. */
const checkedBytesAtOnce = 256 * 1024

/**
 * Closing the store does not close the database.
 *
 * @throws HavenError `SERVER_UNKNOWN_MESH` when the mesh was not added, or is removed; `KEYSTORE_UNREADABLE` when `storeKey` is not the
 *   key of this store; `STORE_FAILED`, `DISK_FULL`, `STOPPED`
 */
export async function openPostgresStore(options: PostgresStoreOptions): Promise<SharedStore> {
  const { database, storeKey, onDamage = ignoreDamage } = options
  const mesh = hexToBytes(options.mesh)
  assert(mesh.length === 16, 'a mesh id has 16 bytes')
  const sealer = new RowSealer(storeKey)
  const state = await readState(database, mesh, onDamage)
  const firstRun = await checkKey(database, mesh, sealer)
  return new PostgresStore({ database, mesh, sealer, state, onDamage, firstRun })
}

/** @returns whether this is the first time that somebody opens it */
async function checkKey(
  database: PostgresDatabase,
  mesh: Uint8Array,
  sealer: RowSealer,
): Promise<boolean> {
  const made = encodeChecked(keyCheckKey, sealer.seal('store', keyCheckKey, keyCheckText))
  const { count } = await database.run(sql.addRow, [mesh, keyCheckKey, made])
  const { rows } = await database.run<KeyedRow>(sql.rows, [mesh, byteaArray([keyCheckKey])])
  const row = rows[0]?.value ?? undefined
  const sealed = row === undefined ? undefined : decodeChecked(keyCheckKey, row)
  if (sealed !== undefined && sealer.open('store', keyCheckKey, sealed) === undefined) {
    throw new HavenError(
      'KEYSTORE_UNREADABLE',
      'The keys are not those of this database. Give all servers on it the same keys.',
    )
  }
  return count > 0
}

async function readState(
  database: PostgresDatabase,
  mesh: Uint8Array,
  onDamage: (damage: Damage) => void,
): Promise<MeshState> {
  const snapshot = await database.snapshot()
  try {
    const state = new MeshState()
    const { rows } = await snapshot.run<MeshRow>(sql.mesh, [mesh])
    const [row] = rows
    if (row === undefined) throw removedError(database.place)
    const draft = new StateDraft(state, row.revision)
    await learnSince(snapshot, draft, { mesh, after: -1, before: row.revision + 1 }, onDamage)
    state.apply(draft)
    // What is there at the start is read by who opens the store.
    state.news.take()
    state.announcement = announcementOf(row)
    return state
  } finally {
    await snapshot.release()
  }
}

function announcementOf({ number, announcement }: MeshRow): SharedAnnouncement | undefined {
  return number === null || announcement === null ? undefined : { number, bytes: announcement }
}

function ignoreDamage(): void {
  // The reader sees that the row is missing.
}

interface OpenedStore {
  readonly database: PostgresDatabase
  readonly mesh: Uint8Array
  readonly sealer: RowSealer
  readonly state: MeshState
  readonly onDamage: (damage: Damage) => void
  readonly firstRun: boolean
}

class PostgresStore implements SharedStore {
  readonly opening: OpenReport
  readonly #database: PostgresDatabase
  readonly #mesh: Uint8Array
  readonly #sealer: RowSealer
  readonly #state: MeshState
  readonly #onDamage: (damage: Damage) => void
  readonly #queue: WriteQueue<StoreOperation>
  /** One that has not begun yet, and serves all who ask until then. */
  #nextRefresh: Promise<void> | undefined
  #isClosed = false

  constructor(opened: OpenedStore) {
    this.opening = { firstRun: opened.firstRun, salvage: undefined, reserveReleased: false }
    this.#database = opened.database
    this.#mesh = opened.mesh
    this.#sealer = opened.sealer
    this.#state = opened.state
    this.#onDamage = opened.onDamage
    this.#queue = new WriteQueue(
      ({ operations }) => this.#write(operations),
      async (error) => databaseError(error, this.#database.place),
    )
  }

  get failure(): HavenError | undefined {
    return this.#queue.failure
  }

  get announcement(): SharedAnnouncement | undefined {
    return this.#state.announcement
  }

  get usage(): ReadonlyMap<string, Amount> {
    return this.#state.usage
  }

  async batch(changes: readonly StoreChange[]): Promise<void> {
    const operations = storeOperations(changes, this.#sealer)
    if (operations.length === 0) return
    if (operations.some((operation) => operation.kind === 'chain' && operation.asItIs)) {
      // Not to be mixed up with what commits of other batches make of the same chain.
      await this.#queue.run(() => this.#write(operations))
      return
    }
    let bytes = 0
    for (const operation of operations) {
      const value = operation.kind === 'chain' ? operation.stated : operation.value
      bytes += operation.key.length + (value?.length ?? 0)
    }
    await this.#queue.write({ operations, bytes, sync: true })
  }

  async refresh(): Promise<void> {
    this.#nextRefresh ??= this.#inTurn(() => {
      this.#nextRefresh = undefined
      return this.#learn()
    })
    await this.#nextRefresh
  }

  takeNews(): StoreNews | undefined {
    return this.#state.news.take()
  }

  announce(announcement: SharedAnnouncement): Promise<boolean> {
    const { number, bytes } = { ...announcement, bytes: announcement.bytes.slice() }
    return this.#inTurn(async () => {
      // What nobody has looked at yet is not in what is announced.
      if (!this.#state.news.isNone) return false
      const before = this.#state.announcement
      const values = [this.#mesh, number, bytes, this.#state.revision, before?.number ?? null]
      const { count } = await this.#database.run(sql.announce, values)
      if (count === 0 && !(await this.#isAnnounced({ number, bytes }))) return false
      this.#state.announcement = { number, bytes }
      return true
    })
  }

  async commits({ maxBytes, ...range }: CommitRange): Promise<StoredCommit[]> {
    const commits: StoredCommit[] = []
    let bytes = 0
    for (let after: number | undefined = range.after; after !== undefined;) {
      const rest = maxBytes === undefined ? {} : { maxBytes: Math.max(0, maxBytes - bytes) }
      const page = await this.#page({ ...range, after, ...rest })
      for (const row of page.rows) {
        const commit = this.#intactCommit(range.feed, row)
        if (commit === undefined) continue
        commits.push(commit)
        bytes += commit.ciphertext.length
      }
      if (maxBytes !== undefined && commits.length > 0 && bytes >= maxBytes) return commits
      after = page.next
    }
    return commits
  }

  async commit(feed: string, seq: number, idPrefix: Uint8Array): Promise<StoredCommit | undefined> {
    if (idPrefix.length >= shortIdBytes) {
      const id8 = idPrefix.slice(0, shortIdBytes)
      const values = [this.#mesh, hexToBytes(feed), seq, id8]
      const { rows } = await this.#read<{ value: Uint8Array }>(sql.commit, values)
      const [row] = rows
      const commit = row && this.#intactCommit(feed, { seq, id8, value: row.value })
      return commit !== undefined && startsWith(commit.id, idPrefix) ? commit : undefined
    }
    const commits = await this.commits({ feed, after: seq - 1, upTo: seq })
    return commits.find(({ id }) => startsWith(id, idPrefix))
  }

  async idsAt(feed: string, seq: number): Promise<Uint8Array[]> {
    const values = [this.#mesh, hexToBytes(feed), seq]
    const { rows } = await this.#read<{ id8: Uint8Array }>(sql.idsAt, values)
    return rows.map(({ id8 }) => id8)
  }

  async descriptors(): Promise<StoredDescriptor[]> {
    const rows = await this.#feedRows('descriptor')
    return rows.map(({ feed, value }) => ({ feed, bytes: value }))
  }

  chains(): Promise<{ feed: string; value: Uint8Array }[]> {
    return this.#feedRows('chain')
  }

  async meta(name: string): Promise<Uint8Array | undefined> {
    const key = metaKey(name)
    const [row] = await this.#get([key])
    return row === undefined ? undefined : this.#checked(key, row, { row: 'meta', name })
  }

  async metas(prefix: string): Promise<{ name: string; value: Uint8Array }[]> {
    const found: { name: string; value: Uint8Array }[] = []
    for await (const { key, value: row } of this.#rowsIn(prefixRange(metaKey(prefix)))) {
      // Not decoded strictly: a damaged name has to be reported, not thrown.
      const name = Buffer.from(key.subarray(1)).toString('utf8')
      const value = this.#checked(key, row, { row: 'meta', name })
      if (value !== undefined) found.push({ name, value })
    }
    return found
  }

  async secret(name: string): Promise<Uint8Array | undefined> {
    const key = this.#sealer.secretKey(name)
    const [row] = await this.#get([key])
    if (row === undefined) return undefined
    const opened = this.#unsealed('secret', key, row, { row: 'secret' })
    return opened === undefined ? undefined : decodeNamed(opened).value
  }

  async secrets(prefix: string): Promise<{ name: string; value: Uint8Array }[]> {
    const found: { name: string; value: Uint8Array }[] = []
    const range = prefixRange(this.#sealer.secretPrefix(prefix))
    for await (const { key, value: row } of this.#rowsIn(range)) {
      const opened = this.#unsealed('secret', key, row, { row: 'secret' })
      if (opened === undefined) continue
      const named = decodeNamed(opened)
      if (named.name.startsWith(prefix)) found.push(named)
    }
    return found.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  }

  clearSecrets(group: string): Promise<void> {
    return this.#clear(prefixRange(this.#sealer.secretPrefix(`${group}/`)))
  }

  async record(collection: string, id: string): Promise<Uint8Array | undefined> {
    const [value] = await this.records(collection, [id])
    return value
  }

  async records(collection: string, ids: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    const keys = ids.map((id) => this.#sealer.recordKey(collection, id))
    const rows = await this.#get(keys)
    return rows.map((row, index) =>
      row === undefined
        ? undefined
        : this.#unsealed('record', keys[index]!, row, { row: 'record', collection }),
    )
  }

  async *allRecords(collection: string): AsyncGenerator<Uint8Array> {
    const damage: Damage = { row: 'record', collection }
    const range = prefixRange(this.#sealer.recordPrefix(collection))
    for await (const { key, value: row } of this.#rowsIn(range)) {
      const value = this.#unsealed('record', key, row, damage)
      if (value !== undefined) yield value
    }
  }

  clearRecords(collection: string): Promise<void> {
    return this.#clear(prefixRange(this.#sealer.recordPrefix(collection)))
  }

  clearContexts(feed: string): Promise<void> {
    return this.#clear(placeRange('context', { feed, after: -1 }))
  }

  async *contexts(
    feed: string,
  ): AsyncGenerator<{ seq: number; id: Uint8Array; value: Uint8Array }> {
    for await (const { key, value: row } of this.#rowsIn(
      placeRange('context', { feed, after: -1 }),
    )) {
      const seq = placeOfKey(key)?.seq ?? 0
      const opened = this.#unsealed('context', key, row, { row: 'context', feed, seq })
      if (opened !== undefined) yield { seq, ...decodeContext(opened) }
    }
  }

  async tipOf(feed: string, from: Place = startOfFeed): Promise<Place> {
    const walk = new FeedWalk(from)
    for await (const commit of this.#walk(feed, from.seq)) {
      if (!walk.step(commit)) break
    }
    return walk.tip()
  }

  /** None: PostgreSQL itself recovers what it had acknowledged; each commit is checked when it is read, and all in the background. */
  verifyTails(): Promise<Hole[]> {
    return Promise.resolve([])
  }

  async verifyInBackground(
    signal: AbortSignal,
    onHole: (hole: Hole) => void,
  ): Promise<VerifyReport> {
    const report = { isComplete: false, filesDamaged: false, commits: 0, holes: 0 }
    for await (const feed of this.#feeds()) {
      const check = new FeedCheck(feed, await this.#verified(feed))
      for await (const commit of this.#walk(feed, check.beginAfter)) {
        check.next(commit)
        report.commits++
        if (signal.aborted) break
      }
      check.end()
      await this.#setVerified(feed, check.intactEnd)
      report.holes += check.holes.length
      for (const hole of check.holes) onHole(hole)
      if (signal.aborted) return report
    }
    return { ...report, isComplete: true }
  }

  async close(): Promise<void> {
    await this.#queue.settled()
    this.#isClosed = true
    this.#queue.fail(closedError())
  }

  async #write(operations: readonly StoreOperation[]): Promise<void> {
    const context = {
      mesh: this.#mesh,
      place: this.#database.place,
      state: this.#state,
      report: this.#onDamage,
      nowMs: Date.now(),
    }
    const draft = await this.#database.transaction((transaction) =>
      writeBatch(transaction, operations, context),
    )
    this.#state.apply(draft)
  }

  /** Between batches. What fails here fails alone. */
  async #inTurn<Result>(task: () => Promise<Result>): Promise<Result> {
    let outcome: { readonly result: Result } | { readonly error: unknown } | undefined
    await this.#queue.run(async () => {
      try {
        outcome = { result: await task() }
      } catch (error) {
        outcome = { error }
      }
    })
    if (outcome !== undefined && 'result' in outcome) return outcome.result
    throw databaseError(outcome?.error, this.#database.place)
  }

  async #learn(): Promise<void> {
    const row = await this.#meshRow(this.#database)
    if (row.revision === this.#state.revision) {
      this.#state.announcement = announcementOf(row)
      return
    }
    const snapshot = await this.#database.snapshot()
    try {
      const newest = await this.#meshRow(snapshot)
      const { revision } = newest
      const draft = new StateDraft(this.#state, revision)
      const since = { mesh: this.#mesh, after: this.#state.revision, before: revision + 1 }
      await learnSince(snapshot, draft, since, this.#onDamage)
      this.#state.apply(draft)
      this.#state.announcement = announcementOf(newest)
    } finally {
      await snapshot.release()
    }
  }

  async #meshRow(transaction: Transaction): Promise<MeshRow> {
    const { rows } = await transaction.run<MeshRow>(sql.mesh, [this.#mesh])
    const [row] = rows
    if (row === undefined) throw removedError(this.#database.place)
    if (row.revision < this.#state.revision) throw wentBackError(this.#database.place)
    return row
  }

  /** A second attempt, after the connection broke, finds what the first has done. */
  async #isAnnounced({ number, bytes }: SharedAnnouncement): Promise<boolean> {
    const now = announcementOf(await this.#meshRow(this.#database))
    return now !== undefined && now.number === number && equalBytes(now.bytes, bytes)
  }

  async #clear({ gte, lt }: KeyRange): Promise<void> {
    await this.#queue.run(async () => {
      await this.#database.run(sql.deleteRange, [this.#mesh, gte, lt])
    })
  }

  #read<Row>(statement: Statement, values: readonly Value[]): Promise<Rows<Row>> {
    if (this.#isClosed) throw closedError()
    return this.#database.run<Row>(statement, values)
  }

  #page(range: CommitRange) {
    if (this.#isClosed) throw closedError()
    return readPage(this.#database, this.#mesh, range)
  }

  /** In the order of the keys. */
  async #get(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    const { rows } = await this.#read<KeyedRow>(sql.rows, [this.#mesh, byteaArray(keys)])
    const byKey = new Map(rows.map(({ key, value }) => [bytesToHex(key), value ?? undefined]))
    return keys.map((key) => byKey.get(bytesToHex(key)))
  }

  async #feedRows(kind: 'descriptor' | 'chain'): Promise<{ feed: string; value: Uint8Array }[]> {
    const found: { feed: string; value: Uint8Array }[] = []
    for await (const { key, value: row } of this.#rowsIn(kindRange(kind))) {
      const feed = bytesToHex(key.subarray(1))
      const value = this.#checked(key, row, { row: kind, feed })
      if (value !== undefined) found.push({ feed, value })
    }
    return found
  }

  /** The state of the moment when the first row is asked for. */
  async *#rowsIn({ gte, lt }: KeyRange): AsyncGenerator<{ key: Uint8Array; value: Uint8Array }> {
    if (this.#isClosed) throw closedError()
    const snapshot = await this.#database.snapshot()
    try {
      for (let from: Uint8Array | undefined = gte; from !== undefined;) {
        const values: Value[] = [this.#mesh, from, lt, rowsAtOnce]
        const { rows }: Rows<KeyedRow> = await snapshot.run<KeyedRow>(sql.rowsIn, values)
        for (const { key, value } of rows) if (value !== null) yield { key, value }
        const last: KeyedRow | undefined = rows.length < rowsAtOnce ? undefined : rows.at(-1)
        from = last && keyAfter(last.key)
      }
    } finally {
      await snapshot.release()
    }
  }

  async *#walk(feed: string, from: number): AsyncGenerator<StoredCommit> {
    for (let after: number | undefined = from; after !== undefined;) {
      const page = await this.#page({ feed, after, maxBytes: checkedBytesAtOnce })
      for (const row of page.rows) {
        const commit = this.#intactCommit(feed, row)
        if (commit !== undefined) yield commit
      }
      after = page.next
      await nextTurn()
    }
  }

  async *#feeds(): AsyncGenerator<string> {
    for (let last: Uint8Array | undefined = new Uint8Array(0); last !== undefined;) {
      const { rows }: Rows<{ feed: Uint8Array }> = await this.#read(sql.feedAfter, [
        this.#mesh,
        last,
      ])
      last = rows[0]?.feed
      if (last !== undefined) yield bytesToHex(last)
    }
  }

  async #verified(feed: string): Promise<Place> {
    const key = feedKey('verified', feed)
    const [row] = await this.#get([key])
    const value = row === undefined ? undefined : decodeChecked(key, row)
    if (value === undefined) return startOfFeed
    const reader = new ByteReader(value, 'verified row')
    return { seq: reader.u64(), id: reader.bytes(32) }
  }

  async #setVerified(feed: string, { seq, id }: Place): Promise<void> {
    const key = feedKey('verified', feed)
    const value = encodeChecked(key, new ByteWriter(40).u64(seq).bytes(id).finish())
    // Without a revision: nobody else has to know.
    await this.#database.run(sql.setOwnRow, [this.#mesh, key, value])
  }

  #intactCommit(feed: string, row: CommitRow): StoredCommit | undefined {
    const commit = commitOfRow(feed, row)
    if (commit !== undefined) return commit
    return this.#damaged({ row: 'commit', feed, seq: row.seq })
  }

  #checked(key: Uint8Array, row: Uint8Array, damage: Damage): Uint8Array | undefined {
    return decodeChecked(key, row) ?? this.#damaged(damage)
  }

  #unsealed(
    kind: SealedKind,
    key: Uint8Array,
    row: Uint8Array,
    damage: Damage,
  ): Uint8Array | undefined {
    return this.#sealer.open(kind, key, row) ?? this.#damaged(damage)
  }

  #damaged(damage: Damage): undefined {
    this.#onDamage(damage)
  }
}

function closedError(): HavenError {
  return new HavenError('STOPPED', 'The store has been closed.')
}

/** The least key that is greater. */
function keyAfter(key: Uint8Array): Uint8Array {
  const after = new Uint8Array(key.length + 1)
  after.set(key)
  return after
}

function startsWith(id: Uint8Array, prefix: Uint8Array): boolean {
  return equalBytes(id.subarray(0, prefix.length), prefix)
}

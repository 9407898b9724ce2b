/** {@link CommitStore} over LevelDB. Layout, guarantees and recovery: docs/storage.md. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { bytesToHex, equalBytes, utf8ToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { HavenError } from '../core/errors.ts'
import type {
  CommitRange,
  StoreChange,
  StoredCommit,
  StoredDescriptor,
} from '../feed/commit-store.ts'
import { checkedOperation, operationOf } from './change-operation.ts'
import { decodeChecked } from './checked-row.ts'
import { decodeCommitRow } from './commit-row.ts'
import type { Damage } from './damage.ts'
import { refuseNewerFormat, storeFormat } from './data-dir.ts'
import { binary, databaseError, isDamage, readAhead, writeOptions } from './database.ts'
import type { BatchOperation, Database } from './database.ts'
import { FeedCheck } from './feed-check.ts'
import type { Hole } from './feed-check.ts'
import { FeedWalk, startOfFeed } from './feed-walk.ts'
import type { Place } from './feed-walk.ts'
import {
  feedKey,
  formatKey,
  keyCheckKey,
  kindRange,
  metaKey,
  placeKey,
  placeOfKey,
  placeRange,
  prefixRange,
  shortIdBytes,
} from './layout.ts'
import type { KeyRange } from './layout.ts'
import type { MeshStore, VerifyReport } from './mesh-store.ts'
import { openDatabase } from './open-database.ts'
import type { OpenReport, OpenedDatabase } from './open-database.ts'
import { RowSealer, decodeContext, decodeNamed } from './sealed-row.ts'
import type { SealedKind } from './sealed-row.ts'
import { WriteQueue } from './write-queue.ts'

interface LevelStoreOptions {
  /** 32 bytes, from the keystore. */
  readonly storeKey: Uint8Array
  /** Called for each damaged row, whenever one is read, before the reading resolves. */
  readonly onDamage?: ((damage: Damage) => void) | undefined
}

export interface LevelStoreOnDisk extends LevelStoreOptions {
  /** The data directory; created at the first start. */
  readonly location: string
  /** How long to wait for another process that has the store open; 0: not at all. */
  readonly lockWaitMs?: number | undefined
}

export interface LevelStoreInjected extends LevelStoreOptions {
  /** An open database; closed with the store. */
  readonly db: Database
}

/**
 * Opens the store, and repairs what can be repaired. Batches fail with `DISK_FULL` from the start while there is no room
 * to work in.
 *
 * @throws HavenError `STORE_BUSY`, `STORE_NOT_WRITABLE`, `STORE_NEWER_VERSION`, `DISK_FULL`, `STORE_FAILED`, or
 *   `KEYSTORE_UNREADABLE` when `storeKey` is not the key of this store
 */
export async function openLevelStore(
  options: LevelStoreOnDisk | LevelStoreInjected,
): Promise<MeshStore> {
  const opened =
    'db' in options
      ? injected(options.db)
      : await openDatabase(options.location, options.lockWaitMs ?? usualLockWaitMs)
  const sealer = new RowSealer(options.storeKey)
  try {
    await opened.db.open()
    await checkStoreRows(opened.db, sealer)
  } catch (error) {
    await opened.close(true)
    throw await databaseError(error, opened.place)
  }
  return new LevelCommitStore(opened, sealer, options.onDamage ?? ignoreDamage)
}

const usualLockWaitMs = 5_000
/** More than a power cut can take: what was written last is checked at the start, the rest in the background. */
const tailCommits = 256
/** A few milliseconds of work. */
const commitsAtOnce = 200
const keyCheckText = utf8ToBytes('haven')

function injected(db: Database): OpenedDatabase {
  return {
    db,
    place: 'memory',
    report: { firstRun: false, salvage: undefined, reserveReleased: false },
    diskFull: undefined,
    suspect: () => undefined,
    checkMoreTables: () => Promise.resolve('done'),
    close: () => db.close(),
  }
}

function ignoreDamage(): void {
  // The reader sees that the row is missing.
}

class LevelCommitStore implements MeshStore {
  readonly opening: OpenReport
  readonly #db: Database
  readonly #opened: OpenedDatabase
  readonly #sealer: RowSealer
  readonly #onDamage: (damage: Damage) => void
  readonly #queue: WriteQueue<BatchOperation>

  constructor(opened: OpenedDatabase, sealer: RowSealer, onDamage: (damage: Damage) => void) {
    this.opening = opened.report
    this.#db = opened.db
    this.#opened = opened
    this.#sealer = sealer
    this.#onDamage = onDamage
    this.#queue = new WriteQueue(
      ({ operations, sync }) => this.#db.batch(operations, writeOptions(sync)),
      (error) => this.#explain(error),
    )
    if (opened.diskFull !== undefined) this.#queue.fail(opened.diskFull)
  }

  get failure(): HavenError | undefined {
    return this.#queue.failure
  }

  async batch(
    changes: readonly StoreChange[],
    options?: { readonly sync?: boolean },
  ): Promise<void> {
    const operations = changes.map((change) => operationOf(change, this.#sealer))
    let bytes = 0
    for (const operation of operations) {
      bytes += operation.key.length + (operation.type === 'put' ? operation.value.length : 0)
    }
    await this.#queue.write({ operations, bytes, sync: options?.sync ?? true })
  }

  async commits({ feed, after, upTo, maxBytes }: CommitRange): Promise<StoredCommit[]> {
    const commits: StoredCommit[] = []
    let bytes = 0
    const isFull = (): boolean => maxBytes !== undefined && commits.length > 0 && bytes >= maxBytes
    for await (const [key, row] of this.#rows(placeRange('commit', { feed, after, upTo }))) {
      const commit = this.#intactCommit(key, row)
      if (commit === undefined) continue
      // Branches lie beside each other: a caller who goes on after the last seq must have seen all of it.
      if (isFull() && commit.seq !== commits.at(-1)?.seq) break
      commits.push(commit)
      bytes += commit.ciphertext.length
    }
    return commits
  }

  async commit(feed: string, seq: number, idPrefix: Uint8Array): Promise<StoredCommit | undefined> {
    if (idPrefix.length >= shortIdBytes) {
      const key = placeKey('commit', { feed, seq, id: idPrefix })
      const row = await this.#get(key)
      const commit = row === undefined ? undefined : this.#intactCommit(key, row)
      return commit !== undefined && startsWith(commit.id, idPrefix) ? commit : undefined
    }
    const commits = await this.commits({ feed, after: seq - 1, upTo: seq })
    return commits.find(({ id }) => startsWith(id, idPrefix))
  }

  async idsAt(feed: string, seq: number): Promise<Uint8Array[]> {
    const range = placeRange('commit', { feed, after: seq - 1, upTo: seq })
    const keys = await this.#keys(range)
    return keys.flatMap((key) => placeOfKey(key)?.shortId ?? [])
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
    const row = await this.#get(key)
    return row === undefined ? undefined : this.#checked(key, row, { row: 'meta', name })
  }

  async metas(prefix: string): Promise<{ name: string; value: Uint8Array }[]> {
    const found: { name: string; value: Uint8Array }[] = []
    for await (const [key, row] of this.#rows(prefixRange(metaKey(prefix)))) {
      // Not decoded strictly: a damaged name has to be reported, not thrown.
      const name = Buffer.from(key.subarray(1)).toString('utf8')
      const value = this.#checked(key, row, { row: 'meta', name })
      if (value !== undefined) found.push({ name, value })
    }
    return found
  }

  async secret(name: string): Promise<Uint8Array | undefined> {
    const key = this.#sealer.secretKey(name)
    const row = await this.#get(key)
    if (row === undefined) return undefined
    const opened = this.#unsealed('secret', key, row, { row: 'secret' })
    return opened === undefined ? undefined : decodeNamed(opened).value
  }

  async secrets(prefix: string): Promise<{ name: string; value: Uint8Array }[]> {
    const found: { name: string; value: Uint8Array }[] = []
    for await (const [key, row] of this.#rows(prefixRange(this.#sealer.secretPrefix(prefix)))) {
      const opened = this.#unsealed('secret', key, row, { row: 'secret' })
      if (opened === undefined) continue
      const named = decodeNamed(opened)
      if (named.name.startsWith(prefix)) found.push(named)
    }
    return found.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  }

  async clearSecrets(group: string): Promise<void> {
    await this.#clear(prefixRange(this.#sealer.secretPrefix(`${group}/`)))
  }

  async record(collection: string, id: string): Promise<Uint8Array | undefined> {
    const [value] = await this.records(collection, [id])
    return value
  }

  async records(collection: string, ids: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    const keys = ids.map((id) => this.#sealer.recordKey(collection, id))
    const rows = await this.#reading(() => this.#db.getMany(keys, binary))
    return rows.map((row, index) =>
      row === undefined
        ? undefined
        : this.#unsealed('record', keys[index]!, row, { row: 'record', collection }),
    )
  }

  async *allRecords(collection: string): AsyncGenerator<Uint8Array> {
    const damage: Damage = { row: 'record', collection }
    for await (const [key, row] of this.#rows(prefixRange(this.#sealer.recordPrefix(collection)))) {
      const value = this.#unsealed('record', key, row, damage)
      if (value !== undefined) yield value
    }
  }

  async clearRecords(collection: string): Promise<void> {
    await this.#clear(prefixRange(this.#sealer.recordPrefix(collection)))
  }

  async clearContexts(feed: string): Promise<void> {
    await this.#clear(placeRange('context', { feed, after: -1 }))
  }

  async *contexts(
    feed: string,
  ): AsyncGenerator<{ seq: number; id: Uint8Array; value: Uint8Array }> {
    for await (const [key, row] of this.#rows(placeRange('context', { feed, after: -1 }))) {
      const seq = placeOfKey(key)?.seq ?? 0
      const opened = this.#unsealed('context', key, row, { row: 'context', feed, seq })
      if (opened === undefined) continue
      yield { seq, ...decodeContext(opened) }
    }
  }

  async tipOf(feed: string, from: Place = startOfFeed): Promise<Place> {
    const walk = new FeedWalk(from)
    for await (const [key, row] of this.#rows(placeRange('commit', { feed, after: from.seq }))) {
      const commit = this.#intactCommit(key, row)
      if (commit !== undefined && !walk.step(commit)) break
    }
    return walk.tip()
  }

  async verifyTails(): Promise<Hole[]> {
    const holes: Hole[] = []
    for await (const { feed, lastSeq } of this.#feeds()) {
      const verified = await this.#verified(feed)
      const isFar = lastSeq - verified.seq > tailCommits
      const check = new FeedCheck(feed, isFar ? lastSeq - tailCommits : verified)
      await this.#checkFeed(check)
      holes.push(...check.holes)
      if (!isFar) await this.#setVerified(feed, check.intactEnd)
    }
    return holes
  }

  async verifyInBackground(
    signal: AbortSignal,
    onHole: (hole: Hole) => void,
  ): Promise<VerifyReport> {
    const report = { isComplete: false, filesDamaged: false, commits: 0, holes: 0 }
    for (let state = 'more'; state === 'more' && !signal.aborted; await nextTurn()) {
      state = await this.#opened.checkMoreTables()
      if (state === 'damaged') {
        report.filesDamaged = true
        this.#damaged({ row: 'unknown' })
      }
    }
    for await (const { feed } of this.#feeds()) {
      const check = new FeedCheck(feed, await this.#verified(feed))
      report.commits += await this.#checkFeed(check, signal)
      await this.#setVerified(feed, check.intactEnd)
      report.holes += check.holes.length
      for (const hole of check.holes) onHole(hole)
      if (signal.aborted) return report
    }
    return { ...report, isComplete: !signal.aborted }
  }

  async close(): Promise<void> {
    await this.#queue.settled()
    const isIntact = this.failure === undefined
    this.#queue.fail(new HavenError('STOPPED', 'The store has been closed.'))
    await this.#opened.close(isIntact)
  }

  /** Returns the number of commits that were looked at. */
  async #checkFeed(check: FeedCheck, signal?: AbortSignal): Promise<number> {
    let count = 0
    const range = placeRange('commit', { feed: check.feed, after: check.beginAfter })
    for await (const [key, row] of this.#rows(range)) {
      const commit = this.#intactCommit(key, row)
      if (commit !== undefined) check.next(commit)
      if (++count % commitsAtOnce !== 0 || signal === undefined) continue
      if (signal.aborted) return count
      await nextTurn()
    }
    check.end()
    return count
  }

  /** One seek for a feed, however many commits it has. */
  async *#feeds(): AsyncGenerator<{ feed: string; lastSeq: number }> {
    for (let { gte, lt } = kindRange('commit'); ;) {
      const [first] = await this.#keys({ gte, lt, limit: 1 })
      const feed = first === undefined ? undefined : placeOfKey(first)?.feed
      if (feed === undefined) return
      const range = placeRange('commit', { feed, after: -1 })
      const [last] = await this.#keys({ ...range, limit: 1, reverse: true })
      const lastSeq = last === undefined ? 0 : (placeOfKey(last)?.seq ?? 0)
      yield { feed, lastSeq }
      gte = range.lt
    }
  }

  #keys(range: KeyRange & { limit?: number; reverse?: boolean }): Promise<Uint8Array[]> {
    return this.#reading(() => this.#db.keys({ ...range, ...binary }).all())
  }

  async #verified(feed: string): Promise<Place> {
    const key = feedKey('verified', feed)
    const row = await this.#get(key)
    const value = row === undefined ? undefined : decodeChecked(key, row)
    if (value === undefined) return startOfFeed
    const reader = new ByteReader(value, 'verified row')
    return { seq: reader.u64(), id: reader.bytes(32) }
  }

  async #setVerified(feed: string, { seq, id }: Place): Promise<void> {
    // What could not be noted is checked again.
    if (this.failure !== undefined) return
    const key = feedKey('verified', feed)
    const operation = checkedOperation(key, new ByteWriter(40).u64(seq).bytes(id).finish())
    await this.#queue.write({ operations: [operation], bytes: 64, sync: false })
  }

  #intactCommit(key: Uint8Array, row: Uint8Array): StoredCommit | undefined {
    const commit = decodeCommitRow(key, row)
    if (commit !== undefined) return commit
    const place = placeOfKey(key)
    if (place === undefined) return this.#damaged({ row: 'unknown' })
    return this.#damaged({ row: 'commit', feed: place.feed, seq: place.seq })
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
    this.#opened.suspect()
    this.#onDamage(damage)
  }

  async #feedRows(kind: 'descriptor' | 'chain'): Promise<{ feed: string; value: Uint8Array }[]> {
    const found: { feed: string; value: Uint8Array }[] = []
    for await (const [key, row] of this.#rows(kindRange(kind))) {
      const feed = bytesToHex(key.subarray(1))
      const value = this.#checked(key, row, { row: kind, feed })
      if (value !== undefined) found.push({ feed, value })
    }
    return found
  }

  async #clear(range: KeyRange): Promise<void> {
    await this.#queue.run(() => this.#db.clear({ ...range, ...binary }))
  }

  #get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#reading(() => this.#db.get(key, binary))
  }

  /** The state of the moment when the first row is asked for. */
  async *#rows(range: KeyRange): AsyncGenerator<[Uint8Array, Uint8Array]> {
    const iterator = await this.#reading(async () => this.#db.iterator({ ...range, ...readAhead }))
    try {
      for (;;) {
        const entry = await this.#reading(() => iterator.next())
        if (entry === undefined) return
        yield entry
      }
    } finally {
      await iterator.close()
    }
  }

  async #reading<Result>(read: () => Promise<Result>): Promise<Result> {
    try {
      return await read()
    } catch (error) {
      throw await this.#explain(error)
    }
  }

  #explain(error: unknown): Promise<HavenError> {
    if (isDamage(error)) this.#damaged({ row: 'unknown' })
    return databaseError(error, this.#opened.place)
  }
}

/** The format of the rows, and whether they were sealed with this key. */
async function checkStoreRows(db: Database, sealer: RowSealer): Promise<void> {
  const [formatRow, keyRow] = await db.getMany([formatKey, keyCheckKey], binary)
  const format = formatRow === undefined ? undefined : decodeChecked(formatKey, formatRow)
  if (format !== undefined) refuseNewerFormat(new ByteReader(format, 'format row').u32())

  const sealed = keyRow === undefined ? undefined : decodeChecked(keyCheckKey, keyRow)
  if (sealed !== undefined && sealer.open('store', keyCheckKey, sealed) === undefined) {
    throw new HavenError(
      'KEYSTORE_UNREADABLE',
      'The keys are not those of this store. Put back the file keys that belongs to it.',
    )
  }
  // Missing at the first start, or damaged.
  if (format !== undefined && sealed !== undefined) return
  const formatValue = new ByteWriter().u32(storeFormat).finish()
  const keyCheck = sealer.seal('store', keyCheckKey, keyCheckText)
  const operations = [
    checkedOperation(formatKey, formatValue),
    checkedOperation(keyCheckKey, keyCheck),
  ]
  await db.batch(operations, writeOptions(true))
}

function startsWith(id: Uint8Array, prefix: Uint8Array): boolean {
  return equalBytes(id.subarray(0, prefix.length), prefix)
}

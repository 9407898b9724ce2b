/**
 * The store of a simulated device: a {@link Disk} behind the port that the device uses. Batches take their time, complete in their order, and
 * after one has failed all later ones fail; what was not synced may be lost in a power cut.
 */
import { bytesToHex } from '../../src/core/bytes.ts'
import { HavenError } from '../../src/core/errors.ts'
import type {
  CommitRange,
  StoreChange,
  StoredCommit,
  StoredDescriptor,
} from '../../src/feed/commit-store.ts'
import type { Place } from '../../src/store/feed-walk.ts'
import type { MeshStore, VerifyReport } from '../../src/store/mesh-store.ts'
import type { VirtualTime } from '../core/virtual-time.ts'
import type { Disk } from './disk.ts'

export interface DiskStoreOptions {
  readonly disk: Disk
  readonly time: VirtualTime
  /** How long the next synced batch takes. */
  readonly syncUs: () => number
  /** Whether there is no room for the next batch. */
  readonly isFull: () => boolean
}

interface Job {
  readonly changes: readonly StoreChange[]
  readonly sync: boolean
  readonly resolve: () => void
  readonly reject: (error: HavenError) => void
}

export class DiskStore implements MeshStore {
  readonly opening = { firstRun: false, salvage: undefined, reserveReleased: false }
  readonly #options: DiskStoreOptions
  readonly #disk: Disk
  readonly #jobs: Job[] = []
  #isWriting = false
  #failure: HavenError | undefined
  #isDead = false
  /** Takes back what no synced batch has come after. */
  #unsynced: (() => void)[] = []

  constructor(options: DiskStoreOptions) {
    this.#options = options
    this.#disk = options.disk
  }

  get failure(): HavenError | undefined {
    return this.#failure
  }

  /** The process ends here: what is on its way to the disk never arrives, and nobody hears of it. @param power - the cache of the disk is lost too */
  die(power: boolean): void {
    this.#isDead = true
    if (power) for (const undo of this.#unsynced.toReversed()) undo()
    this.#unsynced = []
  }

  batch(changes: readonly StoreChange[], options?: { readonly sync?: boolean }): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure)
        return
      }
      this.#jobs.push({ changes, sync: options?.sync ?? true, resolve, reject })
      if (!this.#isWriting) this.#writeNext()
    })
  }

  #writeNext(): void {
    // What waits for the same fsync shares it.
    const group = this.#jobs.splice(0)
    if (group.length === 0) return
    this.#isWriting = true
    const isSynced = group.some(({ sync }) => sync)
    const done = (): void => {
      if (this.#isDead) return
      this.#isWriting = false
      this.#complete(group, isSynced)
      this.#writeNext()
    }
    const delayUs = isSynced ? this.#options.syncUs() : 0
    if (delayUs === 0) queueMicrotask(done)
    else this.#options.time.after(delayUs, done)
  }

  #complete(group: readonly Job[], isSynced: boolean): void {
    if (this.#options.isFull())
      this.#failure ??= new HavenError('DISK_FULL', 'The disk of a simulated device is full.')
    for (const { changes, resolve, reject } of group) {
      if (this.#failure !== undefined) {
        reject(this.#failure)
        continue
      }
      for (const change of changes) {
        const undo = this.#disk.apply(change)
        if (!isSynced) this.#unsynced.push(undo)
      }
      resolve()
    }
    if (isSynced) this.#unsynced = []
  }

  commits({
    feed,
    after,
    upTo = Infinity,
    maxBytes = Infinity,
  }: CommitRange): Promise<StoredCommit[]> {
    const rows = this.#disk.commits.get(feed) ?? []
    const found: StoredCommit[] = []
    let bytes = 0
    for (let at = firstAfter(rows, after); at < rows.length && rows[at]!.seq <= upTo; at++) {
      const commit = rows[at]!
      if (found.length > 0 && bytes >= maxBytes && commit.seq !== found.at(-1)!.seq) break
      found.push(commit)
      bytes += commit.ciphertext.length
    }
    return Promise.resolve(found)
  }

  async commit(feed: string, seq: number, idPrefix: Uint8Array): Promise<StoredCommit | undefined> {
    const prefix = bytesToHex(idPrefix)
    const rows = await this.commits({ feed, after: seq - 1, upTo: seq })
    return rows.find(({ id }) => bytesToHex(id).startsWith(prefix))
  }

  async idsAt(feed: string, seq: number): Promise<Uint8Array[]> {
    const rows = await this.commits({ feed, after: seq - 1, upTo: seq })
    return rows.map(({ id }) => id.subarray(0, 8))
  }

  descriptors(): Promise<StoredDescriptor[]> {
    return Promise.resolve([...this.#disk.descriptors.values()])
  }

  chains(): Promise<{ feed: string; value: Uint8Array }[]> {
    return Promise.resolve([...this.#disk.chains].map(([feed, value]) => ({ feed, value })))
  }

  meta(name: string): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.#disk.metas.get(name))
  }

  metas(prefix: string): Promise<{ name: string; value: Uint8Array }[]> {
    return Promise.resolve(named(this.#disk.metas, prefix))
  }

  secret(name: string): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.#disk.secrets.get(name))
  }

  secrets(prefix: string): Promise<{ name: string; value: Uint8Array }[]> {
    return Promise.resolve(named(this.#disk.secrets, prefix))
  }

  clearSecrets(group: string): Promise<void> {
    const names = named(this.#disk.secrets, `${group}/`)
    return this.batch(names.map(({ name }) => ({ kind: 'secret', name, value: undefined })))
  }

  record(collection: string, id: string): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.#disk.records.get(collection)?.get(id))
  }

  records(collection: string, ids: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    const rows = this.#disk.records.get(collection)
    return Promise.resolve(ids.map((id) => rows?.get(id)))
  }

  async *allRecords(collection: string): AsyncGenerator<Uint8Array> {
    // Of one moment, whatever is written meanwhile.
    const values = Array.from(this.#disk.records.get(collection)?.values() ?? [])
    for (const value of values) yield value
  }

  clearRecords(collection: string): Promise<void> {
    const ids = [...(this.#disk.records.get(collection)?.keys() ?? [])]
    return this.batch(ids.map((id) => ({ kind: 'record', collection, id, value: undefined })))
  }

  clearContexts(feed: string): Promise<void> {
    const rows = [...(this.#disk.contexts.get(feed)?.values() ?? [])]
    return this.batch(
      rows.map(({ seq, id }) => ({ kind: 'context', feed, seq, id, value: undefined })),
    )
  }

  async *contexts(
    feed: string,
  ): AsyncGenerator<{ seq: number; id: Uint8Array; value: Uint8Array }> {
    const rows = [...(this.#disk.contexts.get(feed)?.values() ?? [])]
    yield* rows.toSorted((a, b) => a.seq - b.seq || Buffer.compare(a.id, b.id))
  }

  async tipOf(feed: string): Promise<Place> {
    const last = (await this.commits({ feed, after: -1 })).at(-1)
    return last === undefined ? { seq: 0, id: new Uint8Array(32) } : { seq: last.seq, id: last.id }
  }

  /** Nothing of it is ever damaged. */
  verifyTails(): Promise<[]> {
    return Promise.resolve([])
  }

  verifyInBackground(): Promise<VerifyReport> {
    return Promise.resolve({ isComplete: true, filesDamaged: false, commits: 0, holes: 0 })
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

function named(
  rows: ReadonlyMap<string, Uint8Array>,
  prefix: string,
): { name: string; value: Uint8Array }[] {
  const found = [...rows].filter(([name]) => name.startsWith(prefix))
  // In the order of a real store, which sorts its keys.
  return found
    .map(([name, value]) => ({ name, value }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

function firstAfter(rows: readonly StoredCommit[], seq: number): number {
  let [low, high] = [0, rows.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (rows[middle]!.seq > seq) high = middle
    else low = middle + 1
  }
  return low
}

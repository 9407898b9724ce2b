import { bytesToHex, compareBytes } from '../../../src/core/bytes.ts'
import { HavenError } from '../../../src/core/errors.ts'
import type {
  CommitRange,
  CommitStore,
  StoreChange,
  StoredCommit,
  StoredDescriptor,
} from '../../../src/feed/commit-store.ts'
import type { VirtualTime } from './virtual-time.ts'

/** What has reached the disk. */
export interface Disk {
  readonly descriptors: Map<string, StoredDescriptor>
  readonly chains: Map<string, Uint8Array>
  readonly metas: Map<string, Uint8Array>
  /** By id. */
  readonly commits: Map<string, StoredCommit>
}

export function emptyDisk(): Disk {
  return { descriptors: new Map(), chains: new Map(), metas: new Map(), commits: new Map() }
}

export function copyOfDisk(disk: Disk): Disk {
  return {
    descriptors: new Map(disk.descriptors),
    chains: new Map(disk.chains),
    metas: new Map(disk.metas),
    commits: new Map(disk.commits),
  }
}

/**
 * What sync needs of a store, with writes that take their time. As with the real one, batches complete in the order of the calls,
 * and after one has failed all later ones fail.
 */
export class MemoryCommitStore implements CommitStore {
  readonly disk: Disk
  /** Ids in the order in which they became durable. */
  readonly log: string[]
  /** How long the next batch takes. */
  readonly #batchMs: () => number
  readonly #time: VirtualTime
  readonly #waiting: (() => void)[] = []
  #writing = false
  #failing = false
  #failsAfter = Infinity
  #dead = false

  constructor(disk: Disk, time: VirtualTime, batchMs: () => number) {
    this.disk = disk
    this.log = [...disk.commits.keys()]
    this.#time = time
    this.#batchMs = batchMs
  }

  get failed(): boolean {
    return this.#failing
  }

  /** The batch after so many more, and all after it, fail. */
  failAfter(batches: number): void {
    this.#failsAfter = batches
  }

  /** The disk has room again. */
  recover(): void {
    this.#failing = false
    this.#failsAfter = Infinity
  }

  /** The process was killed: what has not reached the disk never will, and nobody hears of it. */
  kill(): void {
    this.#dead = true
  }

  batch(changes: readonly StoreChange[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => {
        if (this.#failsAfter-- <= 0) this.#failing = true
        if (this.#failing) reject(new HavenError('DISK_FULL', 'The disk is full.'))
        else {
          for (const change of changes) this.#apply(change)
          resolve()
        }
      })
      this.#next()
    })
  }

  #next(): void {
    if (this.#writing) return
    const write = this.#waiting.shift()
    if (write === undefined) return
    this.#writing = true
    this.#time.after(this.#batchMs(), () => {
      if (this.#dead) return
      this.#writing = false
      write()
      this.#next()
    })
  }

  #apply(change: StoreChange): void {
    const { disk } = this
    if (change.kind === 'descriptor')
      disk.descriptors.set(change.descriptor.feed, change.descriptor)
    else if (change.kind === 'commit') {
      const id = bytesToHex(change.commit.id)
      if (!disk.commits.has(id)) this.log.push(id)
      disk.commits.set(id, change.commit)
    } else if (change.kind === 'chain' && change.value !== undefined)
      disk.chains.set(change.feed, change.value)
    else if (change.kind === 'meta' && change.value !== undefined)
      disk.metas.set(change.name, change.value)
    else throw new Error(`sync does not store ${change.kind}`)
  }

  commits({
    feed,
    after,
    upTo = Infinity,
    maxBytes = Infinity,
  }: CommitRange): Promise<StoredCommit[]> {
    const found: StoredCommit[] = []
    let bytes = 0
    const held = [...this.disk.commits.values()]
      .filter((commit) => commit.feed === feed && after < commit.seq && commit.seq <= upTo)
      .toSorted((a, b) => a.seq - b.seq || compareBytes(a.id, b.id))
    for (const commit of held) {
      if (bytes >= maxBytes && found.length > 0 && commit.seq !== found.at(-1)!.seq) break
      found.push(commit)
      bytes += commit.ciphertext.length
    }
    return Promise.resolve(found)
  }

  commit(feed: string, seq: number, idPrefix: Uint8Array): Promise<StoredCommit | undefined> {
    const prefix = bytesToHex(idPrefix)
    return Promise.resolve(
      [...this.disk.commits.values()].find(
        (each) => each.feed === feed && each.seq === seq && bytesToHex(each.id).startsWith(prefix),
      ),
    )
  }

  async idsAt(feed: string, seq: number): Promise<Uint8Array[]> {
    return (await this.commits({ feed, after: seq - 1, upTo: seq })).map(({ id }) =>
      id.subarray(0, 8),
    )
  }

  descriptors(): Promise<StoredDescriptor[]> {
    return Promise.resolve([...this.disk.descriptors.values()])
  }

  chains(): Promise<{ feed: string; value: Uint8Array }[]> {
    return Promise.resolve([...this.disk.chains].map(([feed, value]) => ({ feed, value })))
  }

  meta(name: string): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.disk.metas.get(name))
  }

  metas(prefix: string): Promise<{ name: string; value: Uint8Array }[]> {
    return Promise.resolve(
      [...this.disk.metas]
        .filter(([name]) => name.startsWith(prefix))
        .map(([name, value]) => ({ name, value })),
    )
  }

  secret = unused
  secrets = unused
  clearSecrets = unused
  record = unused
  records = unused
  allRecords = unused
  clearRecords = unused
  clearContexts = unused
  contexts = unused

  close(): Promise<void> {
    return Promise.resolve()
  }
}

function unused(): never {
  throw new Error('sync has no business with records')
}

/** What a process knows of the store of a mesh, and what it has learned of the others. */
import { bytesToHex } from '../../core/bytes.ts'
import { FeedChain } from '../../feed/chain.ts'
import { deviceOf } from '../../feed/descriptor.ts'
import { decodeChecked } from '../checked-row.ts'
import type { Damage } from '../damage.ts'
import { rowKinds } from '../layout.ts'
import type { SharedAnnouncement, StoreNews } from '../shared-store.ts'
import type { Transaction } from './transaction.ts'
import { sql } from './store-sql.ts'

export interface Amount {
  readonly commits: number
  readonly bytes: number
}

export interface KeyedRow {
  readonly key: Uint8Array
  readonly value: Uint8Array | null
}

type Report = (damage: Damage) => void

/** By names and feeds: the newest of each. */
class News {
  readonly descriptors = new Map<string, Uint8Array>()
  readonly chains = new Map<string, Uint8Array>()
  readonly metas = new Map<string, Uint8Array>()

  take(): StoreNews | undefined {
    if (this.isNone) return undefined
    const news = {
      descriptors: [...this.descriptors].map(([feed, bytes]) => ({ feed, bytes })),
      chains: [...this.chains].map(([feed, value]) => ({ feed, value })),
      metas: [...this.metas].map(([name, value]) => ({ name, value })),
    }
    for (const map of [this.descriptors, this.chains, this.metas]) map.clear()
    return news
  }

  get isNone(): boolean {
    return this.descriptors.size + this.chains.size + this.metas.size === 0
  }
}

/** As of one revision of the mesh: how often it was written, by whatever process. */
export class MeshState {
  revision = 0
  announcement: SharedAnnouncement | undefined
  /** undefined: its row can't be read. */
  readonly chains = new Map<string, FeedChain | undefined>()
  /** By feed, hex. */
  readonly devices = new Map<string, string>()
  usage: ReadonlyMap<string, Amount> = new Map()
  readonly news = new News()

  /** What a transaction has found out and done, once it has succeeded. */
  apply(draft: StateDraft): void {
    this.revision = draft.revision
    this.usage = draft.usage
    for (const [feed, chain] of draft.chains) this.chains.set(feed, chain)
    for (const [feed, device] of draft.devices) this.devices.set(feed, device)
    for (const kind of ['descriptors', 'chains', 'metas'] as const) {
      for (const [name, value] of draft.news[kind]) this.news[kind].set(name, value)
      for (const name of draft.known[kind]) this.news[kind].delete(name)
    }
  }
}

/** A state in the making: nothing of it counts before the transaction has been committed. */
export class StateDraft {
  readonly revision: number
  readonly chains = new Map<string, FeedChain | undefined>()
  readonly devices = new Map<string, string>()
  usage: ReadonlyMap<string, Amount>
  readonly news = new News()
  /** What this process has put there itself: no news any more, whatever was. */
  readonly known = {
    descriptors: new Set<string>(),
    chains: new Set<string>(),
    metas: new Set<string>(),
  }
  readonly #base: MeshState

  constructor(base: MeshState, revision: number) {
    this.#base = base
    this.revision = revision
    this.usage = base.usage
  }

  /** The empty chain where there is none; undefined where its row can't be read. */
  chain(feed: string): FeedChain | undefined {
    if (this.chains.has(feed)) return this.chains.get(feed)
    return this.#base.chains.has(feed) ? this.#base.chains.get(feed) : new FeedChain(feed)
  }

  /** The author of a feed, hex; empty while nobody knows its descriptor. */
  deviceOf(feed: string): string {
    return this.devices.get(feed) ?? this.#base.devices.get(feed) ?? ''
  }

  learnDescriptor(feed: string, bytes: Uint8Array): void {
    const device = deviceOf(bytes)
    if (device !== undefined) this.devices.set(feed, device)
  }

  /** Rows that others have written. */
  learn(rows: readonly KeyedRow[], report: Report): void {
    for (const { key, value } of rows) {
      const kind = key[0]
      if (kind === rowKinds.descriptor) this.#learnDescriptorRow(key, value, report)
      else if (kind === rowKinds.chain) this.#learnChainRow(key, value, report)
      else if (kind === rowKinds.meta && value !== null) {
        const name = Buffer.from(key.subarray(1)).toString('utf8')
        const found = decodeChecked(key, value)
        if (found === undefined) report({ row: 'meta', name })
        else this.news.metas.set(name, found)
      }
    }
  }

  #learnDescriptorRow(key: Uint8Array, row: Uint8Array | null, report: Report): void {
    const feed = bytesToHex(key.subarray(1))
    const bytes = row === null ? undefined : decodeChecked(key, row)
    if (bytes === undefined) {
      report({ row: 'descriptor', feed })
      return
    }
    this.learnDescriptor(feed, bytes)
    this.news.descriptors.set(feed, bytes)
  }

  #learnChainRow(key: Uint8Array, row: Uint8Array | null, report: Report): void {
    const feed = bytesToHex(key.subarray(1))
    // A chain that was taken away: nothing of the feed is held.
    const value = row === null ? new FeedChain(feed).encode() : decodeChecked(key, row)
    this.chains.set(feed, value && readableChain(feed, value))
    if (value === undefined) report({ row: 'chain', feed })
    else this.news.chains.set(feed, value)
  }
}

/** undefined: these bytes are no chain. */
export function readableChain(feed: string, value: Uint8Array): FeedChain | undefined {
  try {
    return FeedChain.decode(feed, value)
  } catch {
    return undefined
  }
}

/** What others have written after one revision and before another. */
export async function learnSince(
  transaction: Transaction,
  draft: StateDraft,
  since: { readonly mesh: Uint8Array; readonly after: number; readonly before: number },
  report: Report,
): Promise<void> {
  const { mesh, after, before } = since
  const { rows } = await transaction.run<KeyedRow>(sql.rowsSince, [mesh, after, before])
  draft.learn(rows, report)
  draft.usage = await readUsage(transaction, mesh)
}

async function readUsage(
  transaction: Transaction,
  mesh: Uint8Array,
): Promise<ReadonlyMap<string, Amount>> {
  const { rows } = await transaction.run<Amount & { device: Uint8Array }>(sql.usage, [mesh])
  return new Map(rows.map(({ device, commits, bytes }) => [bytesToHex(device), { commits, bytes }]))
}

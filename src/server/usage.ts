/**
 * What a mesh takes of this server, by author. The counts are written in the very batches that store the commits, so that they are right
 * after whatever end.
 */
import { bytesToHex } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import type { StoreChange, StoredCommit } from '../feed/commit-store.ts'
import { decodeDescriptor } from '../feed/descriptor.ts'
import type { MeshStore } from '../store/mesh-store.ts'

export interface Amount {
  readonly commits: number
  /** Of commits as they are sent; the database has somewhat more. */
  readonly bytes: number
}

export interface MeshUsage {
  readonly total: Amount
  /** By the author's device id. */
  readonly byDevice: ReadonlyMap<string, Amount>
}

const prefix = 'usage/'
const nothing: Amount = { commits: 0, bytes: 0 }

export class Usage implements MeshUsage {
  readonly #byDevice = new Map<string, Amount>()
  readonly #deviceByFeed = new Map<string, string>()
  #total = nothing

  static async load(store: MeshStore): Promise<Usage> {
    const usage = new Usage()
    for (const { bytes } of await store.descriptors()) usage.#learn(bytes)
    for (const { name, value } of await store.metas(prefix)) {
      const reader = new ByteReader(value, 'usage')
      const amount = { commits: reader.u64(), bytes: reader.u64() }
      usage.#byDevice.set(name.slice(prefix.length), amount)
      usage.#total = sum(usage.#total, amount)
    }
    return usage
  }

  get total(): Amount {
    return this.#total
  }

  /** By the author's device id. */
  get byDevice(): ReadonlyMap<string, Amount> {
    return this.#byDevice
  }

  /** The same store; what is put into it is counted. */
  metered(store: MeshStore): MeshStore {
    const batch: MeshStore['batch'] = (changes, options) =>
      store.batch([...changes, ...this.#count(changes)], options)
    return new Proxy(store, {
      get(target, name) {
        if (name === 'batch') return batch
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function'
          ? (value as (...args: unknown[]) => unknown).bind(target)
          : value
      },
    })
  }

  #count(changes: readonly StoreChange[]): StoreChange[] {
    const touched = new Set<string>()
    for (const change of changes)
      if (change.kind === 'descriptor') this.#learn(change.descriptor.bytes)
    for (const change of changes) {
      if (change.kind !== 'commit') continue
      const device = this.#deviceByFeed.get(change.commit.feed) ?? ''
      const amount = { commits: 1, bytes: bytesOf(change.commit) }
      this.#byDevice.set(device, sum(this.#byDevice.get(device) ?? nothing, amount))
      this.#total = sum(this.#total, amount)
      touched.add(device)
    }
    return [...touched].map((device) => {
      const { commits, bytes } = this.#byDevice.get(device)!
      const value = new ByteWriter(16).u64(commits).u64(bytes).finish()
      return { kind: 'meta', name: prefix + device, value }
    })
  }

  #learn(bytes: Uint8Array): void {
    const { feed, device } = decodeDescriptor(bytes)
    this.#deviceByFeed.set(feed, bytesToHex(device))
  }
}

function sum(a: Amount, b: Amount): Amount {
  return { commits: a.commits + b.commits, bytes: a.bytes + b.bytes }
}

export function sumOf(amounts: Iterable<Amount>): Amount {
  let total = nothing
  for (const amount of amounts) total = sum(total, amount)
  return total
}

function bytesOf({ header, ciphertext, signature }: StoredCommit): number {
  return header.length + ciphertext.length + (signature?.length ?? 0)
}

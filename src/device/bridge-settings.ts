/** What a person has said on this device about its bridge: which servers may be used, and whether it rests. Kept here, and told nobody. */
import { bytesToHex, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import type { CommitStore } from '../feed/commit-store.ts'

const name = 'bridge/settings'
const version = 1

export class BridgeSettings {
  readonly #store: CommitStore
  readonly #allowed: Set<string>
  #paused: boolean

  private constructor(store: CommitStore, allowed: Iterable<string>, paused: boolean) {
    this.#store = store
    this.#allowed = new Set(allowed)
    this.#paused = paused
  }

  static async load(store: CommitStore): Promise<BridgeSettings> {
    const bytes = await store.secret(name)
    if (bytes === undefined) return new BridgeSettings(store, [], false)
    const reader = new ByteReader(bytes, 'bridge settings')
    if (reader.u8() !== version) reader.fail('an unknown version')
    const paused = reader.u8() === 1
    const allowed = Array.from({ length: reader.count(32) }, () => bytesToHex(reader.bytes(32)))
    return new BridgeSettings(store, allowed, paused)
  }

  get paused(): boolean {
    return this.#paused
  }

  isAllowed(server: string): boolean {
    return this.#allowed.has(server)
  }

  /** Durable when it resolves. */
  async allow(servers: Iterable<string>): Promise<void> {
    for (const server of servers) this.#allowed.add(server)
    await this.#save()
  }

  /** Durable when it resolves. */
  async pause(paused: boolean): Promise<void> {
    this.#paused = paused
    await this.#save()
  }

  async #save(): Promise<void> {
    const writer = new ByteWriter()
      .u8(version)
      .u8(this.#paused ? 1 : 0)
      .varint(this.#allowed.size)
    for (const server of this.#allowed) writer.bytes(hexToBytes(server))
    await this.#store.batch([{ kind: 'secret', name, value: writer.finish() }])
  }
}

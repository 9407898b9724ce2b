/** How many bytes each device has sent in a day: for its quota, which a restart must not give it anew. */
import { ByteReader, ByteWriter } from '../core/codec.ts'
import type { Timers } from '../core/environment.ts'
import type { CommitStore } from '../feed/commit-store.ts'
import { LateRows } from './late-rows.ts'
import { serverRowNames } from './server-rows.ts'

export interface SentBytes {
  /** Durable some seconds later. @param day - days since 1970, UTC */
  add(device: string, day: number, bytes: number): void
  /** In all, as far as is known here. */
  of(device: string, day: number): number
  /** What was added is durable, if it can be. */
  close(): Promise<void>
}

/** In the store of the mesh: one row for each device, of the last day on which it sent something. */
export class StoredSentBytes implements SentBytes {
  readonly #rows: LateRows
  readonly #byDevice = new Map<string, { readonly day: number; readonly bytes: number }>()

  private constructor(rows: LateRows) {
    this.#rows = rows
  }

  static async load(
    store: Pick<CommitStore, 'batch' | 'metas'>,
    timers: Timers,
  ): Promise<StoredSentBytes> {
    const sent = new StoredSentBytes(new LateRows(store, timers))
    for (const { name, value } of await store.metas(serverRowNames.sent)) {
      const reader = new ByteReader(value, 'count of bytes')
      const device = name.slice(serverRowNames.sent.length)
      sent.#byDevice.set(device, { day: reader.u32(), bytes: reader.u64() })
    }
    return sent
  }

  add(device: string, day: number, bytes: number): void {
    const sum = this.of(device, day) + bytes
    this.#byDevice.set(device, { day, bytes: sum })
    const value = new ByteWriter(12).u32(day).u64(sum).finish()
    this.#rows.set(serverRowNames.sent + device, value)
  }

  of(device: string, day: number): number {
    const sent = this.#byDevice.get(device)
    return sent?.day === day ? sent.bytes : 0
  }

  close(): Promise<void> {
    return this.#rows.close()
  }
}

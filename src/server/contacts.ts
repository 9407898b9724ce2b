/** When each device was last heard of, for who looks after the server. */
import { ByteWriter } from '../core/codec.ts'
import type { Clock, Timers } from '../core/environment.ts'
import type { CommitStore } from '../feed/commit-store.ts'
import { LateRows } from './late-rows.ts'
import { serverRowNames } from './server-rows.ts'

export class Contacts {
  readonly #rows: LateRows
  readonly #clock: Clock

  constructor(
    store: Pick<CommitStore, 'batch'>,
    { clock, timers }: { clock: Clock; timers: Timers },
  ) {
    this.#rows = new LateRows(store, timers)
    this.#clock = clock
  }

  heard(device: string): void {
    const nowMs = Math.max(0, Math.floor(this.#clock.nowMs()))
    this.#rows.set(serverRowNames.contact + device, new ByteWriter(8).u64(nowMs).finish(), nowMs)
  }

  flush(): Promise<void> {
    return this.#rows.flush()
  }

  close(): Promise<void> {
    return this.#rows.close()
  }
}

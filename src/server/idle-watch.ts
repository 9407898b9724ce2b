/**
 * Since when nothing has arrived of a mesh: what is kept on a server for a time is kept that long after the last commit came in, and then removed
 * with all of its mesh.
 *
 * Parts of a mesh are not dropped by age: a feed without its beginning is of no use to a device that lacks it (docs/storage.md).
 */
import { ByteReader, ByteWriter } from '../core/codec.ts'
import type { Clock, Timers } from '../core/environment.ts'
import { isHavenError } from '../core/errors.ts'
import type { CommitStore } from '../feed/commit-store.ts'
import { serverRowNames } from './server-rows.ts'

/** How exact it is. */
export const lookEveryMs = 10 * 60_000

export interface IdleWatchOptions {
  readonly store: Pick<CommitStore, 'batch' | 'meta'>
  /** Of the mesh, by all processes. */
  readonly commits: () => number
  readonly clock: Clock
  readonly timers: Timers
  /** Nothing has arrived since. Called at each look. */
  readonly looked: (idleMs: number) => void
}

export class IdleWatch {
  readonly #options: IdleWatchOptions
  #cancel: () => void = () => {}
  #isClosed = false

  /** Looks at once, and then every ten minutes. */
  constructor(options: IdleWatchOptions) {
    this.#options = options
    void this.#look()
  }

  close(): void {
    this.#isClosed = true
    this.#cancel()
  }

  async #look(): Promise<void> {
    const { timers, looked } = this.#options
    try {
      const idleMs = await this.#idleMs()
      if (!this.#isClosed) looked(idleMs)
    } catch (error) {
      // A store that fails is seen to by who writes to it.
      if (!isHavenError(error)) throw error
    }
    if (!this.#isClosed) this.#cancel = timers.after(lookEveryMs, () => void this.#look())
  }

  /** A clock that was put back makes it younger, never older. */
  async #idleMs(): Promise<number> {
    const { store, clock } = this.#options
    const [nowMs, commits] = [clock.nowMs(), this.#options.commits()]
    const row = await store.meta(serverRowNames.arrived)
    if (row !== undefined) {
      const reader = new ByteReader(row, 'time of the last arrival')
      const [counted, sinceMs] = [reader.u64(), reader.u64()]
      if (counted === commits && sinceMs <= nowMs) return nowMs - sinceMs
    }
    const value = new ByteWriter(16).u64(commits).u64(nowMs).finish()
    await store.batch([{ kind: 'meta', name: serverRowNames.arrived, value, order: commits }])
    return 0
  }
}

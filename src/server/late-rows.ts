/**
 * Rows in the store of a mesh that change with every frame: each is written a few seconds after it has changed, and at the end. A process
 * that dies forgets at most what changed in that time.
 */
import { isHavenError } from '../core/errors.ts'
import type { Timers } from '../core/environment.ts'
import type { CommitStore, StoreChange } from '../feed/commit-store.ts'

type Row = Extract<StoreChange, { kind: 'meta' }>

/** How long after a change. */
export const lateRowsMs = 5_000

export class LateRows {
  readonly #store: Pick<CommitStore, 'batch'>
  readonly #timers: Timers
  readonly #changed = new Map<string, Row>()
  #cancel: (() => void) | undefined
  #writing: Promise<void> = Promise.resolve()

  constructor(store: Pick<CommitStore, 'batch'>, timers: Timers) {
    this.#store = store
    this.#timers = timers
  }

  /** The last value counts. @param order - where several processes write: a value with a greater number stays */
  set(name: string, value: Uint8Array, order?: number): void {
    this.#changed.set(name, { kind: 'meta', name, value, ...(order !== undefined && { order }) })
    this.#cancel ??= this.#timers.after(lateRowsMs, () => {
      this.#cancel = undefined
      void this.flush()
    })
  }

  /** What was set before is written, if the store takes anything. */
  flush(): Promise<void> {
    const before = this.#writing
    this.#writing = (async () => {
      await before
      await this.#write()
    })()
    return this.#writing
  }

  /** Before the store is closed. */
  async close(): Promise<void> {
    this.#cancel?.()
    this.#cancel = undefined
    await this.flush()
  }

  async #write(): Promise<void> {
    const rows = [...this.#changed.values()]
    this.#changed.clear()
    if (rows.length === 0) return
    try {
      await this.#store.batch(rows, { sync: false })
    } catch (error) {
      // Whoever stores commits finds out as well, and sees to it that the store is opened again.
      if (!isHavenError(error)) throw error
    }
  }
}

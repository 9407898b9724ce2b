/** Something about some of a collection's records, kept as rows, so that it is known without looking at every record. */
import type { CommitStore, StoreChange } from '../feed/commit-store.ts'

export class IdRows {
  readonly #store: CommitStore
  readonly #group: string
  #ids: Set<string> | undefined
  /** What has changed in this run, until the rows have been read: some may still be on their way. */
  readonly #changed = new Map<string, boolean>()

  /** @param group - without a slash: the rows of a group lie together */
  constructor(store: CommitStore, group: string) {
    this.#store = store
    this.#group = group
  }

  /** Puts a record's value in place, or takes it out (undefined). Returns the row, to be written with what it follows from. */
  set(id: string, value: Uint8Array | undefined): StoreChange {
    if (this.#ids === undefined) this.#changed.set(id, value !== undefined)
    else if (value === undefined) this.#ids.delete(id)
    else this.#ids.add(id)
    return { kind: 'secret', name: `${this.#group}/${id}`, value }
  }

  /** Also of rows that are still on their way. */
  async ids(): Promise<ReadonlySet<string>> {
    if (this.#ids !== undefined) return this.#ids
    const rows = await this.#store.secrets(`${this.#group}/`)
    if (this.#ids === undefined) {
      const ids = new Set(rows.map(({ name }) => name.slice(this.#group.length + 1)))
      for (const [id, isIn] of this.#changed) {
        if (isIn) ids.add(id)
        else ids.delete(id)
      }
      this.#changed.clear()
      this.#ids = ids
    }
    return this.#ids
  }

  /** As they are stored, sorted by id. */
  async values(): Promise<Uint8Array[]> {
    const rows = await this.#store.secrets(`${this.#group}/`)
    return rows.map(({ value }) => value)
  }

  async clear(): Promise<void> {
    await this.#store.clearSecrets(this.#group)
    this.#changed.clear()
    this.#ids = new Set()
  }
}

/** Some of the ids of a collection's records, kept as rows, so that they are known without looking at every record. */
import type { CommitStore, StoreChange } from '../feed/commit-store.ts'

const present = new Uint8Array(0)

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

  /** Takes an id in, or out. Returns the row, to be written with what it follows from. */
  set(id: string, isIn: boolean): StoreChange {
    if (this.#ids === undefined) this.#changed.set(id, isIn)
    else if (isIn) this.#ids.add(id)
    else this.#ids.delete(id)
    return { kind: 'secret', name: `${this.#group}/${id}`, value: isIn ? present : undefined }
  }

  async all(): Promise<ReadonlySet<string>> {
    if (this.#ids !== undefined) return this.#ids
    const rows = await this.#store.secrets(`${this.#group}/`)
    if (this.#ids === undefined) {
      this.#ids = new Set(rows.map(({ name }) => name.slice(this.#group.length + 1)))
      for (const [id, isIn] of this.#changed) this.set(id, isIn)
      this.#changed.clear()
    }
    return this.#ids
  }

  async clear(): Promise<void> {
    await this.#store.clearSecrets(this.#group)
    this.#changed.clear()
    this.#ids = new Set()
  }
}

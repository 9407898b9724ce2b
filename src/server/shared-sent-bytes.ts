/** How many bytes each device has sent in a day to all processes of a server, as this one last heard. */
import { isHavenError } from '../core/errors.ts'
import type { Timers } from '../core/environment.ts'
import type { ServerTables } from '../store/postgres/server-tables.ts'
import { lateRowsMs } from './late-rows.ts'
import type { SentBytes } from './sent-bytes.ts'

export class SharedSentBytes implements SentBytes {
  readonly #tables: ServerTables
  readonly #mesh: string
  readonly #timers: Timers
  #day = 0
  /** Of that day. */
  #known = new Map<string, number>()
  /** Not written yet. */
  readonly #added = new Map<string, number>()
  #cancel: (() => void) | undefined
  #writing: Promise<void> = Promise.resolve()

  constructor(options: {
    readonly tables: ServerTables
    readonly mesh: string
    readonly timers: Timers
  }) {
    this.#tables = options.tables
    this.#mesh = options.mesh
    this.#timers = options.timers
  }

  /** @throws HavenError of the database */
  async load(day: number): Promise<void> {
    this.#known = await this.#tables.sentBytes(this.#mesh, day)
    this.#day = day
  }

  add(device: string, day: number, bytes: number): void {
    if (day !== this.#day) {
      this.#known = new Map()
      this.#day = day
    }
    const key = `${device} ${day}`
    this.#added.set(key, (this.#added.get(key) ?? 0) + bytes)
    this.#cancel ??= this.#timers.after(lateRowsMs, () => {
      this.#cancel = undefined
      void this.#flush()
    })
  }

  of(device: string, day: number): number {
    const known = day === this.#day ? (this.#known.get(device) ?? 0) : 0
    return known + (this.#added.get(`${device} ${day}`) ?? 0)
  }

  async close(): Promise<void> {
    this.#cancel?.()
    this.#cancel = undefined
    await this.#flush()
  }

  #flush(): Promise<void> {
    const before = this.#writing
    this.#writing = (async () => {
      await before
      await this.#write()
    })()
    return this.#writing
  }

  async #write(): Promise<void> {
    const added = [...this.#added].map(([key, bytes]) => {
      const [device, day] = key.split(' ') as [string, string]
      return { mesh: this.#mesh, device, day: Number(day), bytes }
    })
    if (added.length === 0) return
    this.#added.clear()
    // What is on its way counts while it is.
    for (const { device, day, bytes } of added)
      if (day === this.#day) this.#known.set(device, (this.#known.get(device) ?? 0) + bytes)
    try {
      await this.#tables.addSentBytes(added)
      const day = this.#day
      const known = await this.#tables.sentBytes(this.#mesh, day)
      if (day === this.#day) this.#known = known
    } catch (error) {
      // A quota is no reason to stop: the stores tell that the database is away.
      if (!isHavenError(error)) throw error
    }
  }
}

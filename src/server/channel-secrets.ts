/**
 * The secrets that the processes of one server seal to themselves with, for a while each: what was recorded of connections can't be opened
 * by who takes the database when they are gone.
 */
import { bytesToHex } from '../core/bytes.ts'
import type { Clock, Random, Timers } from '../core/environment.ts'
import type { ServerTables } from '../store/postgres/server-tables.ts'

const minuteMs = 60_000
/** A new one so often. */
const renewEveryMs = 60 * minuteMs
/** How late another process may hear of a new one: nobody uses it before. */
const lookEveryMs = 4 * minuteMs
const settleMs = 2 * lookEveryMs
/** A token lives a quarter of an hour. */
const keepMs = renewEveryMs + settleMs + 20 * minuteMs

export class ChannelSecrets {
  readonly #tables: ServerTables
  readonly #clock: Clock
  readonly #random: Random
  readonly #timers: Timers
  #secrets: readonly Uint8Array[] = []
  #cancel: () => void = () => {}

  /** @throws HavenError of the database */
  static async open(options: {
    readonly tables: ServerTables
    readonly clock: Clock
    readonly random: Random
    readonly timers: Timers
  }): Promise<ChannelSecrets> {
    const secrets = new ChannelSecrets(options)
    await secrets.#look()
    secrets.#goOn()
    return secrets
  }

  private constructor(options: {
    readonly tables: ServerTables
    readonly clock: Clock
    readonly random: Random
    readonly timers: Timers
  }) {
    this.#tables = options.tables
    this.#clock = options.clock
    this.#random = options.random
    this.#timers = options.timers
  }

  /** The first is used, any is taken. */
  get all(): readonly Uint8Array[] {
    return this.#secrets
  }

  close(): void {
    this.#cancel()
  }

  #goOn(): void {
    this.#cancel = this.#timers.after(lookEveryMs, () => {
      void (async () => {
        try {
          await this.#look()
        } catch {
          // Those that are known go on being used until the database is there again.
        }
        this.#goOn()
      })()
    })
  }

  async #look(): Promise<void> {
    const nowMs = this.#clock.nowMs()
    const made = {
      id: bytesToHex(this.#random.bytes(16)),
      secret: this.#random.bytes(32),
      createdMs: nowMs,
    }
    await this.#tables.renewChannelSecret(made, renewEveryMs)
    await this.#tables.deleteChannelSecrets(nowMs - keepMs)
    await this.#tables.deleteExpiredRequests(nowMs)
    const kept = await this.#tables.channelSecrets(nowMs - keepMs)
    // Newest first; the very first of a server has to be used at once.
    const used = kept.find(({ createdMs }) => createdMs <= nowMs - settleMs) ?? kept.at(-1)!
    this.#secrets = [used, ...kept.filter((each) => each !== used)].map(({ secret }) => secret)
  }
}

/**
 * How fast the way to each server is, up and down, as it was when there was something to carry: kept over restarts, to say how long what
 * waits will take.
 */
import { ByteReader, ByteWriter } from '../core/codec.ts'
import type { CommitStore } from '../feed/commit-store.ts'
import type { Session } from '../sync/session.ts'

const prefix = 'bridge/rate/'
/** Less in a second is talk, and says nothing of the link. */
const busyBytes = 500
/** So many busy seconds are measured together. */
const secondsAtOnce = 5
/** Less is over too soon to tell. */
const leastBytes = 4_000
/** Weight of the newest measurement. */
const smoothing = 0.5

export interface Rates {
  /** Bytes of commits in a second; undefined: nothing was carried yet. */
  readonly up: number | undefined
  readonly down: number | undefined
}

interface Measuring {
  up: number | undefined
  down: number | undefined
  session: Session | undefined
  inBytes: number
  busyBytes: number
  busySeconds: number
}

export class LinkRates {
  readonly #store: CommitStore
  readonly #servers = new Map<string, Measuring>()
  readonly #unsaved = new Set<string>()

  private constructor(store: CommitStore) {
    this.#store = store
  }

  static async load(store: CommitStore): Promise<LinkRates> {
    const rates = new LinkRates(store)
    for (const { name, value } of await store.metas(prefix)) {
      const reader = new ByteReader(value, 'rate of a link')
      const [up, down] = [reader.u64(), reader.u64()]
      Object.assign(rates.#of(name.slice(prefix.length)), {
        up: up === 0 ? undefined : up,
        down: down === 0 ? undefined : down,
      })
    }
    return rates
  }

  of(server: string): Rates {
    const { up, down } = this.#of(server)
    return { up, down }
  }

  /** To be called every second while there is a session with the server. */
  measure(server: string, session: Session): void {
    const measuring = this.#of(server)
    // A session may be over what it has to bring before its first second is.
    const inBytes = session.bytes.in - (measuring.session === session ? measuring.inBytes : 0)
    measuring.session = session
    measuring.inBytes = session.bytes.in
    if (inBytes >= busyBytes) {
      measuring.busyBytes += inBytes
      measuring.busySeconds += 1
    }
    if (inBytes < busyBytes || measuring.busySeconds >= secondsAtOnce) this.#conclude(measuring)
    const { bytesPerMs } = session.window
    if (bytesPerMs !== undefined) measuring.up = Math.max(1, Math.round(bytesPerMs * 1_000))
    this.#unsaved.add(server)
  }

  #conclude(measuring: Measuring): void {
    const { busyBytes: bytes, busySeconds, down } = measuring
    measuring.busyBytes = 0
    measuring.busySeconds = 0
    if (bytes < leastBytes) return
    const rate = bytes / busySeconds
    measuring.down = Math.round(
      down === undefined ? rate : down * (1 - smoothing) + rate * smoothing,
    )
  }

  async save(): Promise<void> {
    const changes = [...this.#unsaved].map((server) => {
      const { up = 0, down = 0 } = this.#of(server)
      const value = new ByteWriter(16).u64(up).u64(down).finish()
      return { kind: 'meta', name: prefix + server, value } as const
    })
    this.#unsaved.clear()
    // It is measured again if it is lost.
    if (changes.length > 0) await this.#store.batch(changes, { sync: false })
  }

  #of(server: string): Measuring {
    let measuring = this.#servers.get(server)
    if (measuring === undefined) {
      const nothing = { session: undefined, inBytes: 0, busyBytes: 0, busySeconds: 0 }
      measuring = { up: undefined, down: undefined, ...nothing }
      this.#servers.set(server, measuring)
    }
    return measuring
  }
}

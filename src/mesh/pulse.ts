/**
 * Notices that a peer is gone, within nine seconds, for 30 bytes each way every five seconds on a link that is idle and
 * for nothing on one that is busy.
 *
 * It counts ticks of a timer and not time: a laptop that slept, or a process that was busy for a while, has not missed
 * anybody's answer.
 */

/** The pings of one connection, which the other side answers in the order of the data. */
export interface Pings {
  /** Resolves with the answer; never rejects before the connection has ended. One at a time. */
  ping(): Promise<void>
  /** Calls on everything that arrives, an answer to a ping too; returns what stops it. */
  onHeard(listener: () => void): () => void
}

const tickMs = 1_000
const quietMs = 5_000
/** Room for TCP to repeat a lost packet four times. */
const graceMs = 3_000

export class Pulse {
  readonly #pings: Pings
  readonly #stopListening: () => void
  readonly #timer: NodeJS.Timeout
  readonly #options: PulseOptions
  #silentMs = 0
  #waitingMs = 0
  #pinging: Promise<void> | undefined

  constructor(pings: Pings, options: PulseOptions) {
    this.#pings = pings
    this.#options = options
    this.#stopListening = pings.onHeard(() => {
      this.#silentMs = 0
    })
    this.#timer = setInterval(() => this.#tick(), tickMs)
  }

  get isPinging(): boolean {
    return this.#pinging !== undefined
  }

  /** Pings now; joins the ping that is under way, if any. Never rejects. */
  ping(): Promise<void> {
    this.#waitingMs = this.#pinging === undefined ? 0 : this.#waitingMs
    this.#pinging ??= this.#askOnce()
    return this.#pinging
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#stopListening()
  }

  async #askOnce(): Promise<void> {
    try {
      await this.#pings.ping()
    } catch {
      // The connection has ended, and its end is reported by itself.
    }
    this.#pinging = undefined
  }

  #tick(): void {
    this.#silentMs += tickMs
    if (this.#pinging !== undefined) {
      this.#waitingMs += tickMs
      const patienceMs = graceMs + 2 * this.#options.drainMs()
      if (this.#waitingMs >= patienceMs && this.#silentMs >= patienceMs) this.#options.dead()
    } else if (this.#silentMs >= quietMs + (this.#options.isDialler ? 0 : tickMs)) {
      // The listener waits a tick longer: the dialler's ping then tells it enough.
      void this.ping()
    }
  }
}

export interface PulseOptions {
  isDialler: boolean
  /** How long a ping may stand in line behind data, in milliseconds. */
  drainMs(): number
  /** The peer has not answered for too long. */
  dead(): void
}

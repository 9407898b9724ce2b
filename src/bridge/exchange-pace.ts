/**
 * How much is said in one exchange, and when the next one begins. Pure: times are given.
 *
 * A link that takes nothing but requests may still be slow, or cut off requests that take long: an exchange is to take some seconds at most, so
 * that little is lost with it, and what is urgent waits for no longer than that.
 */
import type { ExchangeBudget, ExchangeOutlook } from '../sync/asker.ts'

const kib = 1024
const firstBytes = 64 * kib
const leastBytes = 32 * kib
const mostBytes = 1_024 * kib
const quickMs = 5_000
const slowMs = 15_000
/** Nothing comes or goes: from two seconds to a minute. */
const calmFirstMs = 2_000
const calmCapMs = 60_000
/** What is written goes together. */
const gatherMs = 1_000

export class ExchangePace {
  readonly #random: () => number
  #bytes = firstBytes
  #calm = 0

  /** @param random - from 0 up to, without, 1 */
  constructor(random: () => number) {
    this.#random = random
  }

  get budget(): ExchangeBudget {
    return { sendBytes: this.#bytes, takeBytes: this.#bytes }
  }

  /** An exchange has ended. @returns until the next, when nothing else happens */
  ended(tookMs: number, outlook: ExchangeOutlook): number {
    if (tookMs > slowMs) this.#bytes = Math.max(leastBytes, this.#bytes / 2)
    else if (tookMs < quickMs && outlook === 'more')
      this.#bytes = Math.min(mostBytes, this.#bytes * 2)
    if (outlook === 'more') {
      this.#calm = 0
      return 0
    }
    if (outlook === 'moved') this.#calm = 0
    const calmMs = Math.min(calmCapMs, calmFirstMs * 2 ** Math.min(this.#calm, 10))
    this.#calm += 1
    return calmMs * (0.75 + this.#random() / 4)
  }

  /** It was lost: the next one is smaller, in case that was why. */
  failed(): void {
    this.#bytes = Math.max(leastBytes, this.#bytes / 4)
  }

  /** There is something to send. @returns until the next exchange */
  news(): number {
    this.#calm = 0
    return gatherMs * (0.75 + this.#random() / 4)
  }
}

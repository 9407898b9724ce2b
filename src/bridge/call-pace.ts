/**
 * How often a server may be called where bytes are counted. Each call costs about 10 kB before the first commit: TCP and TLS, the handshakes,
 * clocks. A link that breaks every minute would take 14 MB in a day for nothing; so calls get a tenth of what is left, as it would be
 * spread over the whole day or month. A few may come one after the other.
 */

/** Measured: 8 kB with a certificate of 2,048 bits and clocks that have moved little; more of them make it more. */
export const callBytes = 10_000
const share = 0.1
const atOnce = 10

/** From one call to the next, if calls are all that is made. */
export function callIntervalMs(left: { readonly bytes: number; readonly ofMs: number }): number {
  return Math.min(left.ofMs, (left.ofMs * callBytes) / Math.max(1, share * left.bytes))
}

export class CallPace {
  #calls = atOnce
  #filledMs: number

  constructor(nowMs: number) {
    this.#filledMs = nowMs
  }

  /**
   * @param calls - connections since it was asked last
   * @param left - what is left of the budget of a time that is so long; undefined: calls are free
   * @returns how long to wait before the next call
   */
  waitMs(
    calls: number,
    left: { readonly bytes: number; readonly ofMs: number } | undefined,
    nowMs: number,
  ): number {
    const sinceMs = Math.max(0, nowMs - this.#filledMs)
    this.#filledMs = nowMs
    if (left === undefined) {
      this.#calls = atOnce
      return 0
    }
    const affordable = (share * left.bytes) / callBytes
    const perMs = affordable / left.ofMs
    const most = Math.max(1, Math.min(atOnce, affordable))
    this.#calls = Math.max(0, Math.min(most, this.#calls + sinceMs * perMs) - calls)
    if (this.#calls >= 1) return 0
    return Math.min(left.ofMs, (1 - this.#calls) / perMs)
  }
}

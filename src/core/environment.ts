/**
 * Time and chance, as the pure half receives them. Production passes the real ones, the simulator its own: the same
 * seed then gives the same run.
 */

/** Milliseconds since the Unix epoch by this device's wall clock, which may be wrong by any amount and may jump. */
export interface Clock {
  nowMs(): number
}

export interface Random {
  /** Unpredictable bytes; from a seed in tests and simulations. */
  bytes(count: number): Uint8Array
}

export interface Timers {
  /** Calls `run` once after `delayMs`; the returned function cancels it. */
  after(delayMs: number, run: () => void): () => void
}

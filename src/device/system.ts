/** Real time and chance, for the parts of the pure half that ask for them. */
import { randomFillSync } from 'node:crypto'

import type { Clock, Random, Timers } from '../core/environment.ts'

export const systemClock: Clock = { nowMs: () => Date.now() }

/** Small requests come out of a pool: a system call each would cost more than the ciphers that they are for. */
const poolBytes = 4096
let pool = new Uint8Array(0)

export const systemRandom: Random = {
  bytes(count) {
    if (count > poolBytes / 4) return randomFillSync(new Uint8Array(count))
    if (pool.length < count) pool = randomFillSync(new Uint8Array(poolBytes))
    const bytes = pool.slice(0, count)
    pool = pool.subarray(count)
    return bytes
  },
}

export const systemTimers: Timers = {
  after(delayMs, run) {
    const timer = setTimeout(run, Math.min(delayMs, 2 ** 31 - 1))
    return () => {
      clearTimeout(timer)
    }
  },
}

export function rfc3339(ms: number): string {
  return new Date(Math.min(Math.max(ms, 0), 8.64e15)).toISOString()
}

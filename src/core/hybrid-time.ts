/**
 * Hybrid logical time: 48 bits of milliseconds, 16 bits of counter.
 *
 * It orders writes that did not see each other in a way that people expect; what one write replaces is decided by
 * causality alone (docs/data-model.md).
 *
 * @see Kulkarni et al. 2014, "Logical Physical Clocks and Consistent Snapshots"
 */
import { limits } from './limits.ts'

export interface HybridTime {
  /** Milliseconds since the Unix epoch. */
  readonly ms: number
  readonly counter: number
}

const maxMs = 2 ** 48 - 1
const maxCounter = 0xffff

export const zeroTime: HybridTime = { ms: 0, counter: 0 }

export function compareTimes(a: HybridTime, b: HybridTime): number {
  return a.ms - b.ms || a.counter - b.counter
}

/** Clocks are set by hand: a time that is further ahead of this device's own clock is taken for wrong, where people are told. */
export const visiblyOffMs = 10 * 60 * 1000

/**
 * The time of the next local event: later than every time issued or followed before, unless that is more than 24 h ahead
 * of the device's clock. Then this clock was wrong before and has been put right: its writes must not stand first for a year.
 */
export function nextTime(last: HybridTime, nowMs: number): HybridTime {
  const ms = Math.min(Math.max(0, Math.floor(nowMs)), maxMs)
  if (ms > last.ms || last.ms > ms + limits.clockDriftMs) return { ms, counter: 0 }
  if (last.counter < maxCounter) return { ms: last.ms, counter: last.counter + 1 }
  return { ms: Math.min(last.ms + 1, maxMs), counter: 0 }
}

/**
 * Follows a time that arrived, at most 24 h beyond the device's own clock, so that one tablet in the year 2093 does
 * not drag a whole camp along. What arrived is kept and ordered by its own time all the same.
 */
export function followTime(last: HybridTime, remote: HybridTime, nowMs: number): HybridTime {
  if (compareTimes(remote, last) <= 0 || remote.ms > nowMs + limits.clockDriftMs) return last
  return remote
}

/**
 * How many random histories there are: 10,000 and more over all properties together, and with `HAVEN_HISTORIES` so many for each.
 *
 * A failure prints the seed of its history; fast-check's own is set again by `HAVEN_SEED`.
 */
import { fc } from '@fast-check/vitest'

/** @param usual - of one property, where nothing else is asked for */
export function histories(usual: number): { numRuns: number; seed?: number } {
  const { HAVEN_HISTORIES: count, HAVEN_SEED: seed } = process.env
  return {
    numRuns: count === undefined ? usual : Number(count),
    ...(seed !== undefined && { seed: Number(seed) }),
  }
}

/** Nothing is smaller about a history with a smaller seed. */
export const anySeed = fc.noShrink(fc.integer())

/** Of a test that may be asked for many more histories than usual. */
export const timeoutMs = process.env.HAVEN_HISTORIES === undefined ? 180_000 : 24 * 60 * 60 * 1000

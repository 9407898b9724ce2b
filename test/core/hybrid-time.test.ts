import { test } from '@fast-check/vitest'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { compareTimes, followTime, nextTime, zeroTime } from '../../src/core/hybrid-time.ts'
import { limits } from '../../src/core/limits.ts'

const ms = fc.oneof(fc.nat(5), fc.integer({ min: 0, max: 2 ** 48 - 2 }))
const time = fc.record({ ms, counter: fc.oneof(fc.nat(2), fc.nat(0xffff), fc.constant(0xffff)) })
const now = fc.oneof(fc.integer(), fc.double({ noNaN: true }), ms)

describe('hybrid time', () => {
  test.prop([time, now])('of the next write is later than that of the last', (last, nowMs) => {
    const next = nextTime(last, nowMs)
    const clockMs = Math.max(0, Math.floor(nowMs))
    const wasWrong = last.ms > clockMs + limits.clockDriftMs
    if (!wasWrong) expect(compareTimes(next, last)).toBeGreaterThan(0)
    expect(next.ms).toBeGreaterThanOrEqual(Math.min(nowMs, 2 ** 48 - 1) - 1)
    expect(Number.isInteger(next.ms) && next.ms >= 0 && next.ms < 2 ** 48).toBe(true)
    expect(Number.isInteger(next.counter) && next.counter >= 0 && next.counter <= 0xffff).toBe(true)
  })

  test.prop([time, time, ms])(
    'follows what arrived, and never goes back',
    (last, remote, nowMs) => {
      const followed = followTime(last, remote, nowMs)
      expect(compareTimes(followed, last)).toBeGreaterThanOrEqual(0)
      if (remote.ms <= nowMs + limits.clockDriftMs) {
        expect(compareTimes(followed, remote)).toBeGreaterThanOrEqual(0)
        const wasWrong = followed.ms > nowMs + limits.clockDriftMs
        if (!wasWrong) expect(compareTimes(nextTime(followed, nowMs), remote)).toBeGreaterThan(0)
      } else {
        expect(followed).toEqual(compareTimes(remote, last) <= 0 ? last : followed)
      }
    },
  )

  it('is that of the clock again when this has been put right', () => {
    const nowMs = Date.UTC(2026, 0, 1)
    const ahead = { ms: Date.UTC(2027, 0, 1), counter: 3 }
    expect(nextTime(ahead, nowMs)).toEqual({ ms: nowMs, counter: 0 })
    const hours = { ms: nowMs + 3_600_000, counter: 3 }
    expect(nextTime(hours, nowMs)).toEqual({ ...hours, counter: 4 })
  })

  it('is not dragged along by a clock that is years ahead', () => {
    const nowMs = Date.UTC(2026, 0, 1)
    const ahead = { ms: Date.UTC(2093, 0, 1), counter: 0 }
    expect(followTime(zeroTime, ahead, nowMs)).toEqual(zeroTime)
    expect(nextTime(followTime(zeroTime, ahead, nowMs), nowMs)).toEqual({ ms: nowMs, counter: 0 })
  })

  test.prop([fc.array(time, { maxLength: 20 })])('is a total order', (times) => {
    const sorted = times.toSorted(compareTimes)
    for (let at = 1; at < sorted.length; at++)
      expect(compareTimes(sorted[at - 1]!, sorted[at]!)).toBeLessThanOrEqual(0)
  })
})

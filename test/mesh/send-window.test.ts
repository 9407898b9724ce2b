import { describe, expect, test } from 'vitest'
import { SendWindow } from '../../src/mesh/send-window.ts'

const kib = 1024

/** Keeps the window full over a link of this rate and round trip for a while. */
function fillOver(
  { kbit, rttMs }: { kbit: number; rttMs: number },
  pongs: number,
  window = new SendWindow(),
) {
  let nowMs = 0
  let wireFreeMs = 0
  for (let i = 0; i < pongs; i++) {
    const bytes = window.availableBytes
    window.sent(bytes)
    const mark = window.mark(nowMs)
    wireFreeMs = Math.max(wireFreeMs, nowMs) + (bytes * 8) / kbit
    nowMs = wireFreeMs + rttMs
    window.delivered(mark, nowMs)
  }
  return window
}

describe('what is on its way', () => {
  test('grows to the whole window on a fast link', () => {
    expect(fillOver({ kbit: 100_000, rttMs: 2 }, 20).windowBytes).toBe(512 * kib)
  })

  test.each([
    [9.6, 7_000],
    [64, 2_100],
    [256, 1_000],
    [1_000, 600],
    [2_000, 600],
  ])('waits at %s kbit/s no longer than %s ms', (kbit, waitMs) => {
    const window = fillOver({ kbit, rttMs: 50 }, 40)
    expect((window.windowBytes * 8) / kbit).toBeLessThanOrEqual(waitMs)
  })

  test('fills a path that is long but not slow', () => {
    const window = fillOver({ kbit: 10_000, rttMs: 600 }, 40)
    // Bandwidth times delay is 750 kB, more than yamux lets through.
    expect(window.windowBytes).toBeGreaterThanOrEqual(256 * kib)
  })

  test('recovers when the path has become longer for good', () => {
    const window = fillOver({ kbit: 10_000, rttMs: 5 }, 20)
    fillOver({ kbit: 10_000, rttMs: 600 }, 80, window)
    expect(window.windowBytes).toBeGreaterThan(64 * kib)
  })

  test('is nothing at first and never more than the window', () => {
    const window = new SendWindow()
    expect([window.inFlightBytes, window.drainMs]).toEqual([0, 0])
    window.sent(window.windowBytes)
    expect([window.availableBytes, window.wantsMark]).toEqual([0, true])
    window.delivered(window.mark(0), 20)
    expect([window.inFlightBytes, window.wantsMark]).toEqual([0, false])
  })
})

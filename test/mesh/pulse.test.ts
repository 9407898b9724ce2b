import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Pulse } from '../../src/mesh/pulse.ts'

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

function pulseOf(peer: { answers: boolean; drainMs?: number; isDialler?: boolean }) {
  let heard: () => void = () => undefined
  const seen = { pings: 0, deaths: 0 }
  const pulse = new Pulse(
    {
      async ping() {
        seen.pings++
        const { promise, resolve } = Promise.withResolvers<void>()
        if (peer.answers) {
          setTimeout(() => {
            heard()
            resolve()
          }, 50)
        }
        await promise
      },
      onHeard(listener) {
        heard = listener
        return () => undefined
      },
    },
    {
      isDialler: peer.isDialler ?? true,
      drainMs: () => peer.drainMs ?? 0,
      dead: () => seen.deaths++,
    },
  )
  return { pulse, seen, hear: () => heard() }
}

describe('a link', () => {
  test('that is idle is pinged twelve times a minute at most', async () => {
    const { pulse, seen } = pulseOf({ answers: true })
    await vi.advanceTimersByTimeAsync(60_500)
    expect(seen.pings).toBeGreaterThanOrEqual(9)
    expect(seen.pings).toBeLessThanOrEqual(12)
    expect(seen.deaths).toBe(0)
    pulse.stop()
    expect(vi.getTimerCount()).toBe(0)
  })

  test('over which something comes is not pinged', async () => {
    const { pulse, seen, hear } = pulseOf({ answers: false })
    for (let i = 0; i < 20; i++) {
      await vi.advanceTimersByTimeAsync(3_000)
      hear()
    }
    expect(seen).toEqual({ pings: 0, deaths: 0 })
    pulse.stop()
  })

  test('whose peer is gone is given up within nine seconds', async () => {
    const { pulse, seen } = pulseOf({ answers: false })
    await vi.advanceTimersByTimeAsync(6_900)
    expect(seen.deaths).toBe(0)
    await vi.advanceTimersByTimeAsync(2_100)
    expect(seen.deaths).toBeGreaterThan(0)
    pulse.stop()
  })

  test('that is slow gets the time that its queue takes', async () => {
    const { pulse, seen } = pulseOf({ answers: false, drainMs: 5_000 })
    await vi.advanceTimersByTimeAsync(17_000)
    expect(seen.deaths).toBe(0)
    await vi.advanceTimersByTimeAsync(3_000)
    expect(seen.deaths).toBeGreaterThan(0)
    pulse.stop()
  })

  test('is pinged by its dialler first', async () => {
    const dialler = pulseOf({ answers: true })
    const listener = pulseOf({ answers: true, isDialler: false })
    await vi.advanceTimersByTimeAsync(5_500)
    expect([dialler.seen.pings, listener.seen.pings]).toEqual([1, 0])
    dialler.pulse.stop()
    listener.pulse.stop()
  })
})

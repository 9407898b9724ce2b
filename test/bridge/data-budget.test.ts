import { describe, expect, test } from 'vitest'
import { CallPace, callBytes } from '../../src/bridge/call-pace.ts'
import { budgetLeft } from '../../src/bridge/data-budget.ts'
import type { DataBudget } from '../../src/bridge/data-budget.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs
const noonMs = Date.UTC(2026, 11, 31, 12)

describe('what is left of a budget', () => {
  const budget: DataBudget = { bytes: 50e6, per: 'day', urgentBytes: 5e6 }

  test.each([
    [0, 'open', 45e6],
    [44e6, 'open', 1e6],
    [45e6 - 1_000, 'urgent', 0],
    [49e6, 'urgent', 0],
    [50e6, 'used', 0],
    [60e6, 'used', 0],
  ])('%j bytes used', (used, state, openBytes) => {
    expect(budgetLeft(budget, used, noonMs)).toMatchObject({ state, openBytes })
  })

  test('lasts until midnight, or the end of the month, by UTC', () => {
    expect(budgetLeft(budget, 0, noonMs).untilMs).toBe(Date.UTC(2027, 0, 1))
    const monthly = { ...budget, per: 'month' } as const
    expect(budgetLeft(monthly, 0, noonMs).untilMs).toBe(Date.UTC(2027, 0, 1))
    expect(budgetLeft(monthly, 0, Date.UTC(2028, 1, 29, 5)).untilMs).toBe(Date.UTC(2028, 2, 1))
  })

  test('a tiny one is not all reserve', () => {
    const tiny: DataBudget = { bytes: 2_000, per: 'day', urgentBytes: 200 }
    expect(budgetLeft(tiny, 0, noonMs).state).toBe('open')
    expect(budgetLeft(tiny, 1_000, noonMs).state).toBe('urgent')
  })
})

describe('a link that breaks every minute', () => {
  /** Calls again a minute after each call, or later if it is told so. */
  function callsInADay(budgetBytes: number | undefined): number {
    const pace = new CallPace(0)
    let used = 0
    let calls = 0
    let sinceLast = 0
    for (let nowMs = 0; nowMs < dayMs;) {
      calls += 1
      sinceLast += 1
      used += callBytes
      nowMs += minuteMs
      const left =
        budgetBytes === undefined
          ? undefined
          : { bytes: Math.max(0, budgetBytes - used), ofMs: dayMs }
      nowMs += pace.waitMs(sinceLast, left, nowMs)
      sinceLast = 0
    }
    return calls
  }

  test.each([5e6, 50e6])('takes about a tenth of %j bytes in a day for its calls', (bytes) => {
    const calls = callsInADay(bytes)
    expect(calls * callBytes).toBeGreaterThan(bytes * 0.06)
    expect(calls * callBytes).toBeLessThan(bytes * 0.12)
  })

  test('is called each time where nothing is counted, for 14 MB', () => {
    expect(callsInADay(undefined)).toBe(24 * 60)
    expect(callsInADay(undefined) * callBytes).toBe(14.4e6)
  })

  test('a few calls may come one after the other, and again after a pause', () => {
    const pace = new CallPace(0)
    const left = { bytes: 50e6, ofMs: dayMs }
    let calls = 0
    while (pace.waitMs(calls === 0 ? 0 : 1, left, 0) === 0) calls += 1
    expect(calls).toBe(10)
    expect(pace.waitMs(0, left, 3 * minuteMs)).toBe(0)
    expect(pace.waitMs(1, left, 3 * minuteMs)).toBeGreaterThan(minuteMs)
  })
})

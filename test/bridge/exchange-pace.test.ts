import { expect, test } from 'vitest'
import { ExchangePace } from '../../src/bridge/exchange-pace.ts'

const steady = () => new ExchangePace(() => 1)

test('as long as there is more, the next exchange begins at once, with more in it while they are quick', () => {
  const pace = steady()
  const sizes = Array.from({ length: 6 }, () => {
    expect(pace.ended(100, 'more')).toBe(0)
    return pace.budget.sendBytes / 1024
  })
  expect(sizes).toEqual([128, 256, 512, 1024, 1024, 1024])
})

test('over a slow link, or one that loses them, less goes in each', () => {
  const pace = steady()
  for (let count = 0; count < 4; count++) pace.ended(100, 'more')
  pace.ended(20_000, 'more')
  expect(pace.budget.takeBytes).toBe(512 * 1024)
  pace.failed()
  expect(pace.budget.takeBytes).toBe(128 * 1024)
  for (let count = 0; count < 10; count++) pace.failed()
  expect(pace.budget.takeBytes).toBe(32 * 1024)
  pace.ended(10_000, 'more')
  expect(pace.budget.takeBytes).toBe(32 * 1024)
})

test('when nothing comes or goes it becomes calm, up to a minute', () => {
  const pace = steady()
  const waits = Array.from({ length: 8 }, () => pace.ended(100, 'still') / 1000)
  expect(waits).toEqual([2, 4, 8, 16, 32, 60, 60, 60])
  expect(pace.ended(100, 'moved')).toBe(2_000)
  expect(pace.ended(100, 'still')).toBe(4_000)
  expect(pace.news()).toBe(1_000)
  expect(pace.ended(100, 'moved')).toBe(2_000)
})

test('devices don’t march in step', () => {
  const [early, late] = [() => 0, () => 0.999].map((random) => new ExchangePace(random))
  expect(early!.ended(100, 'still')).toBeLessThan(late!.ended(100, 'still'))
  expect(early!.news()).toBeLessThan(late!.news())
})

import { expect, test } from 'vitest'
import { estimate, studentQuantile } from '../../simulations/results/statistics.ts'

test.each([
  [1, 12.7062],
  [2, 4.3027],
  [3, 3.1824],
  [4, 2.7764],
  [5, 2.5706],
  [10, 2.2281],
  [29, 2.0452],
  [100, 1.984],
  [1000, 1.9623],
])('the t-quantile of %i degrees of freedom is %d', (freedom, quantile) => {
  expect(studentQuantile(freedom)).toBeCloseTo(quantile, 3)
})

test('an interval is around the mean, and there is none of one run', () => {
  const found = estimate([1, 2, 3, 4, 5])!
  expect(found).toMatchObject({ n: 5, mean: 3 })
  expect(found.sd).toBeCloseTo(Math.sqrt(2.5), 12)
  expect(found.high! - found.mean).toBeCloseTo(2.7764 * Math.sqrt(0.5), 3)
  expect(found.mean - found.low!).toBeCloseTo(found.high! - found.mean, 12)
  expect(estimate([7])).toEqual({ n: 1, mean: 7, sd: undefined, low: undefined, high: undefined })
  expect(estimate([])).toBeUndefined()
})

/** What several runs say together: means with Student's t-intervals. Runs are independent; messages of one run are not. */

export interface Estimate {
  readonly n: number
  readonly mean: number
  /** undefined: of a single run. */
  readonly sd: number | undefined
  /** The 95 % interval of the mean. */
  readonly low: number | undefined
  readonly high: number | undefined
}

/** @returns undefined without values */
export function estimate(values: readonly number[]): Estimate | undefined {
  const n = values.length
  if (n === 0) return undefined
  const mean = values.reduce((sum, value) => sum + value, 0) / n
  if (n === 1) return { n, mean, sd: undefined, low: undefined, high: undefined }
  const squares = values.reduce((sum, value) => sum + (value - mean) * (value - mean), 0)
  const sd = Math.sqrt(squares / (n - 1))
  const half = (studentQuantile(n - 1) * sd) / Math.sqrt(n)
  return { n, mean, sd, low: mean - half, high: mean + half }
}

/**
 * The 97.5 % quantile of Student's t: exact for 1 and 2 degrees of freedom, else by G. W. Hill's expansion (Algorithm 396, Communications of the ACM 13
 * (1970) 619), to four digits and more.
 */
export function studentQuantile(freedom: number): number {
  if (freedom === 1) return Math.tan((Math.PI / 2) * 0.95)
  if (freedom === 2) return Math.sqrt(2 / (0.05 * (2 - 0.05)) - 2)
  const a = 1 / (freedom - 0.5)
  const b = 48 / (a * a)
  const c = ((20_700 * a) / b - 98) * a - 16 + 96.36
  const d = ((94.5 / (b + c) - 3) / b + 1) * Math.sqrt((a * Math.PI) / 2) * freedom
  let y = Math.pow(d * 0.05, 2 / freedom)
  if (y > 0.05 + a) {
    const x = -normalQuantile
    y = x * x
    const e = freedom < 5 ? c + 0.3 * (freedom - 4.5) * (x + 0.6) : c
    const f = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + e
    y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / f - y - 3) / b + 1) * x
    y = a * y * y
    y = y > 0.002 ? Math.expm1(y) : 0.5 * y * y + y
  } else {
    y =
      ((1 / (((freedom + 6) / (freedom * y) - 0.089 * d - 0.822) * (freedom + 2) * 3) +
        0.5 / (freedom + 4)) *
        y -
        1) *
        ((freedom + 1) / (freedom + 2)) +
      1 / y
  }
  return Math.sqrt(freedom * y)
}

/** 97.5 % of the standard normal distribution. */
const normalQuantile = 1.959963984540054

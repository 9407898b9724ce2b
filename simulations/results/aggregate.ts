/** Several runs of a scenario in one table: a row for each number of their summaries. */
import { csv } from './csv.ts'
import type { RunSummary } from './run-summary.ts'
import { estimate } from './statistics.ts'
import type { Estimate } from './statistics.ts'

export interface Aggregate {
  readonly metric: keyof RunSummary
  /** Over the runs that have such a number; undefined: none has. */
  readonly estimate: Estimate | undefined
  /** Runs without it, such as those in which fewer than 95 % were delivered. */
  readonly without: number
}

export function aggregate(summaries: readonly RunSummary[]): Aggregate[] {
  const [first] = summaries
  const metrics = Object.keys(first ?? {}) as (keyof RunSummary)[]
  return metrics.map((metric) => {
    const values = summaries.flatMap((summary) => summary[metric] ?? [])
    return { metric, estimate: estimate(values), without: summaries.length - values.length }
  })
}

export function aggregateCsv(aggregates: readonly Aggregate[]): string {
  return csv(
    ['metric', 'n', 'mean', 'sd', 'low', 'high', 'without'],
    aggregates.map(({ metric, estimate: found, without }) => [
      metric,
      found?.n ?? 0,
      found?.mean,
      found?.sd,
      found?.low,
      found?.high,
      without,
    ]),
  )
}

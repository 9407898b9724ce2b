/** A run in one row. */
import type { FullResult } from '../full/full-run.ts'
import type { Delivery } from './deliveries.ts'

/** Names carry their units; undefined: there is none, as of a delay when nothing was delivered. */
export interface RunSummary {
  readonly messages: number
  /** Messages times the devices that they are for. */
  readonly pairs: number
  readonly delivered: number
  /** Of the pairs. */
  readonly deliveryRatio: number | undefined
  /** Of what was delivered. */
  readonly delayMeanS: number | undefined
  /** Of all pairs: what was not delivered took longer than anything. undefined: not even so many were. */
  readonly delayMedianS: number | undefined
  readonly delayP95S: number | undefined
  readonly contacts: number
  readonly bytes: number
  readonly bytesPerDelivery: number | undefined
  readonly refusedWrites: number
  readonly events: number
}

export function summaryOf(result: FullResult, deliveries: readonly Delivery[]): RunSummary {
  const delays = deliveries
    .flatMap(({ createdUs, deliveredUs }) =>
      deliveredUs === undefined ? [] : [(deliveredUs - createdUs) / 1e6],
    )
    .toSorted((a, b) => a - b)
  const pairs = deliveries.length
  const delivered = delays.length
  let refusedWrites = 0
  for (const count of result.refused.values()) refusedWrites += count
  return {
    messages: new Set(deliveries.map(({ message }) => message)).size,
    pairs,
    delivered,
    deliveryRatio: pairs === 0 ? undefined : delivered / pairs,
    delayMeanS: delivered === 0 ? undefined : delays.reduce((sum, s) => sum + s, 0) / delivered,
    delayMedianS: quantileOfAll(delays, pairs, 0.5),
    delayP95S: quantileOfAll(delays, pairs, 0.95),
    contacts: result.contacts,
    bytes: result.bytes,
    bytesPerDelivery: delivered === 0 ? undefined : result.bytes / delivered,
    refusedWrites,
    events: result.events,
  }
}

/** @param sorted - of those that there are, among `count` */
function quantileOfAll(
  sorted: readonly number[],
  count: number,
  share: number,
): number | undefined {
  return count === 0 ? undefined : sorted[Math.max(0, Math.ceil(share * count) - 1)]
}

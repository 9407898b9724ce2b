/** Which message reached whom and when: a line for each message and each device other than its author's, delivered or not. */
import type { Arrival } from '../full/full-run.ts'

export interface Delivery {
  readonly message: string
  readonly source: number
  readonly destination: number
  readonly createdUs: number
  /** undefined: not within the run. */
  readonly deliveredUs: number | undefined
}

/** @param arrivals - in the order of time: of each message the first is its creation */
export function deliveriesOf(arrivals: readonly Arrival[], devices: number): Delivery[] {
  const messages = Map.groupBy(arrivals, ({ message }) => message)
  return [...messages].flatMap(([message, seen]) => {
    const [{ device: source, atUs: createdUs }] = seen as [Arrival, ...Arrival[]]
    const first = new Map<number, number>()
    for (const { device, atUs } of seen) if (!first.has(device)) first.set(device, atUs)
    return Array.from({ length: devices }, (_, destination) => ({
      message,
      source,
      destination,
      createdUs,
      deliveredUs: first.get(destination),
    })).filter(({ destination }) => destination !== source)
  })
}

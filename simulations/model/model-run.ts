/**
 * A run in the clock-level model: the same schedule, without the production code. Contacts take no time to set up and have no limits; while one
 * lasts, what one side gets the other has as well.
 */
import type { Schedule } from '../schedule.ts'
import { Spread } from './spread.ts'

interface ModelArrival {
  /** Index of the write. */
  readonly message: number
  readonly device: number
  readonly atUs: number
}

/** In the order of time; of each message the first is its creation. */
export function playModel(schedule: Pick<Schedule, 'devices' | 'contacts' | 'writes' | 'endUs'>) {
  const { devices, contacts, writes, endUs } = schedule
  const arrivals: ModelArrival[] = []
  let nowUs = 0
  /** Devices that have got something which their neighbours may lack. */
  const fresh: number[] = []
  const spread = new Spread(devices.length, writes.length, (message, device) => {
    arrivals.push({ message, device, atUs: nowUs })
    fresh.push(device)
  })
  const neighbours = devices.map(() => new Map<number, number>())
  const flood = (): void => {
    for (let device = fresh.pop(); device !== undefined; device = fresh.pop())
      for (const other of neighbours[device]!.keys()) spread.meet(device, other)
  }
  for (const event of eventsOf({ contacts, writes })) {
    if (event.atUs > endUs) break
    nowUs = event.atUs
    if (event.kind === 'write') {
      const { device } = writes[event.index]!
      spread.put(device, event.index)
      arrivals.push({ message: event.index, device, atUs: nowUs })
      fresh.push(device)
    } else {
      const { a, b } = contacts[event.index]!
      if (event.kind === 'begin') {
        link(neighbours, a, b, 1)
        spread.meet(a, b)
      } else link(neighbours, a, b, -1)
    }
    flood()
  }
  return { arrivals, spread }
}

interface ModelEvent {
  readonly atUs: number
  readonly kind: 'begin' | 'write' | 'end'
  readonly index: number
}

/** At the same moment contacts begin in their order, then devices write, then contacts end; one of no length ends before the next begins. */
function eventsOf({ contacts, writes }: Pick<Schedule, 'contacts' | 'writes'>): ModelEvent[] {
  const events: ModelEvent[] = []
  for (const [index, { fromUs, toUs }] of contacts.entries()) {
    events.push({ atUs: fromUs, kind: 'begin', index })
    events.push({ atUs: toUs, kind: 'end', index })
  }
  for (const [index, { atUs }] of writes.entries()) events.push({ atUs, kind: 'write', index })
  const rank = ({ kind, index }: ModelEvent): number => {
    if (kind === 'write') return Infinity
    const contact = contacts[index]!
    if (kind === 'end' && contact.fromUs < contact.toUs) return Infinity
    return 2 * index + (kind === 'end' ? 1 : 0)
  }
  return events
    .map((event, order) => ({ event, order, rank: rank(event) }))
    .toSorted((x, y) => {
      if (x.event.atUs !== y.event.atUs) return x.event.atUs - y.event.atUs
      if (x.rank !== y.rank) return x.rank - y.rank
      return x.order - y.order
    })
    .map(({ event }) => event)
}

function link(
  neighbours: readonly Map<number, number>[],
  a: number,
  b: number,
  change: 1 | -1,
): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    const count = (neighbours[from]!.get(to) ?? 0) + change
    if (count === 0) neighbours[from]!.delete(to)
    else neighbours[from]!.set(to, count)
  }
}

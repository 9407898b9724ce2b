/** Contacts of devices that are at the same site, where there is a network. */
import type { RandomStream } from '../core/random-streams.ts'
import type { Contact, LinkProfile } from '../schedule.ts'
import type { MobilityOf } from '../scenario/scenario-schema.ts'
import type { Stay } from './presence.ts'

interface Interval {
  readonly fromUs: number
  readonly toUs: number
}

/** @param streamOf - a stream of chance by name */
export function lanContacts(
  { neighbours, up, down }: MobilityOf<'lan'>,
  options: {
    readonly site: string
    readonly stays: readonly Stay[]
    readonly link: LinkProfile
    readonly endUs: number
    readonly streamOf: (name: string) => RandomStream
  },
): Contact[] {
  const { site, link, endUs, streamOf } = options
  const here = Map.groupBy(
    options.stays.filter((stay) => stay.site === site),
    ({ device }) => device,
  )
  const works =
    up === undefined || down === undefined
      ? [{ fromUs: 0, toUs: endUs }]
      : flapping(up, down, endUs, streamOf(`mobility/lan/${site}`))
  const devices = [...here.keys()].toSorted((a, b) => a - b)
  const contacts: Contact[] = []
  for (const [a, b] of pairs(devices, neighbours, streamOf)) {
    for (const one of here.get(a)!) {
      for (const other of here.get(b)!) {
        for (const { fromUs, toUs } of overlaps([one], [other], works))
          contacts.push({ a, b, fromUs, toUs, link })
      }
    }
  }
  return contacts
}

/** Everybody with everybody where there are few; else each chooses some, as devices do that keep a handful of neighbours. */
function* pairs(
  devices: readonly number[],
  neighbours: number,
  streamOf: (name: string) => RandomStream,
): Generator<readonly [number, number]> {
  const isFew = devices.length <= neighbours + 1
  const chosen = new Set<string>()
  for (const [index, a] of devices.entries()) {
    const others = isFew
      ? devices.slice(index + 1)
      : // Half of its own choice, since others choose it as well; the next one always, so that nobody is left alone.
        [
          devices[(index + 1) % devices.length]!,
          ...someOf(devices, a, Math.max(1, Math.floor(neighbours / 2) - 1), streamOf),
        ]
    for (const b of others) {
      const key = a < b ? `${a}/${b}` : `${b}/${a}`
      if (a === b || chosen.has(key)) continue
      chosen.add(key)
      yield a < b ? [a, b] : [b, a]
    }
  }
}

function someOf(
  devices: readonly number[],
  device: number,
  count: number,
  streamOf: (name: string) => RandomStream,
): number[] {
  const random = streamOf(`mobility/neighbours/${device}`)
  return Array.from({ length: count }, () => random.pick(devices))
}

/** Times of up and down with these means, up first. */
function flapping(up: number, down: number, endUs: number, random: RandomStream): Interval[] {
  const works: Interval[] = []
  for (let atUs = 0; atUs < endUs;) {
    const toUs = atUs + Math.ceil(random.exponential(up))
    works.push({ fromUs: atUs, toUs: Math.min(toUs, endUs) })
    atUs = toUs + Math.ceil(random.exponential(down))
  }
  return works
}

function overlaps(...all: readonly (readonly Interval[])[]): Interval[] {
  return all.reduce<Interval[]>(
    (found, next) =>
      found.flatMap((one) =>
        next.flatMap((other) => {
          const fromUs = Math.max(one.fromUs, other.fromUs)
          const toUs = Math.min(one.toUs, other.toUs)
          return fromUs < toUs ? [{ fromUs, toUs }] : []
        }),
      ),
    [{ fromUs: 0, toUs: Number.MAX_SAFE_INTEGER }],
  )
}

import type { RandomStreams } from '../../simulations/core/random-streams.ts'
import { instantaneous } from '../../simulations/schedule.ts'
import type { Contact, DeviceSpec, Schedule, Write } from '../../simulations/schedule.ts'

function clinicians(count: number): DeviceSpec[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `device-${index}`,
    site: 'camp',
    role: 'clinician',
    syncUs: 0,
    clockOffsetMs: 0,
    clockDriftPpm: 0,
  }))
}

/** Any two of some devices meet, once in a minute on average, for as long as they have something to say. */
export function chanceMeetings(
  streams: RandomStreams,
  options: { readonly devices: number; readonly meetings: number; readonly writes: number },
): Schedule {
  const { devices, meetings, writes } = options
  const random = streams.stream('mobility')
  const contacts: Contact[] = []
  let atUs = 0
  for (let i = 0; i < meetings; i++) {
    atUs += Math.ceil(random.exponential(60_000_000))
    const a = random.int(0, devices - 1)
    const b = (a + random.int(1, devices - 1)) % devices
    contacts.push({ a, b, fromUs: atUs, toUs: atUs, link: instantaneous })
  }
  const workload = streams.stream('workload')
  const written: Write[] = Array.from({ length: writes }, () => ({
    atUs: workload.int(0, Math.floor(atUs / 2)),
    device: workload.int(0, devices - 1),
    record: `Patient/${workload.int(0, 5)}`,
    field: 'note',
    bytes: 40,
    urgent: workload.chance(0.2),
  }))
  return {
    endUs: atUs + 60_000_000,
    devices: clinicians(devices),
    contacts,
    writes: written.toSorted((a, b) => a.atUs - b.atUs),
    faults: [],
  }
}

/** When a commit that was made at a moment reaches each device, where contacts take no time: of the contacts alone. */
export function earliestArrivals(
  { devices, contacts }: Pick<Schedule, 'devices' | 'contacts'>,
  source: number,
  createdUs: number,
): (number | undefined)[] {
  const arrivals: (number | undefined)[] = devices.map(() => undefined)
  arrivals[source] = createdUs
  for (const { a, b, fromUs } of contacts) {
    if (fromUs < createdUs) continue
    if (arrivals[a] !== undefined) arrivals[b] ??= fromUs
    else if (arrivals[b] !== undefined) arrivals[a] ??= fromUs
  }
  return arrivals
}

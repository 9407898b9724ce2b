/** What is written by whom and when, of a scenario's workload. */
import type { RandomStream } from '../core/random-streams.ts'
import type { Write } from '../schedule.ts'
import { deviceNames, indexesOf } from './device-names.ts'
import type { Scenario, Workload } from './scenario-schema.ts'

const hourUs = 3_600e6
const dayUs = 24 * hourUs

/** @param streamOf - each device writes by a stream of its own: one more changes nothing for the others */
export function writesOf(scenario: Scenario, streamOf: (name: string) => RandomStream): Write[] {
  const names = deviceNames(scenario)
  const writes = scenario.workload.flatMap((workload, nth) =>
    writersOf(scenario, workload).flatMap((device) =>
      Array.from(
        writesBy(device, workload, scenario, streamOf(`workload/${nth}/${names[device]}`)),
      ),
    ),
  )
  return writes.toSorted((a, b) => a.atUs - b.atUs || a.device - b.device)
}

function writersOf(scenario: Scenario, { devices }: Workload): number[] {
  if (devices !== undefined) return indexesOf(scenario, devices)
  const groups = scenario.devices.filter(({ role }) => role === 'clinician')
  return indexesOf(
    scenario,
    groups.map(({ name }) => name),
  )
}

function* writesBy(
  device: number,
  workload: Workload,
  scenario: Scenario,
  random: RandomStream,
): Generator<Write> {
  const {
    rate,
    from,
    until = scenario.duration,
    hours,
    records,
    hot,
    fields,
    bytes,
    urgent,
  } = workload
  const meanUs = hourUs / rate
  for (
    let atUs = from + random.exponential(meanUs);
    atUs < until;
    atUs += random.exponential(meanUs)
  ) {
    const record =
      hot !== undefined && random.chance(hot.share)
        ? random.int(0, hot.records - 1)
        : random.int(0, records - 1)
    const write = {
      atUs: Math.floor(atUs),
      device,
      record: `Patient/${record}`,
      field: `field-${random.int(0, fields - 1)}`,
      bytes,
      urgent: random.chance(urgent),
    }
    // Drawn in any case, so that other hours change nothing else.
    if (hours === undefined || isWithin(write.atUs, hours)) yield write
  }
}

function isWithin(atUs: number, [from, until]: readonly [number, number]): boolean {
  const hour = (atUs % dayUs) / hourUs
  return from <= until ? from <= hour && hour < until : hour >= from || hour < until
}

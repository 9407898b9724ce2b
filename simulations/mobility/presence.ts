/** Which device is at which site, and when. */
import { indexesOf } from '../scenario/device-names.ts'
import type { MobilityOf, Scenario } from '../scenario/scenario-schema.ts'

/** fromUs ≤ t < toUs. */
export interface Stay {
  readonly device: number
  readonly site: string
  readonly fromUs: number
  readonly toUs: number
}

/** In the order of devices and time. A device that nothing moves stays where it is. */
export function staysOf(scenario: Scenario): Stay[] {
  const endUs = scenario.duration
  const travellers = new Set<number>()
  const stays: Stay[] = []
  for (const mobility of scenario.mobility) {
    if (mobility.kind !== 'route') continue
    for (const device of indexesOf(scenario, mobility.devices)) {
      travellers.add(device)
      stays.push(...staysOnRoute(device, mobility, endUs))
    }
  }
  let device = 0
  for (const { count, site } of scenario.devices) {
    for (let i = 0; i < count; i++, device++)
      if (!travellers.has(device)) stays.push({ device, site, fromUs: 0, toUs: endUs })
  }
  return stays.toSorted((a, b) => a.device - b.device || a.fromUs - b.fromUs)
}

function* staysOnRoute(
  device: number,
  { stops, travel, start }: MobilityOf<'route'>,
  endUs: number,
): Generator<Stay> {
  for (let atUs = start, index = 0; atUs < endUs; index = (index + 1) % stops.length) {
    const { site, stay } = stops[index]!
    const toUs = Math.min(endUs, atUs + stay)
    yield { device, site, fromUs: atUs, toUs }
    atUs += stay + travel
  }
}

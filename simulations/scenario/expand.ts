/** What happens in a run: a schedule that follows from a scenario, a seed and the number of the run. */
import type { RandomStreams } from '../core/random-streams.ts'
import { chanceMeetings } from '../mobility/meetings.ts'
import { lanContacts } from '../mobility/lan-contacts.ts'
import { staysOf } from '../mobility/presence.ts'
import { uplinkContacts } from '../mobility/uplinks.ts'
import { instantaneous } from '../schedule.ts'
import type { Contact, DeviceSpec, Fault, LinkProfile, Schedule } from '../schedule.ts'
import { deviceNames, indexesOf } from './device-names.ts'
import type { Mobility, Scenario } from './scenario-schema.ts'
import { writesOf } from './workload.ts'

export function expand(scenario: Scenario, streams: RandomStreams): Schedule {
  const endUs = scenario.duration
  const contacts = scenario.mobility.flatMap((mobility, nth) =>
    contactsOf(scenario, mobility, nth, streams),
  )
  return {
    endUs,
    devices: devicesOf(scenario, streams),
    contacts: contacts.toSorted((a, b) => a.fromUs - b.fromUs || a.a - b.a || a.b - b.b),
    writes: writesOf(scenario, (name) => streams.stream(name)),
    faults: faultsOf(scenario),
  }
}

function devicesOf(scenario: Scenario, streams: RandomStreams): DeviceSpec[] {
  const names = deviceNames(scenario)
  let index = 0
  return scenario.devices.flatMap(({ count, role, site, fsync, clock }) =>
    Array.from({ length: count }, () => {
      const name = names[index++]!
      const spreadUs = streams.stream(`clock/${name}`).int(-clock.spread, clock.spread)
      return {
        name,
        site,
        role,
        syncUs: fsync,
        clockOffsetMs: Math.round((clock.offset + spreadUs) / 1_000),
        clockDriftPpm: clock.drift,
      }
    }),
  )
}

function contactsOf(
  scenario: Scenario,
  mobility: Mobility,
  nth: number,
  streams: RandomStreams,
): Contact[] {
  const endUs = scenario.duration
  switch (mobility.kind) {
    case 'lan': {
      const stays = staysOf(scenario)
      const link = linkOf(scenario, mobility.link)
      const streamOf = (name: string) => streams.stream(name)
      return (mobility.sites ?? scenario.sites).flatMap((site) =>
        lanContacts(mobility, { site, stays, link, endUs, streamOf }),
      )
    }
    case 'route':
      // It is what makes others meet.
      return []
    case 'meetings':
      return chanceMeetings(mobility, {
        devices: indexesOf(scenario, mobility.devices),
        link: linkOf(scenario, mobility.link),
        endUs,
        random: streams.stream(`mobility/meetings/${nth}`),
      })
    case 'uplink':
      return uplinkContacts(mobility, {
        devices: indexesOf(scenario, mobility.devices),
        server: indexesOf(scenario, [mobility.server])[0]!,
        link: linkOf(scenario, mobility.link),
        endUs,
      })
    default:
      return mobility satisfies never
  }
}

function linkOf({ links }: Scenario, name: string | undefined): LinkProfile {
  if (name === undefined) return instantaneous
  const { latency, bandwidth, loss, setup } = links[name]!
  return { latencyUs: latency, bytesPerSecond: bandwidth, lossPercent: loss, setupUs: setup }
}

function faultsOf(scenario: Scenario): Fault[] {
  const hourS = 3_600
  const faults = scenario.faults.map((fault): Fault => {
    const device = indexesOf(scenario, [fault.device])[0]!
    const common = { atUs: fault.at, device }
    switch (fault.kind) {
      case 'crash':
        return { kind: fault.kind, ...common, forUs: fault.for, power: fault.power }
      case 'disk-full':
        return { kind: fault.kind, ...common, forUs: fault.for }
      case 'restore':
        return { kind: fault.kind, ...common, toUs: fault.to, whole: fault.whole }
      case 'clock-step':
        return { kind: fault.kind, ...common, stepMs: Math.round(fault.by / 1_000) }
      case 'lost':
        return { kind: fault.kind, ...common }
      case 'corrupt':
      case 'replay':
        return {
          kind: fault.kind,
          ...common,
          forUs: fault.for,
          perMille: Math.round(fault.share * 1_000),
        }
      case 'strangers':
        return {
          kind: fault.kind,
          ...common,
          forUs: fault.for,
          perSecond: fault.rate / hourS,
          bytes: fault.bytes,
        }
      default:
        return fault satisfies never
    }
  })
  return faults.toSorted((a, b) => a.atUs - b.atUs)
}

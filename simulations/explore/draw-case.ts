/** Draws a schedule by chance: a few devices that meet, write and suffer. */
import type { RandomStream, RandomStreams } from '../core/random-streams.ts'
import type { Contact, DeviceSpec, Fault, LinkProfile, Schedule, Write } from '../schedule.ts'

const minuteUs = 60e6
const yearMs = 365 * 86_400e3

export function drawCase(streams: RandomStreams): Schedule {
  const shape = streams.stream('case/shape')
  const count = shape.int(2, 6)
  const endUs = shape.int(20, 240) * minuteUs
  const devices = Array.from({ length: count }, (_, index) => drawDevice(index, shape))
  return {
    endUs,
    devices,
    contacts: drawContacts(count, endUs, streams.stream('case/contacts')),
    writes: drawWrites(devices, endUs, streams.stream('case/writes')),
    faults: drawFaults(count, endUs, streams.stream('case/faults')),
  }
}

function drawDevice(index: number, random: RandomStream): DeviceSpec {
  const isWrong = random.chance(0.2)
  return {
    name: `device-${index}`,
    site: 'camp',
    // The first one writes in any case.
    role: index > 0 && random.chance(0.2) ? 'courier' : 'clinician',
    syncUs: random.pick([0, 1_000, 5_000, 200_000]),
    clockOffsetMs: isWrong ? random.int(-3 * yearMs, 3 * yearMs) : random.int(-30_000, 30_000),
    clockDriftPpm: random.pick([0, 0, 50, -200]),
  }
}

function drawLink(random: RandomStream): LinkProfile {
  return {
    latencyUs: random.pick([1_000, 5_000, 50_000, 300_000]),
    bytesPerSecond: random.pick([1_200, 8_000, 250_000, 2_500_000]),
    lossPercent: random.pick([0, 0, 1, 5]),
    setupUs: random.pick([0, 500_000, 5_000_000]),
  }
}

/** Mostly short, often cut in the middle of something. */
function drawContacts(count: number, endUs: number, random: RandomStream): Contact[] {
  const contacts = Array.from({ length: random.int(count, 30) }, () => {
    const a = random.int(0, count - 1)
    const b = (a + random.int(1, count - 1)) % count
    const fromUs = random.int(0, endUs - 1)
    const lengthUs = Math.ceil(random.exponential(random.pick([2e6, 20e6, 10 * minuteUs])))
    const toUs = Math.min(endUs, fromUs + lengthUs)
    return { a, b, fromUs, toUs, link: drawLink(random) }
  })
  return contacts.toSorted((x, y) => x.fromUs - y.fromUs || x.a - y.a || x.b - y.b)
}

function drawWrites(devices: readonly DeviceSpec[], endUs: number, random: RandomStream): Write[] {
  const writers = devices.flatMap(({ role }, index) => (role === 'clinician' ? [index] : []))
  const isBurst = random.chance(0.3)
  const writes = Array.from({ length: random.int(1, 60) }, () => ({
    atUs: isBurst ? random.int(0, 60) * minuteUs : random.int(0, endUs - 1),
    device: random.pick(writers),
    record: `Patient/${random.int(0, 4)}`,
    field: `field-${random.int(0, 2)}`,
    bytes: random.pick([20, 40, 400, 40_000]),
    urgent: random.chance(0.2),
  }))
  return writes
    .filter(({ atUs }) => atUs < endUs)
    .toSorted((x, y) => x.atUs - y.atUs || x.device - y.device)
}

function drawFaults(count: number, endUs: number, random: RandomStream): Fault[] {
  const faults = Array.from({ length: random.int(0, 6) }, (): Fault => {
    const device = random.int(0, count - 1)
    const atUs = random.int(1, endUs - 1)
    const forUs = Math.min(endUs - atUs, random.int(0, 20 * minuteUs))
    const common = { atUs, device }
    switch (random.int(0, 7)) {
      case 0:
      case 1:
        return { kind: 'crash', ...common, forUs, power: random.chance(0.7) }
      case 2:
        return { kind: 'disk-full', ...common, forUs }
      case 3:
        return { kind: 'restore', ...common, toUs: random.int(0, atUs), whole: random.chance(0.5) }
      case 4:
        return { kind: 'clock-step', ...common, stepMs: random.int(-yearMs, yearMs) }
      case 5:
        return { kind: 'corrupt', ...common, forUs, perMille: random.pick([1, 10, 100]) }
      case 6:
        return { kind: 'replay', ...common, forUs, perMille: random.pick([10, 100]) }
      default:
        return { kind: 'strangers', ...common, forUs, perSecond: 0.1, bytes: 10_000 }
    }
  })
  return faults.toSorted((x, y) => x.atUs - y.atUs || x.device - y.device)
}

import { describe, expect, test } from 'vitest'
import { RandomStreams } from '../../simulations/core/random-streams.ts'
import type { RandomStream } from '../../simulations/core/random-streams.ts'
import { playModel } from '../../simulations/model/model-run.ts'
import { Spread } from '../../simulations/model/spread.ts'
import { expand } from '../../simulations/scenario/expand.ts'
import { readScenario } from '../../simulations/scenario/read-scenario.ts'
import {
  directDelivery,
  epidemicDelivery,
  epidemicToAll,
  muleDelivery,
  sourceSprayDelivery,
  staleness,
  twoCamps,
  twoHopDelivery,
  uplinkWait,
} from '../../simulations/theory/formulas.ts'
import type { Moments } from '../../simulations/theory/formulas.ts'

/** More than the 400 that the mean needs: so that the standard deviation is known to a few percent. */
const replications = 2_000

/** Within 4 standard errors. */
function expectMean(samples: readonly number[], mean: number): void {
  const { mean: found, sd } = momentsOf(samples)
  expect(Math.abs(found - mean)).toBeLessThan((4 * sd) / Math.sqrt(samples.length))
}

/** And the standard deviation within 10 %. */
function expectMoments(samples: readonly number[], { mean, sd }: Moments): void {
  expectMean(samples, mean)
  expect(momentsOf(samples).sd / sd).toBeGreaterThan(0.9)
  expect(momentsOf(samples).sd / sd).toBeLessThan(1.1)
}

function momentsOf(samples: readonly number[]): Moments {
  const mean = samples.reduce((sum, value) => sum + value, 0) / samples.length
  const squares = samples.reduce((sum, value) => sum + (value - mean) * (value - mean), 0)
  return { mean, sd: Math.sqrt(squares / (samples.length - 1)) }
}

function replicate(name: string, once: (random: RandomStream) => number): number[] {
  return Array.from({ length: replications }, (_, run) =>
    once(new RandomStreams(name, run).stream('meetings')),
  )
}

/** Meetings of pairs in hours: together a process of rate λ·n(n−1)/2. */
function* meetings(
  n: number,
  rate: number,
  random: RandomStream,
): Generator<[number, number, number]> {
  const mean = 2 / (rate * n * (n - 1))
  for (let at = random.exponential(mean); ; at += random.exponential(mean)) {
    const a = random.int(0, n - 1)
    yield [at, a, (a + random.int(1, n - 1)) % n]
  }
}

/** @param isLost - of a contact that comes to nothing */
function epidemic(n: number, rate: number, until: 'one' | 'all', loss = 0) {
  return (random: RandomStream): number => {
    const spread = new Spread(n, 1)
    spread.put(0, 0)
    for (const [at, a, b] of meetings(n, rate, random)) {
      if (loss > 0 && random.chance(loss)) continue
      spread.meet(a, b)
      if (until === 'one' ? spread.has(n - 1, 0) : spread.coverage[0] === n) return at
    }
    return Infinity
  }
}

const sets = [
  [5, 1],
  [10, 0.5],
  [50, 0.05],
] as const

describe('formulas', () => {
  test('are those of the literature', () => {
    const rounded = (value: number): number => Math.round(value * 1e4) / 1e4
    expect(rounded(twoHopDelivery(100, 0.01))).toBe(12.2699)
    expect(rounded(sourceSprayDelivery(50, 0.05, 6))).toBe(4.3069)
    expect(rounded(epidemicDelivery(1000, 0.001).mean)).toBe(7.492)
    expect(rounded(epidemicToAll(1000, 0.001).sd)).toBe(1.8215)
    expect(rounded(uplinkWait(3, 12))).toBe(3.375)
    expect(muleDelivery(1, 5)).toEqual({ mean: 11, max: 17 })
  })
})

describe('the model agrees with theory', () => {
  test.each(sets)('on the delivery to one of %i devices, rate %d', (n, rate) => {
    expectMoments(replicate(`one-${n}`, epidemic(n, rate, 'one')), epidemicDelivery(n, rate))
  })

  test.each(sets)('on the spread to all of %i devices, rate %d', (n, rate) => {
    expectMoments(replicate(`all-${n}`, epidemic(n, rate, 'all')), epidemicToAll(n, rate))
  })

  test.each(sets)('on who waits for the source itself, of %i devices, rate %d', (n, rate) => {
    const once = (random: RandomStream): number => {
      for (const [at, a, b] of meetings(n, rate, random))
        if (Math.min(a, b) === 0 && Math.max(a, b) === n - 1) return at
      return Infinity
    }
    expectMoments(replicate(`direct-${n}`, once), directDelivery(rate))
  })

  test.each(sets)('on the age of what one of %i devices writes, rate %d', (n, rate) => {
    // Long enough that it has forgotten how it began.
    const end = 4 * epidemicToAll(n, rate).mean
    const once = (random: RandomStream): number => {
      const asOf = new Float64Array(n)
      for (const [at, a, b] of meetings(n, rate, random)) {
        if (at > end) return end - asOf[n - 1]!
        asOf[0] = at
        asOf[a] = asOf[b] = Math.max(asOf[a]!, asOf[b]!)
      }
      return Infinity
    }
    expectMean(replicate(`age-${n}`, once), staleness(n, rate))
  })

  test.each([0.3, 0.6])('where %d of the contacts come to nothing', (loss) => {
    const samples = replicate(`loss-${loss}`, epidemic(50, 0.05, 'all', loss))
    expectMoments(samples, epidemicToAll(50, 0.05 * (1 - loss)))
  })

  test.each([
    [10, 10, 1, 0.01],
    [20, 5, 0.5, 0.005],
  ])('on two camps of %i and %i', (a, b, inside, across) => {
    const once = (random: RandomStream): number => {
      const spread = new Spread(a + b, 1)
      spread.put(0, 0)
      const pairs = (a * (a - 1)) / 2 + (b * (b - 1)) / 2
      const total = inside * pairs + across * a * b
      for (let at = random.exponential(1 / total); ; at += random.exponential(1 / total)) {
        if (random.chance((across * a * b) / total))
          spread.meet(random.int(0, a - 1), a + random.int(0, b - 1))
        else {
          const isFirst = random.chance((a * (a - 1)) / 2 / pairs)
          const [from, size] = isFirst ? [0, a] : [a, b]
          const one = random.int(0, size - 1)
          spread.meet(from + one, from + ((one + random.int(1, size - 1)) % size))
        }
        if (spread.coverage[0] === a + b) return at
      }
    }
    expectMean(replicate(`camps-${a}`, once), twoCamps(a, b, inside, across))
  })
})

/** Delays, in hours, between two devices of a scenario. */
function delaysOf(text: string, from: number, to: number, seed: string): number[] {
  const scenario = readScenario(text, { file: 'test.yaml' })
  const schedule = expand(scenario, new RandomStreams(seed, 0))
  const { arrivals } = playModel(schedule)
  const delays: number[] = []
  for (const { message, device, atUs } of arrivals) {
    const write = schedule.writes[message]!
    if (device === to && write.device === from) delays.push((atUs - write.atUs) / 3_600e6)
  }
  return delays
}

describe('scenarios agree with theory', () => {
  test.each([
    [2, 3],
    [1, 5],
  ])('on a mule that stays %i h and travels %i h', (dwell, travel) => {
    const text = `
name: mule
question: how late?
duration: 2000d
sites: [north, south]
devices:
  - { name: north, site: north }
  - { name: south, site: south }
  - { name: mule, role: courier, site: north }
links: { wifi: {} }
mobility:
  - { kind: lan, link: wifi }
  - kind: route
    devices: [mule]
    stops: [{ site: north, stay: ${dwell}h }, { site: south, stay: ${dwell}h }]
    travel: ${travel}h
workload:
  - { devices: [north], rate: 1/d, until: 1990d }
`
    const { mean, max } = muleDelivery(dwell, travel)
    const delays = delaysOf(text, 0, 1, 'mule')
    expectMean(delays, mean)
    expect(Math.max(...delays)).toBeLessThanOrEqual(max)
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(travel)
  })

  test.each([
    [2, 24],
    [3, 12],
  ])('on a way out of %i h in every %i h', (window, period) => {
    const text = `
name: uplink
question: how late?
duration: 2000d
sites: [camp, away]
devices:
  - { name: clinic, site: camp }
  - { name: server, role: server, site: away }
links: { satellite: {} }
mobility:
  - { kind: uplink, devices: [clinic], server: server, link: satellite, every: ${period}h, length: ${window}h }
workload:
  - { rate: 1/d, until: 1990d }
`
    const delays = delaysOf(text, 0, 1, 'uplink')
    expectMean(delays, uplinkWait(window, period))
    const atOnce = delays.filter((delay) => delay === 0).length / delays.length
    expect(Math.abs(atOnce - window / period)).toBeLessThan(0.04)
  })
})

import { describe, expect, test } from 'vitest'
import { RandomStreams } from '../../simulations/core/random-streams.ts'
import { FullRun } from '../../simulations/full/full-run.ts'
import { playModel } from '../../simulations/model/model-run.ts'
import { Spread } from '../../simulations/model/spread.ts'
import { chanceMeetings, earliestArrivals } from './schedules.ts'

describe('the model', () => {
  test.each([
    { devices: 5, meetings: 80, writes: 15 },
    { devices: 50, meetings: 260, writes: 6 },
  ])(
    'has each message where the production code has it, at the same moment: $devices devices',
    async (options) => {
      const streams = new RandomStreams('model', options.devices)
      const schedule = chanceMeetings(streams, options)
      const full = await FullRun.start(schedule, streams)
      const { arrivals } = await full.play()
      const model = playModel(schedule)
      const inModel = Map.groupBy(model.arrivals, ({ message }) => message)
      // The commit of a write is the one that its device made then.
      const messages = new Map<string, number>()
      for (const { message, device, atUs } of arrivals) {
        const index = schedule.writes.findIndex(
          (write) => write.device === device && write.atUs === atUs,
        )
        if (!messages.has(message) && index !== -1) messages.set(message, index)
      }
      expect(messages.size).toBe(options.writes)
      for (const [message, index] of messages) {
        const inFull = arrivals.filter((arrival) => arrival.message === message)
        expect(inFull.map(({ device, atUs }) => ({ device, atUs })).toSorted(byDevice)).toEqual(
          inModel
            .get(index)!
            .map(({ device, atUs }) => ({ device, atUs }))
            .toSorted(byDevice),
        )
      }
    },
  )

  test('agrees with the earliest arrivals of the contacts alone', () => {
    for (let seed = 0; seed < 20; seed++) {
      const schedule = chanceMeetings(new RandomStreams('earliest', seed), {
        devices: 12,
        meetings: 200,
        writes: 20,
      })
      const { arrivals } = playModel(schedule)
      for (const [index, { device, atUs }] of schedule.writes.entries()) {
        const found = schedule.devices.map(
          (_, each) =>
            arrivals.find((arrival) => arrival.message === index && arrival.device === each)?.atUs,
        )
        expect(found).toEqual(earliestArrivals(schedule, device, atUs))
      }
    }
  })

  test('lets what comes in during a contact through it', () => {
    const { contacts, ...rest } = chanceMeetings(new RandomStreams('live', 0), {
      devices: 4,
      meetings: 1,
      writes: 1,
    })
    const [first] = contacts
    const minuteUs = 60e6
    const stays = [
      { ...first!, a: 0, b: 1, fromUs: 0, toUs: 100 * minuteUs },
      { ...first!, a: 1, b: 2, fromUs: 10 * minuteUs, toUs: 20 * minuteUs },
      { ...first!, a: 2, b: 3, fromUs: 20 * minuteUs, toUs: 30 * minuteUs },
    ]
    const write = { ...rest.writes[0]!, device: 0, atUs: 15 * minuteUs }
    const { arrivals } = playModel({
      ...rest,
      endUs: 200 * minuteUs,
      contacts: stays,
      writes: [write],
    })
    expect(arrivals.map(({ device, atUs }) => [device, atUs / minuteUs])).toEqual([
      [0, 15],
      [1, 15],
      [2, 15],
      [3, 20],
    ])
  })

  test('counts what it passes on', () => {
    const spread = new Spread(3, 40)
    expect(spread.put(0, 33)).toBe(true)
    expect(spread.put(0, 33)).toBe(false)
    spread.meet(0, 1)
    spread.meet(0, 1)
    spread.meet(1, 2)
    expect([spread.coverage[33], spread.useful, spread.arrivals, spread.held(2)]).toEqual([
      3, 2, 2, 1,
    ])
  })
})

function byDevice(x: { device: number }, y: { device: number }): number {
  return x.device - y.device
}

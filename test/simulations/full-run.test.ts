import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { RandomStreams } from '../../simulations/core/random-streams.ts'
import { setTraps } from '../../simulations/core/traps.ts'
import { FullRun } from '../../simulations/full/full-run.ts'
import { chanceMeetings, earliestArrivals } from './schedules.ts'

const run = promisify(execFile)
const program = fileURLToPath(new URL('full-process.ts', import.meta.url))

async function played(seed: string): Promise<unknown> {
  const { stdout } = await run(process.execPath, [program, seed])
  return JSON.parse(stdout)
}

test('the same seed does the same in two processes, and another seed something else', async () => {
  const [one, two, other] = await Promise.all([played('a'), played('a'), played('b')])
  expect(two).toEqual(one)
  expect(other).not.toEqual(one)
})

test('commits arrive when the contacts alone say that they can', async () => {
  const streams = new RandomStreams('arrivals', 0)
  const schedule = chanceMeetings(streams, { devices: 5, meetings: 80, writes: 15 })
  const full = await FullRun.start(schedule, streams)
  const { arrivals, refused } = await full.play()
  expect(refused.size).toBe(0)
  const messages = Map.groupBy(arrivals, ({ message }) => message)
  expect(messages.size).toBeGreaterThanOrEqual(10)
  for (const [, seen] of messages) {
    const [created] = seen
    const expected = earliestArrivals(schedule, created!.device, created!.atUs)
    const found = schedule.devices.map(
      (_, index) => seen.find(({ device }) => device === index)?.atUs,
    )
    expect(found).toEqual(expected)
  }
  expect(full.devices.flatMap(({ failures }) => failures)).toEqual([])
})

test('what would make two runs differ throws while traps are set', () => {
  const undo = setTraps()
  try {
    expect(() => Date.now()).toThrow('not be the same twice')
    expect(() => Math.random()).toThrow('not be the same twice')
    expect(() => setTimeout(() => {}, 1)).toThrow('not be the same twice')
    expect(() => crypto.randomUUID()).toThrow('not be the same twice')
  } finally {
    undo()
  }
  expect(Date.now()).toBeGreaterThan(0)
})

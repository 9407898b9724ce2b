import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { RandomStreams } from '../../simulations/core/random-streams.ts'
import { decodeCase, encodeCase } from '../../simulations/explore/case-file.ts'
import { drawCase } from '../../simulations/explore/draw-case.ts'
import { checkAtRest, checkHealed } from '../../simulations/explore/invariants.ts'
import { playCase } from '../../simulations/explore/play-case.ts'
import { shrink } from '../../simulations/explore/shrink.ts'
import { FullRun } from '../../simulations/full/full-run.ts'
import type { Schedule } from '../../simulations/schedule.ts'
import { chanceMeetings } from './schedules.ts'

/** More of them: `haven simulate explore`. */
const cases = Number(process.env.HAVEN_CASES ?? 6)

test('what must hold does, in schedules of chance with all that can go wrong', async () => {
  for (let number = 0; number < cases; number++) {
    const schedule = drawCase(new RandomStreams('ci', number))
    const { violation } = await playCase(schedule, `ci-${number}`)
    expect(violation, `case ci-${number}`).toBeUndefined()
  }
}, 120_000)

const kept = join(import.meta.dirname, 'cases')

test.each(readdirSync(kept))('%s, which failed once, holds', async (file) => {
  const { seed, schedule } = decodeCase(readFileSync(join(kept, file), 'utf8'))
  expect((await playCase(schedule, seed)).violation).toBeUndefined()
})

/** Everybody has met everybody. */
async function healedRun(): Promise<{ run: FullRun; schedule: Schedule }> {
  const streams = new RandomStreams('healed', 0)
  const drawn = chanceMeetings(streams, { devices: 3, meetings: 60, writes: 4 })
  const run = await FullRun.start(drawn, streams)
  await run.play(() => checkAtRest(run))
  return { run, schedule: drawn }
}

test('a check that all is well fails where a commit is gone from a disk', async () => {
  const { run, schedule } = await healedRun()
  await checkHealed(run, schedule)
  const [write] = run.acknowledged
  const other = run.devices.find((_, index) => index !== write!.device)!
  const [feed = ''] = write!.message.split('/')
  for (const id of other.disk.commits.keys()) if (id.startsWith(feed)) other.disk.commits.delete(id)
  await expect(checkHealed(run, schedule)).rejects.toMatchObject({
    invariant: 'no acknowledged write is lost',
  })
})

test('a check that all is well fails where a device does not run, or something unexpected was said', async () => {
  const { run, schedule } = await healedRun()
  run.devices[0]!.failures.push('INTERNAL: something')
  expect(() => checkAtRest(run)).toThrow('no unexpected error')
  run.devices[0]!.crash({ power: false })
  await expect(checkHealed(run, schedule)).rejects.toMatchObject({ invariant: 'devices come back' })
})

test('a failing schedule is made as small as it can be', async () => {
  const schedule = drawCase(new RandomStreams('shrink', 3))
  const first = schedule.writes[0]!
  const needed = schedule.contacts[1]!
  const smallest = await shrink(schedule, async ({ writes, contacts, endUs }) => {
    return writes.includes(first) && contacts.includes(needed) && endUs > needed.toUs
  })
  expect(smallest.writes).toEqual([first])
  expect(smallest.contacts).toEqual([needed])
  expect(smallest.faults).toEqual([])
})

test('a case is the same after it was written to a file', async () => {
  for (let number = 0; number < 20; number++) {
    const schedule = drawCase(new RandomStreams('file', number))
    const saved = { seed: `file-${number}`, schedule, violation: 'x' }
    expect(decodeCase(encodeCase(saved))).toEqual(saved)
  }
  const streams = new RandomStreams('file', 0)
  const instant = chanceMeetings(streams, { devices: 3, meetings: 3, writes: 1 })
  const saved = { seed: 's', schedule: instant, violation: null }
  expect(decodeCase(encodeCase(saved))).toEqual(saved)
  expect(() => decodeCase('{"version":2}')).toThrow('version')
})

/** Plays a small schedule twice over in a process of its own, with traps set, and prints what came of it. */
import { RandomStreams } from '../../simulations/core/random-streams.ts'
import { setTraps } from '../../simulations/core/traps.ts'
import { FullRun } from '../../simulations/full/full-run.ts'
import { chanceMeetings } from './schedules.ts'

const [seed = '1'] = process.argv.slice(2)
const streams = new RandomStreams(seed, 0)
const schedule = chanceMeetings(streams, { devices: 4, meetings: 60, writes: 12 })
const undo = setTraps()
const run = await FullRun.start(schedule, streams)
const { traceHash, arrivals, bytes, events } = await run.play()
undo()
console.log(JSON.stringify({ traceHash, arrivals: arrivals.length, bytes, events }))

/** A run in the model, in the form of one in full fidelity. */
import { TraceHash } from '../core/trace-hash.ts'
import type { FullResult } from '../full/full-run.ts'
import type { Schedule } from '../schedule.ts'
import { playModel } from './model-run.ts'

/** Nothing is sent in the model: bytes and frames are 0. Faults are not in it. */
export function modelResult(schedule: Schedule): FullResult {
  const { arrivals } = playModel(schedule)
  const trace = new TraceHash()
  for (const { message, device, atUs } of arrivals) trace.add(atUs, 'stored', device, message)
  return {
    arrivals: arrivals.map(({ message, device, atUs }) => ({
      message: `write-${message}`,
      device,
      atUs,
    })),
    bytes: 0,
    frames: 0,
    contacts: schedule.contacts.length,
    events: 2 * schedule.contacts.length + schedule.writes.length,
    traceHash: trace.finish(),
    refused: new Map(),
  }
}

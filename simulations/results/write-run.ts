/** The files of one run (docs/guides/researcher.md). */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Scenario } from '../scenario/scenario-schema.ts'
import type { Schedule } from '../schedule.ts'
import { csv } from './csv.ts'
import type { Delivery } from './deliveries.ts'
import type { RunSummary } from './run-summary.ts'

/** Of the files, not of the program. */
const resultsVersion = 1

export interface PlayedRun {
  readonly scenario: Scenario
  readonly seed: string
  readonly run: number
  readonly schedule: Schedule
  readonly deliveries: readonly Delivery[]
  readonly summary: RunSummary
  readonly traceHash: string
  readonly wallMs: number
}

/** @returns the directory of the run */
export async function writeRun(out: string, played: PlayedRun): Promise<string> {
  const directory = join(out, `run-${String(played.run).padStart(4, '0')}`)
  await mkdir(directory, { recursive: true })
  const names = played.schedule.devices.map(({ name }) => name)
  await writeFile(
    join(directory, 'deliveries.csv'),
    csv(
      ['message', 'source', 'destination', 'created', 'delivered'],
      played.deliveries.map(({ message, source, destination, createdUs, deliveredUs }) => [
        message,
        names[source],
        names[destination],
        createdUs / 1e6,
        deliveredUs === undefined ? undefined : deliveredUs / 1e6,
      ]),
    ),
  )
  const summary = Object.entries(played.summary)
  await writeFile(
    join(directory, 'summary.csv'),
    csv(
      summary.map(([name]) => name),
      [summary.map(([, value]) => value as number | undefined)],
    ),
  )
  // Last: a run with a manifest is whole.
  await writeFile(
    join(directory, 'manifest.json'),
    `${JSON.stringify(manifestOf(played), null, 2)}\n`,
  )
  return directory
}

function manifestOf({ scenario, seed, run, schedule, traceHash, wallMs }: PlayedRun): unknown {
  return {
    version: resultsVersion,
    scenario,
    seed,
    run,
    devices: schedule.devices.length,
    contacts: schedule.contacts.length,
    writes: schedule.writes.length,
    traceHash,
    node: process.version,
    v8: process.versions.v8,
    wallMs: Math.round(wallMs),
  }
}

/** Plays one run of a scenario. */
import { RandomStreams } from './core/random-streams.ts'
import { setTraps } from './core/traps.ts'
import { FullRun } from './full/full-run.ts'
import { modelResult } from './model/play-model.ts'
import { deliveriesOf } from './results/deliveries.ts'
import { summaryOf } from './results/run-summary.ts'
import type { PlayedRun } from './results/write-run.ts'
import { expand } from './scenario/expand.ts'
import type { Scenario } from './scenario/scenario-schema.ts'

/** @param nowMs - of the real clock, for how long it took */
export async function play(
  scenario: Scenario,
  {
    seed,
    run,
    nowMs,
  }: { readonly seed: string; readonly run: number; readonly nowMs: () => number },
): Promise<PlayedRun> {
  const streams = new RandomStreams(seed, run)
  const schedule = expand(scenario, streams)
  const startedMs = nowMs()
  const undo = setTraps()
  try {
    const result =
      scenario.fidelity === 'model'
        ? modelResult(schedule)
        : await (await FullRun.start(schedule, streams)).play()
    undo()
    const deliveries = deliveriesOf(result.arrivals, schedule.devices.length)
    const summary = summaryOf(result, deliveries)
    const { traceHash } = result
    return {
      scenario,
      seed,
      run,
      schedule,
      deliveries,
      summary,
      traceHash,
      wallMs: nowMs() - startedMs,
    }
  } finally {
    undo()
  }
}

/**
 * `npm start`: three devices on this computer, each a process of its own, play a story from a camp. Afterwards they go on
 * running for who wants to try commands on them.
 */
import { Command } from 'commander'

import { openCamp } from './camp/camp.ts'
import { jsonStage, liveStage, plainStage, type Stage } from './camp/stage.ts'
import { patientId, tellStory } from './camp/story.ts'
import { failureOf } from './failure.ts'
import { streamOutput } from './output.ts'
import { stopSignal } from './stop-signal.ts'

const { once = false, json = false } = new Command('npm start --')
  .description(
    'Three devices play a story from a camp: they join, exchange, are cut off and meet again.',
  )
  .option('--once', 'end after the story: with exit code 0, or 1 if a step did not happen')
  .option('--json', 'print one JSON object for each step')
  .parse()
  .opts<{ once?: boolean; json?: boolean }>()

process.exitCode = await main()

async function main(): Promise<number> {
  const output = streamOutput(process.stdout)
  const stop = AbortSignal.any([stopSignal(), output.closed])
  let stage: Stage | undefined
  await using camp = openCamp(stop, () => stage?.changed())
  using shown = createStage(camp.devices)
  stage = shown
  try {
    await tellStory(camp, shown)
    if (once) return 0
    shown.begins('ready', 'the camp goes on until Ctrl-C')
    const devices = camp.devices.map(({ name, dataDir }) => ({ name, dataDir }))
    shown.happened({ name: 'ready', outcome: 'try commands on it', details: { devices } })
    if (!json) shown.says(await nextSteps(camp))
    await camp.until(() => false)
    return 0
  } catch (error) {
    if (stop.aborted) return once ? 1 : 0
    shown.failed(failureOf(error))
    return 1
  }

  function createStage(devices: typeof camp.devices): Stage {
    if (json) return jsonStage(output, () => new Date().toISOString())
    if (!output.isTerminal) return plainStage(output, Date.now)
    return liveStage(output, { devices, nowMs: Date.now })
  }
}

async function nextSteps({
  registration,
  triage,
  pharmacy,
}: ReturnType<typeof openCamp>): Promise<string> {
  const id = await patientId(registration)
  return `Try, in another terminal in this directory:

    npx haven --data ${registration.dataDir} status
    npx haven --data ${triage.dataDir} get patients ${id}
    npx haven --data ${pharmacy.dataDir} set patients ${id} 'birthDate="1979-01-01"'
    npx haven --data ${triage.dataDir} status --watch

Ctrl-C ends it and removes the three devices.`
}

/** The simulator's command line: `haven simulate …`, or `node simulations/run.ts …`. */
import { readFile } from 'node:fs/promises'
import { Command, CommanderError, InvalidArgumentError } from 'commander'
import { play } from './play.ts'
import type { RunSummary } from './results/run-summary.ts'
import { writeRun } from './results/write-run.ts'
import { readScenario } from './scenario/read-scenario.ts'
import { ScenarioError } from './scenario/scenario-error.ts'

export interface SimulatorIo {
  write(text: string): void
  warn(text: string): void
  /** Of the real clock. */
  nowMs(): number
}

interface RunOptions {
  readonly seed: string
  readonly runs: number
  readonly set: readonly (readonly [string, string])[]
  readonly out?: string
  readonly json?: true
}

/** @returns the exit code: 0 done, 1 failed, 2 wrong usage or a bad scenario */
export async function simulate(args: readonly string[], io: SimulatorIo): Promise<number> {
  try {
    await simulatorProgram(io).parseAsync(args, { from: 'user' })
    return 0
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    if (error instanceof ScenarioError) {
      io.warn(`${error.message}\n`)
      return 2
    }
    throw error
  }
}

function simulatorProgram(io: SimulatorIo): Command {
  const program = new Command('haven simulate')
    .description('play a scenario with the production code, in virtual time')
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.write(text), writeErr: (text) => io.warn(text) })
    .argument('<scenario>', 'a scenario file (YAML)')
    .option('--seed <seed>', 'of chance: the same seed gives the same runs', '1')
    .option('--runs <count>', 'how many, each with chance of its own', whole, 1)
    .option('--set <path=value>', 'instead of what the file says; may be repeated', collect, [])
    .option('--out <dir>', 'where to write the files of each run')
    .option('--json', 'one line of JSON for each run')
  program.action(async (file: string, options: RunOptions) => {
    const scenario = readScenario(await textOf(file), { file, set: options.set })
    if (options.json !== true) io.write(`${scenario.name}: ${scenario.question}\n`)
    for (let run = 0; run < options.runs; run++) {
      const played = await play(scenario, { seed: options.seed, run, nowMs: () => io.nowMs() })
      if (options.out !== undefined) await writeRun(options.out, played)
      const { summary, traceHash } = played
      io.write(
        options.json === true
          ? `${JSON.stringify({ run, ...summary, traceHash })}\n`
          : `run ${run}: ${summaryText(summary)}, trace ${traceHash.slice(0, 12)}\n`,
      )
    }
  })
  return program
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch {
    throw new ScenarioError(file, [{ path: '', line: undefined, message: 'can not be read' }])
  }
}

function whole(text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new InvalidArgumentError('A whole number from 1 on.')
  return Number(text)
}

function collect(
  text: string,
  before: readonly (readonly [string, string])[],
): (readonly [string, string])[] {
  const at = text.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('Write it as path=value, such as devices.0.count=10.')
  return [...before, [text.slice(0, at), text.slice(at + 1)]]
}

function summaryText(summary: RunSummary): string {
  const { messages, pairs, delivered, delayMedianS, delayP95S, bytes, contacts } = summary
  const ratio = pairs === 0 ? '–' : `${((100 * delivered) / pairs).toFixed(1)} %`
  return `${messages} messages, ${ratio} delivered, delay ${hours(delayMedianS)} (median) ${hours(delayP95S)} (95 %), ${contacts} contacts, ${(bytes / 1e6).toFixed(2)} MB`
}

function hours(seconds: number | undefined): string {
  if (seconds === undefined) return '–'
  return seconds < 120 ? `${seconds.toFixed(1)} s` : `${(seconds / 3600).toFixed(2)} h`
}

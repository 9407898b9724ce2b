/** The simulator's command line: `haven simulate …`, or `node simulations/run.ts …`. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command, CommanderError, InvalidArgumentError } from 'commander'
import { decodeCase } from './explore/case-file.ts'
import { explore } from './explore/explore.ts'
import { playCase } from './explore/play-case.ts'
import { play } from './play.ts'
import { aggregate, aggregateCsv } from './results/aggregate.ts'
import type { Aggregate } from './results/aggregate.ts'
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

interface ExploreArguments {
  readonly minutes: number
  readonly cases?: number
  readonly seed: string
  readonly first: number
  readonly out: string
}

/** @returns the exit code: 0 done, 1 failed, 2 wrong usage or a bad scenario */
export async function simulate(args: readonly string[], io: SimulatorIo): Promise<number> {
  try {
    await simulatorProgram(io).parseAsync(args, { from: 'user' })
    return 0
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.code === 'haven.failing') return 1
      return error.exitCode === 0 ? 0 : 2
    }
    if (error instanceof TypeError || error instanceof SyntaxError) {
      io.warn(`${error.message}\n`)
      return 2
    }
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
    // `explore` has options of the same names.
    .enablePositionalOptions()
    .configureOutput({ writeOut: (text) => io.write(text), writeErr: (text) => io.warn(text) })
    .argument('<scenario>', 'a scenario file (YAML)')
    .option('--seed <seed>', 'of chance: the same seed gives the same runs', '1')
    .option('--runs <count>', 'how many, each with chance of its own', whole, 1)
    .option('--set <path=value>', 'instead of what the file says; may be repeated', collect, [])
    .option('--out <dir>', 'where to write the files of each run')
    .option('--json', 'one line of JSON for each run')
  addExplore(program, io)
  program.action(async (file: string, options: RunOptions) => {
    const scenario = readScenario(await textOf(file), { file, set: options.set })
    if (options.json !== true) io.write(`${scenario.name}: ${scenario.question}\n`)
    const summaries: RunSummary[] = []
    for (let run = 0; run < options.runs; run++) {
      const played = await play(scenario, { seed: options.seed, run, nowMs: () => io.nowMs() })
      if (options.out !== undefined) await writeRun(options.out, played)
      const { summary, traceHash } = played
      summaries.push(summary)
      io.write(
        options.json === true
          ? `${JSON.stringify({ run, ...summary, traceHash })}\n`
          : `run ${run}: ${summaryText(summary)}, trace ${traceHash.slice(0, 12)}\n`,
      )
    }
    if (options.runs === 1) return
    const aggregates = aggregate(summaries)
    if (options.out !== undefined)
      await writeFile(join(options.out, 'aggregate.csv'), aggregateCsv(aggregates))
    if (options.json !== true) io.write(aggregateText(aggregates))
  })
  return program
}

function addExplore(program: Command, io: SimulatorIo): void {
  program
    .command('explore')
    .description(
      'draw scenarios by chance, with all faults, and look for one in which something does not hold',
    )
    .option('--minutes <minutes>', 'how long', minutes, 10)
    .option('--cases <count>', 'how many at most', whole)
    .option('--seed <seed>', 'of chance', '1')
    .option('--first <number>', 'of the first case', whole, 1)
    .option('--out <dir>', 'where to write failing cases', 'failing-cases')
    .action(async (options: ExploreArguments) => {
      const { cases, failing, never } = await explore({
        ...options,
        untilMs: io.nowMs() + options.minutes * 60_000,
        nowMs: () => io.nowMs(),
        say: (text) => io.write(text),
      })
      io.write(`${cases} cases, ${failing.length} failing\n`)
      for (const each of never) io.write(`this never happened: ${each}\n`)
      if (failing.length > 0)
        throw new CommanderError(1, 'haven.failing', 'there are failing cases')
    })
  program
    .command('replay')
    .description('play a failing case again, exactly')
    .argument('<case>', 'a file that explore has written')
    .action(async (file: string) => {
      const { seed, schedule } = decodeCase(await textOf(file))
      const { violation, traceHash } = await playCase(schedule, seed)
      io.write(
        violation === undefined ? `it holds, trace ${traceHash}\n` : `${violation.message}\n`,
      )
      if (violation !== undefined) throw new CommanderError(1, 'haven.failing', 'it does not hold')
    })
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch {
    throw new ScenarioError(file, [{ path: '', line: undefined, message: 'can not be read' }])
  }
}

function minutes(text: string): number {
  if (!/^\d+(?:\.\d+)?$/.test(text)) throw new InvalidArgumentError('A number, such as 10 or 0.5.')
  return Number(text)
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

/** Means of all runs, with the 95 % intervals of these. */
function aggregateText(aggregates: readonly Aggregate[]): string {
  const shown = ['deliveryRatio', 'delayMeanS', 'delayMedianS', 'delayP95S', 'bytesPerDelivery']
  const lines = aggregates
    .filter(({ metric }) => shown.includes(metric))
    .map(({ metric, estimate, without }) => {
      if (estimate === undefined) return `  ${metric}: in none of the runs`
      const { mean, low, high } = estimate
      const missing = without === 0 ? '' : `, not in ${without} of the runs`
      return `  ${metric}: ${short(mean)} [${short(low)}, ${short(high)}]${missing}`
    })
  return `means of all runs, with 95 % intervals:\n${lines.join('\n')}\n`
}

function short(value: number | undefined): string {
  return value === undefined ? '–' : String(Number(value.toPrecision(4)))
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

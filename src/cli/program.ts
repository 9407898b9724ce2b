import { existsSync, readFileSync } from 'node:fs'

import { Command, CommanderError } from 'commander'

import { type Cli } from './cli.ts'
import { addAdd } from './commands/add.ts'
import { addBridge } from './commands/bridge.ts'
import { addConflicts } from './commands/conflicts.ts'
import { addCount } from './commands/count.ts'
import { addCoverage } from './commands/coverage.ts'
import { addDelete } from './commands/delete.ts'
import { addExport } from './commands/export.ts'
import { addGet } from './commands/get.ts'
import { addHistory } from './commands/history.ts'
import { addImport } from './commands/import.ts'
import { addInit } from './commands/init.ts'
import { addInvite } from './commands/invite.ts'
import { addJoin } from './commands/join.ts'
import { addLink } from './commands/link.ts'
import { addList } from './commands/list.ts'
import { addRecover } from './commands/recover.ts'
import { addRemove } from './commands/remove.ts'
import { addResolve } from './commands/resolve.ts'
import { addSchema } from './commands/schema.ts'
import { addServer } from './commands/server.ts'
import { addSafeToWipe } from './commands/safe-to-wipe.ts'
import { addSet } from './commands/set.ts'
import { addSimulate, runSimulator } from './commands/simulate.ts'
import { addSite } from './commands/site.ts'
import { addStatus } from './commands/status.ts'
import { addUnlink } from './commands/unlink.ts'
import { addUp } from './commands/up.ts'
import { failureOf, PrintedFailure, usage } from './failure.ts'
import { jsonText } from './json.ts'

const after = `
haven --version says which one this is.

Exit codes: 0 done, 1 failed, 2 wrong usage. With --json, the answer is one JSON document on standard output (one JSON
object per line for up and status --watch), and a failure is {"error":{"code","message"}}.

Environment: HAVEN_DATA is the default for --data, HAVEN_PASSPHRASE seals the keys of this device,
HAVEN_LOG (error, warn, info, debug) says how much is logged to standard error.
`

/**
 * Runs one command line, without `node` and the script's name.
 *
 * @returns the exit code; whatever was to be said has been written
 */
export async function run(args: readonly string[], cli: Cli): Promise<number> {
  const isJson = args
    .slice(0, args.includes('--') ? args.indexOf('--') : undefined)
    .includes('--json')
  try {
    refuseKeyLogging(cli.env)
    if (asksForVersion(args)) {
      await cli.stdout.write(`${packageVersion()}\n`)
      return 0
    }
    if (args[0] === 'simulate') return await runSimulator(args.slice(1), cli)
    await createProgram(cli).parseAsync(args, { from: 'user' })
    return 0
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0
    return report(error, { cli, isJson })
  }
}

/** Before any command: `haven schema show` has an option of that name. */
function asksForVersion(args: readonly string[]): boolean {
  for (let at = 0; at < args.length; at++) {
    const arg = args[at]!
    if (arg === '--version') return true
    if (arg === '--data') at++
    else if (!arg.startsWith('--') || arg === '--') return false
  }
  return false
}

/** @throws HavenError `USAGE`: with this variable, libp2p-noise can be made to print the keys of every connection */
function refuseKeyLogging({ DUMP_SESSION_KEYS }: Cli['env']): void {
  if (DUMP_SESSION_KEYS)
    throw usage(
      'DUMP_SESSION_KEYS is set, by which the keys of connections can be printed: unset it and run this again.',
    )
}

function createProgram(cli: Cli): Command {
  const program = new Command('haven')
    .description(
      'Health records for clinics without internet: kept on each device, exchanged when devices meet.',
    )
    .option(
      '--data <dir>',
      "this device's data directory (default: haven in the XDG data directory)",
    )
    .option('--json', 'answer in JSON')
    .showSuggestionAfterError()
    .addHelpText('after', after)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void cli.stdout.write(text),
      // What is wrong is reported in one place, below.
      writeErr: () => {},
      getOutHelpWidth: () => cli.stdout.columns,
    })
  for (const add of [addInit, addUp, addInvite, addJoin, addRecover]) add(program, cli)
  for (const add of [addImport, addExport, addList, addGet, addSet, addDelete]) add(program, cli)
  for (const add of [addAdd, addRemove, addCount]) add(program, cli)
  for (const add of [addConflicts, addResolve]) add(program, cli)
  for (const add of [addLink, addUnlink]) add(program, cli)
  for (const add of [addSchema, addHistory, addStatus, addSafeToWipe]) add(program, cli)
  for (const add of [addSite, addCoverage]) add(program, cli)
  for (const add of [addBridge, addServer]) add(program, cli)
  addSimulate(program)
  return program
}

async function report(
  thrown: unknown,
  { cli, isJson }: { cli: Cli; isJson: boolean },
): Promise<number> {
  const { exitCode, code, message } = failureOf(thrown)
  const isUnexpected = code === 'INTERNAL' && thrown instanceof Error
  const stack = isUnexpected && cli.env.HAVEN_LOG === 'debug' ? `${thrown.stack}\n` : ''
  const document =
    isJson && !(thrown instanceof PrintedFailure)
      ? `${jsonText({ error: { code, message } })}\n`
      : ''
  // Where the output itself is what failed, the exit code has to do.
  await Promise.allSettled([
    cli.stderr.write(`haven: ${message}\n${stack}`),
    cli.stdout.write(document),
  ])
  return exitCode
}

function packageVersion(): string {
  // Of the sources, or of what is compiled of them, which lies a folder deeper.
  const manifests = ['../../package.json', '../../../package.json']
  const manifest = manifests.map((path) => new URL(path, import.meta.url)).find(existsSync)
  return (JSON.parse(readFileSync(manifest!, 'utf8')) as { version: string }).version
}

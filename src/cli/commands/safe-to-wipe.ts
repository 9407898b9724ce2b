import type { Command } from 'commander'

import type { WipeAnswer } from '../../device/api.ts'
import { aborted } from '../aborted.ts'
import { type Cli, type Globals, globalsOf, print } from '../cli.ts'
import { durationText } from '../amounts.ts'
import { parseDurationMs } from '../duration.ts'
import { PrintedFailure, usage } from '../failure.ts'
import { type OpenOperations, openOperations } from '../open.ts'
import { printable } from '../printable.ts'
import { wipeText } from '../wipe-text.ts'

interface Options {
  holders?: string
  cancel?: boolean
  wait?: string
}

export function addSafeToWipe(program: Command, cli: Cli): void {
  program
    .command('safe-to-wipe')
    .description(
      'whether this device can be erased without a loss; it takes no writes from then on',
    )
    .option('--holders <n>', 'so many others have to hold what no server holds (default: 2)')
    .option('--wait <duration>', 'wait so long for the others, such as 90s or 10m')
    .option('--cancel', 'this device goes on, and takes writes again')
    .action(async (options: Options, command: Command) => {
      const asked = parse(options)
      const globals = globalsOf(command, cli)
      await using opened = await openOperations(cli, globals)
      if (asked === 'cancel') return await cancel(cli, globals, opened)
      const answer = await ask(cli, globals, { opened, ...asked })
      const waits = opened.device === undefined
      await print(cli, globals, {
        document: answer,
        text: wipeText(answer, { nowMs: cli.nowMs(), isUp: waits }),
      })
      if (!answer.safe)
        throw new PrintedFailure(
          'NOT_SAFE_TO_WIPE',
          'What this device holds is not known to be safe elsewhere: keep it.',
        )
    })
}

/** @throws HavenError `USAGE` */
function parse({
  holders,
  wait,
  cancel: isCancel,
}: Options): 'cancel' | { holders: number | undefined; waitMs: number } {
  if (isCancel === true) {
    if (holders !== undefined || wait !== undefined)
      throw usage(
        '--cancel takes back that this device is to be wiped: leave the other options out.',
      )
    return 'cancel'
  }
  if (holders !== undefined && !/^[1-9]\d{0,2}$/.test(holders))
    throw usage(`"${printable(holders)}" is no number of devices: write --holders 2.`)
  return {
    holders: holders === undefined ? undefined : Number(holders),
    waitMs: wait === undefined ? 0 : parseDurationMs(wait),
  }
}

/** Ctrl-C ends the waiting, and gives the answer as it is then. */
async function ask(
  cli: Cli,
  { json }: Globals,
  {
    opened: { operations, device },
    holders,
    waitMs,
  }: { opened: OpenOperations; holders: number | undefined; waitMs: number },
): Promise<WipeAnswer> {
  if (waitMs === 0) return operations.safeToWipe({ holders })
  const stop = cli.stopSignal()
  // Where nothing runs yet: others have to hear of it, and to say what they hold.
  await device?.up()
  if (!json) await cli.stdout.write(`Waiting up to ${durationText(waitMs)} for the others…\n`)
  const answer = await Promise.race([operations.safeToWipe({ holders, waitMs }), aborted(stop)])
  return answer ?? operations.safeToWipe({ holders })
}

async function cancel(cli: Cli, globals: Globals, { operations }: OpenOperations): Promise<void> {
  const cancelled = await operations.cancelRetirement()
  await print(cli, globals, {
    document: { cancelled },
    text: cancelled
      ? 'This device goes on, and takes writes again.'
      : 'This device was not to be wiped.',
  })
}

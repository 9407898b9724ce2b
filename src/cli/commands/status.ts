import type { Command } from 'commander'

import { isHavenError } from '../../core/errors.ts'
import type { DeviceStatus } from '../../device/api.ts'
import { type Cli, type Globals, globalsOf, print } from '../cli.ts'
import { jsonText } from '../json.ts'
import { liveRegion } from '../live-region.ts'
import { openOperationsIfAny } from '../open.ts'
import { statusText } from '../status-text.ts'

const watchMs = 1_000

export function addStatus(program: Command, cli: Cli): void {
  program
    .command('status')
    .description('what this device holds, what the others hold, and what is still on its way')
    .option('--watch', 'go on showing it until Ctrl-C')
    .action(async ({ watch = false }: { watch?: boolean }, command: Command) => {
      const globals = globalsOf(command, cli)
      if (watch) return watchStatus(cli, globals)
      const status = await currentStatus(cli, globals)
      return print(cli, globals, {
        document: statusDocument(status),
        text: statusText(status, cli.nowMs()),
      })
    })
}

/** Opens the store anew each time where no `haven up` runs, so that it does not keep others out. */
async function currentStatus(cli: Cli, globals: Globals): Promise<DeviceStatus> {
  await using opened = await openOperationsIfAny(cli, globals)
  return opened === undefined ? noStatus : await opened.operations.status()
}

async function watchStatus(cli: Cli, globals: Globals): Promise<void> {
  const stop = AbortSignal.any([cli.stopSignal(), cli.stdout.closed])
  const isLive = cli.stdout.isTerminal && !globals.json
  const region = liveRegion(cli.stdout)
  let shown = ''
  while (!stop.aborted) {
    const text = await statusOrBusy(cli, globals)
    if (text !== undefined && text !== shown) {
      await (isLive ? region.draw(text.split('\n')) : cli.stdout.write(`${text}\n`))
      shown = text
    }
    await pause(watchMs, stop)
  }
}

/** Nothing while another command has the store open, or while `haven up` stops or starts: that passes. */
async function statusOrBusy(cli: Cli, globals: Globals): Promise<string | undefined> {
  try {
    const status = await currentStatus(cli, globals)
    return globals.json ? jsonText(statusDocument(status)) : statusText(status, cli.nowMs())
  } catch (error) {
    if (isHavenError(error, 'STORE_BUSY') || isHavenError(error, 'STOPPED')) return undefined
    throw error
  }
}

function pause(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (stop.aborted) return resolve()
    const go = () => {
      clearTimeout(timer)
      stop.removeEventListener('abort', go)
      resolve()
    }
    const timer = setTimeout(go, ms)
    stop.addEventListener('abort', go)
  })
}

/** Where there is no data directory there is no device, which is an answer and no failure. */
const noStatus: DeviceStatus = {
  device: null,
  site: null,
  mesh: null,
  peers: [],
  collections: {},
  clock: { feeds: 0, commits: 0, digest: '' },
  notices: [],
  running: false,
  addresses: [],
}

function statusDocument({ clock, ...status }: DeviceStatus): object {
  return { ...status, clock: { ...clock, digest: clock.digest === '' ? null : clock.digest } }
}

import { type Command, Option } from 'commander'

import { HavenError, isHavenError } from '../../core/errors.ts'
import { type LocalServer, serveLocally } from '../../daemon/local-server.ts'
import type { Device, DeviceEvent } from '../../device/api.ts'
import { aborted } from '../aborted.ts'
import { type Cli, type Globals, globalsOf } from '../cli.ts'
import { eventText } from '../event-text.ts'
import { jsonText } from '../json.ts'
import { deviceLog } from '../log.ts'
import { noMesh, openDevice, requireDataDirectory } from '../open.ts'

interface Options {
  listen?: string[]
  peer?: string[]
  mdns: boolean
  bridge?: 'auto'
}

export function addUp(program: Command, cli: Cli): void {
  program
    .command('up')
    .description('run this device: find the others, exchange records, until Ctrl-C')
    .option('--listen <multiaddr...>', 'addresses to listen at (default: /ip4/0.0.0.0/tcp/0)')
    .option('--peer <multiaddr...>', 'addresses of other devices, where they are not found')
    .option('--no-mdns', 'neither look for devices on this network nor announce this one')
    .addOption(
      new Option('--bridge <how>', 'use every server of the mesh, without being asked').choices([
        'auto',
      ]),
    )
    .action(async (options: Options, command: Command) => {
      const globals = globalsOf(command, cli)
      await requireDataDirectory(globals)
      // A reader that goes away ends it too, as it would any other command in a pipe.
      const stop = AbortSignal.any([cli.stopSignal(), cli.stdout.closed])
      // Taken down in the reverse order: commands are answered as long as the device runs.
      await using parts = new AsyncDisposableStack()
      const device = parts.use(await openDevice(cli, globals, { whileUp: alreadyUp }))
      if (device.info === null) throw noMesh(globals.dataDir)
      parts.use(printEvents(cli, globals, device))
      parts.use(await offerLocally(cli, globals, device))
      const { listen, peer: peers, mdns, bridge } = options
      await device.up({ listen, peers, mdns, bridge })
      await aborted(stop)
    })
}

function printEvents(cli: Cli, { json }: Globals, device: Device): Disposable {
  const describe = json
    ? (event: DeviceEvent) => jsonText(event)
    : (event: DeviceEvent) => eventText(event, device)
  const unsubscribe = device.subscribe((event) => {
    const text = describe(event)
    // When the disk under a redirected output is full, the device goes on: records matter more than what is said about them.
    if (text !== undefined) cli.stdout.write(`${text}\n`).catch(() => {})
  })
  return { [Symbol.dispose]: unsubscribe }
}

/** Without its local socket a device still does its main work, so that is only said. */
async function offerLocally(
  cli: Cli,
  { dataDir }: Globals,
  device: Device,
): Promise<AsyncDisposable> {
  const log = deviceLog(cli)
  const server = await serveLocally(device, {
    dataDir,
    env: cli.env,
    onUnexpected: (error) =>
      log({
        level: 'error',
        code: 'INTERNAL',
        message: (error instanceof Error && error.stack) || String(error),
      }),
  }).catch(async (error: unknown): Promise<LocalServer | undefined> => {
    if (!isHavenError(error)) throw error
    await cli.stderr.write(
      `haven: other commands can't reach this device while it runs. ${error.message}\n`,
    )
    return undefined
  })
  return { [Symbol.asyncDispose]: async () => server?.close() }
}

function alreadyUp(): HavenError {
  return new HavenError(
    'STORE_BUSY',
    '`haven up` already runs on this data directory: stop it first.',
  )
}

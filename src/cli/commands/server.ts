import { readFile } from 'node:fs/promises'

import type { Command } from 'commander'

import { durationText } from '../amounts.ts'
import { aborted } from '../aborted.ts'
import { type Cli, globalsOf, print } from '../cli.ts'
import { dataDirectory } from '../data-dir.ts'
import { parseDurationMs, parseTtlMs } from '../duration.ts'
import { usage } from '../failure.ts'
import { deviceLog } from '../log.ts'
import { parseBytes } from '../size.ts'
import { addServerUpkeep } from './server-upkeep.ts'
import type { ServerPlace } from '../../server/open-server-home.ts'

const defaultListen = '0.0.0.0:8420'

interface Options {
  listen: string
  tlsCert?: string
  tlsKey?: string
  publicUrl?: string
  meshQuota: string
  deviceQuota: string
  retain?: string
  metrics?: string
}

export function addServer(program: Command, cli: Cli): void {
  const server = program
    .command('server')
    .description('carry the records of meshes that you can not read, for all their camps')
    .option('--listen <host:port>', 'where to listen', defaultListen)
    .option(
      '--postgres <url>',
      'keep everything in this database (or HAVEN_POSTGRES), which other processes of the server may share',
    )
    .option('--tls-cert <file>', 'certificate in PEM, where no proxy before the server ends TLS')
    .option('--tls-key <file>', 'its key')
    .option('--public-url <url>', 'where devices reach it, if not where it listens')
    .option('--mesh-quota <size>', 'how much one mesh may have here', '20GB')
    .option(
      '--retain <duration>',
      'remove a mesh of which nothing has arrived for so long, such as 400d (default: never)',
    )
    .option('--metrics <host:port>', 'where to offer numbers at /metrics (default: nowhere)')
    .option('--device-quota <size>', 'how much one device may send in a day', '5GB')
    .action(async (options: Options, command: Command) => {
      const globals = globalsOf(command, cli)
      const stop = AbortSignal.any([cli.stopSignal(), cli.stdout.closed])
      const { HavenServer } = await import('../../server/haven-server.ts')
      const running = await HavenServer.start({
        place: serverPlace(command, cli),
        ...parseListen(options.listen),
        tls: await readTls(options),
        publicUrl: options.publicUrl,
        quota: {
          meshBytes: parseBytes(options.meshQuota),
          deviceBytesPerDay: parseBytes(options.deviceQuota),
        },
        retainMs: options.retain === undefined ? undefined : parseDurationMs(options.retain),
        metrics: options.metrics === undefined ? undefined : parseListen(options.metrics),
        log: deviceLog(cli),
      })
      try {
        const { address, metricsAddress, meshes, keys } = running
        await print(cli, globals, {
          document: {
            event: 'ready',
            address,
            metrics: metricsAddress ?? null,
            device: keys.device,
            meshes,
          },
          text: `The server is running at ${address}, for ${meshes.length === 1 ? '1 mesh' : `${meshes.length} meshes`}. Ctrl-C ends it.`,
        })
        await aborted(stop)
      } finally {
        await running.close()
      }
    })
  server
    .command('invite')
    .description('let one mesh use this server: prints a code for one of its admins')
    .option('--ttl <duration>', 'how long the code can be used, such as 10m, 2h or 7d', '1d')
    .action(async ({ ttl }: { ttl: string }, command: Command) => {
      const { inviteMesh } = await import('../../server/invite-mesh.ts')
      const ttlMs = parseTtlMs(ttl)
      const invitation = await inviteMesh(serverPlace(command, cli), { ttlMs })
      await print(cli, globalsOf(command, cli), {
        document: { ...invitation },
        text: `An invitation for one mesh to the server at ${invitation.address}, good for ${durationText(ttlMs)}.
On a device of an admin:

    haven bridge add ${invitation.code}`,
      })
    })
  addServerUpkeep(server, cli, (command) => serverPlace(command, cli))
}

/**
 * A database, or a directory beside that of a device, which may be on the same computer.
 *
 * @throws HavenError `USAGE`
 */
function serverPlace(command: Command, cli: Cli): ServerPlace {
  const { data, postgres: given } = command.optsWithGlobals<{ data?: string; postgres?: string }>()
  const passphrase = cli.env.HAVEN_PASSPHRASE || undefined
  if (given !== undefined && data !== undefined)
    throw usage('Give --data or --postgres: a server keeps everything in one of them.')
  const fromEnvironment = data === undefined ? cli.env.HAVEN_POSTGRES || undefined : undefined
  const postgres = given ?? fromEnvironment
  return postgres === undefined
    ? { dataDir: dataDirectory(data, cli.env, 'haven-server'), passphrase }
    : { postgres, passphrase }
}

/** @throws HavenError `USAGE` */
function parseListen(text: string): { host: string; port: number } {
  const [, six, four, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text) ?? []
  const host = six ?? four
  if (host === undefined || Number(port) > 65_535)
    throw usage(`"${text}" is no place to listen at: write ${defaultListen} or [::]:8420.`)
  return { host, port: Number(port) }
}

/** @throws HavenError `USAGE` */
async function readTls({ tlsCert, tlsKey }: Options) {
  if (tlsCert === undefined && tlsKey === undefined) return undefined
  if (tlsCert === undefined || tlsKey === undefined)
    throw usage('--tls-cert and --tls-key go together: give both, or none.')
  return { cert: await readPem(tlsCert), key: await readPem(tlsKey) }
}

async function readPem(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch {
    throw usage(`The file ${path} can not be read.`)
  }
}

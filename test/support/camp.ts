/**
 * A mesh of real devices for one test: `haven` as separate processes, each with its own data and state directory, on a
 * network of their own or on loopback.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess, SpawnOptions } from 'node:child_process'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { findRunningDevice } from '../../src/daemon/local-client.ts'
import { readLines } from '../../src/daemon/lines.ts'
import type {
  DeviceEvent,
  DeviceOperations,
  DeviceStatus,
  Invitation,
  InviteOptions,
  MembershipResult,
} from '../../src/device/api.ts'
import type { NamespaceNetwork } from './namespaces.ts'
import { until } from './until.ts'

const program = fileURLToPath(new URL('../../bin/haven.mjs', import.meta.url))
const lineBytes = 16 * 1024 * 1024
/** Several processes that start at once, on a busy machine. */
export const startMs = 120_000

/** What `get --json` prints. */
export interface RecordDocument {
  fields: Record<string, unknown>
  conflicts: Record<string, { value: unknown; device: { id: string; name: string | null } }[]>
}

/** A line of the log that a device writes to standard error. */
export interface LogLine {
  level: string
  code: string
  msg: string
  [field: string]: unknown
}

export interface CampOptions {
  /** Taken away together with the camp. */
  network?: NamespaceNetwork
}

export class Camp {
  readonly directory: string
  readonly #network: NamespaceNetwork | undefined
  readonly #devices: CampDevice[] = []

  private constructor(directory: string, network: NamespaceNetwork | undefined) {
    this.directory = directory
    this.#network = network
  }

  /** Taken down when the test has finished, however it did. */
  static async pitch({ network }: CampOptions = {}): Promise<Camp> {
    const directory = await mkdtemp(join(tmpdir(), 'haven-e2e-'))
    await mkdir(join(directory, 'run'), { mode: 0o700 })
    const camp = new Camp(directory, network)
    onTestFinished(() => camp.#strike())
    return camp
  }

  /**
   * @param host - where it is on the network, from 1; without a network all are on loopback
   * @param options.dataDir - instead of one in the camp's directory
   */
  device(name: string, host?: number, options: { dataDir?: string } = {}): CampDevice {
    const place = { camp: this.directory, network: this.#network, host, ...options }
    const device = new CampDevice(name, place)
    this.#devices.push(device)
    return device
  }

  async #strike(): Promise<void> {
    await Promise.all(this.#devices.map((device) => device.killAll()))
    await this.#network?.remove()
    await rm(this.directory, { recursive: true, force: true, maxRetries: 5 })
  }
}

interface Place {
  camp: string
  network: NamespaceNetwork | undefined
  host: number | undefined
  dataDir?: string
}

export class CampDevice {
  readonly name: string
  readonly dataDir: string
  /** The rollback mark is below it. */
  readonly stateHome: string
  /** Of the current or last `haven up`. */
  events: DeviceEvent[] = []
  logs: LogLine[] = []
  readonly #place: Place
  readonly #env: NodeJS.ProcessEnv
  readonly #children = new Set<ChildProcess>()
  #up: ChildProcess | undefined
  #ended: Promise<unknown> = Promise.resolve()
  #operations: DeviceOperations | undefined

  constructor(name: string, place: Place) {
    this.name = name
    this.#place = place
    this.dataDir = place.dataDir ?? join(place.camp, name)
    this.stateHome = join(place.camp, `${name}-state`)
    this.#env = {
      PATH: process.env.PATH,
      HOME: place.camp,
      XDG_RUNTIME_DIR: join(place.camp, 'run'),
      XDG_STATE_HOME: this.stateHome,
      HAVEN_LOG: 'info',
      // Many processes start, and all compile the same sources.
      NODE_COMPILE_CACHE: join(place.camp, 'compile-cache'),
    }
  }

  /** Carries the device to another place of the network. */
  moveTo(host: number): void {
    this.#place.host = host
  }

  /**
   * Runs one command to its end.
   *
   * @returns its document
   * @throws CommandError
   */
  async run<T>(...args: string[]): Promise<T> {
    const child = this.#spawn(args, { stdio: ['ignore', 'pipe', 'pipe'] })
    const exit = ending(child)
    const [stdout, stderr] = await Promise.all([text(child.stdout!), text(child.stderr!), exit])
    if (child.exitCode === 0) return JSON.parse(stdout) as T
    const { error } = JSON.parse(stdout || '{}') as { error?: { code: string } }
    throw new CommandError(args, child.exitCode ?? child.signalCode, error?.code, stderr)
  }

  async init(): Promise<MembershipResult> {
    return this.run('init', '--mesh', 'Camp', '--device', this.name)
  }

  async invite(role: InviteOptions['role'] = 'clinician', ttl = '10m'): Promise<Invitation> {
    return this.run('invite', '--role', role, '--ttl', ttl)
  }

  async join(code: string): Promise<MembershipResult> {
    return this.run('join', code, '--device', this.name)
  }

  async get(collection: string, id: string): Promise<RecordDocument> {
    return this.run('get', collection, id)
  }

  async set(collection: string, id: string, ...fields: string[]): Promise<void> {
    await this.run('set', collection, id, ...fields)
  }

  /** Starts `haven up`; resolves with its addresses when it listens. */
  async up(...args: string[]): Promise<string[]> {
    if (this.#up !== undefined) throw new Error(`${this.name} is up already`)
    // With a channel, so that it ends with this process.
    const child = this.#spawn(['up', ...args], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
    const events: DeviceEvent[] = []
    const logs: LogLine[] = []
    const others: string[] = []
    this.#up = child
    this.events = events
    this.logs = logs
    this.#ended = Promise.all([
      ending(child),
      eachLine(child.stdout!, (line) => events.push(JSON.parse(line) as DeviceEvent)),
      eachLine(child.stderr!, (line) => {
        if (line.startsWith('{')) logs.push(JSON.parse(line) as LogLine)
        else others.push(line)
      }),
    ])
    const ready = (): DeviceEvent | undefined => events.find(({ event }) => event === 'ready')
    await until(
      `${this.name} is ready`,
      () => ready() !== undefined || child.exitCode !== null || child.signalCode !== null,
      { withinMs: startMs },
    )
    const event = ready()
    if (event?.event !== 'ready') {
      this.#up = undefined
      throw new Error(`haven up of ${this.name} ended: ${[...others, ...texts(logs)].join('\n')}`)
    }
    this.#operations = await findRunningDevice(this.dataDir, this.#env)
    return event.addresses
  }

  /** Only on loopback, so that other devices of this machine are left alone. */
  async upOnLoopback(...peers: string[]): Promise<string> {
    const known = peers.flatMap((address) => ['--peer', address])
    const addresses = await this.up('--no-mdns', '--listen', '/ip4/127.0.0.1/tcp/0', ...known)
    return addresses[0]!
  }

  get isUp(): boolean {
    return this.#up !== undefined
  }

  /** Of the running `haven up`. */
  get pid(): number {
    if (this.#up?.pid === undefined) throw new Error(`${this.name} is not up`)
    return this.#up.pid
  }

  /** What a running `haven up` answers over its local socket: faster than a command for each question. */
  get running(): DeviceOperations {
    if (this.#operations === undefined) throw new Error(`${this.name} is not up`)
    return this.#operations
  }

  async status(): Promise<DeviceStatus> {
    return this.running.status()
  }

  /** Content hashes by collection, of those that have records. */
  async content(): Promise<Record<string, string>> {
    const { collections } = await this.status()
    const filled = Object.entries(collections).filter(([, { records }]) => records > 0)
    return Object.fromEntries(filled.map(([name, { contentHash }]) => [name, contentHash]))
  }

  async noticeCodes(): Promise<string[]> {
    return (await this.status()).notices.map(({ code }) => code)
  }

  /** Ends `haven up` as Ctrl-C does. */
  async down(): Promise<void> {
    const child = this.#up
    if (child === undefined) return
    child.kill('SIGTERM')
    await this.#ended
    this.#forget()
    if (child.exitCode !== 0) {
      const end = child.exitCode ?? child.signalCode
      throw new Error(`haven up of ${this.name} ended with ${end}:\n${texts(this.logs).join('\n')}`)
    }
  }

  /** Ends `haven up` at once. */
  async kill(): Promise<void> {
    this.#up?.kill('SIGKILL')
    await this.#ended
    this.#forget()
  }

  /** Ends whatever runs for this device at once. */
  async killAll(): Promise<void> {
    const ends = Array.from(this.#children, async (child) => {
      const end = ending(child)
      child.kill('SIGKILL')
      await end
    })
    await Promise.all(ends)
  }

  #forget(): void {
    this.#up = undefined
    this.#operations = undefined
  }

  /** Runs a program of a test in the place and with the environment of this device; it is killed with the camp at the latest. */
  start(file: string, args: readonly string[], options: SpawnOptions): ChildProcess {
    const { network, host } = this.#place
    const { execPath } = process
    const child =
      network === undefined || host === undefined
        ? spawn(execPath, [file, ...args], { ...options, env: this.#env })
        : network.host(host).exec([execPath, file, ...args], { ...options, env: this.#env })
    this.#children.add(child)
    child.once('exit', () => this.#children.delete(child))
    return child
  }

  #spawn(args: readonly string[], options: SpawnOptions): ChildProcess {
    return this.start(program, ['--data', this.dataDir, '--json', ...args], options)
  }
}

/** A command that failed, with the code that it named. */
export class CommandError extends Error {
  readonly exit: number | string | null
  readonly code: string | undefined

  constructor(
    args: readonly string[],
    exit: number | string | null,
    code: string | undefined,
    stderr: string,
  ) {
    super(`haven ${args.join(' ')} ended with ${exit} (${code}): ${stderr.trim()}`)
    this.name = 'CommandError'
    this.exit = exit
    this.code = code
  }
}

/** Whether all of them show the same, and something. */
export async function agree(devices: readonly CampDevice[]): Promise<boolean> {
  const contents = await Promise.all(devices.map((device) => device.content()))
  const [first, ...others] = contents.map((content) => JSON.stringify(sorted(content)))
  return first !== '{}' && others.every((content) => content === first)
}

export async function untilAgreed(
  devices: readonly CampDevice[],
  {
    withinMs = 30_000,
    also = () => true,
  }: { withinMs?: number; also?: () => boolean | Promise<boolean> } = {},
): Promise<void> {
  await until(
    `${devices.map(({ name }) => name).join(', ')} agree`,
    async () => (await also()) && (await agree(devices)),
    { withinMs, state: () => Promise.all(devices.map((device) => device.status())) },
  )
}

/** Enrols a device next to an admin that is up; afterwards it is down. */
export async function enrol(
  device: CampDevice,
  admin: CampDevice,
  role?: InviteOptions['role'],
): Promise<void> {
  const { code } = await admin.invite(role)
  await device.join(code)
}

function sorted<T>(of: Record<string, T>): [string, T][] {
  return Object.entries(of).toSorted(([a], [b]) => (a < b ? -1 : 1))
}

function texts(logs: readonly LogLine[]): string[] {
  return logs.map(({ code, msg }) => `${code}: ${msg}`)
}

/** Until the stream ends. */
export async function eachLine(
  stream: AsyncIterable<Uint8Array>,
  act: (line: string) => void,
): Promise<void> {
  for await (const line of readLines(stream, lineBytes)) act(line)
}

export function ending(child: ChildProcess): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  child.once('error', reject)
  child.once('exit', () => resolve())
  return promise
}

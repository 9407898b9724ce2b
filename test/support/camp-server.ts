/** A real `haven server` process of one test, on a network or on loopback. */
import type { ChildProcess } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { eachLine, ending, startMs } from './camp.ts'
import type { CampDevice, LogLine } from './camp.ts'
import { until } from './until.ts'

const program = fileURLToPath(new URL('../../bin/haven.mjs', import.meta.url))

interface Ready {
  address: string
  /** Its id. */
  device: string
  meshes: string[]
}

export class CampServer {
  logs: LogLine[] = []
  /** All that it has said on standard error since it was first started, line by line. */
  readonly said: string[] = []
  readonly #place: CampDevice
  /** Where it keeps everything, as options. */
  readonly #home: readonly string[]
  #child: ChildProcess | undefined
  #ended: Promise<unknown> = Promise.resolve()

  /**
   * @param place - whose data directory and host it takes; it is no device of a mesh
   * @param options.postgres - the URL of a database, which is used in place of the directory
   */
  constructor(place: CampDevice, { postgres }: { postgres?: string } = {}) {
    this.#place = place
    this.#home = postgres === undefined ? ['--data', place.dataDir] : ['--postgres', postgres]
  }

  get dataDir(): string {
    return this.#place.dataDir
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error('the server is not up')
    return this.#child.pid
  }

  async up(...args: string[]): Promise<Ready> {
    const child = this.#place.start(program, ['--json', 'server', ...this.#home, ...args], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    this.#child = child
    this.logs = []
    const saidBefore = this.said.length
    let ready: Ready | undefined
    this.#ended = Promise.all([
      ending(child),
      eachLine(child.stdout!, (line) => (ready = JSON.parse(line) as Ready)),
      eachLine(child.stderr!, (line) => {
        this.said.push(line)
        if (line.startsWith('{')) this.logs.push(JSON.parse(line) as LogLine)
      }),
    ])
    await until('the server is ready', () => ready !== undefined || child.exitCode !== null, {
      withinMs: startMs,
    })
    if (ready === undefined)
      throw new Error(`haven server ended: ${this.said.slice(saidBefore).join('\n')}`)
    return ready
  }

  get isUp(): boolean {
    return this.#child !== undefined
  }

  /** What is at an address of its host. */
  read(url: string): Promise<string> {
    return this.#output(fileURLToPath(new URL('fetch-text.ts', import.meta.url)), [url])
  }

  async #output(file: string, args: readonly string[]): Promise<string> {
    const child = this.#place.start(file, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const [output] = await Promise.all([text(child.stdout!), ending(child)])
    return output
  }

  /** One of the numbers at `/metrics`, added up over meshes. @param address - as after `--metrics` */
  async metric(name: string, address: string): Promise<number> {
    const page = await this.read(`http://${address}/metrics`)
    const values = page
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    return values.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
  }

  /** The code for one mesh. */
  async invite(): Promise<string> {
    const { code } = JSON.parse(
      await this.#output(program, ['--json', 'server', ...this.#home, 'invite']),
    ) as { code: string }
    return code
  }

  /** Ends it as Ctrl-C does. */
  async down(): Promise<void> {
    this.#child?.kill('SIGTERM')
    await this.#ended
    const { exitCode, signalCode } = this.#child!
    this.#child = undefined
    if (exitCode !== 0) throw new Error(`haven server ended with ${exitCode ?? signalCode}`)
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await this.#ended
    this.#child = undefined
  }
}

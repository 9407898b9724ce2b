/** A real `haven server` process of one test, on a network or on loopback. */
import type { ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { eachLine, ending } from './camp.ts'
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
  readonly #place: CampDevice
  #child: ChildProcess | undefined
  #ended: Promise<unknown> = Promise.resolve()

  /** @param place - whose data directory and host it takes; it is no device of a mesh */
  constructor(place: CampDevice) {
    this.#place = place
  }

  get dataDir(): string {
    return this.#place.dataDir
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error('the server is not up')
    return this.#child.pid
  }

  async up(...args: string[]): Promise<Ready> {
    const child = this.#place.start(
      program,
      ['--data', this.dataDir, '--json', 'server', ...args],
      { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] },
    )
    this.#child = child
    this.logs = []
    let ready: Ready | undefined
    const said: string[] = []
    this.#ended = Promise.all([
      ending(child),
      eachLine(child.stdout!, (line) => (ready = JSON.parse(line) as Ready)),
      eachLine(child.stderr!, (line) => {
        said.push(line)
        if (line.startsWith('{')) this.logs.push(JSON.parse(line) as LogLine)
      }),
    ])
    await until('the server is ready', () => ready !== undefined || child.exitCode !== null)
    if (ready === undefined) throw new Error(`haven server ended: ${said.join('\n')}`)
    return ready
  }

  /** The code for one mesh. */
  async invite(): Promise<string> {
    const { code } = await this.#place.run<{ code: string }>('server', 'invite')
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

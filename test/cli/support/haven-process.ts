import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'

import { temporaryDirectory } from './run-cli.ts'

const command = join(import.meta.dirname, '..', '..', '..', 'bin', 'haven.mjs')
const deadlineMs = 20_000

export interface Ended {
  exitCode: number | null
  stdout: string
  stderr: string
  /** Standard output as JSON: what `--json` prints. */
  document: unknown
}

/** Data directories of one test, and real `haven` processes on them; all is gone when the test has finished. */
export class Place {
  readonly directory = temporaryDirectory()
  readonly #env = {
    ...process.env,
    XDG_STATE_HOME: join(this.directory, 'state'),
    XDG_RUNTIME_DIR: join(this.directory, 'run'),
    HAVEN_DATA: undefined,
  }

  constructor() {
    mkdirSync(this.path('run'), { mode: 0o700 })
  }

  path(name: string): string {
    return join(this.directory, name)
  }

  /** Runs a command to its end. `device` is the name of a data directory. */
  async run(device: string, ...args: string[]): Promise<Ended> {
    return this.start(device, ...args).ended
  }

  /** The document of a command that has to succeed. */
  async json<T = unknown>(device: string, ...args: string[]): Promise<T> {
    const { exitCode, stderr, document } = await this.run(device, ...args, '--json')
    expect({ args, exitCode, stderr }).toMatchObject({ exitCode: 0 })
    return document as T
  }

  /** The code and exit code of a command that has to fail. */
  async failure(device: string, ...args: string[]): Promise<[string | undefined, number | null]> {
    const { exitCode, stderr, document } = await this.run(device, ...args, '--json')
    expect(stderr).toMatch(/^haven: \S.*\n$/)
    return [(document as { error?: { code: string } }).error?.code, exitCode]
  }

  start(device: string, ...args: string[]): Process {
    return new Process(
      spawn(process.execPath, [command, '--data', this.path(device), ...args], {
        env: this.#env,
        stdio: ['ignore', 'pipe', 'pipe'],
      }),
    )
  }

  /** `haven up`, ready. */
  async up(device: string, ...args: string[]): Promise<{ process: Process; address: string }> {
    const started = this.start(
      device,
      'up',
      '--json',
      '--no-mdns',
      ...(args.includes('--listen') ? [] : ['--listen', '/ip4/127.0.0.1/tcp/0']),
      ...args,
    )
    const { addresses } = await started.event<{ addresses: string[] }>(
      (event) => event.event === 'ready',
    )
    return { process: started, address: addresses[0]! }
  }
}

type Event = Record<string, unknown>

export class Process {
  readonly ended: Promise<Ended>
  readonly #child: ChildProcess
  #stdout = ''
  #stderr = ''
  readonly #looks = new Set<() => void>()

  constructor(child: ChildProcess) {
    this.#child = child
    child.stdout!.on('data', (chunk) => {
      this.#stdout += String(chunk)
      for (const look of this.#looks) look()
    })
    child.stderr!.on('data', (chunk) => (this.#stderr += String(chunk)))
    this.ended = new Promise((resolve) => {
      child.on('close', (exitCode) => {
        for (const look of this.#looks) look()
        resolve({
          exitCode,
          stdout: this.#stdout,
          stderr: this.#stderr,
          document: parsed(this.#stdout),
        })
      })
    })
    onTestFinished(async () => {
      child.kill('SIGKILL')
      await this.ended
    })
  }

  /** Ends it as Ctrl-C does. */
  async stop(signal: NodeJS.Signals = 'SIGINT'): Promise<Ended> {
    this.#child.kill(signal)
    return this.ended
  }

  /** The first line of JSON that satisfies, in what it has said or will say. */
  async event<T>(satisfies: (event: Event) => boolean): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const fail = (why: string) => reject(new Error(`${why}: ${this.#stdout}${this.#stderr}`))
      const timer = setTimeout(() => finish(() => fail('it did not happen')), deadlineMs)
      const finish = (act: () => void) => {
        clearTimeout(timer)
        this.#looks.delete(look)
        act()
      }
      const look = () => {
        const lines = this.#stdout.split('\n').slice(0, -1)
        const found = lines.map((line) => JSON.parse(line) as Event).find(satisfies)
        if (found !== undefined) finish(() => resolve(found as T))
        else if (this.#child.exitCode !== null) finish(() => fail('it ended'))
      }
      this.#looks.add(look)
      look()
    })
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

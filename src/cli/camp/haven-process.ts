import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process'
import { extname, join } from 'node:path'

import { errorCodes, HavenError } from '../../core/errors.ts'
import { readLines } from '../../daemon/lines.ts'
import type { DeviceEvent } from '../../device/api.ts'

type Environment = Record<string, string | undefined>

/** The sources of the command beside ours, or what was compiled of them. */
const mainFile = join(import.meta.dirname, '..', `main${extname(import.meta.filename)}`)
const lineBytes = 16 * 1024 * 1024
/** A child that has not ended by then is killed. */
const stopMs = 8_000
const stderrLength = 4_000

/**
 * Runs one command to its end.
 *
 * @returns its document
 * @throws HavenError what the command failed with
 */
export async function runHaven(
  args: readonly string[],
  { env, signal }: { env: Environment; signal: AbortSignal },
): Promise<unknown> {
  const child = start(args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const kill = () => child.kill('SIGKILL')
  signal.addEventListener('abort', kill)
  const [stdout, stderr, exitCode] = await Promise.all([
    textOf(child.stdout!),
    textOf(child.stderr!),
    exitOf(child),
  ])
  signal.removeEventListener('abort', kill)
  signal.throwIfAborted()
  if (exitCode === 0) return JSON.parse(stdout)
  throw (
    failureOf(stdout) ??
    new HavenError('INTERNAL', stderr.trim() || `haven ${args.join(' ')} ended with ${exitCode}.`)
  )
}

/** A running `haven up`. */
export interface UpProcess {
  /** The addresses that others can dial. Rejects when the process ends before it is ready. */
  readonly ready: Promise<string[]>
  /** Resolves when the process has ended. */
  readonly ended: Promise<void>
  /** Ends it cleanly, or by force after a while. */
  stop(): Promise<void>
  kill(): void
}

export function startUp(
  args: readonly string[],
  { env, onEvent }: { env: Environment; onEvent: (event: DeviceEvent) => void },
): UpProcess {
  // With a channel, so that it ends when this process is killed; in a group of its own, so that Ctrl-C is left to this process.
  const child = start(['up', ...args], {
    env,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    detached: true,
  })
  const ready = Promise.withResolvers<string[]>()
  // Whoever does not wait for it need not catch it either.
  ready.promise.catch(() => {})
  let stderr = ''
  child.stderr!.on('data', (chunk) => {
    stderr = (stderr + String(chunk)).slice(-stderrLength)
  })
  const events = readEvents(child, (event) => {
    if (event.event === 'ready') ready.resolve(event.addresses)
    onEvent(event)
  })
  const end = async () => {
    const [exitCode] = await Promise.all([exitOf(child), events])
    ready.reject(new HavenError('STOPPED', stderr.trim() || `haven up ended with ${exitCode}.`))
  }
  const ended = end()
  return {
    ready: ready.promise,
    ended,
    async stop() {
      child.kill('SIGTERM')
      const patience = setTimeout(() => child.kill('SIGKILL'), stopMs)
      await ended
      clearTimeout(patience)
    },
    kill: () => void child.kill('SIGKILL'),
  }
}

function start(
  args: readonly string[],
  options: { env: Environment; stdio: StdioOptions; detached?: boolean },
): ChildProcess {
  return spawn(process.execPath, [mainFile, ...args, '--json'], options)
}

async function readEvents(
  child: ChildProcess,
  onEvent: (event: DeviceEvent) => void,
): Promise<void> {
  for await (const line of readLines(child.stdout!, lineBytes))
    onEvent(JSON.parse(line) as DeviceEvent)
}

async function textOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(chunk)
  return Buffer.concat(parts).toString('utf8')
}

function exitOf(child: ChildProcess): Promise<number | string> {
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code, signal) => resolve(code ?? signal ?? 'no code'))
  })
}

function failureOf(stdout: string): HavenError | undefined {
  const last = stdout.trim().split('\n').at(-1)!
  try {
    const { error } = JSON.parse(last) as { error: { code: string; message: string } }
    return new HavenError(
      errorCodes.find((code) => code === error.code) ?? 'INTERNAL',
      error.message,
    )
  } catch {
    // It ended without a document: its standard error has the reason.
    return undefined
  }
}

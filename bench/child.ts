import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'

/** What a child process can be asked, by name. Arguments and results travel by structured clone. */
export type Commands = Record<string, (argument: never) => Promise<unknown>>

type Request = { id: number; command: string; argument: unknown }
type Response = { id: number; value?: unknown; error?: string }

/** Milliseconds on a clock that never jumps and that all processes of this machine share. */
export const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6

/** A process of ours that answers commands, and that ends with this one. */
export class Child<C extends Commands> implements AsyncDisposable {
  readonly #process: ChildProcess
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>()
  #nextId = 1

  /** @param script - a file of this folder that calls {@link answer} */
  constructor(script: string) {
    const child = fork(new URL(script, import.meta.url), { serialization: 'advanced' })
    this.#process = child
    running.add(child)
    child.on('message', (response: Response) => {
      const waiting = this.#waiting.get(response.id)
      this.#waiting.delete(response.id)
      if (response.error === undefined) waiting?.resolve(response.value)
      else waiting?.reject(new Error(response.error))
    })
    child.on('exit', (code, signal) => {
      running.delete(child)
      const error = new Error(`${script} ended (${signal ?? code}) while it was asked something.`)
      for (const waiting of this.#waiting.values()) waiting.reject(error)
    })
  }

  /** @throws Error when the child does not answer in time, fails, or ends */
  async ask<Name extends keyof C & string>(
    command: Name,
    ...[argument]: Parameters<C[Name]>
  ): Promise<Awaited<ReturnType<C[Name]>>> {
    if (this.#ended) throw new Error(`The process that is asked for "${command}" has ended.`)
    const id = this.#nextId++
    const request: Request = { id, command, argument }
    const waiting = Promise.withResolvers<unknown>()
    this.#waiting.set(id, waiting)
    this.#process.send(request)
    const timer = setTimeout(
      () => waiting.reject(new Error(`No answer to "${command}" within ${answerMs / 1000} s.`)),
      answerMs,
    )
    try {
      return (await waiting.promise) as Awaited<ReturnType<C[Name]>>
    } finally {
      clearTimeout(timer)
    }
  }

  /** As a power cut would end it, as far as the process itself is concerned. */
  async kill(): Promise<void> {
    if (this.#ended) return
    const exited = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await exited
  }

  /** Closes the channel, upon which the child ends; kills it when it does not. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended) return
    const exited = once(this.#process, 'exit')
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), 2_000)
    if (this.#process.connected) this.#process.disconnect()
    await exited
    clearTimeout(timer)
  }

  get #ended(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null
  }
}

/** For the child's script: answers commands until the parent closes the channel, then ends the process. */
export function answer(commands: Commands): void {
  const respond = async ({ id, command, argument }: Request): Promise<void> => {
    let response: Response
    try {
      response = { id, value: await commands[command]?.(argument as never) }
    } catch (error) {
      response = {
        id,
        error: `${command}: ${error instanceof Error ? error.stack : String(error)}`,
      }
    }
    process.send?.(response)
  }
  process.on('message', (request: Request) => void respond(request))
  process.on('disconnect', () => process.exit())
}

/** Longer than any single step, so that only what hangs is given up. */
const answerMs = 10 * 60_000

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => process.exit(1))
}

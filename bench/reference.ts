import { open, readFile } from 'node:fs/promises'
import { ByteCountingProxy } from './byte-counting-proxy.ts'
import { Child, monotonicMs } from './child.ts'
import { nothingMoreMs, reconnectDelayMs, type Reconnect } from './pair.ts'
import type { RecordsFile } from './records-file.ts'
import type { ReferenceCommands } from './reference-process.ts'

/** Two libp2p hosts in processes of their own, with one stream between them. */
export class Reference implements AsyncDisposable {
  readonly #proxy: ByteCountingProxy
  readonly #sender = new Child<ReferenceCommands>('reference-process.ts')
  readonly #receiver: Child<ReferenceCommands>
  readonly #receiverAddress: string
  /** From starting a process until its host listens. */
  readonly startMs: number

  private constructor(
    proxy: ByteCountingProxy,
    receiver: { child: Child<ReferenceCommands>; address: string; startMs: number },
  ) {
    this.#proxy = proxy
    this.#receiver = receiver.child
    this.#receiverAddress = receiver.address
    this.startMs = receiver.startMs
  }

  static async start(): Promise<Reference> {
    const beginMs = monotonicMs()
    const child = new Child<ReferenceCommands>('reference-process.ts')
    const address = await child.ask('address')
    const startMs = monotonicMs() - beginMs
    const proxy = await ByteCountingProxy.start()
    proxy.leadTo(address)
    return new Reference(proxy, { child, address, startMs })
  }

  /** Of a host that does nothing, before it is connected to anybody. */
  async residentBytes(): Promise<number> {
    return this.#receiver.ask('memory')
  }

  /**
   * Milliseconds for a copy of the file over an open stream. Not through the proxy, which would slow down the reference, with its
   * five times as many bytes, more than us.
   */
  async copy(file: RecordsFile): Promise<number> {
    await this.#sender.ask('connect', this.#receiverAddress)
    const { lines, ms } = await this.#sender.ask('copy', file.path)
    if (lines !== file.records.length) throw new Error(`Only ${lines} lines were copied.`)
    return ms
  }

  /** A new connection, a stream, and one byte there and an answer back. */
  async reconnect(): Promise<Reconnect> {
    await this.#proxy.cut()
    this.#proxy.delayMs = reconnectDelayMs
    await this.#proxy.heal()
    this.#proxy.reset()
    await this.#sender.ask('connect', this.#proxy.address)
    await this.#proxy.quiet(nothingMoreMs)
    const { traffic, crossings } = this.#proxy
    this.#proxy.delayMs = 0
    return { traffic, crossings }
  }

  /** Milliseconds of so many small frames and their answers, one after another, on an open stream through the proxy. */
  async echoes(count: number): Promise<number[]> {
    await this.#sender.ask('connect', this.#proxy.address)
    return this.#sender.ask('echo', { count, bytes: 300 })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sender[Symbol.asyncDispose]()
    await this.#receiver[Symbol.asyncDispose]()
    await this.#proxy[Symbol.asyncDispose]()
  }
}

/** What an import can't do without: reads the file, parses each line, and writes it elsewhere, fsynced. */
export async function parseAndCopy(file: RecordsFile): Promise<number> {
  const startMs = monotonicMs()
  const bytes = await readFile(file.path)
  for (const line of bytes.toString().trimEnd().split('\n')) JSON.parse(line)
  await using copy = await open(`${file.path}.copy`, 'w')
  await copy.write(bytes)
  await copy.sync()
  return monotonicMs() - startMs
}

import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { monotonicMs } from './child.ts'

/** Payload bytes of TCP, as the two ends put them on the wire. */
export interface Traffic {
  fromDialler: number
  fromListener: number
}

/**
 * A TCP proxy on 127.0.0.1 that stands between two processes and counts what they say to each other. Everything is in
 * its numbers that a radio would have to carry: libp2p's negotiation, Noise, yamux, and the protocol on top.
 *
 * It can also cut the link for a while, and delay each byte, to make round trips visible.
 */
/** A yamux header of 12 bytes, in Noise. */
const emptyFrameBytes = 12 + 18

export class ByteCountingProxy implements AsyncDisposable {
  /** Held back this long in each direction; takes effect on bytes that arrive from now on. */
  delayMs = 0
  readonly port: number
  #targetPort = 0
  #server: Server
  readonly #sockets = new Set<Socket>()
  #arrivals: { atMs: number; from: keyof Traffic; bytes: number }[] = []

  readonly #localAddress: string | undefined

  private constructor(server: Server, localAddress: string | undefined) {
    this.#server = server
    this.#localAddress = localAddress
    this.port = (server.address() as AddressInfo).port
    server.on('connection', (socket) => this.#carry(socket))
  }

  /** @param localAddress - one of this machine: where its own connections seem to come from */
  static async start(localAddress?: string): Promise<ByteCountingProxy> {
    return new ByteCountingProxy(await listenOn(0), localAddress)
  }

  get address(): string {
    return `/ip4/127.0.0.1/tcp/${this.port}`
  }

  /** Where new connections lead: a multiaddr with a TCP port, or a URL with one. */
  leadTo(address: string): void {
    const port = /(?:\/tcp\/|^http:.*:)(\d+)/.exec(address)?.[1]
    if (port === undefined) throw new TypeError(`no TCP port in ${address}`)
    this.#targetPort = Number(port)
  }

  /** Forgets what was counted so far. */
  reset(): void {
    this.#arrivals = []
  }

  get traffic(): Traffic {
    const traffic = { fromDialler: 0, fromListener: 0 }
    for (const { from, bytes } of this.#arrivals) traffic[from] += bytes
    return traffic
  }

  /** When the first byte since the last {@link reset} arrived here, by {@link monotonicMs}. */
  get firstByteMs(): number {
    const first = this.#arrivals[0]
    if (first === undefined) throw new Error('Nothing came through the proxy.')
    return first.atMs
  }

  /**
   * Times that the first exchange since the last {@link reset} crossed the link, in either direction. Needs a `delayMs` that is
   * long against the work of both ends: each crossing then shows as one delay. What comes later than three delays after the
   * byte before is not part of the exchange, and neither is a frame of yamux without data at its end: it asks for nothing.
   */
  get crossings(): number {
    let before = this.firstByteMs
    let waits = 0
    let crossings = 1
    for (const { atMs, bytes } of this.#arrivals) {
      if (atMs - before > 3 * this.delayMs) break
      // What comes so late has waited for something that had to cross the link first.
      if (atMs - before > this.delayMs / 2) waits++
      before = atMs
      if (bytes > emptyFrameBytes) crossings = 1 + waits
    }
    return crossings
  }

  /** Resolves when bytes have come through, and then none for this long. */
  async quiet(quietMs: number): Promise<void> {
    for (;;) {
      const waitMs = quietMs - (monotonicMs() - (this.#arrivals.at(-1)?.atMs ?? Infinity))
      if (waitMs <= 0) return
      await sleep(Math.min(waitMs, quietMs))
    }
  }

  /** Cuts all connections and refuses new ones until {@link heal}. */
  async cut(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  async heal(): Promise<void> {
    this.#server = await listenOn(this.port)
    this.#server.on('connection', (socket) => this.#carry(socket))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server.listening) await this.cut()
  }

  #carry(dialler: Socket): void {
    const listener = connect({
      host: '127.0.0.1',
      port: this.#targetPort,
      localAddress: this.#localAddress,
      allowHalfOpen: true,
    })
    this.#forward(dialler, listener, 'fromDialler')
    this.#forward(listener, dialler, 'fromListener')
  }

  #forward(source: Socket, sink: Socket, from: keyof Traffic): void {
    this.#sockets.add(source)
    source.setNoDelay(true)
    source.on('data', (chunk: Buffer) => {
      this.#arrivals.push({ atMs: monotonicMs(), from, bytes: chunk.byteLength })
      this.#later(() => {
        if (sink.destroyed || sink.write(chunk)) return
        source.pause()
        sink.once('drain', () => source.resume())
      })
    })
    source.on('end', () => this.#later(() => sink.end()))
    source.on('error', () => sink.destroy())
    source.on('close', () => {
      this.#sockets.delete(source)
      this.#later(() => sink.destroy())
    })
  }

  /** Timers of one length fire in the order in which they were set. */
  #later(run: () => void): void {
    if (this.delayMs === 0) run()
    else setTimeout(run, this.delayMs)
  }
}

async function listenOn(port: number): Promise<Server> {
  const server = createServer({ allowHalfOpen: true })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return server
}

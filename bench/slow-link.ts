import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { monotonicMs } from './child.ts'

/** 64 kbit/s in each direction. */
const bytesPerMs = 8
export const roundTripMs = 600
/** Of IPv4 and TCP, with its time stamps. */
const headerBytes = 20 + 20 + 12
/** What is left of a packet of 1,500 bytes. */
const segmentBytes = 1_500 - headerBytes
/** The first packets of a connection also say which options they understand. */
const handshakeBytes = headerBytes + 8
const segmentsPerAcknowledgement = 2

/**
 * A TCP proxy on 127.0.0.1 that is as slow as a satellite link: each direction carries 64 kbit/s, one segment after the other, and each segment is
 * 300 ms on its way. What TCP adds takes its time too: the headers of each segment, an acknowledgement in the other direction for every
 * two, and a round trip before the first byte. Nothing is lost.
 *
 * While it is not slow it carries everything at once and counts nothing.
 */
export class SlowLink implements AsyncDisposable {
  /** Takes effect on connections that begin from now on. */
  isSlow = false
  readonly port: number
  /** Bytes on the link, both directions, with the headers of all packets, of slow connections. */
  wireBytes = 0
  /** When the last slow connection began, by {@link monotonicMs}. */
  cameUpMs = 0
  #lastMs = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #targetPort = 0

  private constructor(server: Server) {
    this.#server = server
    this.port = (server.address() as AddressInfo).port
    server.on('connection', (dialler) => this.#carry(dialler))
  }

  static async start(): Promise<SlowLink> {
    const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new SlowLink(server)
  }

  /** Where new connections lead. */
  leadTo(address: string): void {
    this.#targetPort = Number(new URL(address).port)
  }

  /** Resolves when nothing has been carried for this long. */
  async quiet(quietMs: number): Promise<void> {
    for (;;) {
      const waitMs = this.#lastMs + quietMs - monotonicMs()
      if (waitMs <= 0) return
      await sleep(waitMs)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await Promise.resolve()
  }

  #carry(dialler: Socket): void {
    const listener = connect({ host: '127.0.0.1', port: this.#targetPort, allowHalfOpen: true })
    for (const socket of [dialler, listener]) {
      this.#sockets.add(socket.setNoDelay(true))
      socket.on('error', () => socket.destroy())
      socket.on('close', () => {
        this.#sockets.delete(socket)
        dialler.destroy()
        listener.destroy()
      })
    }
    if (!this.isSlow) {
      dialler.pipe(listener)
      listener.pipe(dialler)
      return
    }
    this.cameUpMs = monotonicMs()
    const up = new Direction()
    const down = new Direction()
    // SYN, its answer, and the acknowledgement that leaves with the first byte.
    const readyMs = down.take(handshakeBytes, up.take(handshakeBytes, this.cameUpMs))
    this.wireBytes += 2 * handshakeBytes
    void this.#forward({ source: dialler, sink: listener, there: up, back: down }, readyMs)
    void this.#forward({ source: listener, sink: dialler, there: down, back: up }, 0)
  }

  async #forward(
    {
      source,
      sink,
      there,
      back,
    }: Record<'source' | 'sink', Socket> & Record<'there' | 'back', Direction>,
    notBeforeMs: number,
  ): Promise<void> {
    let unacknowledged = 0
    try {
      for await (const chunk of source as AsyncIterable<Buffer>) {
        for (let at = 0; at < chunk.length; at += segmentBytes) {
          const segment = chunk.subarray(at, at + segmentBytes)
          const bytes = headerBytes + segment.length
          const arrivesMs = there.take(bytes, Math.max(notBeforeMs, monotonicMs()))
          this.wireBytes += bytes
          setTimeout(() => sink.write(segment), arrivesMs - monotonicMs())
          if (++unacknowledged === segmentsPerAcknowledgement) {
            back.take(headerBytes, monotonicMs())
            this.wireBytes += headerBytes
            unacknowledged = 0
          }
          // What has not left waits where it comes from.
          await sleep(Math.max(0, there.freeAtMs - monotonicMs()))
        }
        this.#lastMs = monotonicMs()
      }
    } catch {
      // Its end is carried below.
    }
    setTimeout(() => sink.destroy(), roundTripMs / 2)
  }
}

class Direction {
  freeAtMs = 0

  /** @returns when it has arrived */
  take(bytes: number, nowMs: number): number {
    this.freeAtMs = Math.max(this.freeAtMs, nowMs) + bytes / bytesPerMs
    return this.freeAtMs + roundTripMs / 2
  }
}

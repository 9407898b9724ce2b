/** The WebSocket side of a server: who proves to be a device of a mesh that is served gets a link to it. */
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import type { WebSocket } from 'ws'
import { limits } from '../core/limits.ts'
import { channelSocketOptions, startChannelLink } from '../bridge/channel-link.ts'
import { channelPath } from '../bridge/server-url.ts'
import type { ChannelGate, Claim } from '../bridge/inner-channel.ts'
import type { Link, LinkHandler } from '../sync/link.ts'
import { admitSocket } from './admit-socket.ts'
import type { FloodGuard } from './flood-guard.ts'
import type { ServerLog } from './served-mesh.ts'

export interface ChannelListenerOptions {
  readonly http: Server
  readonly gate: ChannelGate
  readonly guard: FloodGuard
  readonly nowMs: () => number
  /** Why a device may not come in, as an error code; empty: it may. */
  readonly decide: (claim: Claim) => Promise<string>
  readonly accept: (link: Link, claim: Claim) => LinkHandler
  readonly log: ServerLog
}

export class ChannelListener {
  readonly #options: ChannelListenerOptions
  readonly #sockets = new WebSocketServer({ noServer: true, ...channelSocketOptions })
  #strangers = 0
  /** By error code. */
  readonly refusals = new Map<string, number>()

  constructor(options: ChannelListenerOptions) {
    this.#options = options
    options.http.on('upgrade', this.#upgrade)
  }

  /** Links are ended by who owns them; whoever is still on the way is cut off. */
  close(): void {
    this.#options.http.off('upgrade', this.#upgrade)
    for (const socket of this.#sockets.clients) socket.terminate()
    this.#sockets.close()
  }

  readonly #upgrade = (request: IncomingMessage, stream: Duplex, head: Buffer): void => {
    stream.on('error', () => stream.destroy())
    if (request.url !== channelPath) {
      stream.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n')
      return
    }
    const refusal = this.#refusalOf(request)
    if (refusal !== undefined) {
      this.#refused('LIMIT_EXCEEDED')
      stream.end(`HTTP/1.1 ${refusal}\r\nConnection: close\r\n\r\n`)
      return
    }
    this.#sockets.handleUpgrade(request, stream, head, (socket) => this.#connected(socket, request))
  }

  #refusalOf({ socket }: IncomingMessage): string | undefined {
    if (!this.#options.guard.hostComes(socket.remoteAddress ?? '')) return '429 Too Many Requests'
    const isFull =
      this.#strangers >= limits.serverStrangers ||
      this.#sockets.clients.size >= limits.serverConnections
    return isFull ? '503 Service Unavailable' : undefined
  }

  #refused(code: string): void {
    this.refusals.set(code, (this.refusals.get(code) ?? 0) + 1)
  }

  /** Open ones, those of strangers included. */
  get connections(): number {
    return this.#sockets.clients.size
  }

  #connected(socket: WebSocket, request: IncomingMessage): void {
    const { gate, nowMs, decide, accept, log } = this.#options
    const address = request.socket.remoteAddress ?? ''
    this.#strangers += 1
    admitSocket(socket, {
      gate,
      nowMs,
      decide: (claim) =>
        this.#options.guard.mayCome(claim.device)
          ? decide(claim)
          : Promise.resolve('LIMIT_EXCEEDED'),
      refused: (code) => {
        this.#strangers -= 1
        this.#refused(code)
        log({ level: 'info', code, message: 'A device was turned away.', address })
      },
      admitted: ({ claim, connection }) => {
        startChannelLink({
          socket,
          connection,
          side: 'listener',
          remoteAddress: address,
          // A registration brings certificates and keys in its first frame.
          firstFrameBytes: claim.purpose === 'sync' ? limits.helloBytes : limits.frameBytes,
          accept: (link) => this.#untilHeard(accept(link, claim), claim),
        })
      },
    })
  }

  /**
   * Who has come in may have said recorded words, and has no keys then: it stays a stranger, and the device is not charged with it, until the
   * first frame.
   */
  #untilHeard(handler: LinkHandler, { device }: Claim): LinkHandler {
    let isStranger = true
    const noStranger = (): void => {
      if (isStranger) this.#strangers -= 1
      isStranger = false
    }
    return {
      received: (frame) => {
        if (isStranger) this.#options.guard.deviceCame(device)
        noStranger()
        handler.received(frame)
      },
      writable: () => handler.writable(),
      closed: (reason) => {
        noStranger()
        handler.closed(reason)
      },
    }
  }
}

/** The WebSocket side of a server: who proves to be a device of a mesh that is served gets a link to it. */
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import type { WebSocket } from 'ws'
import { limits } from '../core/limits.ts'
import { channelSocketOptions, startChannelLink } from '../bridge/channel-link.ts'
import { channelPath } from '../bridge/dial-server.ts'
import type { ChannelGate, Claim } from '../bridge/inner-channel.ts'
import type { Link, LinkHandler } from '../sync/link.ts'
import { admitSocket } from './admit-socket.ts'
import type { ServerLog } from './served-mesh.ts'

/** Strangers, and those who are about to prove who they are, at a time. */
const pendingMax = 256

export interface ChannelListenerOptions {
  readonly http: Server
  readonly gate: ChannelGate
  readonly nowMs: () => number
  /** Why a device may not come in, as an error code; empty: it may. */
  readonly decide: (claim: Claim) => string
  readonly accept: (link: Link, claim: Claim) => LinkHandler
  readonly log: ServerLog
}

export class ChannelListener {
  readonly #options: ChannelListenerOptions
  readonly #sockets = new WebSocketServer({ noServer: true, ...channelSocketOptions })
  #pending = 0

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
    if (request.url !== channelPath || this.#pending >= pendingMax) {
      stream.end(
        `HTTP/1.1 ${request.url === channelPath ? 503 : 404} \r\nConnection: close\r\n\r\n`,
      )
      return
    }
    this.#sockets.handleUpgrade(request, stream, head, (socket) => this.#connected(socket, request))
  }

  #connected(socket: WebSocket, request: IncomingMessage): void {
    const { gate, nowMs, decide, accept, log } = this.#options
    const address = request.socket.remoteAddress ?? ''
    this.#pending += 1
    admitSocket(socket, {
      gate,
      nowMs,
      decide,
      refused: (code) => {
        this.#pending -= 1
        log({ level: 'info', code, message: 'A device was turned away.', address })
      },
      admitted: ({ claim, connection }) => {
        this.#pending -= 1
        startChannelLink({
          socket,
          connection,
          side: 'listener',
          remoteAddress: address,
          // A registration brings certificates and keys in its first frame.
          firstFrameBytes: claim.purpose === 'sync' ? limits.helloBytes : limits.frameBytes,
          accept: (link) => accept(link, claim),
        })
      },
    })
  }
}

/**
 * Counts the bytes that uplinks carry, both ways: what goes through the sockets (TLS, HTTP and WebSocket with all that they add), exactly,
 * and what TCP and IP add, by a rule: {@link packetBytes} for each {@link segmentBytes} begun in a second, and {@link connectionBytes}
 * for each connection.
 */
import { Agent } from 'node:http'
import type { AgentOptions, ClientRequestArgs } from 'node:http'
import { Agent as SecureAgent } from 'node:https'
import { connect, isIP } from 'node:net'
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { ConnectionOptions } from 'node:tls'

/** A segment of a network that wraps packets once more. */
const segmentBytes = 1_200
/** Its header over IPv6, and half an acknowledgement. */
const packetBytes = 90
/** To begin and to end it. */
const connectionBytes = 500

export interface Carried {
  readonly inBytes: number
  readonly outBytes: number
  /** Those that came about. */
  readonly connections: number
}

export class LinkMeter {
  readonly #sockets = new Map<Socket, { inBytes: number; outBytes: number }>()
  #newConnections = 0

  /** Of a connection that is being made. */
  watch(socket: Socket): void {
    this.#sockets.set(socket, { inBytes: 0, outBytes: 0 })
    socket.once('connect', () => {
      this.#newConnections += 1
    })
  }

  /** For requests and WebSockets: what they carry is counted, below TLS too. */
  agent(secure: boolean, options: AgentOptions = {}): Agent {
    const agent = secure ? new SecureAgent(options) : new Agent(options)
    agent.createConnection = (to: ClientRequestArgs & ConnectionOptions): Socket => {
      const host = to.host ?? 'localhost'
      const socket = connect({ host, port: Number(to.port) })
      this.watch(socket)
      if (!secure) return socket
      const servername = to.servername ?? (isIP(host) === 0 ? host : '')
      return connectTls({ ...to, host, port: undefined, path: undefined, servername, socket })
    }
    return agent
  }

  /** What has gone through sockets since it was asked last. */
  get uncountedBytes(): number {
    let bytes = 0
    for (const [socket, counted] of this.#sockets)
      bytes += socket.bytesRead + socket.bytesWritten - counted.inBytes - counted.outBytes
    return bytes
  }

  /** What has been carried since it was asked last; to be asked once in a second. */
  take(): Carried {
    let inBytes = 0
    const connections = this.#newConnections
    let outBytes = connections * connectionBytes
    this.#newConnections = 0
    for (const [socket, counted] of this.#sockets) {
      const { bytesRead, bytesWritten } = socket
      inBytes += withPackets(bytesRead - counted.inBytes)
      outBytes += withPackets(bytesWritten - counted.outBytes)
      counted.inBytes = bytesRead
      counted.outBytes = bytesWritten
      if (socket.destroyed) this.#sockets.delete(socket)
    }
    return { inBytes, outBytes, connections }
  }
}

function withPackets(bytes: number): number {
  return bytes + Math.ceil(bytes / segmentBytes) * packetBytes
}

/**
 * Connections on which nobody has asked for anything yet: of one host only so many at a time, and none for long, so that nobody takes all of the
 * process's file descriptors by saying nothing.
 */
import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import { limits } from '../core/limits.ts'

/** What an HTTP server is to be made with, so that what is late is ended. */
export const promptness = {
  /** Until a whole request is there, in milliseconds; also for TLS, where it comes before that. */
  requestTimeout: limits.helloMs,
  headersTimeout: limits.helloMs,
  handshakeTimeout: limits.helloMs,
  connectionsCheckingInterval: 1_000,
} as const

/** From now on; with TLS, connections whose handshake is not done count too. */
export function limitSilentConnections(server: Server): void {
  const byHost = new Map<string, Set<string>>()
  const speaks = ({ remoteAddress = '', remotePort }: Socket): void => {
    const silent = byHost.get(remoteAddress)
    silent?.delete(String(remotePort))
    if (silent?.size === 0) byHost.delete(remoteAddress)
  }
  const asked = ({ socket }: IncomingMessage): void => speaks(socket)
  server.maxConnections = 2 * limits.serverConnections
  server.on('connection', (socket: Socket) => {
    const { remoteAddress = '', remotePort } = socket
    const silent = byHost.get(remoteAddress) ?? new Set()
    if (silent.size >= limits.serverStrangers) {
      socket.destroy()
      return
    }
    byHost.set(remoteAddress, silent.add(String(remotePort)))
    socket.once('close', () => {
      silent.delete(String(remotePort))
      if (silent.size === 0 && byHost.get(remoteAddress) === silent) byHost.delete(remoteAddress)
    })
  })
  server.prependListener('request', asked)
  server.prependListener('upgrade', asked)
}

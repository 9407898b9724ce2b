/** A device's way to a server: a WebSocket to its address, and the handshake of the inner channel in it. */
import { WebSocket } from 'ws'
import type { Random } from '../core/environment.ts'
import { HavenError, isErrorCode, isHavenError } from '../core/errors.ts'
import type { DeviceKeys } from '../identity/device-key.ts'
import { channelSocketOptions } from './channel-link.ts'
import { ChannelCaller } from './inner-channel.ts'
import type { ChannelTicket, Claim, Connection, ServerKeys } from './inner-channel.ts'
import type { LinkMeter } from './link-meter.ts'
import { otherAnswer } from './other-answer.ts'
import { channelPath, serverUrl } from './server-url.ts'

/** Six round trips over a satellite that is slow and busy. */
const dialMs = 20_000

export interface DialOptions {
  /** `http(s)://host[:port][/path]` */
  readonly address: string
  readonly server: ServerKeys
  readonly keys: DeviceKeys
  readonly mesh: string
  readonly purpose: Claim['purpose']
  /** From an earlier connection. */
  readonly ticket?: ChannelTicket | undefined
  readonly random: Random
  readonly signal?: AbortSignal | undefined
  /** Counts what is carried. */
  readonly meter?: LinkMeter | undefined
  /** Somebody is at the address: whether it is the server, and lets WebSockets through, is another question. */
  readonly reached?: (() => void) | undefined
}

export interface DialledServer {
  readonly socket: WebSocket
  readonly connection: Connection
  readonly ticket: ChannelTicket | undefined
}

/**
 * Whoever does not prove to be the server (a sign-in page, a proxy, another machine) is as good as nobody.
 *
 * @throws HavenError `CAPTIVE_PORTAL`, `SERVER_NOT_FOUND`, `ADDRESS_INVALID`, `VERSION_MISMATCH`, or what the server answered
 */
export async function dialServer(options: DialOptions): Promise<DialledServer> {
  const signal = AbortSignal.any([
    AbortSignal.timeout(dialMs),
    ...(options.signal === undefined ? [] : [options.signal]),
  ])
  const url = socketUrl(options.address)
  const { meter } = options
  const socket = new WebSocket(url, {
    ...channelSocketOptions,
    ...(meter === undefined ? {} : { agent: meter.agent(url.startsWith('wss:')) }),
    // A mask keeps a web page from choosing what a proxy sees. What goes through here is sealed: zeros spare both sides the work.
    generateMask: (mask) => mask.fill(0),
    finishRequest(request) {
      request.on('socket', (carrier) => {
        for (const event of ['connect', 'secureConnect'])
          carrier.once(event, () => options.reached?.())
      })
      request.end()
    },
    // Who the server is is proved inside. A tablet in the wrong year takes every certificate of TLS for expired.
    rejectUnauthorized: false,
  })
  const { promise, resolve, reject } = Promise.withResolvers<DialledServer>()
  const stop = () => reject(notFound(options.address, 'nobody answered in time'))
  signal.addEventListener('abort', stop)
  socket.on('error', (error) => reject(notFound(options.address, error.message, error)))
  socket.on('close', () => reject(notFound(options.address, 'it closed the connection')))
  socket.on('unexpected-response', (_request, { statusCode = 0, headers }) =>
    reject(otherAnswer(options.address, statusCode, headers)),
  )
  shakeHands(socket, options, resolve, reject)
  if (signal.aborted) stop()
  try {
    return await promise
  } catch (error) {
    socket.terminate()
    throw error
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

function shakeHands(
  socket: WebSocket,
  options: DialOptions,
  resolve: (dialled: DialledServer) => void,
  reject: (error: unknown) => void,
): void {
  const caller = new ChannelCaller(options, options.random)
  let challenge: Uint8Array | undefined
  let isResuming = options.ticket !== undefined
  const heard = (message: Uint8Array): void => {
    if (challenge === undefined) {
      challenge = message
      socket.send(
        options.ticket === undefined ? caller.answer(challenge) : caller.resume(options.ticket),
      )
      return
    }
    const acceptance = caller.accepted(message)
    if (acceptance === undefined) {
      if (!isResuming) throw new TypeError('the challenge was answered already')
      isResuming = false
      socket.send(caller.answer(challenge))
      return
    }
    socket.off('message', received)
    const { code, connection, ticket } = acceptance
    if (code === '') resolve({ socket, connection, ticket })
    else reject(refusedWith(code))
  }
  const received = (data: Buffer): void => {
    try {
      heard(data)
    } catch (error) {
      reject(isHavenError(error) ? error : notFound(options.address, 'it answered something else'))
    }
  }
  socket.on('message', received)
}

/** @throws HavenError `ADDRESS_INVALID` */
function socketUrl(address: string): string {
  return serverUrl(address, channelPath).href.replace(/^http/, 'ws')
}

/** What a server has answered instead of letting a device in. */
export function refusedWith(code: string): HavenError {
  const sentences: Record<string, string> = {
    SERVER_UNKNOWN_MESH:
      'The server does not carry this mesh. Register it again with haven bridge add.',
    DISK_FULL: 'The disk of the server is full: it takes nothing until somebody makes room there.',
    STORE_FAILED: 'The server can not store anything just now.',
    NOT_ALLOWED: 'The certificate of this device has no right to bridge. Ask an admin.',
  }
  return new HavenError(
    isErrorCode(code) ? code : 'PEER_CLOSED',
    sentences[code] ?? `The server refused (${code}).`,
  )
}

export function notFound(address: string, why: string, cause?: unknown): HavenError {
  return new HavenError('SERVER_NOT_FOUND', `No server was found at ${address}: ${why}.`, { cause })
}

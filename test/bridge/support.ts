import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'
import { WebSocketServer } from 'ws'
import type { WebSocket } from 'ws'
import { channelSocketOptions, startChannelLink } from '../../src/bridge/channel-link.ts'
import { dialServer } from '../../src/bridge/dial-server.ts'
import type { DialOptions, DialledServer } from '../../src/bridge/dial-server.ts'
import { ChannelGate } from '../../src/bridge/inner-channel.ts'
import type { Claim, ServerKeys } from '../../src/bridge/inner-channel.ts'
import { bytesToHex } from '../../src/core/bytes.ts'
import { limits } from '../../src/core/limits.ts'
import { systemRandom } from '../../src/device/system.ts'
import { DeviceKeys } from '../../src/identity/device-key.ts'
import { admitSocket } from '../../src/server/admit-socket.ts'
import type { Link } from '../../src/sync/link.ts'

/** One end of a link, and what its owner has seen. */
export interface End {
  link: Link
  frames: Uint8Array[]
  writables: number
  reasons: string[]
}

/** A server that admits whoever proves a device, over real sockets on loopback. */
export interface TestServer {
  address: string
  server: ServerKeys
  ends: End[]
  refusals: string[]
  sockets: WebSocket[]
  /** From now on challenges and tokens of before are not taken. */
  forget(): void
}

export async function testServer(
  options: {
    decide?: (claim: Claim) => string
    http?: Server
    onFrame?: (end: End, frame: Uint8Array) => void
  } = {},
): Promise<TestServer> {
  const keys = DeviceKeys.generate(systemRandom)
  const newGate = () => {
    const secrets = [systemRandom.bytes(32)]
    return new ChannelGate({ keys, secrets: () => secrets, random: systemRandom })
  }
  let gate = newGate()
  const made: Omit<TestServer, 'address'> = {
    server: { device: keys.device, agreementKey: keys.agreement.publicKey },
    ends: [],
    refusals: [],
    sockets: [],
    forget: () => (gate = newGate()),
  }
  const http = options.http ?? createServer()
  const sockets = new WebSocketServer({ server: http, ...channelSocketOptions })
  sockets.on('connection', (socket) => {
    made.sockets.push(socket)
    admitSocket(socket, {
      gate,
      nowMs: Date.now,
      decide: async (claim) => options.decide?.(claim) ?? '',
      refused: (code) => made.refusals.push(code),
      admitted: ({ connection }) => {
        const side = { side: 'listener', firstFrameBytes: limits.helloBytes } as const
        made.ends.push(endOf({ socket, connection, ...side }, options.onFrame))
      },
    })
  })
  const scheme = 'setSecureContext' in http ? 'https' : 'http'
  return { ...made, address: await listening(http, scheme) }
}

/** On loopback; closed when the test has finished. */
export async function listening(http: Server, scheme = 'http'): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<void>()
  http.listen(0, '127.0.0.1', resolve)
  await promise
  onTestFinished(() => {
    http.close()
    http.closeAllConnections()
  })
  return `${scheme}://127.0.0.1:${(http.address() as AddressInfo).port}`
}

/** What a device needs to dial. */
export function callOf(
  { address, server }: Pick<TestServer, 'address' | 'server'>,
  more: Partial<DialOptions> = {},
): DialOptions {
  return {
    address,
    server,
    keys: DeviceKeys.generate(systemRandom),
    mesh: bytesToHex(systemRandom.bytes(16)),
    purpose: 'sync',
    random: systemRandom,
    ...more,
  }
}

/** The device's end of a new link. */
export async function dialled(options: DialOptions): Promise<End & DialledServer> {
  const server = await dialServer(options)
  onTestFinished(() => server.socket.terminate())
  const side = { side: 'dialler', firstFrameBytes: limits.frameBytes } as const
  return Object.assign(endOf({ ...server, ...side }), server)
}

function endOf(
  options: Omit<Parameters<typeof startChannelLink>[0], 'accept' | 'remoteAddress'>,
  onFrame?: (end: End, frame: Uint8Array) => void,
): End {
  const end: Omit<End, 'link'> & { link?: Link } = { frames: [], writables: 0, reasons: [] }
  end.link = startChannelLink({
    ...options,
    remoteAddress: '',
    accept: () => ({
      received(frame) {
        end.frames.push(frame)
        onFrame?.(end as End, frame)
      },
      writable: () => {
        end.writables += 1
      },
      closed: (reason) => end.reasons.push(reason),
    }),
  })
  return end as End
}

/**
 * A libp2p host with nothing in it but TCP, Noise and yamux. Identify, relays, a DHT and pubsub are left out: each is
 * more for a stranger to talk to, and the sync protocol needs none of them.
 */
import { noise } from '@chainsafe/libp2p-noise'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import type { Connection, Libp2p, PeerId, Stream, StreamMuxerFactory } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { limits } from '../core/limits.ts'
import type { Pings } from './pulse.ts'

const kib = 1024

/** Each strange host may take up this much of us before it has proven anything. */
const strangers = {
  /** A Noise handshake on a 9.6 kbit/s link takes about a second, over a satellite hop three. */
  upgradeMs: 6_000,
  /** Several devices behind one access point's NAT may come at once. */
  perHostAndSecond: 10,
  /** More than one host alone can hold open (10 a second for 6 s), so that one host can't lock out the others. */
  pending: 64,
}

/** Below the read buffer, or a slow reader's stream would be aborted for what its own window let in. */
const windowBytes = 512 * kib
const readBufferBytes = 1024 * kib

/** A socket that says nothing is closed; every link that lives is pinged far more often (see pulse.ts). */
const socketIdleMs = 60_000

export interface MeshNode {
  readonly libp2p: Libp2p
  /** The pings of the multiplexer that carries this stream. */
  pingsOf(stream: Stream): Pings
}

/**
 * Makes a host that is not listening yet.
 *
 * @param options.transportSeed - 32 bytes from which the transport key is made; the same seed gives the same peer id
 * @param options.listen - multiaddrs
 */
export async function createNode(options: {
  transportSeed: Uint8Array
  listen: string[]
}): Promise<MeshNode> {
  const muxers = new Set<PingedMuxer>()
  const libp2p = await createLibp2p({
    start: false,
    privateKey: await generateKeyPairFromSeed('Ed25519', options.transportSeed),
    addresses: { listen: options.listen },
    transports: [
      tcp({
        inboundSocketInactivityTimeout: socketIdleMs,
        outboundSocketInactivityTimeout: socketIdleMs,
      }),
    ],
    connectionEncrypters: [encrypter()],
    streamMuxers: [pingedYamux(muxers)],
    connectionManager: {
      // What is above `sessions` are connections on their way to become a link, or to be given up for a better one.
      maxConnections: 2 * limits.sessions,
      inboundConnectionThreshold: strangers.perHostAndSecond,
      maxIncomingPendingConnections: strangers.pending,
      inboundUpgradeTimeout: strangers.upgradeMs,
      inboundStreamProtocolNegotiationTimeout: strangers.upgradeMs,
      outboundStreamProtocolNegotiationTimeout: strangers.upgradeMs,
      maxParallelDials: 8,
      maxDialQueueLength: 64,
      maxPeerAddrsToDial: 4,
    },
    // Its ping opens a stream each time, some 500 bytes; ours are 30 (pulse.ts).
    connectionMonitor: { enabled: false },
    connectionGater: {
      // Other key types are larger and slower to check (CVE-2023-39533), and nobody here has them.
      denyInboundEncryptedConnection: isForeignKey,
      denyOutboundEncryptedConnection: isForeignKey,
      // What addresses are good for is decided in dialler.ts; libp2p's address book would grow without bound.
      filterMultiaddrForPeer: () => false,
    },
  })
  libp2p.addEventListener('peer:disconnect', ({ detail: peer }) => {
    libp2p.peerStore.delete(peer).catch(() => undefined)
  })
  return {
    libp2p,
    pingsOf(stream) {
      for (const { muxer, pings } of muxers) {
        if (muxer.streams.some((other) => other === stream)) return pings
      }
      throw new TypeError('not a stream of this host')
    },
  }
}

/** A peer id as it goes into the binding of a session. */
export function peerIdBytes(peer: PeerId): Uint8Array {
  return peer.toMultihash().bytes
}

export function diallerOf(connection: Connection, self: PeerId): PeerId {
  return connection.direction === 'outbound' ? self : connection.remotePeer
}

/** The one place to change when the package moves to its new name, `@libp2p/noise`. */
function encrypter(): ReturnType<typeof noise> {
  return noise()
}

function isForeignKey(peer: PeerId): boolean {
  return peer.type !== 'Ed25519'
}

type YamuxMuxer = ReturnType<ReturnType<ReturnType<typeof yamux>>['createStreamMuxer']>

interface PingedMuxer {
  muxer: YamuxMuxer
  pings: Pings
}

/** Yamux whose pings we can reach: libp2p keeps them to itself, and its own keep-alive never ends a dead connection. */
function pingedYamux(muxers: Set<PingedMuxer>): () => StreamMuxerFactory {
  const create = yamux({
    enableKeepAlive: false,
    maxInboundStreams: 16,
    maxOutboundStreams: 16,
    maxEarlyStreams: 4,
    streamOptions: {
      maxStreamWindowSize: windowBytes,
      maxReadBufferLength: readBufferBytes,
      maxWriteBufferLength: readBufferBytes,
    },
  })
  return () => {
    const factory = create()
    return {
      protocol: factory.protocol,
      createStreamMuxer(connection) {
        const muxer = factory.createStreamMuxer(connection)
        const listeners = new Set<() => void>()
        const pinged: PingedMuxer = {
          muxer,
          pings: {
            ping: async () => {
              // Never with a signal: a pong that comes after its ping was given up would end the connection.
              await muxer.ping()
            },
            onHeard(listener) {
              listeners.add(listener)
              return () => listeners.delete(listener)
            },
          },
        }
        connection.addEventListener('message', () => {
          for (const listener of listeners) listener()
        })
        connection.addEventListener('close', () => muxers.delete(pinged))
        muxers.add(pinged)
        return muxer
      },
    }
  }
}

/**
 * Finds other devices on the local network by multicast DNS: a hint whom to dial, never more.
 *
 * `@libp2p/mdns` runs as it is, and beside it an implementation that also works where that one is blind
 * (interface-mdns.ts). Both speak the same records, so that any libp2p host can be found by either.
 */
import { randomBytes } from 'node:crypto'
import type { Libp2p, PeerDiscovery, PeerInfo, Startable } from '@libp2p/interface'
import { mdns } from '@libp2p/mdns'
import type { MulticastDNSComponents } from '@libp2p/mdns'
import { multiaddr } from '@multiformats/multiaddr'
import { hostOf, isLocalNetwork, isLoopback, localSubnets } from './address.ts'
import { CandidateFilter } from './candidate-filter.ts'
import type { Answer, Candidate } from './candidate-filter.ts'
import { InterfaceMdns } from './interface-mdns.ts'

const serviceName = '_havenmesh._udp.local'

/** Its questions add nothing to ours where both are heard; its answers are what counts. */
const stockQueryMs = 60_000

export interface Discovery {
  start(): Promise<void>
  stop(): Promise<void>
  /** Called for each answer of a device worth dialling, again and again. */
  onCandidate(callback: (candidate: Candidate) => void): () => void
  /** Addresses of those that answered within the last minute. */
  addresses(): string[]
  /** Whether multicast works on this host at all; undefined in the first seconds. */
  multicastAvailable(): boolean | undefined
  /** Interfaces have come or gone. */
  networkChanged(): void
}

export interface LanDiscoveryOptions {
  libp2p: Libp2p
  /** Where this device can be dialled, without peer ids. */
  addresses(): string[]
}

export function lanDiscovery(options: LanDiscoveryOptions): Discovery {
  const { libp2p } = options
  const self = libp2p.peerId.toString()
  const callbacks = new Set<(candidate: Candidate) => void>()
  let subnets = localSubnets()
  const filter = new CandidateFilter({
    self,
    subnets: () => subnets,
    nowMs: () => performance.now(),
  })
  const found = (answer: Answer): void => {
    const candidate = filter.take(answer)
    if (candidate === undefined) return
    for (const callback of callbacks) callback(candidate)
  }

  // Names that mean nothing, new at each start.
  const stockName = randomBytes(16).toString('hex')
  const ownName = randomBytes(16).toString('hex')
  const announced = (): string[] => announcedOf(options.addresses())
  const stock = stockDiscovery(libp2p, stockName, announced, (peer) =>
    found({ peer: peer.id.toString(), addresses: peer.multiaddrs.map(String) }),
  )
  const own = new InterfaceMdns({
    service: serviceName,
    otherName: stockName,
    announcement() {
      const list = announced()
      return list.length === 0 ? undefined : { name: ownName, peer: self, addresses: list }
    },
    found: (announcement, source) => found({ ...announcement, source }),
  })

  return {
    async start() {
      own.refresh()
      await stock.start()
    },
    async stop() {
      callbacks.clear()
      await Promise.all([own.stop(), stock.stop()])
    },
    onCandidate(callback) {
      callbacks.add(callback)
      return () => callbacks.delete(callback)
    },
    addresses: () => filter.addresses,
    multicastAvailable: () => own.isAvailable,
    networkChanged() {
      subnets = localSubnets()
      own.refresh()
    },
  }
}

function announcedOf(addresses: readonly string[]): string[] {
  const local = addresses.filter((address) => isLocalNetwork(hostOf(address)))
  const outside = local.filter((address) => !isLoopback(hostOf(address)))
  return outside.length > 0 ? outside : local
}

/**
 * `@libp2p/mdns`, outside of libp2p: inside, every answer would go into the peer store, which has no bound, and libp2p would
 * tell us of each peer only once.
 */
function stockDiscovery(
  libp2p: Libp2p,
  peerName: string,
  addresses: () => string[],
  found: (peer: PeerInfo) => void,
): { start(): Promise<void>; stop(): Promise<void> } {
  const withPeer = (address: string) => multiaddr(`${address}/p2p/${libp2p.peerId.toString()}`)
  const components = {
    logger: libp2p.logger,
    addressManager: { getAddresses: () => addresses().map(withPeer) },
  } as unknown as MulticastDNSComponents
  const init = { serviceTag: serviceName, interval: stockQueryMs, peerName }
  const discovery = mdns(init)(components) as PeerDiscovery & Startable
  discovery.addEventListener('peer', ({ detail }) => found(detail))
  return {
    async start() {
      await discovery.start()
    },
    async stop() {
      await discovery.stop()
    },
  }
}

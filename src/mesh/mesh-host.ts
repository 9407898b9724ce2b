/** This device on the network: it listens, discovers and dials, and hands each link to its owner. */
import type { Connection, Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { HavenError, isHavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { AcceptLink } from '../sync/link.ts'
import { hostOf, isLoopback, isUnspecified, parseAddress, withoutPeerId } from './address.ts'
import type { Candidate } from './candidate-filter.ts'
import { Dialler } from './dialler.ts'
import { lanDiscovery } from './lan-discovery.ts'
import type { Discovery } from './lan-discovery.ts'
import { createNode } from './libp2p-node.ts'
import type { MeshNode } from './libp2p-node.ts'
import { endConnection, startLink, syncProtocol } from './libp2p-link.ts'
import type { HashBinding, MeshLink } from './libp2p-link.ts'
import { LinkTable } from './link-table.ts'
import type { LinkOffer } from './link-table.ts'
import { watchNetwork } from './network-watch.ts'

/** A link is not taken down for the sake of others while something goes over it. */
const idleMs = 30_000
/** Of one host, among the links that have not lived long enough to have shown what they are. */
const newLinksPerHost = limits.sessions / 2
/** A link that has lived so long, or brought a frame, came from an address worth remembering. */
const workedMs = 2_000
const rotated = 'ROTATED'
const anyAddress = ['/ip4/0.0.0.0/tcp/0']

export interface MeshHostOptions {
  /** 32 bytes: the transport's key, which is not the device's. */
  transportSeed: Uint8Array
  /** Multiaddrs; by default any free port on all IPv4 interfaces. */
  listen?: readonly string[]
  /** Addresses that a person typed; dialled for as long as the host runs. */
  peers?: readonly string[]
  /** Addresses that worked before; dialled too, less often the longer they don't answer. */
  remembered?: readonly string[]
  /** Whether to look for devices by multicast, and to be found. */
  mdns?: boolean
  accept: AcceptLink
  hashBinding: HashBinding
  /** An outgoing link came up and was not refused. */
  onAddressWorked?: (address: string) => void
  log?: (event: string, details: Record<string, unknown>) => void
}

export interface MeshHost {
  /** @throws HavenError `LISTEN_FAILED`, or `ADDRESS_INVALID` for a typed address */
  start(): Promise<void>
  /** Nothing is listening and no timer is left when it resolves. */
  stop(): Promise<void>
  /** Where others can dial this device, without peer ids; loopback last. */
  addresses(): string[]
  /**
   * Connects to an address now; the link arrives through `accept`. Does nothing more if the peer is linked already.
   *
   * @throws HavenError `ADDRESS_INVALID`, `PEER_CLOSED` (nobody answers as a Havenmesh device there), `TIMED_OUT`, `STOPPED`
   */
  dial(address: string, signal?: AbortSignal): Promise<void>
  /** Addresses of devices that answered by multicast within the last minute. */
  candidates(): string[]
  /** Called for each answer; returns what stops it. */
  onCandidate(callback: (candidate: Candidate) => void): () => void
  /** Whether multicast works on this host; undefined in the first seconds, and without `mdns`. */
  multicast(): boolean | undefined
}

export function createMeshHost(options: MeshHostOptions): MeshHost {
  let running: RunningHost | undefined
  let starting: Promise<void> | undefined
  const callbacks = new Set<(candidate: Candidate) => void>()
  const found = (candidate: Candidate): void => {
    for (const callback of callbacks) callback(candidate)
  }
  return {
    start() {
      starting ??= (async () => {
        running = await RunningHost.start(options, found)
      })()
      return starting
    },
    async stop() {
      await starting?.catch(() => undefined)
      const stopping = running
      running = undefined
      starting = undefined
      await stopping?.stop()
    },
    addresses: () => running?.addresses() ?? [],
    async dial(address, signal) {
      const target = parseAddress(address)
      if (running === undefined) throw new HavenError('STOPPED', 'The network is not running.')
      await running.dial(target, signal)
    },
    candidates: () => running?.discovery?.addresses() ?? [],
    onCandidate(callback) {
      callbacks.add(callback)
      return () => callbacks.delete(callback)
    },
    multicast: () => running?.discovery?.multicastAvailable(),
  }
}

class RunningHost {
  readonly #options: MeshHostOptions
  readonly #node: MeshNode
  readonly #table: LinkTable
  readonly #dialler: Dialler
  readonly discovery: Discovery | undefined
  #isStopping = false
  #stopWatching: () => void = () => undefined
  /** Connections that have had their stream. */
  readonly #used = new WeakSet<Connection>()
  /** By peer: the connection dialled here that is getting its stream. */
  readonly #opening = new Map<string, { connection: Connection; done: Promise<void> }>()
  readonly #strangerTimers = new Map<Connection, NodeJS.Timeout>()

  static async start(
    options: MeshHostOptions,
    found: (candidate: Candidate) => void,
  ): Promise<RunningHost> {
    const typed = (options.peers ?? []).map(parseAddress)
    const listen = [...(options.listen ?? anyAddress)]
    const host = await RunningHost.#listening(options, listen)
    host.discovery?.onCandidate((candidate) => {
      host.#dialler.discovered(candidate)
      found(candidate)
    })
    await host.discovery?.start()
    host.#stopWatching = watchNetwork(() => {
      host.discovery?.networkChanged()
      host.#dialler.networkChanged()
    })
    host.#dialler.add('typed', typed)
    host.#dialler.add('remembered', (options.remembered ?? []).flatMap(validAddress))
    return host
  }

  static async #listening(options: MeshHostOptions, listen: string[]): Promise<RunningHost> {
    try {
      const node = await createNode({ transportSeed: options.transportSeed, listen })
      await node.libp2p.start()
      return new RunningHost(options, node)
    } catch (cause) {
      throw new HavenError(
        'LISTEN_FAILED',
        `Can't listen at ${listen.join(', ')}. Another program may use the port, or this device does not have the address.`,
        { cause },
      )
    }
  }

  private constructor(options: MeshHostOptions, node: MeshNode) {
    this.#options = options
    this.#node = node
    this.#table = new LinkTable({
      self: node.libp2p.peerId.toString(),
      maxLinks: limits.sessions,
      expects: (peer, isDialledHere) => this.#expects(peer, isDialledHere),
    })
    this.#dialler = new Dialler({
      connect: (address, signal) => this.#connect(address, signal),
      isLinked: (peer) => this.#table.get(peer) !== undefined,
      ownLinks: () => [...this.#table.links].filter((link) => link.side === 'dialler').length,
      hasRoom: () => this.#table.size < limits.sessions,
      endIdleLink: () => this.#endIdleLink(),
      ...(options.log && { log: options.log }),
    })
    if (options.mdns === true) {
      this.discovery = lanDiscovery({ libp2p: node.libp2p, addresses: () => this.addresses() })
    }
    void node.libp2p.handle(
      syncProtocol,
      (stream, connection) => this.#accept(stream, connection),
      {
        maxInboundStreams: 1,
        maxOutboundStreams: 1,
      },
    )
    node.libp2p.addEventListener('connection:open', ({ detail }) => this.#opened(detail))
    node.libp2p.addEventListener('connection:close', ({ detail }) => this.#closed(detail))
  }

  addresses(): string[] {
    const all = this.#node.libp2p
      .getMultiaddrs()
      .flatMap((address) => withoutPeerId(address) ?? [])
      .filter((address) => !isUnspecified(hostOf(address)))
    const near = (address: string): number => Number(isLoopback(hostOf(address)))
    return [...new Set(all)].toSorted((a, b) => near(a) - near(b))
  }

  async dial(address: string, signal?: AbortSignal): Promise<void> {
    try {
      const timeout = AbortSignal.timeout(limits.helloMs)
      const either = signal === undefined ? timeout : AbortSignal.any([signal, timeout])
      this.#dialler.forgive(await this.#connect(address, either))
    } catch (error) {
      signal?.throwIfAborted()
      throw dialError(address, error)
    }
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    this.#stopWatching()
    this.#dialler.stop()
    await this.discovery?.stop()
    this.#table.close('STOPPED')
    await this.#linksClosed()
    await this.#node.libp2p.stop()
    for (const timer of this.#strangerTimers.values()) clearTimeout(timer)
  }

  async #connect(address: string, signal: AbortSignal): Promise<string> {
    const connection = await this.#node.libp2p.dial(multiaddr(address), { signal })
    const peer = connection.remotePeer.toString()
    const opening = this.#opening.get(peer)
    if (this.#used.has(connection)) return peer
    if (opening?.connection === connection) {
      // Two dials to one address are one to libp2p.
      await opening.done
    } else if (opening !== undefined || this.#table.get(peer) !== undefined) {
      endConnection(connection)
    } else {
      const done = this.#openStream(connection, signal)
      this.#opening.set(peer, { connection, done })
      try {
        await done
      } finally {
        this.#opening.delete(peer)
      }
    }
    return peer
  }

  async #openStream(connection: Connection, signal: AbortSignal): Promise<void> {
    try {
      const stream = await connection.newStream(syncProtocol, { signal })
      this.#used.add(connection)
      this.#table.offer(this.#offer(stream, connection))
    } catch (error) {
      endConnection(connection)
      // The other side gave this connection up because there is a better one.
      if (this.#table.get(connection.remotePeer.toString()) === undefined) throw error
    }
  }

  #accept(stream: Stream, connection: Connection): void {
    if (connection.direction !== 'inbound' || this.#used.has(connection)) {
      stream.abort(new Error('not the dialler, or a second stream'))
      return
    }
    this.#used.add(connection)
    if (this.#isCrowding(connection)) endConnection(connection)
    else this.#table.offer(this.#offer(stream, connection))
  }

  /** One host must not take all links from the others by making new ones faster than its old ones are refused. */
  #isCrowding(connection: Connection): boolean {
    const host = hostOf(withoutPeerId(connection.remoteAddr) ?? '')
    const nowMs = performance.now()
    const fresh = [...this.#table.links].filter(
      (link) =>
        link.side === 'listener' &&
        hostOf(link.remoteAddress) === host &&
        nowMs - link.startedMs < limits.helloMs,
    )
    return fresh.length >= newLinksPerHost
  }

  #endIdleLink(): void {
    const nowMs = performance.now()
    const idle = [...this.#table.links].filter(
      (link) => link.side === 'dialler' && nowMs - link.activeAtMs > idleMs,
    )
    idle[Math.floor(Math.random() * idle.length)]?.end(rotated)
  }

  #offer(stream: Stream, connection: Connection): LinkOffer {
    const peer = connection.remotePeer.toString()
    return {
      peer,
      isDialledHere: connection.direction === 'outbound',
      start: () =>
        stream.status === 'open' && !this.#isStopping
          ? this.#startLink(stream, connection)
          : undefined,
      refuse: () => endConnection(connection),
    }
  }

  #startLink(stream: Stream, connection: Connection): MeshLink {
    const link = startLink({
      node: this.#node,
      connection,
      stream,
      hashBinding: this.#options.hashBinding,
      accept: this.#options.accept,
      onClosed: (ended, { reason, byOwner }) => {
        clearTimeout(workedTimer)
        if (!byOwner && ended.hasReceived) worked()
        this.#table.ended(ended.peer, ended)
        this.#dialler.linkEnded(ended.peer, {
          lifeMs: performance.now() - ended.startedMs,
          // One of two links between the same devices is no refusal.
          byOwner: byOwner && reason !== 'duplicate',
          rotated: reason === rotated,
        })
      },
    })
    const worked = once(() => {
      if (link.side === 'dialler') this.#options.onAddressWorked?.(link.remoteAddress)
    })
    const workedTimer = setTimeout(worked, workedMs)
    return link
  }

  #opened(connection: Connection): void {
    if (connection.direction !== 'inbound') return
    const timer = setTimeout(() => {
      if (!this.#used.has(connection)) connection.abort(new Error('no stream'))
    }, limits.helloMs)
    this.#strangerTimers.set(connection, timer)
  }

  #closed(connection: Connection): void {
    clearTimeout(this.#strangerTimers.get(connection))
    this.#strangerTimers.delete(connection)
    this.#table.ended(connection.remotePeer.toString())
  }

  #expects(peer: string, isDialledHere: boolean): boolean {
    return this.#node.libp2p
      .getConnections()
      .some(
        (connection) =>
          connection.remotePeer.toString() === peer &&
          connection.status === 'open' &&
          !this.#used.has(connection) &&
          (connection.direction === 'outbound') === isDialledHere,
      )
  }

  /** Resolves when every owner has heard of its link's end; that takes at most a second. */
  async #linksClosed(): Promise<void> {
    while (this.#table.size > 0) {
      const { promise, resolve } = Promise.withResolvers<void>()
      setTimeout(resolve, 10)
      await promise
    }
  }
}

function validAddress(address: string): string[] {
  try {
    return [parseAddress(address)]
  } catch {
    return []
  }
}

function dialError(address: string, cause: unknown): HavenError {
  if (isHavenError(cause)) return cause
  const { name, message } = cause instanceof Error ? cause : { name: '', message: String(cause) }
  if (/dial self/i.test(message)) {
    return new HavenError('ADDRESS_INVALID', `${address} is this device itself.`, { cause })
  }
  if (name === 'TimeoutError' || name === 'AbortError') {
    return new HavenError('TIMED_OUT', `Nobody answered at ${address}.`, { cause })
  }
  if (name === 'UnsupportedProtocolError') {
    return new HavenError('PEER_CLOSED', `What answers at ${address} is not a Havenmesh device.`, {
      cause,
    })
  }
  return new HavenError('PEER_CLOSED', `Can't connect to ${address}: ${message}.`, { cause })
}

function once(run: () => void): () => void {
  let done = false
  return () => {
    if (done) return
    done = true
    run()
  }
}

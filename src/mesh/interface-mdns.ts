/**
 * Multicast DNS on every interface of its own.
 *
 * `@libp2p/mdns` sends where the routing table says: nowhere at all on a network without a router, as in a camp, and only
 * to the uplink on a device that has one. This one asks and answers on each interface. It keeps quiet where the other
 * one was heard, and where somebody else has just asked (RFC 6762, sections 7.3 and 7.4): multicast is slow on Wi-Fi, and
 * thirty devices would otherwise answer each other nine hundred times every five seconds.
 */
import { networkInterfaces } from 'node:os'
import type { NetworkInterfaceInfo } from 'node:os'
import type { RemoteInfo } from 'node:dgram'
import multicastDns from 'multicast-dns'
import type { MulticastDNS, QueryPacket, ResponsePacket } from 'multicast-dns'
import { localSubnets } from './address.ts'
import type { LocalSubnets } from './address.ts'
import { asksFor, fromAnswer, toAnswer } from './mdns-records.ts'
import type { Announcement } from './mdns-records.ts'

/** After an interface has come up; then every five seconds. */
const firstQueriesMs = [0, 1_000, 3_000]
const queryEveryMs = 5_000
/** Answers to somebody else's question reach us too. */
const askedAlreadyMs = 4_000
/** A machine that runs containers has a bridge for each network of theirs. */
const interfacesMax = 16
/** RFC 6762, section 6: answers of several hosts to one question must not collide. */
const answerDelayMs = { least: 20, spread: 100 }
/** Without a packet of our own within this time, multicast does not work on an interface. */
const selfTestMs = 3_000

export interface InterfaceMdnsOptions {
  service: string
  /** What to answer with; undefined while there is nothing to say. */
  announcement(): Announcement | undefined
  /** The name under which the other implementation in this process answers. */
  otherName?: string
  found(announcement: Announcement, source: string): void
  random?: () => number
}

export class InterfaceMdns {
  readonly #options: InterfaceMdnsOptions
  readonly #speakers = new Map<string, Speaker>()

  constructor(options: InterfaceMdnsOptions) {
    this.#options = options
  }

  /** Whether a packet of our own came back; undefined as long as that is not known. */
  get isAvailable(): boolean | undefined {
    const speakers = [...this.#speakers.values()]
    if (speakers.some((speaker) => speaker.hearsItself === true)) return true
    if (speakers.some((speaker) => speaker.hearsItself === undefined)) return undefined
    return false
  }

  /** Opens and closes sockets as the interfaces have changed. */
  refresh(): void {
    const present = multicastInterfaces()
    for (const [key, speaker] of this.#speakers) {
      if (present.has(key)) continue
      this.#speakers.delete(key)
      void speaker.stop()
    }
    for (const [key, addresses] of present) {
      if (this.#speakers.has(key)) continue
      this.#speakers.set(key, new Speaker(addresses, this.#options))
    }
  }

  async stop(): Promise<void> {
    const speakers = [...this.#speakers.values()]
    this.#speakers.clear()
    await Promise.all(speakers.map((speaker) => speaker.stop()))
  }
}

/** Asks and answers on one interface. */
class Speaker {
  readonly #options: InterfaceMdnsOptions
  readonly #own: Set<string>
  readonly #subnets: LocalSubnets
  readonly #socket: MulticastDNS
  readonly #random: () => number
  readonly #openedMs = performance.now()
  #queryTimer: NodeJS.Timeout | undefined
  #answerTimer: NodeJS.Timeout | undefined
  #queries = 0
  #askedMs = Number.NEGATIVE_INFINITY
  #hasHeardItself = false
  #hasFailed = false

  constructor(addresses: readonly NetworkInterfaceInfo[], options: InterfaceMdnsOptions) {
    this.#options = options
    this.#random = options.random ?? Math.random
    this.#own = new Set(addresses.map(({ address }) => address))
    this.#subnets = localSubnets({ these: [...addresses] })
    this.#socket = multicastDns({
      interface: addresses[0]?.address ?? '',
      bind: '0.0.0.0',
      port: 5353,
      ip: '224.0.0.251',
      reuseAddr: true,
    })
    this.#socket.on('error', () => {
      this.#hasFailed = true
    })
    this.#socket.on('warning', () => undefined)
    this.#socket.on('query', (packet, source) => this.#heardQuery(packet, source))
    this.#socket.on('response', (packet, source) => this.#heardAnswer(packet, source))
    this.#scheduleQuery()
  }

  get hearsItself(): boolean | undefined {
    if (this.#hasHeardItself) return true
    const isLate = performance.now() - this.#openedMs > selfTestMs
    return this.#hasFailed || isLate ? false : undefined
  }

  stop(): Promise<void> {
    clearTimeout(this.#queryTimer)
    clearTimeout(this.#answerTimer)
    const { promise, resolve } = Promise.withResolvers<void>()
    try {
      this.#socket.destroy(() => resolve())
    } catch {
      // It never got as far as being bound.
      resolve()
    }
    return promise
  }

  #scheduleQuery(): void {
    const first = firstQueriesMs[this.#queries]
    const waitMs =
      first === undefined
        ? queryEveryMs * (0.9 + this.#random() / 5)
        : first - (firstQueriesMs[this.#queries - 1] ?? 0)
    this.#queryTimer = setTimeout(() => {
      // The first ones are for us: what others said before we came has not reached us.
      const isAsked = performance.now() - this.#askedMs < askedAlreadyMs
      if (first !== undefined || !isAsked) this.#query()
      this.#queries++
      this.#scheduleQuery()
    }, waitMs)
  }

  #query(): void {
    const questions = [{ name: this.#options.service, type: 'PTR' as const }]
    this.#socket.query({ questions }, () => undefined)
  }

  #heardQuery(packet: QueryPacket, { address }: RemoteInfo): void {
    if (!this.#isOnThisLink(address) || !asksFor(this.#options.service, packet)) return
    this.#askedMs = performance.now()
    if (this.#answerTimer !== undefined) return
    const { least, spread } = answerDelayMs
    this.#answerTimer = setTimeout(() => this.#answer(), least + this.#random() * spread)
  }

  #answer(): void {
    this.#answerTimer = undefined
    const announcement = this.#options.announcement()
    if (announcement === undefined) return
    this.#socket.respond(toAnswer(this.#options.service, announcement), () => undefined)
  }

  #heardAnswer(packet: ResponsePacket, { address }: RemoteInfo): void {
    if (!this.#isOnThisLink(address)) return
    const announcement = fromAnswer(this.#options.service, packet)
    if (announcement === undefined) return
    if (this.#own.has(address) && announcement.name === this.#options.otherName) {
      clearTimeout(this.#answerTimer)
      this.#answerTimer = undefined
    }
    this.#options.found(announcement, address)
  }

  /**
   * Linux hands a packet to every socket on the port, whichever interface it came in by; and one from elsewhere has no
   * business here (RFC 6762, section 11).
   */
  #isOnThisLink(source: string): boolean {
    if (this.#own.has(source)) this.#hasHeardItself = true
    return this.#subnets.contains(source)
  }
}

/** By interface and address. Loopback only where there is nothing else, for several devices on one machine. */
function multicastInterfaces(): Map<string, NetworkInterfaceInfo[]> {
  const interfaces = Object.entries(networkInterfaces()).map(
    ([name, list]) => [name, (list ?? []).filter(({ family }) => family === 'IPv4')] as const,
  )
  const present = interfaces.filter(([, list]) => list.length > 0)
  const outside = present.filter(([, list]) => list.some(({ internal }) => !internal))
  const chosen = outside.length > 0 ? outside : present
  return new Map(
    chosen
      .slice(0, interfacesMax)
      .map(([name, list]) => [[name, ...list.map(({ address }) => address)].join(' '), list]),
  )
}

/**
 * What may be believed of a multicast answer, which anybody on the network can forge: a handful of addresses nearby that
 * are worth a dial. libp2p's peer store, which takes them all, grew by 40 MiB for 3,000 forged answers.
 */
import { hostOf, isLocalNetwork, isLoopback, parseAddress } from './address.ts'
import type { LocalSubnets } from './address.ts'

const candidatesMax = 64
const addressesMax = 4
/** Several devices may be processes of one host, and start together. */
const newPerSource = { burst: 16, perSecond: 1 }
const sourcesMax = 256
/** Two implementations may bring the same answer. */
const sameAnswerMs = 500
const freshMs = 60_000

export interface Candidate {
  /** Who says to be there, as libp2p writes it; not proven. */
  readonly peer: string
  /** Without peer ids, the likeliest first. */
  readonly addresses: string[]
}

export interface Answer {
  peer: string
  /** Multiaddrs, with or without a peer id. */
  addresses: readonly string[]
  /** The IP address that the answer came from, where that is known. */
  source?: string
}

export class CandidateFilter {
  readonly #self: string
  readonly #subnets: () => LocalSubnets
  readonly #nowMs: () => number
  readonly #candidates = new Map<string, Candidate & { seenMs: number }>()
  readonly #sources = new Map<string, { tokens: number; atMs: number }>()

  constructor(options: { self: string; subnets: () => LocalSubnets; nowMs: () => number }) {
    this.#self = options.self
    this.#subnets = options.subnets
    this.#nowMs = () => options.nowMs()
  }

  /** Addresses of those that answered within the last minute. */
  get addresses(): string[] {
    const fresh = [...this.#candidates.values()].filter(
      (candidate) => this.#nowMs() - candidate.seenMs < freshMs,
    )
    return [...new Set(fresh.flatMap((candidate) => candidate.addresses))]
  }

  /** @returns undefined for what is not worth a dial, or was said a moment ago */
  take(answer: Answer): Candidate | undefined {
    if (answer.peer === this.#self) return undefined
    const addresses = this.#worthDialling(answer)
    if (addresses.length === 0) return undefined
    const nowMs = this.#nowMs()
    const known = this.#candidates.get(answer.peer)
    if (known === undefined && !this.#mayBringNew(answer.source ?? '', nowMs)) return undefined
    const isRepeated =
      known !== undefined &&
      nowMs - known.seenMs < sameAnswerMs &&
      addresses.every((address) => known.addresses.includes(address))
    if (isRepeated) return undefined
    this.#candidates.delete(answer.peer)
    this.#candidates.set(answer.peer, { peer: answer.peer, addresses, seenMs: nowMs })
    dropOldest(this.#candidates, candidatesMax)
    return { peer: answer.peer, addresses }
  }

  #worthDialling({ addresses, source }: Answer): string[] {
    const subnets = this.#subnets()
    const nearby = addresses.slice(0, 4 * addressesMax).flatMap((text) => nearbyAddress(text))
    const hosts = nearby.map((address) => hostOf(address))
    const onlyLoopback = hosts.every((host) => isLoopback(host))
    const isThisHost = onlyLoopback || (source !== undefined && subnets.isOwn(source))
    const rank = (address: string): number => {
      const host = hostOf(address)
      if (host === source) return 0
      if (isLoopback(host)) return isThisHost ? 3 : notHere
      if (subnets.isOwn(host)) return 2
      return subnets.contains(host) ? 1 : far
    }
    const ranked = [...new Set(nearby)]
      .map((address) => ({ address, rank: rank(address) }))
      .filter((entry) => entry.rank < notHere)
      .toSorted((a, b) => a.rank - b.rank)
    // An address behind a router is tried only for want of a nearer one.
    const near = ranked.filter((entry) => entry.rank < far)
    return (near.length > 0 ? near : ranked).slice(0, addressesMax).map((entry) => entry.address)
  }

  #mayBringNew(source: string, nowMs: number): boolean {
    const { burst, perSecond } = newPerSource
    const bucket = this.#sources.get(source) ?? { tokens: burst, atMs: nowMs }
    const tokens = Math.min(burst, bucket.tokens + ((nowMs - bucket.atMs) / 1_000) * perSecond)
    this.#sources.delete(source)
    this.#sources.set(source, { tokens: Math.max(0, tokens - 1), atMs: nowMs })
    dropOldest(this.#sources, sourcesMax)
    return tokens >= 1
  }
}

const far = 8
const notHere = 9

/** Only IP addresses: a name would make us ask a resolver, and tell it. */
function nearbyAddress(text: string): string[] {
  try {
    const address = parseAddress(text)
    return isLocalNetwork(hostOf(address)) ? [address] : []
  } catch {
    return []
  }
}

function dropOldest(map: Map<string, unknown>, max: number): void {
  for (const oldest of map.keys()) {
    if (map.size <= max) return
    map.delete(oldest)
  }
}

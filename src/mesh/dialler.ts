/**
 * Keeps a device connected: dials what was typed, what worked before and what was discovered, again and again.
 *
 * libp2p's own reconnecting gives up after some seconds and its discovery event comes once per peer, so that a partition of
 * an hour would never heal.
 */
import { limits } from '../core/limits.ts'
import { backoffMs } from './backoff.ts'

type TargetKind = 'typed' | 'remembered' | 'discovered'

/** By kind. A typed address is a person's wish, and answers to no multicast that could say when to try again. */
const retryCapMs: Record<TargetKind, number> = {
  typed: 3_000,
  remembered: 30_000,
  discovered: 30_000,
}
const retryFirstMs = 500
/** TCP repeats its first packet after 1 s and 3 s. */
const dialMs = 5_000
const parallelDials = 4
/** A peer that the owner has refused, e.g. because it is not a member, may become one. */
const refusedMs = 60_000
/** A link that ended sooner counts as a failed attempt: the owner or the peer did not want it. */
const settledMs = 10_000
const unwantedCapMs = 60_000
/** On a network larger than our number of neighbours, clusters that happen to exist must not last. */
const rotateMs = 10 * 60_000
const addressesMax = 4
/** An answer after so long means that the network has changed; answers come every 5 s. */
const silenceMs = 7_000
const targetsMax = 256

interface Target {
  readonly kind: TargetKind
  addresses: string[]
  /** Who answered there, or who says to be there. */
  peer: string | undefined
  failures: number
  dueMs: number
  isDialling: boolean
  seenMs: number
}

export interface DiallerOptions {
  /** Dials and hands the link over; resolves with the peer that answers at the address. */
  connect(address: string, signal: AbortSignal): Promise<string>
  isLinked(peer: string): boolean
  /** Links that this side dialled. */
  ownLinks(): number
  /** Whether another link may be made at all. */
  hasRoom(): boolean
  /** Ends one of the links that this side dialled, if one is idle; `linkEnded` follows. */
  endIdleLink(): void
  /** From 0 up to 1. */
  random?: () => number
  log?: (event: string, details: Record<string, unknown>) => void
}

export class Dialler {
  readonly #options: DiallerOptions
  readonly #random: () => number
  readonly #targets = new Map<string, Target>()
  readonly #refusedUntilMs = new Map<string, number>()
  readonly #stop = new AbortController()
  readonly #rotation: NodeJS.Timeout
  #timer: NodeJS.Timeout | undefined
  #dials = 0

  constructor(options: DiallerOptions) {
    this.#options = options
    this.#random = options.random ?? Math.random
    this.#rotation = setInterval(() => this.#rotate(), rotateMs)
  }

  /** Addresses that {@link parseAddress} returned. */
  add(kind: 'typed' | 'remembered', addresses: readonly string[]): void {
    for (const address of addresses) {
      if (this.#targets.has(address)) continue
      this.#targets.set(address, newTarget(kind, [address]))
    }
    this.#schedule()
  }

  /** A discovery answer: called for each one, not only the first. */
  discovered(candidate: { peer: string; addresses: string[] }): void {
    const key = `discovered ${candidate.peer}`
    const nowMs = performance.now()
    let target = this.#targets.get(key)
    if (target === undefined) {
      target = newTarget('discovered', candidate.addresses)
      // A little later than the others, who may have heard the same answer.
      target.dueMs = nowMs + this.#random() * 200
      target.peer = candidate.peer
      this.#evict()
    } else if (nowMs - target.seenMs > silenceMs) {
      target.failures = 0
      target.dueMs = Math.min(target.dueMs, nowMs + this.#random() * 500)
    }
    // Answers can be forged: an address that was good is not forgotten for one.
    const addresses = new Set([...candidate.addresses, ...target.addresses])
    target.addresses = [...addresses].slice(0, addressesMax)
    target.seenMs = nowMs
    this.#targets.delete(key)
    this.#targets.set(key, target)
    this.#schedule()
  }

  /** The network has changed: everything is worth a try. */
  networkChanged(): void {
    const nowMs = performance.now()
    for (const target of this.#targets.values()) {
      target.failures = 0
      target.dueMs = Math.min(target.dueMs, nowMs + this.#random() * 500)
    }
    this.#schedule()
  }

  /** @param end.byOwner - the owner closed it, which soon after its start means that the peer is not wanted */
  linkEnded(peer: string, end: { lifeMs: number; byOwner: boolean; rotated: boolean }): void {
    const nowMs = performance.now()
    const isSettled = end.lifeMs >= settledMs
    if (end.rotated || (end.byOwner && !isSettled)) this.#refuse(peer, nowMs + refusedMs)
    for (const target of this.#targets.values()) {
      if (target.peer !== peer) continue
      target.failures = isSettled ? 0 : target.failures + 1
      target.dueMs = nowMs + this.#waitMs(target, unwantedCapMs)
    }
    this.#schedule()
  }

  /** Forgets that a peer was refused: a person asked for it. */
  forgive(peer: string): void {
    this.#refusedUntilMs.delete(peer)
  }

  stop(): void {
    this.#stop.abort()
    clearTimeout(this.#timer)
    clearInterval(this.#rotation)
    this.#targets.clear()
  }

  #schedule(): void {
    if (this.#stop.signal.aborted) return
    clearTimeout(this.#timer)
    const nowMs = performance.now()
    let dueMs = Number.POSITIVE_INFINITY
    for (const target of this.#targets.values()) {
      if (!this.#isWanted(target, nowMs)) continue
      dueMs = Math.min(dueMs, target.dueMs)
    }
    // Wakes up at times without need: what a target waits for (a link that ends, a refusal that is over) needs no timer
    // of its own then.
    const waitMs = Math.min(Math.max(0, dueMs - nowMs), 5_000)
    this.#timer = setTimeout(() => this.#dialDue(), waitMs)
  }

  #dialDue(): void {
    const nowMs = performance.now()
    const due = [...this.#targets.values()].filter(
      (target) => target.dueMs <= nowMs && this.#isWanted(target, nowMs),
    )
    // Typed ones first; the others in any order, so that a large network becomes a random graph and not a star.
    for (const target of shuffled(due, this.#random).toSorted(typedFirst)) {
      if (this.#dials >= parallelDials) break
      if (this.#isWanted(target, nowMs)) void this.#dial(target)
    }
    this.#schedule()
  }

  #isWanted(target: Target, nowMs: number): boolean {
    if (target.isDialling || this.#dials >= parallelDials) return false
    if (target.peer !== undefined) {
      if (this.#options.isLinked(target.peer)) return false
      if ((this.#refusedUntilMs.get(target.peer) ?? 0) > nowMs) return false
    }
    if (!this.#options.hasRoom()) return false
    return (
      target.kind === 'typed' || this.#options.ownLinks() + this.#dials < limits.activeNeighbours
    )
  }

  async #dial(target: Target): Promise<void> {
    target.isDialling = true
    this.#dials++
    try {
      const { address, peer } = await this.#dialAny(target.addresses)
      target.peer = peer
      target.addresses = [address, ...target.addresses.filter((other) => other !== address)]
      // Not yet a success: `linkEnded` looks how long the link has lived.
      target.dueMs = performance.now() + this.#waitMs(target)
    } catch (error) {
      target.failures++
      target.dueMs = performance.now() + this.#waitMs(target)
      this.#options.log?.('dial failed', {
        addresses: target.addresses,
        error: error instanceof Error ? error.message : String(error),
      })
    } finally {
      target.isDialling = false
      this.#dials--
      this.#schedule()
    }
  }

  async #dialAny(addresses: readonly string[]): Promise<{ address: string; peer: string }> {
    let lastError: unknown
    for (const address of addresses) {
      const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(dialMs)])
      try {
        return { address, peer: await this.#options.connect(address, signal) }
      } catch (error) {
        if (this.#stop.signal.aborted) throw error
        lastError = error
      }
    }
    throw lastError
  }

  #waitMs(target: Target, capMs = retryCapMs[target.kind]): number {
    return backoffMs(target.failures, { firstMs: retryFirstMs, capMs, random: this.#random })
  }

  #rotate(): void {
    if (this.#options.ownLinks() < limits.activeNeighbours) return
    const isLeftOut = ({ kind, peer }: Target): boolean =>
      kind !== 'typed' && peer !== undefined && !this.#options.isLinked(peer)
    if ([...this.#targets.values()].some(isLeftOut)) this.#options.endIdleLink()
  }

  #refuse(peer: string, untilMs: number): void {
    this.#refusedUntilMs.delete(peer)
    this.#refusedUntilMs.set(peer, untilMs)
    for (const oldest of this.#refusedUntilMs.keys()) {
      if (this.#refusedUntilMs.size <= targetsMax) break
      this.#refusedUntilMs.delete(oldest)
    }
  }

  #evict(): void {
    for (const [key, target] of this.#targets) {
      if (this.#targets.size < targetsMax) return
      if (target.kind === 'discovered' && !target.isDialling) this.#targets.delete(key)
    }
  }
}

function newTarget(kind: TargetKind, addresses: string[]): Target {
  const nowMs = performance.now()
  const fresh = { peer: undefined, failures: 0, isDialling: false }
  return { kind, addresses, ...fresh, dueMs: nowMs, seenMs: nowMs }
}

function typedFirst(a: Target, b: Target): number {
  return Number(b.kind === 'typed') - Number(a.kind === 'typed')
}

function shuffled<Item>(items: readonly Item[], random: () => number): Item[] {
  return items
    .map((item) => ({ item, order: random() }))
    .toSorted((a, b) => a.order - b.order)
    .map(({ item }) => item)
}

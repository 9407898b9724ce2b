/**
 * Keeps a device connected with one server while there is an uplink. Nothing is probed: a dial that ends with the server's proof is the
 * uplink, and whatever else answers (a sign-in page) is none. Tries come less often the longer they fail, and at once when the network changes.
 */
import { HavenError, isHavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Random } from '../core/environment.ts'
import type { DeviceKeys } from '../identity/device-key.ts'
import { backoffMs } from '../mesh/backoff.ts'
import type { AcceptLink, Link } from '../sync/link.ts'
import { startChannelLink } from './channel-link.ts'
import { dialServer } from './dial-server.ts'
import type { ChannelTicket, ServerKeys } from './inner-channel.ts'

/** Between tries: from a second to five minutes, when nothing changes. */
const backoff = { firstMs: 1_000, capMs: 5 * 60_000, random: Math.random }
/** Whoever has just signed in to the network waits for it, and no address changes. */
const portalCapMs = 60_000
/** A new address often comes before the way out works, and to all devices of a camp at once. */
const networkSettlesMs = 1_000
/** A link that has lived so long was a good one. */
const goodLinkMs = 10_000

export interface UplinkOptions {
  readonly server: ServerKeys
  /** Best first. */
  readonly addresses: () => readonly string[]
  readonly keys: DeviceKeys
  readonly mesh: string
  readonly random: Random
  /** How long to wait before the next call, because calls cost something. */
  readonly paceMs?: () => number
  readonly accept: AcceptLink
  readonly log: (event: string, details: Record<string, unknown>) => void
}

export interface UplinkStatus {
  readonly state: 'connected' | 'connecting' | 'waiting'
  /** Where it is connected. */
  readonly address: string | undefined
  /** By the wall clock; of the state that is. */
  readonly sinceMs: number
  /** When it is tried again. */
  readonly nextMs: number | undefined
  /** Why the last try, or the last link, ended. */
  readonly problem: { readonly code: string; readonly message: string } | undefined
}

export class Uplink {
  readonly #options: UplinkOptions
  readonly #stop = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #failures = 0
  /** By the monotonic clock: when it would be called, if calls were free. */
  #freeMs = 0
  #ticket: ChannelTicket | undefined
  #link: Link | undefined
  #ended: Promise<void> = Promise.resolve()
  #status: UplinkStatus

  /** It dials at once. */
  constructor(options: UplinkOptions) {
    this.#options = options
    this.#status = this.#stateOf('connecting', {})
    this.#ended = this.#dial()
  }

  get status(): UplinkStatus {
    return this.#status
  }

  /** There may be a way out now where there was none. */
  networkChanged(): void {
    if (this.#status.state !== 'waiting' || this.#stop.signal.aborted) return
    this.#failures = 0
    this.#wait(networkSettlesMs * (0.5 + Math.random()))
  }

  /** There is something that is worth a call now, however dear it is; tries that fail keep their distance all the same. */
  callSoon(): void {
    if (this.#status.state !== 'waiting' || this.#stop.signal.aborted) return
    const waitMs = Math.max(0, this.#freeMs - performance.now())
    if (this.#status.nextMs !== undefined && this.#status.nextMs <= Date.now() + waitMs + 500)
      return
    this.#callIn(waitMs, this.#status.problem)
  }

  /** Resolves when the link has ended. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    this.#stop.abort()
    this.#link?.close('stopped')
    await this.#ended
  }

  async #dial(): Promise<void> {
    this.#status = this.#stateOf('connecting', { problem: this.#status.problem })
    let problem: HavenError | undefined
    for (const address of this.#options.addresses()) {
      if (this.#stop.signal.aborted) return
      try {
        const reason = await this.#connect(address)
        problem = new HavenError('PEER_CLOSED', `The connection to the server ended (${reason}).`)
        break
      } catch (error) {
        if (!isHavenError(error)) throw error
        problem = error
        this.#options.log('no server', { address, error: error.code })
      }
    }
    if (this.#stop.signal.aborted) return
    this.#failures += 1
    const capMs = problem?.code === 'CAPTIVE_PORTAL' ? portalCapMs : backoff.capMs
    this.#wait(backoffMs(this.#failures - 1, { ...backoff, capMs }), problem)
  }

  #wait(waitMs: number, problem = this.#status.problem): void {
    this.#freeMs = performance.now() + waitMs
    this.#callIn(Math.max(waitMs, this.#options.paceMs?.() ?? 0), problem)
  }

  #callIn(waitMs: number, problem: HavenError | UplinkStatus['problem']): void {
    clearTimeout(this.#timer)
    this.#status = this.#stateOf('waiting', {
      problem,
      nextMs: Date.now() + waitMs,
    })
    this.#timer = setTimeout(() => {
      this.#ended = this.#dial()
    }, waitMs)
  }

  /** @returns why the link ended */
  async #connect(address: string): Promise<string> {
    const { server, keys, mesh, random, accept } = this.#options
    const { socket, connection, ticket } = await dialServer({
      address,
      server,
      keys,
      mesh,
      purpose: 'sync',
      ticket: this.#ticket,
      random,
      signal: this.#stop.signal,
    })
    this.#ticket = ticket
    const startedMs = performance.now()
    this.#status = this.#stateOf('connected', { address })
    const { promise, resolve } = Promise.withResolvers<string>()
    this.#link = startChannelLink({
      socket,
      connection,
      side: 'dialler',
      remoteAddress: address,
      firstFrameBytes: limits.frameBytes,
      accept,
      onClosed: resolve,
    })
    const reason = await promise
    this.#link = undefined
    if (performance.now() - startedMs >= goodLinkMs) this.#failures = 0
    return reason
  }

  #stateOf(
    state: UplinkStatus['state'],
    more: Partial<Pick<UplinkStatus, 'address' | 'nextMs' | 'problem'>>,
  ): UplinkStatus {
    const nothing = { address: undefined, nextMs: undefined, problem: undefined }
    return { ...nothing, ...more, state, sinceMs: Date.now() }
  }
}

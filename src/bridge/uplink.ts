/**
 * Keeps a device connected with one server while there is an uplink. Nothing is probed: a dial that ends with the server's proof is the
 * uplink, and whatever else answers (a sign-in page) is none. Tries come less often the longer they fail, and at once when the network changes.
 *
 * Where WebSockets don't get through, or don't live, it goes on in plain requests, and looks now and then whether they do again.
 */
import { HavenError, isHavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Random } from '../core/environment.ts'
import type { DeviceKeys } from '../identity/device-key.ts'
import { backoffMs } from '../mesh/backoff.ts'
import type { StartAsking } from '../sync/asker.ts'
import type { AcceptLink } from '../sync/link.ts'
import { startChannelLink } from './channel-link.ts'
import { Conversation } from './converse.ts'
import { dialServer } from './dial-server.ts'
import type { DialledServer } from './dial-server.ts'
import { ExchangePace } from './exchange-pace.ts'
import type { ChannelTicket, ServerKeys } from './inner-channel.ts'
import type { LinkMeter } from './link-meter.ts'
import { ServerPosts } from './server-posts.ts'

/** Between tries: from a second to five minutes, when nothing changes. */
const backoff = { firstMs: 1_000, capMs: 5 * 60_000, random: Math.random }
/** Whoever has just signed in to the network waits for it, and no address changes. */
const portalCapMs = 60_000
/** A new address often comes before the way out works, and to all devices of a camp at once. */
const networkSettlesMs = 1_000
/** A link that has lived so long was a good one. */
const goodLinkMs = 10_000
/** So many WebSockets in a row that did not live so long: something between cuts them. */
const shortSocketsMax = 3
/** While requests go through, WebSockets are tried again so often. */
const socketAgainMs = 10 * 60_000

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
  /** Over plain requests. */
  readonly startAsking: StartAsking
  /** Counts what is carried, by whichever way. */
  readonly meter?: LinkMeter | undefined
  /** The server has said that it carries nothing of this mesh. */
  readonly disowned?: () => void
  readonly log: (event: string, details: Record<string, unknown>) => void
}

export interface UplinkStatus {
  readonly state: 'connected' | 'connecting' | 'waiting'
  /** Where it is connected. */
  readonly address: string | undefined
  /** By what it is connected. */
  readonly carrier: 'websocket' | 'post' | undefined
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
  /** It was hung up for so long. */
  #restMs = 0
  #ticket: ChannelTicket | undefined
  /** Of whatever carries now. */
  #close: (reason: string) => void = () => {}
  readonly #pace = new ExchangePace(Math.random)
  #shortSockets = 0
  /** By the monotonic clock: no WebSocket is dialled before. */
  #noSocketUntilMs = 0
  #trySocket: () => void = () => {}
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
    if (this.#stop.signal.aborted) return
    this.#noSocketUntilMs = 0
    this.#shortSockets = 0
    this.#trySocket()
    if (this.#status.state !== 'waiting') return
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

  /** Hangs up, and calls again after so long, or as soon as there is a reason: to stay connected costs something too. */
  rest(forMs: number): void {
    if (this.#status.state !== 'connected') return
    this.#restMs = forMs
    this.#close('resting')
  }

  /** Resolves when the link has ended. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    this.#stop.abort()
    this.#close('stopped')
    await this.#ended
  }

  async #dial(): Promise<void> {
    this.#status = this.#stateOf('connecting', { problem: this.#status.problem })
    this.#restMs = 0
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
        if (error.code === 'SERVER_UNKNOWN_MESH') this.#options.disowned?.()
        this.#options.log('no server', { address, error: error.code })
      }
    }
    if (this.#stop.signal.aborted) return
    if (this.#restMs > 0) {
      this.#freeMs = performance.now()
      this.#failures = 0
      this.#callIn(this.#restMs, undefined)
      return
    }
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
      // An error loses its message on the way to another process.
      problem: problem && { code: problem.code, message: problem.message },
      nextMs: Date.now() + waitMs,
    })
    this.#timer = setTimeout(() => {
      this.#ended = this.#dial()
    }, waitMs)
  }

  /** @returns why it ended */
  async #connect(address: string): Promise<string> {
    const startedMs = performance.now()
    try {
      if (startedMs < this.#noSocketUntilMs) return await this.#converse(address)
      let isReached = false
      const reached = (): void => {
        isReached = true
      }
      let dialled: DialledServer
      try {
        dialled = await this.#dialSocket(address, reached)
      } catch (error) {
        // Something is there that does not let WebSockets through; it may be the server all the same.
        if (!isReached || !isHavenError(error, 'SERVER_NOT_FOUND')) throw error
        return await this.#converse(address)
      }
      return await this.#carry(address, dialled)
    } finally {
      if (performance.now() - startedMs >= goodLinkMs && this.#status.state === 'connected')
        this.#failures = 0
    }
  }

  async #dialSocket(address: string, reached?: () => void): Promise<DialledServer> {
    const { server, keys, mesh, random, meter } = this.#options
    const dialled = await dialServer({
      address,
      server,
      keys,
      mesh,
      purpose: 'sync',
      ticket: this.#ticket,
      random,
      meter,
      reached,
      signal: this.#stop.signal,
    })
    this.#ticket = dialled.ticket
    return dialled
  }

  /** Over a WebSocket. @returns why it ended */
  async #carry(address: string, { socket, connection }: DialledServer): Promise<string> {
    const startedMs = performance.now()
    this.#status = this.#stateOf('connected', { address, carrier: 'websocket' })
    const { promise, resolve } = Promise.withResolvers<string>()
    const link = startChannelLink({
      socket,
      connection,
      side: 'dialler',
      remoteAddress: address,
      firstFrameBytes: limits.frameBytes,
      accept: this.#options.accept,
      onClosed: resolve,
    })
    this.#close = (reason) => link.close(reason)
    const reason = await promise
    this.#shortSockets = performance.now() - startedMs >= goodLinkMs ? 0 : this.#shortSockets + 1
    if (this.#shortSockets >= shortSocketsMax)
      this.#noSocketUntilMs = performance.now() + socketAgainMs
    return reason
  }

  /** In plain requests, until they end or a WebSocket gets through. @returns why it ended */
  async #converse(address: string): Promise<string> {
    const { server, startAsking, paceMs } = this.#options
    const pace = this.#pace
    const signal = this.#stop.signal
    const posts = await ServerPosts.open({ ...this.#options, address, signal })
    if (signal.aborted) {
      posts.close()
      return 'stopped'
    }
    this.#status = this.#stateOf('connected', { address, carrier: 'post' })
    const { device } = server
    const conversation = new Conversation({
      posts,
      pace,
      startAsking,
      device,
      address,
      paceMs,
    })
    this.#close = (reason) => conversation.close(reason)
    const isOver = new AbortController()
    try {
      const ended = await Promise.race([
        conversation.ended,
        this.#untilSocket(address, isOver.signal),
      ])
      if (typeof ended === 'string') return ended
      conversation.close('a WebSocket gets through')
      return await this.#carry(address, ended)
    } finally {
      isOver.abort()
    }
  }

  /** Tries now and then. Resolves with a WebSocket; never, once it is over. */
  async #untilSocket(address: string, over: AbortSignal): Promise<DialledServer> {
    for (;;) {
      await this.#untilSocketIsDue(over)
      if (over.aborted) return new Promise(() => {})
      try {
        const dialled = await this.#dialSocket(address)
        if (!over.aborted) return dialled
        dialled.socket.terminate()
      } catch (error) {
        if (!isHavenError(error)) throw error
        this.#options.log('no WebSocket', { address, error: error.code })
      }
    }
  }

  async #untilSocketIsDue(over: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, socketAgainMs * (0.75 + Math.random() / 2))
    over.addEventListener('abort', () => resolve())
    this.#trySocket = () => setTimeout(resolve, networkSettlesMs)
    await promise
    this.#trySocket = () => {}
    clearTimeout(timer)
  }

  #stateOf(
    state: UplinkStatus['state'],
    more: Partial<Pick<UplinkStatus, 'address' | 'carrier' | 'nextMs' | 'problem'>>,
  ): UplinkStatus {
    const nothing = {
      address: undefined,
      carrier: undefined,
      nextMs: undefined,
      problem: undefined,
    }
    return { ...nothing, ...more, state, sinceMs: Date.now() }
  }
}

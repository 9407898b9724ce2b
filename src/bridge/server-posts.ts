/** A device's way to a server where only plain requests get through: a token, and then one question and its answer in each request. */
import type { Agent } from 'node:http'
import { emptyBytes, utf8ToBytes } from '../core/bytes.ts'
import type { Random } from '../core/environment.ts'
import { HavenError, isHavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { DeviceKeys } from '../identity/device-key.ts'
import { notFound, refusedWith } from './dial-server.ts'
import { Question } from './exchange-seal.ts'
import { ChannelCaller, handshakeBytesMax, tokenMs } from './inner-channel.ts'
import type { ChannelTicket, ServerKeys } from './inner-channel.ts'
import type { LinkMeter } from './link-meter.ts'
import { otherAnswer } from './other-answer.ts'
import { post, postAgent } from './post.ts'
import type { Posted } from './post.ts'
import { exchangePath, serverUrl, tokenPath } from './server-url.ts'

/** For each request of the handshake. */
const handshakeMs = 20_000
/** A question, its answer, and what the server has to do between. */
const answeredMs: number = 2 * limits.exchangeMs

export interface ServerPostsOptions {
  /** `http(s)://host[:port][/path]` */
  readonly address: string
  readonly server: ServerKeys
  readonly keys: DeviceKeys
  readonly mesh: string
  readonly random: Random
  readonly meter?: LinkMeter | undefined
  readonly signal: AbortSignal
}

export class ServerPosts {
  readonly #options: ServerPostsOptions
  readonly #agent: Agent
  #ticket: ChannelTicket | undefined
  /** The server's clock, and ours (monotonic) when it said so. */
  #serverClock = { serverMs: 0, ownMs: 0 }

  private constructor(options: ServerPostsOptions) {
    this.#options = options
    this.#agent = postAgent(serverUrl(options.address, exchangePath), options.meter)
  }

  /**
   * Resolves when the server has proved itself, and has let this device in.
   *
   * @throws HavenError as `dialServer`, and `LIMIT_EXCEEDED` where the server asks for patience
   */
  static async open(options: ServerPostsOptions): Promise<ServerPosts> {
    const posts = new ServerPosts(options)
    try {
      await posts.#shakeHands()
      return posts
    } catch (error) {
      posts.close()
      throw error
    }
  }

  close(): void {
    this.#agent.destroy()
  }

  /**
   * One question and its answer. When it fails, nobody knows whether the server has heard it: it may be asked anew.
   *
   * @throws HavenError as `open`, and what the server answers instead
   */
  async exchange(frames: readonly Uint8Array[]): Promise<readonly Uint8Array[]> {
    const first = this.#seal(frames)
    let question = first
    let posted = await this.#post(exchangePath, question.bytes, answeredMs)
    if (posted.status === 401) {
      // The server was started anew, or the token has ended: a question that it could not open, it has not heard.
      await this.#shakeHands()
      question = this.#seal(frames)
      posted = await this.#post(exchangePath, question.bytes, answeredMs)
    }
    const answer = posted.status === 200 ? question.answer(posted.body) : undefined
    if (answer === undefined) throw this.#notAnswered(posted)
    this.#serverClock = { serverMs: answer.nowMs, ownMs: performance.now() }
    if (answer.ticket !== undefined) this.#ticket = answer.ticket
    if (answer.code !== '') throw refusedWith(answer.code)
    return answer.frames
  }

  #seal(frames: readonly Uint8Array[]): Question {
    const { serverMs, ownMs } = this.#serverClock
    const serverNowMs = Math.round(serverMs + performance.now() - ownMs)
    return new Question({
      ticket: this.#ticket!,
      frames,
      serverNowMs,
      random: this.#options.random,
    })
  }

  async #shakeHands(): Promise<void> {
    const { address, random } = this.#options
    const caller = new ChannelCaller({ ...this.#options, purpose: 'sync' }, random)
    const challenge = await this.#say(emptyBytes)
    const answered = await this.#say(caller.answer(challenge))
    const acceptance = caller.accepted(answered)
    if (acceptance === undefined) throw notFound(address, 'it does not take an answer')
    const { code, ticket } = acceptance
    if (code !== '' || ticket === undefined) throw refusedWith(code)
    this.#ticket = ticket
    this.#serverClock = { serverMs: ticket.expiresAtMs - tokenMs, ownMs: performance.now() }
  }

  async #say(message: Uint8Array): Promise<Uint8Array> {
    const posted = await this.#post(tokenPath, message, handshakeMs)
    if (posted.status === 200 && posted.body.length <= handshakeBytesMax) return posted.body
    throw this.#notAnswered(posted)
  }

  async #post(path: string, body: Uint8Array, withinMs: number): Promise<Posted> {
    const { address, signal } = this.#options
    const within = AbortSignal.any([signal, AbortSignal.timeout(withinMs)])
    const options = { agent: this.#agent, signal: within, maxBytes: limits.exchangeBytes }
    try {
      return await post(serverUrl(address, path), body, options)
    } catch (error) {
      if (isHavenError(error)) throw error
      const why = within.aborted ? 'nobody answered in time' : (error as Error).message
      throw notFound(address, why, error)
    }
  }

  /** Anybody may have said it. */
  #notAnswered({ status, headers, body }: Posted): HavenError {
    const isBusy = status === 429 || (status === 503 && hasCode(body, 'LIMIT_EXCEEDED'))
    if (isBusy) {
      return new HavenError(
        'LIMIT_EXCEEDED',
        'The server is asked more than it can answer now. It is asked again later.',
      )
    }
    return otherAnswer(this.#options.address, status, headers)
  }
}

function hasCode(body: Uint8Array, code: string): boolean {
  return Buffer.from(body).includes(utf8ToBytes(`"${code}"`))
}

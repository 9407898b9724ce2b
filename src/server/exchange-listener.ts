/** The side of a server that answers plain requests of devices: a token for who proves itself, and an answer to each question (docs/protocol.md). */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { openQuestionHead, questionHeadBytes } from '../bridge/exchange-seal.ts'
import type { QuestionHead } from '../bridge/exchange-seal.ts'
import { handshakeBytesMax } from '../bridge/inner-channel.ts'
import type { ChannelGate, Claim } from '../bridge/inner-channel.ts'
import { channelPath, exchangePath, tokenPath } from '../bridge/server-url.ts'
import type { Random } from '../core/environment.ts'
import { HavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Answer } from '../device/exchange.ts'
import type { FloodGuard } from './flood-guard.ts'
import { bytes, bytesType, refusal } from './http-route.ts'
import type { HttpRoute } from './http-route.ts'
import { readBody } from './read-body.ts'
import type { RequestBook } from './request-book.ts'
import type { ServerLog } from './served-mesh.ts'

export interface ExchangeListenerOptions {
  readonly gate: ChannelGate
  readonly book: RequestBook
  readonly guard: FloodGuard
  readonly nowMs: () => number
  readonly random: Random
  /** Why a device may not come in, as an error code; empty: it may. */
  readonly decide: (claim: Claim) => Promise<string>
  readonly answer: (
    claim: Claim,
    address: string,
    question: readonly Uint8Array[],
  ) => Promise<Answer>
  readonly log: ServerLog
}

/** A request, from its beginning until it has been answered. */
interface Visit {
  /** Whose it is, once that is known. */
  device: string | undefined
}

/** Of one device: the one before may have been lost on the way, and not yet be over here. */
const questionsOfDevice = 2

export class ExchangeListener {
  readonly #options: ExchangeListenerOptions
  /** On their way or being answered. */
  readonly #questions = { count: 0, max: limits.serverExchanges }
  readonly #proofs = { count: 0, max: limits.serverStrangers }
  readonly #visits = new WeakMap<FastifyRequest, Visit>()
  /** Questions by device. */
  readonly #questionsBy = new Map<string, number>()
  /** Since the start. */
  answered = 0
  /** By error code. */
  readonly refusals = new Map<string, number>()
  readonly routes: readonly HttpRoute[]

  constructor(options: ExchangeListenerOptions) {
    this.#options = options
    this.routes = [
      {
        method: 'POST',
        url: tokenPath,
        summary: 'A token for a device',
        description:
          'The handshake of the inner channel. The first request has no body, and is answered with a challenge; the second one has the device’s proof, and is answered with its token, or with why it may not come in, sealed.',
        body: bytes('Nothing, or a proof.', 0, handshakeBytesMax),
        response: {
          200: bytes('A challenge; or what became of the proof.', 1, handshakeBytesMax),
          400: refusal(
            'It is no proof, or to no challenge of this server (`MALFORMED`, `BAD_SIGNATURE`, `TIMED_OUT`).',
          ),
          408: refusal('It did not arrive in time (`TIMED_OUT`).'),
          413: refusal('It is too large (`TOO_LARGE`).'),
          429: refusal('This address calls too often (`LIMIT_EXCEEDED`).'),
          503: refusal('Too many are on their way (`LIMIT_EXCEEDED`).'),
        },
        handler: (request, reply) => this.#token(request, reply),
      },
      {
        method: 'POST',
        url: exchangePath,
        summary: 'One question of a device, and its answer',
        description:
          'A whole conversation of the sync protocol: token and sealed messages in, sealed messages out. Nothing is kept for the next one, so that any process of the server can take it. What went wrong in the mesh is in the sealed answer.',
        body: bytes('A question.', questionHeadBytes + 1, limits.exchangeBytes),
        response: {
          200: bytes('Its answer.', 1, limits.exchangeBytes),
          400: refusal('It is no question (`MALFORMED`, `FRAME_TOO_LONG`).'),
          401: refusal(
            'Its token is none of this server’s, or has ended, or it is not by who has the token (`TOKEN_ENDED`): a new token is needed.',
          ),
          408: refusal('It did not arrive in time (`TIMED_OUT`).'),
          409: refusal('It has been asked before (`ASKED_BEFORE`).'),
          413: refusal('It is too large (`TOO_LARGE`).'),
          429: refusal('This device, or this address, asks too often (`LIMIT_EXCEEDED`).'),
          503: refusal('Too much is asked at once (`LIMIT_EXCEEDED`).'),
        },
        handler: (request, reply) => this.#exchange(request, reply),
      },
      {
        method: 'GET',
        url: channelPath,
        summary: 'The WebSocket of devices',
        description:
          'With an upgrade (RFC 6455) a WebSocket opens; without one there is nothing to get.',
        response: { 426: refusal('A WebSocket is expected (`USAGE`).') },
        handler: async (_request, reply) => {
          const message = 'A WebSocket is expected here.'
          await reply.code(426).header('upgrade', 'websocket').send({ code: 'USAGE', message })
        },
      },
    ]
  }

  /** @throws HavenError `LIMIT_EXCEEDED` when there are too many */
  arrives(request: FastifyRequest, reply: FastifyReply): void {
    const { guard } = this.#options
    const isQuestion = request.routeOptions.url === exchangePath
    // Who asks is counted when it turns out to be a stranger.
    const mayCome = isQuestion ? guard.hostMayCome(request.ip) : guard.hostComes(request.ip)
    if (!mayCome) throw asksTooMuch(429)
    const coming = isQuestion ? this.#questions : this.#proofs
    if (coming.count >= coming.max) throw asksTooMuch(503)
    const visit: Visit = { device: undefined }
    this.#visits.set(request, visit)
    coming.count += 1
    reply.raw.once('close', () => {
      coming.count -= 1
      if (visit.device !== undefined) this.#countOf(visit.device, -1)
    })
  }

  /** Reads what a device has to say. @throws HavenError */
  read(request: FastifyRequest): Promise<Buffer> {
    if (request.routeOptions.url !== exchangePath)
      return readBody(request.raw, { maxBytes: handshakeBytesMax, withinMs: limits.helloMs })
    return readBody(request.raw, {
      maxBytes: limits.exchangeBytes,
      withinMs: limits.exchangeMs,
      head: {
        bytes: questionHeadBytes,
        withinMs: limits.helloMs,
        check: (head) => {
          const { device } = this.#headOf(head, request.ip).claim
          if (this.#countOf(device, 1) > questionsOfDevice) {
            this.#countOf(device, -1)
            throw asksTooMuch(429)
          }
          this.#visits.get(request)!.device = device
        },
      },
    })
  }

  #countOf(device: string, more: number): number {
    const count = (this.#questionsBy.get(device) ?? 0) + more
    if (count === 0) this.#questionsBy.delete(device)
    else this.#questionsBy.set(device, count)
    return count
  }

  /** Whoever has no token of ours is a stranger, and counted as one. */
  #headOf(head: Uint8Array, host: string): QuestionHead {
    const { gate, nowMs, random, guard } = this.#options
    const opened = openQuestionHead(gate, head, nowMs(), random)
    if (opened !== undefined) return opened
    guard.hostComes(host)
    throw tokenEnded()
  }

  async #token(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { gate, nowMs, guard, decide } = this.#options
    const body = (request.body ?? Buffer.alloc(0)) as Buffer
    let said: Uint8Array
    if (body.length === 0) said = gate.challenge(nowMs())
    else {
      const admission = gate.admit(body, nowMs())
      if (admission === undefined || admission.claim.purpose !== 'sync')
        throw new HavenError('MALFORMED', 'A proof is expected here.')
      const { claim } = admission
      const code = guard.mayCome(claim.device) ? await decide(claim) : 'LIMIT_EXCEEDED'
      if (code !== '') this.refused(code, request.ip)
      said = admission.reply(code)
    }
    await reply.type(bytesType).send(Buffer.from(said))
  }

  async #exchange(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { nowMs, guard, book, decide, answer } = this.#options
    const body = request.body as Buffer
    const head = this.#headOf(body.subarray(0, questionHeadBytes), request.ip)
    const question = head.open(body.subarray(questionHeadBytes), nowMs())
    if (question === undefined) {
      guard.hostComes(request.ip)
      throw tokenEnded()
    }
    const { claim } = head
    if (!guard.deviceAsks(claim.device)) throw asksTooMuch(429)
    if (!(await book.isNew(question.id, question.expiresAtMs))) {
      throw new HavenError('ASKED_BEFORE', 'This has been asked before: ask anew.')
    }
    const code = await decide(claim)
    const said =
      code === '' ? await answer(claim, request.ip, question.frames) : { code, frames: [] }
    if (said.code !== '') this.refused(said.code, request.ip)
    this.answered += 1
    const sealed = question.answer(said, nowMs())
    await reply.type(bytesType).send(Buffer.from(sealed))
  }

  refused(code: string, address: string): void {
    this.refusals.set(code, (this.refusals.get(code) ?? 0) + 1)
    this.#options.log({ level: 'info', code, message: 'A device was turned away.', address })
  }
}

/** With the status that says whose fault it is. */
export class AsksTooMuch extends HavenError {
  readonly statusCode: 429 | 503

  constructor(statusCode: 429 | 503) {
    super('LIMIT_EXCEEDED', 'The server is asked more than it can answer now. Ask again later.')
    this.statusCode = statusCode
  }
}

function asksTooMuch(statusCode: 429 | 503): HavenError {
  return new AsksTooMuch(statusCode)
}

function tokenEnded(): HavenError {
  return new HavenError(
    'TOKEN_ENDED',
    'The token has ended, or is of another server: get a new one.',
  )
}

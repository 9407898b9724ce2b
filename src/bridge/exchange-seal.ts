/**
 * What goes over the wire of an exchange (docs/protocol.md, Exchanges): one question of a device that has a token, and its answer, each sealed
 * under a key of its own. Pure: whether a question has been asked before is for others to say, by its id.
 */
import { bytesToHex, concatBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import type { Random } from '../core/environment.ts'
import { HavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { open, seal } from '../crypto/cipher.ts'
import { domainBytes } from '../crypto/hash.ts'
import { hkdf } from '../crypto/kdf.ts'
import { tokenBytes, tokenMs } from './inner-channel.ts'
import type { ChannelGate, ChannelTicket, Claim } from './inner-channel.ts'

const kind = 2
const saltBytes = 16
/** What comes before the sealed part, and says by whom it is. */
export const questionHeadBytes: number = 1 + saltBytes + tokenBytes
/** A question is good for so long, by the server's clock: as long as it may take to arrive, and some more. */
const questionMs: number = limits.exchangeMs + 60_000
/** A clock that goes on while a question is written. */
const skewMs = 60_000
const answerCodeBytes = 64

export interface AnsweredQuestion {
  /** Why there is no answer, as an error code; empty: there is one. */
  readonly code: string
  readonly frames: readonly Uint8Array[]
  /** The server's clock. */
  readonly nowMs: number
  /** Instead of the token that was shown: it would end soon. */
  readonly ticket: ChannelTicket | undefined
}

/** A device's side of one exchange. */
export class Question {
  readonly #ticket: ChannelTicket
  readonly #salt: Uint8Array
  readonly bytes: Uint8Array

  /** @param options.serverNowMs - as the server's clock is believed to be */
  constructor(options: {
    readonly ticket: ChannelTicket
    readonly frames: readonly Uint8Array[]
    readonly serverNowMs: number
    readonly random: Random
  }) {
    const { ticket, frames, serverNowMs, random } = options
    this.#ticket = ticket
    this.#salt = random.bytes(saltBytes)
    const head = concatBytes(Uint8Array.of(kind), this.#salt, ticket.token)
    const expiry = new ByteWriter().u64(serverNowMs + questionMs).finish()
    const { key, nonce } = questionKey(ticket.master, this.#salt)
    this.bytes = concatBytes(head, seal(key, nonce, concatBytes(expiry, packFrames(frames)), head))
  }

  /**
   * What the server says to it. Nobody else can have said it, and to no other question.
   *
   * @returns undefined for anything else
   */
  answer(bytes: Uint8Array): AnsweredQuestion | undefined {
    const { master } = this.#ticket
    const salts = concatBytes(this.#salt, bytes.subarray(0, saltBytes))
    const { key, nonce } = answerKey(master, salts)
    const opened = open(key, nonce, bytes.subarray(saltBytes), salts)
    if (opened === undefined) return undefined
    const reader = new ByteReader(opened, 'answer of the server')
    const code = reader.text(answerCodeBytes)
    const nowMs = reader.u64()
    const token = reader.lengthPrefixed(tokenBytes).slice()
    const expiresAtMs = reader.u64()
    const ticket =
      token.length === 0 ? undefined : { master: renewedMaster(master, salts), token, expiresAtMs }
    return { code, nowMs, ticket, frames: unpackFrames(reader.rest()) }
  }
}

/** Whose a question is, as far as its head says. */
export interface QuestionHead {
  readonly claim: Claim
  /**
   * What is asked, once all of it is there.
   *
   * @returns undefined when who sends it does not have the keys of the token, or it is too old
   * @throws HavenError `MALFORMED`
   */
  open(sealed: Uint8Array, nowMs: number): HeardQuestion | undefined
}

interface HeardQuestion {
  /** No other question of any device has it. */
  readonly id: string
  /** From then on it does not open any more. */
  readonly expiresAtMs: number
  readonly frames: readonly Uint8Array[]
  /** To be said once. */
  answer(answer: Pick<AnsweredQuestion, 'code' | 'frames'>, nowMs: number): Uint8Array
}

/**
 * The server's side.
 *
 * @param head - the first {@link questionHeadBytes}
 * @returns undefined when the token is none of this server's, or not any more
 */
export function openQuestionHead(
  gate: ChannelGate,
  head: Uint8Array,
  nowMs: number,
  random: Random,
): QuestionHead | undefined {
  if (head.length !== questionHeadBytes || head[0] !== kind) return undefined
  const salt = head.slice(1, 1 + saltBytes)
  const token = gate.openToken(head.subarray(1 + saltBytes), nowMs)
  if (token === undefined || token.claim.purpose !== 'sync') return undefined
  const { claim, master } = token
  return {
    claim,
    open(sealed, heardMs) {
      const { key, nonce } = questionKey(master, salt)
      const opened = open(key, nonce, sealed, head)
      if (opened === undefined) return undefined
      const reader = new ByteReader(opened, 'question')
      const expiresAtMs = reader.u64()
      if (heardMs >= expiresAtMs || expiresAtMs > heardMs + questionMs + skewMs) return undefined
      return {
        id: claim.device.slice(0, 32) + bytesToHex(salt),
        expiresAtMs,
        frames: unpackFrames(reader.rest()),
        answer({ code, frames }, saidMs) {
          const serverSalt = random.bytes(saltBytes)
          const salts = concatBytes(salt, serverSalt)
          const isOld = saidMs >= token.expiresAtMs - tokenMs / 2
          const expiresMs = isOld ? saidMs + tokenMs : 0
          const renewed = { claim, master: renewedMaster(master, salts), expiresAtMs: expiresMs }
          const writer = new ByteWriter()
            .text(code)
            .u64(saidMs)
            .lengthPrefixed(isOld ? gate.sealToken(renewed) : new Uint8Array(0))
            .u64(expiresMs)
          const plain = concatBytes(writer.finish(), packFrames(frames))
          const keyed = answerKey(master, salts)
          return concatBytes(serverSalt, seal(keyed.key, keyed.nonce, plain, salts))
        },
      }
    },
  }
}

function questionKey(master: Uint8Array, salt: Uint8Array) {
  return keyAndNonce(hkdf(master, salt, domainBytes('havenmesh/bridge-question/v1'), 44))
}

function answerKey(master: Uint8Array, salts: Uint8Array) {
  return keyAndNonce(hkdf(master, salts, domainBytes('havenmesh/bridge-answer/v1'), 44))
}

/** That of a renewed token: who learns it can't go back to what was sealed before. */
function renewedMaster(master: Uint8Array, salts: Uint8Array): Uint8Array {
  return hkdf(master, salts, domainBytes('havenmesh/bridge-renewal/v1'), 32)
}

function keyAndNonce(bytes: Uint8Array) {
  return { key: bytes.subarray(0, 32), nonce: bytes.subarray(32) }
}

/** As on a stream: `u32 length · bytes` each. */
function packFrames(frames: readonly Uint8Array[]): Uint8Array {
  const writer = new ByteWriter(frames.reduce((sum, frame) => sum + 4 + frame.length, 0))
  for (const frame of frames) writer.u32(frame.length).bytes(frame)
  return writer.finish()
}

/** @throws HavenError `MALFORMED`, `FRAME_TOO_LONG` */
function unpackFrames(bytes: Uint8Array): Uint8Array[] {
  const reader = new ByteReader(bytes, 'frames')
  const frames: Uint8Array[] = []
  while (reader.remaining > 0) {
    const length = reader.u32()
    if (length > limits.frameBytes)
      throw new HavenError('FRAME_TOO_LONG', 'A frame is longer than a frame may be.')
    frames.push(reader.bytes(length))
  }
  return frames
}

/**
 * What goes over the control socket of a running server, one call per connection: a line of JSON from the command, then frames from the
 * server, `u32 length · u8 kind · content`. A backup is many parts; every call ends with a result or an error, so that one that was cut is known.
 */
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { bytesToUtf8, utf8ToBytes } from '../core/bytes.ts'
import { HavenError, isErrorCode, isHavenError } from '../core/errors.ts'
import { partBytesMax } from './backup/part-file.ts'
import type { PartContent } from './backup/part-file.ts'

export type ControlRequest =
  | { readonly version: 1; readonly call: 'meshes' | 'backup' }
  | { readonly version: 1; readonly call: 'remove'; readonly mesh: string }

export type ControlAnswer =
  | { readonly kind: 'result'; readonly value: unknown }
  | { readonly kind: 'error'; readonly error: HavenError }
  | { readonly kind: 'part'; readonly part: PartContent }

export const requestBytesMax = 1024
/** A part and its kind, or the summary of tens of thousands of meshes. */
const frameBytesMax = partBytesMax + 2
const kinds = { result: 0, error: 1, part: 2 } as const

export function requestLine(request: ControlRequest): string {
  return `${JSON.stringify(request)}\n`
}

/** @throws HavenError `MALFORMED`, `VERSION_MISMATCH` */
export function parseControlRequest(line: string): ControlRequest {
  const request = parsed(line)
  if (request.version !== 1)
    throw new HavenError(
      'VERSION_MISMATCH',
      'The running server is of another version than this command: stop it and start it again.',
    )
  const { call, mesh } = request
  if (call === 'meshes' || call === 'backup') return { version: 1, call }
  if (call === 'remove' && typeof mesh === 'string') return { version: 1, call, mesh }
  throw malformed()
}

export function answerFrame(answer: ControlAnswer): Uint8Array {
  if (answer.kind === 'part') {
    const { kind, payload } = answer.part
    return frame(kinds.part, new ByteWriter(payload.length + 1).u8(kind).bytes(payload).finish())
  }
  if (answer.kind === 'result') return frame(kinds.result, json({ value: answer.value }))
  const { code, message } = answer.error
  return frame(kinds.error, json({ code, message }))
}

/** What a connection says, until its result or its error. @throws HavenError `PEER_CLOSED`, `MALFORMED` */
export async function* readAnswers(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<ControlAnswer> {
  let waiting = Buffer.alloc(0)
  try {
    for await (const chunk of chunks) {
      waiting = waiting.length === 0 ? Buffer.from(chunk) : Buffer.concat([waiting, chunk])
      while (waiting.length >= 5) {
        const length = waiting.readUInt32BE(0)
        if (length > frameBytesMax) throw malformed()
        if (waiting.length < 4 + length) break
        const answer = parseAnswer(waiting.subarray(4, 4 + length))
        yield answer
        if (answer.kind !== 'part') return
        waiting = waiting.subarray(4 + length)
      }
    }
  } catch (error) {
    throw isHavenError(error) ? error : serverGone(error)
  }
  throw serverGone()
}

export function serverGone(cause?: unknown): HavenError {
  return new HavenError(
    'PEER_CLOSED',
    'The server ended before it had answered in full. Do it again.',
    { cause },
  )
}

function parseAnswer(bytes: Uint8Array): ControlAnswer {
  const reader = new ByteReader(bytes, 'answer of the server')
  const kind = reader.u8()
  if (kind === kinds.part)
    return { kind: 'part', part: { kind: reader.u8(), payload: reader.rest().slice() } }
  const text = bytesToUtf8(reader.rest())
  if (kind === kinds.result) return { kind: 'result', value: parsed(text).value }
  const { code, message } = parsed(text)
  const known = typeof code === 'string' && isErrorCode(code) ? code : 'INTERNAL'
  return { kind: 'error', error: new HavenError(known, String(message)) }
}

/** Of a mistake of ours only that it happened: its words may quote what they should not. */
export function errorToSay(error: unknown): HavenError {
  if (isHavenError(error)) return error
  return new HavenError('INTERNAL', 'The server met an unexpected problem. Its log says more.')
}

function frame(kind: number, content: Uint8Array): Uint8Array {
  return new ByteWriter(content.length + 5)
    .u32(content.length + 1)
    .u8(kind)
    .bytes(content)
    .finish()
}

function json(value: unknown): Uint8Array {
  return utf8ToBytes(JSON.stringify(value))
}

function parsed(text: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw malformed()
  }
  if (typeof value !== 'object' || value === null) throw malformed()
  return value as Record<string, unknown>
}

function malformed(): HavenError {
  return new HavenError(
    'MALFORMED',
    'Something on the local socket of a server was not what it should be.',
  )
}

/** The bytes of a request, as many as may be and no longer than it may take. */
import type { IncomingMessage } from 'node:http'
import { HavenError } from '../core/errors.ts'

export interface BodyBounds {
  readonly maxBytes: number
  readonly withinMs: number
  /** What is looked at as soon as it is there, before any more is read. */
  readonly head?: {
    readonly bytes: number
    readonly withinMs: number
    /** @throws HavenError for what is not to be read any further */
    readonly check: (head: Uint8Array) => void
  }
}

/** @throws HavenError `TOO_LARGE`, `TIMED_OUT`, `PEER_CLOSED`, and what the head is refused with */
export async function readBody(request: IncomingMessage, bounds: BodyBounds): Promise<Buffer> {
  const { maxBytes, withinMs } = bounds
  let { head } = bounds
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge()
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timers = [
    setTimeout(() => reject(timedOut()), withinMs),
    setTimeout(() => head && reject(timedOut()), head?.withinMs ?? withinMs),
  ]
  const chunks: Buffer[] = []
  let bytes = 0
  const pieces = (request as AsyncIterable<Buffer>)[Symbol.asyncIterator]()
  try {
    for (;;) {
      const { done, value } = await Promise.race([pieces.next(), late])
      if (done === true) break
      chunks.push(value)
      bytes += value.length
      if (bytes > maxBytes) throw tooLarge()
      if (head !== undefined && bytes >= head.bytes) {
        head.check(Buffer.concat(chunks).subarray(0, head.bytes))
        head = undefined
      }
    }
  } catch (error) {
    if (error instanceof HavenError) throw error
    throw new HavenError('PEER_CLOSED', 'A request was broken off.', { cause: error })
  } finally {
    for (const timer of timers) clearTimeout(timer)
  }
  const body = Buffer.concat(chunks)
  head?.check(body)
  return body
}

function tooLarge(): HavenError {
  return new HavenError('TOO_LARGE', 'The request is larger than a request may be.')
}

function timedOut(): HavenError {
  return new HavenError('TIMED_OUT', 'The request did not arrive in time.')
}

/** One plain request, with bytes in it and bytes in its answer. */
import { Agent as PlainAgent, request as plainRequest } from 'node:http'
import type { Agent, IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { Agent as TlsAgent, request as tlsRequest } from 'node:https'
import { once } from 'node:events'
import type { LinkMeter } from './link-meter.ts'

export interface Posted {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Uint8Array
}

/** Connections that are used again, one at a time: `destroy` ends them. */
export function postAgent(url: URL, meter: LinkMeter | undefined): Agent {
  const isSecure = url.protocol === 'https:'
  // Who the server is is proved inside, as over a WebSocket.
  const options = { keepAlive: true, maxSockets: 1, rejectUnauthorized: false }
  if (meter !== undefined) return meter.agent(isSecure, options)
  return isSecure ? new TlsAgent(options) : new PlainAgent(options)
}

/**
 * @param options.maxBytes - an answer that is longer is cut off, and an error
 * @throws Error of the connection, or of `signal`
 */
export async function post(
  url: URL,
  body: Uint8Array,
  options: { readonly agent: Agent; readonly signal: AbortSignal; readonly maxBytes: number },
): Promise<Posted> {
  const { agent, signal, maxBytes } = options
  const request = (url.protocol === 'https:' ? tlsRequest : plainRequest)(url, {
    method: 'POST',
    agent,
    signal,
    headers: { 'content-type': 'application/octet-stream', 'content-length': body.length },
  })
  request.end(body)
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > maxBytes) throw new Error('it answers with more than was asked for')
    chunks.push(chunk)
  }
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: Buffer.concat(chunks),
  }
}

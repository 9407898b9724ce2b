import { createServer, request as makeRequest } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { listening } from '../bridge/support.ts'

/** Lets nothing through but plain requests, and keeps what was in them. */
export interface PlainProxy {
  readonly address: string
  /** Bodies of the requests to a path, in their order. */
  bodies(path: string): Buffer[]
  /** From now on WebSockets get through as well. */
  letUpgrade(options?: { readonly cutAfterMs: number }): void
  /** From now on the answers of so many requests to a path are lost. */
  loseAnswers(path: string, count: number): void
}

/** On loopback; it forgets to pass on that a request wants to be upgraded. Of several servers each gets a request in its turn. */
export async function plainProxy(...servers: string[]): Promise<PlainProxy> {
  let turn = 0
  const next = (): string => servers[turn++ % servers.length]!
  const said = new Map<string, Buffer[]>()
  const losing = new Map<string, number>()
  let isOpen = false
  let cutAfterMs: number | undefined
  const proxy = createServer((request, response) => {
    void (async () => {
      const body = await bodyOf(request)
      const url = request.url ?? '/'
      said.set(url, [...(said.get(url) ?? []), body])
      const { connection: _connection, upgrade: _upgrade, ...headers } = request.headers
      const method = request.method ?? 'GET'
      const onward = makeRequest(new URL(url, next()), { method, headers, agent: false })
      onward.on('response', (answer) => {
        const left = losing.get(url) ?? 0
        losing.set(url, left - 1)
        if (left > 0) {
          answer.resume()
          request.socket.destroy()
          return
        }
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(response)
      })
      onward.on('error', () => request.socket.destroy())
      onward.end(body)
    })()
  })
  proxy.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy())
    const { connection: _connection, upgrade: _upgrade, ...headers } = request.headers
    const kept = isOpen ? request.headers : headers
    const onward = makeRequest(new URL(request.url ?? '/', next()), { headers: kept, agent: false })
    onward.on('upgrade', (answer, far, first) => {
      const lines = Object.entries(answer.headers).map(
        ([name, value]) => `${name}: ${String(value)}`,
      )
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('\r\n')}\r\n\r\n`)
      if (cutAfterMs !== undefined) setTimeout(() => far.destroy(), cutAfterMs)
      far.write(head)
      socket.write(first)
      far.on('error', () => socket.destroy())
      far.on('close', () => socket.destroy())
      socket.on('close', () => far.destroy())
      far.pipe(socket)
      socket.pipe(far)
    })
    onward.on('response', (answer) => {
      answer.resume()
      socket.end(`HTTP/1.1 ${answer.statusCode} No\r\nconnection: close\r\n\r\n`)
    })
    onward.on('error', () => socket.destroy())
    onward.end()
  })
  return {
    address: await listening(proxy),
    bodies: (path) => said.get(path) ?? [],
    letUpgrade(options) {
      isOpen = true
      cutAfterMs = options?.cutAfterMs
    },
    loseAnswers: (path, count) => losing.set(path, count),
  }
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks)
}

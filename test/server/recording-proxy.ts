/** A proxy that ends TLS before a server, as a load balancer does, and keeps all that it sees in the clear. */
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'

/** What went through one connection, without TLS. */
export interface Recording {
  readonly toServer: Buffer[]
  readonly toDevice: Buffer[]
}

export interface RecordingProxy {
  /** `https://…`, where devices dial. */
  readonly address: string
  readonly recordings: Recording[]
}

/** @param serverPort - on loopback, without TLS */
export async function startRecordingProxy(serverPort: number): Promise<RecordingProxy> {
  const file = (name: string) =>
    readFile(fileURLToPath(new URL(`../fixtures/tls/${name}`, import.meta.url)))
  const recordings: Recording[] = []
  const sockets = new Set<{ destroy(): void }>()
  const server = createServer(
    { cert: await file('expired.crt'), key: await file('expired.key') },
    (device) => {
      const recording: Recording = { toServer: [], toDevice: [] }
      recordings.push(recording)
      const behind = connect(serverPort, '127.0.0.1')
      for (const [from, to, kept] of [
        [device, behind, recording.toServer],
        [behind, device, recording.toDevice],
      ] as const) {
        sockets.add(from)
        from.on('data', (data: Buffer) => {
          kept.push(Buffer.from(data))
          to.write(data)
        })
        from.on('error', () => from.destroy())
        from.on('close', () => to.destroy())
      }
    },
  )
  const { promise, resolve } = Promise.withResolvers<void>()
  server.listen(0, '127.0.0.1', resolve)
  await promise
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { address: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, recordings }
}

/** The head of the HTTP request or answer that a stream begins with, and the messages of the WebSocket after it, unmasked. */
export function webSocketMessages(chunks: readonly Buffer[]): { head: string; messages: Buffer[] } {
  const bytes = Buffer.concat(chunks)
  const bodyAt = bytes.indexOf('\r\n\r\n') + 4
  const messages: Buffer[] = []
  for (let at = bodyAt; at + 2 <= bytes.length;) {
    const isMasked = (bytes[at + 1]! & 0x80) !== 0
    const short = bytes[at + 1]! & 0x7f
    const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0
    const length =
      lengthBytes === 0
        ? short
        : bytes.readUIntBE(at + 2 + Math.max(0, lengthBytes - 6), Math.min(6, lengthBytes))
    const maskAt = at + 2 + lengthBytes
    const from = maskAt + (isMasked ? 4 : 0)
    const message = Buffer.from(bytes.subarray(from, from + length))
    if (isMasked)
      for (let index = 0; index < message.length; index++)
        message[index] = message[index]! ^ bytes[maskAt + (index % 4)]!
    // What was cut off in the middle, pings and closes are left out.
    if ((bytes[at]! & 0x0f) === 2 && message.length === length) messages.push(message)
    at = from + length
  }
  return { head: bytes.subarray(0, bodyAt).toString('latin1'), messages }
}

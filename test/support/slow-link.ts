import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'
import { onTestFinished } from 'vitest'
import { pause } from './until.ts'

const tickMs = 20

/** A way to a port of this computer that lets so many bytes through in a second, each way; gone when the test has finished. */
export async function slowLink(to: number, bytesPerSecond: number): Promise<{ port: number }> {
  const sockets = new Set<Socket>()
  const passOn = async (from: Socket, into: Socket): Promise<void> => {
    for await (const piece of from as AsyncIterable<Buffer>) {
      const step = Math.max(1, Math.floor((bytesPerSecond * tickMs) / 1_000))
      for (let at = 0; at < piece.length && !into.destroyed; at += step) {
        into.write(piece.subarray(at, at + step))
        await pause(tickMs)
      }
    }
  }
  const server = createServer((near) => {
    const far = connect(to, '127.0.0.1')
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one)
      one.setNoDelay(true)
      one.on('error', () => {})
      one.on('close', () => other.destroy())
      passOn(one, other).catch(() => other.destroy())
    }
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { port: (server.address() as { port: number }).port }
}

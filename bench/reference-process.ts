/**
 * One end of the reference: a libp2p host with the settings of ours that copies bytes over one stream, and nothing else. What
 * it needs is what any protocol over libp2p has to pay.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import type { Connection, Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { createNode } from '../src/mesh/libp2p-node.ts'
import { answer, monotonicMs } from './child.ts'

const protocol = '/havenmesh/bench/1.0.0'
const chunkBytes = 64 * 1024
/** Each transfer begins with its length. */
const headerBytes = 4

const { libp2p: host } = await createNode({
  transportSeed: randomBytes(32),
  listen: ['/ip4/127.0.0.1/tcp/0'],
})
await host.start()
await host.handle(protocol, receive)

let connection: Connection | undefined
let stream: Stream | undefined

const commands = {
  address: async (): Promise<string> => String(host.getMultiaddrs()[0]),

  /** Connects and opens the stream; the first byte has been there and back when it resolves. */
  async connect(address: string): Promise<void> {
    await connection?.close()
    connection = await host.dial(multiaddr(address))
    stream = await connection.newStream(protocol)
    await transfer(Buffer.of(10))
  },

  /** Copies a file; milliseconds from the first byte until the receiver has counted and acknowledged all lines. */
  async copy(path: string): Promise<{ lines: number; ms: number }> {
    const bytes = await readFile(path)
    const startMs = monotonicMs()
    const lines = await transfer(bytes)
    return { lines, ms: monotonicMs() - startMs }
  },

  /** Sends a small frame so many times, each after the answer to the one before; milliseconds of each. */
  async echo({ count, bytes }: { count: number; bytes: number }): Promise<number[]> {
    const times: number[] = []
    for (let index = 0; index < count; index++) {
      const startMs = monotonicMs()
      await transfer(Buffer.alloc(bytes))
      times.push(monotonicMs() - startMs)
    }
    return times
  },

  /** Resident memory in bytes. */
  memory: async (): Promise<number> => process.memoryUsage.rss(),
}

export type ReferenceCommands = typeof commands

answer(commands)

/** Resolves with the number of lines that the receiver counted. */
async function transfer(bytes: Buffer): Promise<number> {
  if (stream === undefined) throw new Error('not connected')
  const acknowledged = once(stream, 'message')
  // Together with the first chunk, as one frame.
  const framed = Buffer.concat([uint32(bytes.byteLength), bytes])
  for (let start = 0; start < framed.byteLength; start += chunkBytes) {
    // Not stream.onDrain(): its promise is never reset, so that it waits only once.
    const open = stream.send(framed.subarray(start, start + chunkBytes))
    if (!open) await once(stream, 'drain')
  }
  const [event] = (await acknowledged) as [{ data: { subarray(): Uint8Array } }]
  return Buffer.from(event.data.subarray()).readUInt32BE()
}

function receive(incoming: Stream): void {
  let header = Buffer.alloc(0)
  let awaitedBytes = 0
  let lines = 0
  incoming.addEventListener('message', ({ data }) => {
    let chunk = Buffer.from(data.subarray())
    while (chunk.byteLength > 0) {
      if (awaitedBytes === 0) {
        const missing = headerBytes - header.byteLength
        header = Buffer.concat([header, chunk.subarray(0, missing)])
        chunk = chunk.subarray(missing)
        if (header.byteLength < headerBytes) return
        awaitedBytes = header.readUInt32BE()
        header = Buffer.alloc(0)
        lines = 0
      }
      const part = chunk.subarray(0, awaitedBytes)
      chunk = chunk.subarray(part.byteLength)
      awaitedBytes -= part.byteLength
      for (let at = part.indexOf(10); at !== -1; at = part.indexOf(10, at + 1)) lines++
      if (awaitedBytes === 0) incoming.send(uint32(lines))
    }
  })
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

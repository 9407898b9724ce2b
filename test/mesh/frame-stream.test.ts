import { createHash, randomBytes } from 'node:crypto'
import type { Stream } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { afterEach, describe, expect, test } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { FrameStream } from '../../src/mesh/frame-stream.ts'
import type { FrameStreamOptions } from '../../src/mesh/frame-stream.ts'
import { createNode } from '../../src/mesh/libp2p-node.ts'
import type { MeshNode } from '../../src/mesh/libp2p-node.ts'
import { pause, until } from './support.ts'

const kib = 1024
const nodes: MeshNode[] = []

afterEach(async () => {
  await Promise.all(nodes.splice(0).map(async ({ libp2p }) => libp2p.stop()))
})

interface End {
  frames: FrameStream
  stream: Stream
  got: Uint8Array[]
  writables: number
  reasons: string[]
  onFrame?: (frame: Uint8Array) => void
}

/** Two ends of one stream over loopback, Noise and yamux. */
async function pair(options: Partial<FrameStreamOptions> = {}): Promise<[End, End]> {
  const [a, b] = await Promise.all([startedNode(), startedNode()])
  const { promise: inbound, resolve } = Promise.withResolvers<Stream>()
  await b.libp2p.handle('/test', resolve)
  const connection = await a.libp2p.dial(multiaddr(String(b.libp2p.getMultiaddrs()[0])))
  const outbound = await connection.newStream('/test')
  const listener = await inbound
  return [end(a, outbound, true, options), end(b, listener, false, options)]
}

async function startedNode(): Promise<MeshNode> {
  const made = await createNode({
    transportSeed: randomBytes(32),
    listen: ['/ip4/127.0.0.1/tcp/0'],
  })
  await made.libp2p.start()
  nodes.push(made)
  return made
}

function end(
  node: MeshNode,
  stream: Stream,
  isDialler: boolean,
  options: Partial<FrameStreamOptions>,
): End {
  const made: Omit<End, 'frames'> & { frames?: FrameStream } = {
    stream,
    got: [],
    writables: 0,
    reasons: [],
  }
  made.frames = new FrameStream(
    stream,
    {
      received(frame) {
        made.got.push(frame)
        made.onFrame?.(frame)
      },
      writable: () => made.writables++,
      closed: (reason) => made.reasons.push(reason),
    },
    { isDialler, pings: node.pingsOf(stream), ...options },
  )
  return made as End
}

function sha(frames: readonly Uint8Array[]): string {
  const hash = createHash('sha256')
  for (const frame of frames) hash.update(frame)
  return hash.digest('hex')
}

function sum(frames: readonly Uint8Array[]): number {
  return frames.reduce((bytes, frame) => bytes + frame.length, 0)
}

/** Sends as a careful owner does: no more than `send` takes. */
async function sendAll(from: End, frames: readonly Uint8Array[]): Promise<number> {
  let most = 0
  for (const frame of frames) {
    const before = from.writables
    const takesMore = from.frames.send(frame)
    most = Math.max(most, from.frames.queuedBytes)
    if (!takesMore) await until('writable', () => from.writables > before, 20_000)
  }
  return most
}

describe('frames', () => {
  test('of 0 bytes up to the limit arrive whole and in order, both ways at once', async () => {
    const [a, b] = await pair()
    const sizes = [0, 1, 3, 4, 5, 1_000, 64 * kib, 64 * kib + 1, 256 * kib, limits.frameBytes]
    const toB = [...sizes, ...sizes.toReversed()].map((size) => randomBytes(size))
    const toA = sizes.flatMap((size) => [randomBytes(size), randomBytes(7)])
    await Promise.all([sendAll(a, toB), sendAll(b, toA)])
    await until('all there', () => b.got.length === toB.length && a.got.length === toA.length)
    expect(b.got.map((frame) => frame.length)).toEqual(toB.map((frame) => frame.length))
    expect([sha(a.got), sha(b.got)]).toEqual([sha(toA), sha(toB)])
  })

  test('of one turn leave in one write, and a single one at once', async () => {
    const [a, b] = await pair()
    let writes = 0
    const send = a.stream.send.bind(a.stream)
    a.stream.send = (bytes) => {
      writes++
      return send(bytes)
    }
    for (let i = 0; i < 20; i++) a.frames.send(randomBytes(50))
    await until('twenty', () => b.got.length === 20)
    expect(writes).toBe(1)
    const atMs = performance.now()
    const { promise, resolve } = Promise.withResolvers<void>()
    b.onFrame = () => resolve()
    a.frames.send(randomBytes(100))
    await promise
    expect(performance.now() - atMs).toBeLessThan(40)
  })

  test('wait for a reader that has paused, in bounded memory at both ends', async () => {
    const [a, b] = await pair()
    const frames = Array.from({ length: 64 }, () => randomBytes(limits.frameBytes))
    b.frames.pause()
    const sending = sendAll(a, frames)
    await pause(500)
    expect(b.got).toHaveLength(0)
    expect(b.frames.unreadBytes).toBeLessThan(1_024 * kib)
    expect(a.frames.queuedBytes).toBeLessThan(limits.frameBytes + 64 * kib)
    let mostUnread = 0
    b.onFrame = () => {
      mostUnread = Math.max(mostUnread, b.frames.unreadBytes)
      b.frames.pause()
      setTimeout(() => b.frames.resume(), 5)
    }
    b.frames.resume()
    const mostQueued = await sending
    await until('all there', () => b.got.length === frames.length, 20_000)
    expect(sha(b.got)).toBe(sha(frames))
    expect(mostUnread).toBeLessThan(1_536 * kib)
    expect(mostQueued).toBeLessThan(limits.frameBytes + 64 * kib)
  })

  test('that were sent before a close are still read by a reader that had paused', async () => {
    const [a, b] = await pair()
    const frames = Array.from({ length: 10 }, () => randomBytes(10 * kib))
    b.frames.pause()
    for (const frame of frames) a.frames.send(frame)
    await until('arrived', () => b.frames.unreadBytes >= sum(frames))
    a.frames.close('done')
    await until('closed', () => a.reasons.length === 1)
    expect([a.reasons, b.reasons]).toEqual([['done'], []])
    b.frames.resume()
    await until('closed there', () => b.reasons.length === 1)
    expect(sha(b.got)).toBe(sha(frames))
    expect(b.reasons).toEqual(['PEER_CLOSED'])
  })
})

describe('a stream ends exactly once', () => {
  test('when a frame is announced that is too long, before anything is allocated', async () => {
    const [a, b] = await pair()
    a.stream.send(new Uint8Array([0, 4, 0x40, 1]))
    await until('both ended', () => a.reasons.length === 1 && b.reasons.length === 1)
    expect([a.reasons, b.reasons]).toEqual([['PEER_CLOSED'], ['FRAME_TOO_LONG']])
    expect(b.got).toHaveLength(0)
  })

  test('when the first frame is larger than a hello may be', async () => {
    const [a, b] = await pair({ firstFrame: { maxBytes: limits.helloBytes, withinMs: 5_000 } })
    a.frames.send(randomBytes(limits.helloBytes))
    await until('a hello', () => b.got.length === 1)
    a.frames.send(randomBytes(limits.frameBytes))
    await until('a larger one', () => b.got.length === 2)
    b.frames.send(randomBytes(limits.helloBytes + 1))
    await until('ended', () => a.reasons.length === 1 && b.reasons.length === 1)
    expect(a.reasons).toEqual(['FRAME_TOO_LONG'])
  })

  test('when no first frame comes in time', async () => {
    const [a, b] = await pair({ firstFrame: { maxBytes: limits.helloBytes, withinMs: 300 } })
    a.frames.send(new Uint8Array(1))
    await until('ended', () => a.reasons.length === 1 && b.reasons.length === 1)
    expect(a.reasons).toEqual(['TIMED_OUT'])
    expect(b.reasons).toEqual(['PEER_CLOSED'])
  })

  test('when the other side half-closes, aborts, or both close', async () => {
    const [a, b] = await pair()
    await a.stream.close()
    await until('half-close', () => a.reasons.length === 1 && b.reasons.length === 1)
    const [c, d] = await pair()
    c.stream.abort(new Error('crash'))
    await until('abort', () => c.reasons.length === 1 && d.reasons.length === 1)
    const [e, f] = await pair()
    e.frames.close('one')
    f.frames.close('other')
    await until('both', () => e.reasons.length === 1 && f.reasons.length === 1)
    await pause(100)
    const reasons = [a, b, c, d, e, f].map((side) => side.reasons)
    expect(reasons.slice(0, 4)).toEqual(Array.from({ length: 4 }, () => ['PEER_CLOSED']))
    expect(reasons.slice(4)).toEqual([['one'], ['other']])
    expect(e.frames.send(new Uint8Array(1))).toBe(false)
    expect(e.frames.queuedBytes).toBe(0)
  })

  test('a second after a close that can not be flushed', async () => {
    const [a, b] = await pair()
    b.frames.pause()
    for (let i = 0; i < 16; i++) a.frames.send(randomBytes(limits.frameBytes))
    await pause(200)
    const atMs = performance.now()
    a.frames.close('enough')
    await until('closed', () => a.reasons.length === 1)
    expect(performance.now() - atMs).toBeLessThan(1_500)
    expect(a.reasons).toEqual(['enough'])
  })
})

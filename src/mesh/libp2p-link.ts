/** A libp2p connection with its one stream, as the rest of the house sees it: a link. */
import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import { ByteWriter } from '../core/codec.ts'
import { limits } from '../core/limits.ts'
import type { AcceptLink, Link, LinkHandler } from '../sync/link.ts'
import { withoutPeerId } from './address.ts'
import { FrameStream } from './frame-stream.ts'
import { diallerOf, peerIdBytes } from './libp2p-node.ts'
import type { MeshNode } from './libp2p-node.ts'

export const syncProtocol = '/havenmesh/sync/1.0.0'

/**
 * H(`"havenmesh/libp2p/v1\0"` ‖ parts), which binds a proof of membership to this connection (docs/protocol.md,
 * handshake).
 *
 * @param parts - the dialler's peer id and the listener's, each with its length before it
 */
export type HashBinding = (parts: readonly Uint8Array[]) => Uint8Array

export interface MeshLink extends Link {
  /** The transport's peer id, in text: tells links of one peer from those of others in this process. */
  readonly peer: string
  /** By `performance.now()`. */
  readonly startedMs: number
  /** When something other than a ping last arrived or left, by `performance.now()`. */
  readonly activeAtMs: number
  /** Delivers no more frames until `resume`; the peer is held back. */
  pause(): void
  resume(): void
  /** Whether a frame has ever arrived. */
  readonly hasReceived: boolean
  /** Closes it for a reason of the mesh's own, which says nothing about the peer. */
  end(reason: string): void
  /** Whether the peer answers, now. False after `withinMs`. */
  answers(withinMs: number): Promise<boolean>
}

export interface LinkOptions {
  node: MeshNode
  connection: Connection
  stream: Stream
  hashBinding: HashBinding
  accept: AcceptLink
  /** After the owner has heard of it; `byOwner` when it was the owner who closed the link. */
  onClosed(link: MeshLink, end: { reason: string; byOwner: boolean }): void
}

let linkCount = 0

/** Starts the link: the owner's handler is made here, and gets every frame. */
export function startLink(options: LinkOptions): MeshLink {
  const { node, connection, stream } = options
  const pings = node.pingsOf(stream)
  const side = connection.direction === 'outbound' ? 'dialler' : 'listener'
  const startedMs = performance.now()
  let byOwner = false
  let activeAtMs = startedMs
  let hasReceived = false
  let handler: LinkHandler | undefined

  const frames = new FrameStream(
    stream,
    {
      received(frame) {
        activeAtMs = performance.now()
        hasReceived = true
        handler?.received(frame)
      },
      writable: () => handler?.writable(),
      closed(reason) {
        endConnection(connection)
        handler?.closed(reason)
        options.onClosed(link, { reason, byOwner })
      },
    },
    {
      isDialler: side === 'dialler',
      pings,
      // A listener hears strangers; a dialler whom it chose, and who may have keys to offer.
      firstFrame: {
        maxBytes: side === 'listener' ? limits.helloBytes : limits.frameBytes,
        withinMs: limits.helloMs,
      },
    },
  )
  const link: MeshLink = {
    id: `link-${++linkCount}`,
    side,
    peer: connection.remotePeer.toString(),
    binding: bindingOf(node.libp2p, connection, options.hashBinding),
    remoteAddress: withoutPeerId(connection.remoteAddr) ?? '',
    startedMs,
    get activeAtMs() {
      return activeAtMs
    },
    get queuedBytes() {
      return frames.queuedBytes
    },
    send(frame) {
      activeAtMs = performance.now()
      return frames.send(frame)
    },
    close(reason) {
      byOwner = true
      frames.close(reason)
    },
    get hasReceived() {
      return hasReceived
    },
    end: (reason) => frames.close(reason),
    pause: () => frames.pause(),
    resume: () => frames.resume(),
    answers: (withinMs) => answersWithin(pings.ping(), withinMs),
  }
  handler = options.accept(link)
  return link
}

function bindingOf(libp2p: Libp2p, connection: Connection, hash: HashBinding): Uint8Array {
  const dialler = diallerOf(connection, libp2p.peerId)
  const listener = dialler.equals(libp2p.peerId) ? connection.remotePeer : libp2p.peerId
  return hash([dialler, listener].map((peer) => lengthPrefixed(peerIdBytes(peer))))
}

function lengthPrefixed(bytes: Uint8Array): Uint8Array {
  return new ByteWriter(bytes.length + 8).lengthPrefixed(bytes).finish()
}

/** What the stream had to say has been said: the connection has no other use. */
export function endConnection(connection: Connection): void {
  connection.close().catch((error: Error) => connection.abort(error))
}

async function answersWithin(answer: Promise<void>, withinMs: number): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => resolve(false), withinMs)
  try {
    return await Promise.race([answer.then(() => true), late])
  } catch {
    return false
  } finally {
    clearTimeout(timer)
  }
}

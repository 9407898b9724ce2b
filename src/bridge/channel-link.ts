/** An inner channel over a WebSocket, as the rest of the house sees it: a link, like one over libp2p. */
import type { WebSocket } from 'ws'
import { limits } from '../core/limits.ts'
import { FrameStream } from '../mesh/frame-stream.ts'
import type { AcceptLink, Link, LinkHandler } from '../sync/link.ts'
import { ChannelStream, pingsOf } from './channel-stream.ts'
import type { Connection } from './inner-channel.ts'

const kib = 1024

/** What both sides allow a message of the socket to be: the largest piece of a frame, and what seals it. */
export const channelSocketOptions = {
  maxPayload: 72 * kib,
  // What goes through is encrypted.
  perMessageDeflate: false,
} as const

export interface ChannelLinkOptions {
  readonly socket: WebSocket
  readonly connection: Connection
  readonly side: Link['side']
  readonly remoteAddress: string
  readonly accept: AcceptLink
  /** Of the first frame that arrives; later ones are `limits.frameBytes`. */
  readonly firstFrameBytes: number
  /** After the owner has heard of it. */
  readonly onClosed?: (reason: string) => void
}

let linkCount = 0

/** Starts the link: the owner's handler is made here, and gets every frame. */
export function startChannelLink(options: ChannelLinkOptions): Link {
  const { socket, connection, side } = options
  let handler: LinkHandler | undefined
  const frames = new FrameStream(
    new ChannelStream(socket, connection),
    {
      received: (frame) => handler?.received(frame),
      writable: () => handler?.writable(),
      closed(reason) {
        handler?.closed(reason)
        options.onClosed?.(reason)
      },
    },
    {
      isDialler: side === 'dialler',
      pings: pingsOf(socket),
      firstFrame: { maxBytes: options.firstFrameBytes, withinMs: limits.helloMs },
    },
  )
  const link: Link = {
    id: `channel-${++linkCount}`,
    side,
    binding: connection.binding,
    remoteAddress: options.remoteAddress,
    get queuedBytes() {
      return frames.queuedBytes
    },
    send: (frame) => frames.send(frame),
    close: (reason) => frames.close(reason),
  }
  handler = options.accept(link)
  return link
}

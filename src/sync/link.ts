/**
 * What carries frames between two devices: a libp2p stream, a WebSocket, a simulated link. The mesh makes links and
 * knows nothing of what goes over them; whoever owns the engine knows nothing of libp2p.
 */

export interface Link {
  /** Unique in this process. */
  readonly id: string
  readonly side: 'dialler' | 'listener'
  /** Ties the proof of membership to this carrier (docs/protocol.md, handshake); empty for files. */
  readonly binding: Uint8Array
  /** For people and for redialling, e.g. `/ip4/10.77.0.2/tcp/4001`; never contains a peer id. */
  readonly remoteAddress: string
  /** The device at the other end, where the carrier itself has proved it, and carries questions and their answers only. */
  readonly vouchedFor?: string
  /**
   * Queues one frame (at most `limits.frameBytes`) for sending.
   *
   * @returns false when the carrier's buffer is full: the caller waits for `writable` before it sends more that can wait
   */
  send(frame: Uint8Array): boolean
  /** Bytes queued here that the carrier has not taken yet. */
  readonly queuedBytes: number
  /** Ends the link after what is queued has been flushed (at most a second). `closed` is called once, with this reason. */
  close(reason: string): void
  /** Of a carrier that asks: there is something to ask with. Once, until the next question. */
  hasNews?(): void
}

/** What the owner of a link gets to hear. Calls never come re-entrantly from within `send`. */
export interface LinkHandler {
  received(frame: Uint8Array): void
  /** The carrier takes more after `send` had returned false. */
  writable(): void
  /** Exactly once; nothing comes after it. */
  closed(reason: string): void
}

/** Called for each new link, whoever dialled; returns its handler. */
export type AcceptLink = (link: Link) => LinkHandler

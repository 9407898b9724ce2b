/**
 * Frames over a libp2p stream, or whatever else carries bytes in order, with backpressure in both directions.
 *
 * libp2p's own `lpStream` has none: it aborts a stream whose reader is busy. The traps that this file walks around (all
 * seen with @libp2p/utils 7.4.1 and @libp2p/yamux 8.0.3) are named where it does.
 */
import type { Stream } from '@libp2p/interface'
import { Uint8ArrayList } from 'uint8arraylist'
import { isHavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { FrameDecoder, frameHeader } from './frame-decoder.ts'
import { Pulse } from './pulse.ts'
import type { Pings } from './pulse.ts'
import { SendWindow } from './send-window.ts'

const kib = 1024

/** Above this the owner is told to keep the rest to itself, where an urgent frame can still overtake. */
const queueHighBytes = 64 * kib
const queueLowBytes = 16 * kib
/** Handing over less is not worth a packet while more is waiting. */
const smallestChunkBytes = 2 * kib
const largestChunkBytes = 64 * kib
const flushMs = 1_000

/** What carries the bytes, as far as it is used here: a libp2p stream is one. */
export interface ByteStream {
  readonly writeBufferLength: number
  readonly readBufferLength: number
  readonly writableNeedsDrain: boolean
  readonly readStatus: Stream['readStatus']
  readonly remoteWriteStatus: Stream['remoteWriteStatus']
  send(data: Uint8ArrayList): boolean
  pause(): void
  resume(): void
  /** Resolves when what was sent has left, and rejects when `signal` is aborted before. */
  close(options: { signal: AbortSignal }): Promise<void>
  abort(error: Error): void
  addEventListener(type: 'message', listener: (event: { data: Bytes }) => void): void
  addEventListener(type: 'close', listener: (event: { error?: Error }) => void): void
  addEventListener(type: 'remoteCloseWrite' | 'drain' | 'idle', listener: () => void): void
}

type Bytes = Uint8Array | Uint8ArrayList

export interface FrameStreamHandler {
  received(frame: Uint8Array): void
  writable(): void
  /**
   * Once, and nothing after it. The reason is the one given to `close`, or `PEER_CLOSED`, `TIMED_OUT` or
   * `FRAME_TOO_LONG`.
   */
  closed(reason: string): void
}

export interface FrameStreamOptions {
  isDialler: boolean
  pings: Pings
  /** What the first frame that arrives must keep to. */
  firstFrame?: { maxBytes: number; withinMs: number }
  maxFrameBytes?: number
}

export class FrameStream {
  readonly #stream: ByteStream
  readonly #handler: FrameStreamHandler
  readonly #decoder: FrameDecoder
  readonly #maxFrameBytes: number
  readonly #queue = new Uint8ArrayList()
  readonly #window = new SendWindow()
  readonly #pulse: Pulse
  readonly #progressTimer: NodeJS.Timeout
  #firstFrameTimer: NodeJS.Timeout | undefined
  #flushTimer: NodeJS.Timeout | undefined
  #state: 'open' | 'closing' | 'closed' = 'open'
  #reason = 'PEER_CLOSED'
  #isPaused = false
  #isDelivering = false
  #hasEnded = false
  #isPumpScheduled = false
  #owesWritable = false
  #sentBytes = 0
  #receivedBytes = 0

  constructor(stream: ByteStream, handler: FrameStreamHandler, options: FrameStreamOptions) {
    this.#stream = stream
    this.#handler = handler
    this.#maxFrameBytes = options.maxFrameBytes ?? limits.frameBytes
    this.#decoder = new FrameDecoder(options.firstFrame?.maxBytes ?? this.#maxFrameBytes)
    this.#pulse = new Pulse(options.pings, {
      isDialler: options.isDialler,
      drainMs: () => this.#window.drainMs,
      dead: () => this.#abort('TIMED_OUT'),
    })
    if (options.firstFrame !== undefined) {
      this.#firstFrameTimer = setTimeout(
        () => this.#abort('TIMED_OUT'),
        options.firstFrame.withinMs,
      )
    }
    this.#progressTimer = this.#watchProgress()
    stream.addEventListener('message', this.#onMessage)
    stream.addEventListener('remoteCloseWrite', this.#onEnd)
    stream.addEventListener('close', this.#onClose)
    stream.addEventListener('drain', this.#schedulePump)
    stream.addEventListener('idle', this.#schedulePump)
    if (stream.remoteWriteStatus !== 'writable') queueMicrotask(this.#onEnd)
  }

  /** Bytes that the carrier has not taken yet. */
  get queuedBytes(): number {
    return this.#state === 'closed' ? 0 : this.#queue.byteLength + this.#stream.writeBufferLength
  }

  /** What is held for a reader that has paused, in bytes. */
  get unreadBytes(): number {
    return this.#decoder.bufferedBytes + this.#stream.readBufferLength
  }

  /**
   * Queues a frame, which must not be changed afterwards. All frames of one turn of the event loop leave in one write.
   *
   * @returns false when enough is queued: `writable` will be called
   */
  send(frame: Uint8Array): boolean {
    if (frame.length > this.#maxFrameBytes) throw new TypeError(`a frame of ${frame.length} bytes`)
    if (this.#state !== 'open') return false
    this.#queue.append(frameHeader(frame))
    this.#queue.append(frame)
    this.#schedulePump()
    const takesMore = this.queuedBytes < this.#queueLimit
    this.#owesWritable ||= !takesMore
    return takesMore
  }

  /** Delivers no more frames until `resume`; the peer is held back when about a window more has arrived. */
  pause(): void {
    this.#isPaused = true
    if (this.#stream.readStatus === 'readable') this.#stream.pause()
  }

  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#deliver()
  }

  /** Ends after what is queued has left, within a second. Frames that arrive meanwhile are dropped. */
  close(reason: string): void {
    if (this.#state !== 'open') return
    this.#state = 'closing'
    this.#reason = reason
    this.#flushTimer = setTimeout(() => this.#abort(reason), flushMs)
    this.#schedulePump()
  }

  /** A link that is slow takes less into the queue too, so that what is urgent is not behind it. */
  get #queueLimit(): number {
    return Math.min(queueHighBytes, Math.max(queueLowBytes, this.#window.windowBytes))
  }

  readonly #onMessage = (event: { data: Bytes }): void => {
    this.#receivedBytes += event.data.byteLength
    this.#decoder.append(event.data)
    this.#deliver()
  }

  #deliver(): void {
    if (this.#isDelivering) return
    this.#isDelivering = true
    try {
      do {
        while (!this.#isPaused && this.#state === 'open') {
          const frame = this.#decoder.next()
          if (frame === undefined) break
          this.#firstFrameArrived()
          this.#handler.received(frame)
        }
      } while (this.#readOn())
    } catch (error) {
      if (!isHavenError(error, 'FRAME_TOO_LONG')) throw error
      this.#abort(error.code)
    } finally {
      this.#isDelivering = false
    }
    this.#finishReading()
  }

  /** Lets the stream go on once the decoder has run dry; true when there is more to decode at once. */
  #readOn(): boolean {
    if (this.#isPaused || this.#stream.readStatus !== 'paused') return false
    // `resume` hands out what was held and only then opens the window, so that a `pause` from within would be undone:
    // #onMessage only collects while #isDelivering, and the handler is called after `resume` has returned.
    try {
      this.#stream.resume()
    } catch {
      this.#hasEnded = true
    }
    return true
  }

  readonly #onEnd = (): void => {
    this.#hasEnded = true
    this.#finishReading()
  }

  readonly #onClose = (event: { error?: Error }): void => {
    this.#hasEnded = true
    if (this.#state === 'closing' || event.error !== undefined) this.#finish(this.#reason)
    else this.#finishReading()
  }

  /** The end of the stream is the end of the link, but only once everything before it has been read. */
  #finishReading(): void {
    if (!this.#hasEnded || this.#state !== 'open' || this.#isPaused || this.#isDelivering) return
    if (this.#stream.readBufferLength > 0) return
    this.close('PEER_CLOSED')
  }

  #firstFrameArrived(): void {
    clearTimeout(this.#firstFrameTimer)
    this.#firstFrameTimer = undefined
    this.#decoder.maxBytes = this.#maxFrameBytes
  }

  readonly #schedulePump = (): void => {
    if (this.#isPumpScheduled || this.#state === 'closed') return
    this.#isPumpScheduled = true
    queueMicrotask(() => {
      this.#isPumpScheduled = false
      this.#pump()
    })
  }

  #pump(): void {
    if (this.#state === 'closed') return
    try {
      while (this.#queue.byteLength > 0 && this.#canHandOver()) {
        const bytes = Math.min(
          this.#queue.byteLength,
          this.#window.availableBytes,
          largestChunkBytes,
        )
        const chunk = this.#queue.sublist(0, bytes)
        this.#queue.consume(bytes)
        this.#sentBytes += bytes
        this.#window.sent(bytes)
        this.#stream.send(chunk)
      }
    } catch {
      this.#abort('PEER_CLOSED')
      return
    }
    void this.#markDelivery()
    if (this.#state === 'closing' && this.queuedBytes === 0) void this.#endGracefully()
    if (this.#owesWritable && this.#state === 'open' && this.queuedBytes <= queueLowBytes) {
      this.#owesWritable = false
      this.#handler.writable()
    }
  }

  /**
   * By the stream's state and not by what `send` returned or by `onDrain()`: its promise is made once and stays resolved,
   * and a `drain` may be for the socket while yamux's window is still shut.
   */
  #canHandOver(): boolean {
    if (this.#stream.writableNeedsDrain || this.#stream.writeBufferLength > 0) return false
    return this.#window.availableBytes >= Math.min(smallestChunkBytes, this.#queue.byteLength)
  }

  async #markDelivery(): Promise<void> {
    if (!this.#window.wantsMark || this.#pulse.isPinging) return
    const mark = this.#window.mark(performance.now())
    await this.#pulse.ping()
    this.#window.delivered(mark, performance.now())
    this.#schedulePump()
  }

  async #endGracefully(): Promise<void> {
    try {
      await this.#stream.close({ signal: AbortSignal.timeout(flushMs) })
      this.#finish(this.#reason)
    } catch {
      this.#abort(this.#reason)
    }
  }

  #abort(reason: string): void {
    if (this.#state === 'closed') return
    this.#reason = reason
    this.#finish(reason)
    this.#stream.abort(new Error(reason))
  }

  #finish(reason: string): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#pulse.stop()
    clearInterval(this.#progressTimer)
    clearTimeout(this.#firstFrameTimer)
    clearTimeout(this.#flushTimer)
    this.#queue.consume(this.#queue.byteLength)
    this.#handler.closed(reason)
  }

  /** Ends a link on which a peer that is alive neither takes what waits nor finishes the frame that it began. */
  #watchProgress(): NodeJS.Timeout {
    let sentBytes = 0
    let receivedBytes = 0
    let wasWaiting = false
    let wasMidFrame = false
    return setInterval(() => {
      const isWaiting = this.queuedBytes > 0
      const isMidFrame = !this.#isPaused && this.#decoder.bufferedBytes > 0
      const isStalled =
        isWaiting && wasWaiting && this.#sentBytes - sentBytes < limits.progressBytes
      const trickles =
        isMidFrame && wasMidFrame && this.#receivedBytes - receivedBytes < limits.progressBytes
      sentBytes = this.#sentBytes
      receivedBytes = this.#receivedBytes
      wasWaiting = isWaiting
      wasMidFrame = isMidFrame
      if (isStalled || trickles) this.#abort('TIMED_OUT')
    }, limits.progressMs)
  }
}

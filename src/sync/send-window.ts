/**
 * How much may be on its way to a peer: about a second and a half of what the link has been measured to carry.
 *
 * Little in flight is what lets an urgent commit overtake a backlog, and what a dropped link costs at most. An acknowledgement means
 * durable at the other side, so its disk is part of the measurement.
 */
import { limits } from '../core/limits.ts'

const aimMs = 1_500
const frameMs = 400
const frameMinBytes = 4 * 1024
const startBytes = 64 * 1024
/** Before anything has been measured: the link itself takes little at a time where it is slow, and says so. */
const startWindowBytes = 1024 * 1024
/** Weight of the newest measurement. */
const smoothing = 0.5

export class SendWindow {
  /** Sum of run bytes sent in this session. */
  sentBytes = 0
  #durableBytes = 0
  #peerAllowsBytes: number = limits.windowMaxBytes
  #windowBytes = startWindowBytes
  #bytesPerMs: number | undefined
  /** When what was sent at a total went out: to time its acknowledgement. */
  #marks: { totalBytes: number; atMs: number }[] = []

  /** What may be sent now. */
  get roomBytes(): number {
    return Math.min(
      this.#durableBytes + this.#windowBytes - this.sentBytes,
      this.#durableBytes + this.#peerAllowsBytes - this.sentBytes,
    )
  }

  /** By the peer's last word. */
  get allowedBytes(): number {
    return this.#peerAllowsBytes
  }

  /** The peer takes nothing now but control facts and what is urgent. */
  get isShut(): boolean {
    return this.#peerAllowsBytes === 0
  }

  /** What the link carries, as measured by acknowledgements; undefined: nothing was, yet. */
  get bytesPerMs(): number | undefined {
    return this.#bytesPerMs
  }

  get inFlightBytes(): number {
    return this.sentBytes - this.#durableBytes
  }

  /**
   * Whether what was sent up to this many bytes has come to the peer, and on its disk or to nothing: it can't have counted more than had come.
   */
  hasArrived(sentBytes: number): boolean {
    return this.#durableBytes >= sentBytes
  }

  /** A good size for the next frame of runs. */
  get frameBytes(): number {
    if (this.#bytesPerMs === undefined) return startBytes
    return clamp(this.#bytesPerMs * frameMs, frameMinBytes, limits.commitCiphertextBytes)
  }

  sent(bytes: number, nowMs: number): void {
    this.sentBytes += bytes
    this.#marks.push({ totalBytes: this.sentBytes, atMs: nowMs })
  }

  /** The peer says how many bytes of this session are durable, and how many more it takes. */
  acknowledged(durableBytes: number, moreBytes: number, nowMs: number): void {
    this.#peerAllowsBytes = Math.min(moreBytes, limits.windowMaxBytes)
    if (durableBytes <= this.#durableBytes || durableBytes > this.sentBytes) return
    const newBytes = durableBytes - this.#durableBytes
    this.#durableBytes = durableBytes
    let sentAtMs: number | undefined
    while (this.#marks[0] !== undefined && this.#marks[0].totalBytes <= durableBytes) {
      sentAtMs ??= this.#marks[0].atMs
      this.#marks.shift()
    }
    if (sentAtMs === undefined) return
    const rate = newBytes / Math.max(1, nowMs - sentAtMs)
    this.#bytesPerMs =
      this.#bytesPerMs === undefined ? rate : this.#bytesPerMs * (1 - smoothing) + rate * smoothing
    // Never more than doubled by one measurement: a burst into an empty buffer looks faster than the link is.
    this.#windowBytes = clamp(
      this.#bytesPerMs * aimMs,
      Math.max(limits.windowMinBytes, this.#windowBytes / 2),
      Math.min(limits.windowMaxBytes, this.#windowBytes * 2),
    )
  }
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(Math.max(value, min), max)
}

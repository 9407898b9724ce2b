/**
 * How many bytes may be on their way to a peer at once.
 *
 * The socket of a slow link takes megabytes that then stand in line for minutes, and an urgent frame behind them.
 * Yamux pings are answered in order with the data, so a pong says how much has arrived and how long it stood in line:
 * while that is short the window grows, when it is long it shrinks (the idea of TCP Vegas and LEDBAT, RFC 6817).
 */
const kib = 1024

/** Seven seconds at 9.6 kbit/s, the slowest link that counts. */
const floorBytes = 8 * kib
const startBytes = 16 * kib
/** 25 Mbit/s over 160 ms; one yamux window. */
const ceilingBytes = 512 * kib
/** Bytes may wait this much longer than the fastest pong so far. */
const growBelowMs = 100
const shrinkAboveMs = 300
/** And never so much longer, even if no pong was ever fast: no path in use has such a round trip when it is idle. */
const patienceMs = 1_500
/** So many slow pongs with the smallest window mean a longer path, not a longer queue. */
const slowPongsAtFloor = 8

export interface DeliveryMark {
  readonly sentBytes: number
  readonly atMs: number
}

export class SendWindow {
  #windowBytes = startBytes
  #sentBytes = 0
  #deliveredBytes = 0
  #markedBytes = 0
  #wasFull = false
  #fastestMs = Number.POSITIVE_INFINITY
  #lastMs: number | undefined
  #slowAtFloor: number[] = []

  get windowBytes(): number {
    return this.#windowBytes
  }

  get inFlightBytes(): number {
    return this.#sentBytes - this.#deliveredBytes
  }

  get availableBytes(): number {
    return Math.max(0, this.#windowBytes - this.inFlightBytes)
  }

  /** How long what is on its way may take to arrive, in milliseconds. */
  get drainMs(): number {
    if (this.inFlightBytes === 0) return this.#lastMs === undefined ? 0 : this.#fastestMs
    return this.#lastMs ?? this.inFlightBytes / slowestBytesPerMs
  }

  sent(bytes: number): void {
    this.#sentBytes += bytes
    if (this.availableBytes === 0) this.#wasFull = true
  }

  /** Whether enough has been sent since the last mark to be worth a ping. */
  get wantsMark(): boolean {
    return this.#sentBytes - this.#markedBytes >= this.#windowBytes / 4
  }

  mark(nowMs: number): DeliveryMark {
    this.#markedBytes = this.#sentBytes
    return { sentBytes: this.#sentBytes, atMs: nowMs }
  }

  /** The pong for this mark has come: everything sent before it has arrived. */
  delivered(mark: DeliveryMark, nowMs: number): void {
    this.#deliveredBytes = Math.max(this.#deliveredBytes, mark.sentBytes)
    this.#adapt(nowMs - mark.atMs)
  }

  #adapt(ms: number): void {
    this.#lastMs = ms
    this.#fastestMs = Math.min(this.#fastestMs, ms)
    if (ms > patienceMs) {
      this.#windowBytes = Math.max(floorBytes, this.#windowBytes / 2)
    } else if (ms <= this.#fastestMs + growBelowMs) {
      if (this.#wasFull) this.#windowBytes = Math.min(ceilingBytes, this.#windowBytes * 2)
      this.#slowAtFloor = []
    } else if (this.#windowBytes === floorBytes) {
      this.#slowAtFloor.push(ms)
      if (this.#slowAtFloor.length >= slowPongsAtFloor) {
        this.#fastestMs = Math.min(...this.#slowAtFloor)
        this.#slowAtFloor = []
      }
    } else if (ms > this.#fastestMs + shrinkAboveMs) {
      this.#windowBytes = Math.max(floorBytes, this.#windowBytes / 2)
    }
    this.#wasFull = this.availableBytes === 0
  }
}

/** 9.6 kbit/s. */
const slowestBytesPerMs = 1.2

import type { Link, LinkHandler } from '../../../src/sync/link.ts'
import type { Chance } from './chance.ts'
import type { VirtualTime } from './virtual-time.ts'

export interface LinkEnd {
  accept(link: Link): LinkHandler
  /** A frame goes out; returns what the receiver is told with it, for checks. */
  sending(frame: Uint8Array, link: string): number
  /** A frame came in. */
  receiving(frame: Uint8Array, link: string, told: number): void
}

export interface LinkWeather {
  readonly chance: Chance
  readonly delayMs: readonly [number, number]
  /** As fast as the frames come by default. */
  readonly bytesPerMs?: number
  /** Above so many bytes on their way a link takes no more for a while. */
  readonly bufferBytes: number
  /** Changes frames on their way. */
  readonly mangle?: (frame: Uint8Array) => Uint8Array
}

const binding = new Uint8Array(32).fill(7)
let links = 0

/** A link that keeps the order of frames, delivers them after a while, and can be cut at any moment. */
export class SimulatedLink {
  readonly #time: VirtualTime
  readonly #weather: LinkWeather
  readonly #sides: Side[]
  frames = 0
  bytes = 0
  #down = false

  constructor(time: VirtualTime, weather: LinkWeather, dialler: LinkEnd, listener: LinkEnd) {
    this.#time = time
    this.#weather = weather
    const number = ++links
    const ends = [dialler, listener] as const
    this.#sides = ends.map((end, index) => ({
      end,
      id: `${number}/${index === 0 ? 'dialler' : 'listener'}`,
      handler: undefined,
      queuedBytes: 0,
      blocked: false,
      lastMs: 0,
      closed: false,
    }))
    for (const [index, side] of this.#sides.entries()) {
      side.handler = side.end.accept(this.#linkOf(side, index === 0 ? 'dialler' : 'listener'))
    }
  }

  get isDown(): boolean {
    return this.#down
  }

  /** What is on its way is lost; each side hears of it when it hears of it. */
  cut(): void {
    if (this.#down) return
    this.#down = true
    const { chance } = this.#weather
    for (const side of this.#sides) {
      this.#time.after(chance.int(0, 3) === 0 ? chance.int(0, 4_000) : 1, () =>
        this.#closed(side, 'cut'),
      )
    }
  }

  #linkOf(side: Side, kind: 'dialler' | 'listener'): Link {
    const other = this.#sides[kind === 'dialler' ? 1 : 0]!
    return {
      id: side.id,
      side: kind,
      binding,
      remoteAddress: '',
      get queuedBytes() {
        return side.queuedBytes
      },
      send: (frame) => this.#send(side, other, frame.slice()),
      close: (reason) => {
        if (side.closed) return
        // What is queued is flushed; the other side hears of the end after that.
        const atMs = Math.max(side.lastMs, this.#time.nowMs()) + 1
        this.#time.after(atMs - this.#time.nowMs(), () => {
          this.#down = true
          this.#closed(other, 'closed by the other side')
        })
        this.#time.after(0, () => this.#closed(side, reason))
      },
    }
  }

  #send(side: Side, other: Side, frame: Uint8Array): boolean {
    const told = side.end.sending(frame, side.id)
    if (side.closed) return true
    this.frames += 1
    this.bytes += frame.length + 4
    side.queuedBytes += frame.length
    const { chance, delayMs, bytesPerMs = Infinity, bufferBytes, mangle } = this.#weather
    const nowMs = this.#time.nowMs()
    side.lastMs = Math.max(
      Math.max(side.lastMs, nowMs) + frame.length / bytesPerMs,
      nowMs + chance.int(...delayMs),
    )
    const arriving = mangle?.(frame) ?? frame
    this.#time.after(side.lastMs - nowMs, () => {
      side.queuedBytes -= frame.length
      if (!this.#down && !other.closed) {
        other.end.receiving(arriving, other.id, told)
        other.handler?.received(arriving)
      }
      if (side.blocked && side.queuedBytes < bufferBytes && !side.closed) {
        side.blocked = false
        side.handler?.writable()
      }
    })
    side.blocked = side.queuedBytes >= bufferBytes
    return !side.blocked
  }

  #closed(side: Side, reason: string): void {
    if (side.closed) return
    side.closed = true
    side.handler?.closed(reason)
  }
}

interface Side {
  readonly end: LinkEnd
  readonly id: string
  handler: LinkHandler | undefined
  queuedBytes: number
  blocked: boolean
  lastMs: number
  closed: boolean
}

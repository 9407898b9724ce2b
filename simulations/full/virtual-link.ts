/** A link between two simulated devices: it keeps the order of frames, takes its time, and can be cut at any moment. */
import { domainHash } from '../../src/crypto/hash.ts'
import { utf8ToBytes } from '../../src/core/bytes.ts'
import type { AcceptLink, Link, LinkHandler } from '../../src/sync/link.ts'
import type { RandomStream } from '../core/random-streams.ts'
import type { VirtualTime } from '../core/virtual-time.ts'
import type { LinkProfile } from '../schedule.ts'

/** Above so many bytes on their way a link takes no more for a while: what the stream and the kernel hold. */
const bufferBytes = 64 * 1024
/** Length, Noise, yamux; and 40 bytes of TCP and IP for each 1,460 of payload. */
const frameOverheadBytes = 4 + 18 + 12
const packetBytes = 1_460
const packetOverheadBytes = 40
/** A lost packet is noticed and sent again after two ways and this: Linux's smallest timeout. */
const resendUs = 200_000

export interface VirtualLinkOptions {
  readonly time: VirtualTime
  readonly profile: LinkProfile
  /** What is lost. */
  readonly random: RandomStream
  readonly dialler: AcceptLink
  readonly listener: AcceptLink
  /** Changes frames on their way: what is delivered instead of one, in order. */
  readonly mangle?: ((frame: Uint8Array) => readonly Uint8Array[]) | undefined
  readonly name: string
  /** Neither side can use it any more, for whatever reason but `cut`. */
  readonly onDown?: (() => void) | undefined
}

interface Side {
  readonly kind: Link['side']
  handler: LinkHandler | undefined
  queuedBytes: number
  isBlocked: boolean
  /** Until when the way out is taken. */
  busyUntilUs: number
  arrivesUs: number
  isClosed: boolean
}

export class VirtualLink {
  readonly #options: VirtualLinkOptions
  readonly #sides: readonly [Side, Side]
  #inFlight = 0
  #isDown = false
  frames = 0
  /** On the wire, both ways. */
  bytes = 0

  constructor(options: VirtualLinkOptions) {
    this.#options = options
    const binding = domainHash('havenmesh/simulated-link/v1', utf8ToBytes(options.name))
    this.#sides = [newSide('dialler'), newSide('listener')]
    const [dialler, listener] = this.#sides
    dialler.handler = options.dialler(this.#linkOf(dialler, listener, binding))
    listener.handler = options.listener(this.#linkOf(listener, dialler, binding))
  }

  get isDown(): boolean {
    return this.#isDown
  }

  /** Nothing is on its way. */
  get isQuiet(): boolean {
    return this.#inFlight === 0
  }

  /** What is on its way is lost. */
  cut(): void {
    if (this.#isDown) return
    this.#isDown = true
    for (const side of this.#sides) close(side, 'cut')
  }

  #linkOf(side: Side, other: Side, binding: Uint8Array): Link {
    return {
      id: `${this.#options.name}/${side.kind}`,
      side: side.kind,
      binding,
      remoteAddress: '',
      get queuedBytes() {
        return side.queuedBytes
      },
      send: (frame) => this.#send(side, other, frame),
      close: (reason) => this.#close(side, other, reason),
    }
  }

  #send(side: Side, other: Side, frame: Uint8Array): boolean {
    if (side.isClosed || this.#isDown) return true
    const { time, profile, random, mangle } = this.#options
    const bytes = wireBytes(frame.length)
    this.frames += 1
    this.bytes += bytes
    side.queuedBytes += frame.length
    const startUs = Math.max(time.nowUs, side.busyUntilUs)
    side.busyUntilUs = startUs + Math.ceil((bytes * 1_000_000) / profile.bytesPerSecond)
    const lost =
      profile.lossPercent > 0 && random.chance(lossOf(bytes, profile.lossPercent))
        ? resendUs + 2 * profile.latencyUs
        : 0
    side.arrivesUs = Math.max(side.arrivesUs, side.busyUntilUs + profile.latencyUs + lost)
    const arriving = mangle?.(frame) ?? [frame]
    this.#inFlight += 1
    time.at(side.arrivesUs, () => {
      this.#inFlight -= 1
      side.queuedBytes -= frame.length
      for (const each of arriving)
        if (!this.#isDown && !other.isClosed) other.handler?.received(each)
      if (side.isBlocked && side.queuedBytes < bufferBytes && !side.isClosed) {
        side.isBlocked = false
        side.handler?.writable()
      }
    })
    side.isBlocked = side.queuedBytes >= bufferBytes
    return !side.isBlocked
  }

  /** What is queued is flushed; the other side hears of the end after that. */
  #close(side: Side, other: Side, reason: string): void {
    if (side.isClosed) return
    const { time, profile } = this.#options
    const arrivesUs = Math.max(side.arrivesUs, time.nowUs + profile.latencyUs)
    this.#inFlight += 1
    time.at(arrivesUs, () => {
      this.#inFlight -= 1
      close(other, 'closed by the other side')
      if (this.#isDown) return
      this.#isDown = true
      this.#options.onDown?.()
    })
    // Not in the middle of what asks for it.
    time.after(0, () => close(side, reason))
  }
}

/** What a frame takes on the wire, with all that is around it. */
function wireBytes(frameBytes: number): number {
  const bytes = frameBytes + frameOverheadBytes
  return bytes + packetOverheadBytes * Math.ceil(bytes / packetBytes)
}

/** That at least one packet of so many bytes is lost, without `**`, whose last bit differs between versions of V8. */
function lossOf(bytes: number, lossPercent: number): number {
  const packets = Math.ceil(bytes / packetBytes)
  return -Math.expm1(packets * Math.log1p(-lossPercent / 100))
}

function newSide(kind: Link['side']): Side {
  return {
    kind,
    handler: undefined,
    queuedBytes: 0,
    isBlocked: false,
    busyUntilUs: 0,
    arrivesUs: 0,
    isClosed: false,
  }
}

function close(side: Side, reason: string): void {
  if (side.isClosed) return
  side.isClosed = true
  side.handler?.closed(reason)
}

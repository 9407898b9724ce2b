/** Keeps a link between two devices as long as they are in contact and both run; one that ends by itself is dialled again. */
import type { RandomStream } from '../core/random-streams.ts'
import type { TraceHash } from '../core/trace-hash.ts'
import type { VirtualTime } from '../core/virtual-time.ts'
import type { Contact } from '../schedule.ts'
import type { FullDevice } from './full-device.ts'
import { VirtualLink } from './virtual-link.ts'

/** Between tries, from the first on: as devices on a network do. */
const redialFirstUs = 1_000_000
const redialMostUs = 60_000_000

export interface LiveContactsOptions {
  readonly time: VirtualTime
  readonly devices: readonly FullDevice[]
  readonly trace: TraceHash
  /** What is lost on the links of a contact. */
  readonly lossOf: (contact: number) => RandomStream
  /** What becomes of a frame between two devices. */
  readonly mangle: (a: number, b: number, frame: Uint8Array) => readonly Uint8Array[]
}

interface Live {
  readonly contact: Contact
  link: VirtualLink | undefined
  dials: number
  waitUs: number
}

export class LiveContacts {
  readonly #options: LiveContactsOptions
  readonly #live = new Map<number, Live>()
  #bytes = 0
  #frames = 0
  links = 0

  constructor(options: LiveContactsOptions) {
    this.#options = options
  }

  /** On the wire, of all links so far. */
  get traffic(): { bytes: number; frames: number } {
    let [bytes, frames] = [this.#bytes, this.#frames]
    for (const { link } of this.#live.values()) {
      bytes += link?.bytes ?? 0
      frames += link?.frames ?? 0
    }
    return { bytes, frames }
  }

  /** @param index - of the contact in its schedule */
  begin(index: number, contact: Contact): void {
    const { time, trace } = this.#options
    const { a, b, fromUs, toUs, link } = contact
    trace.add(time.nowUs, 'meet', a, b)
    this.#live.set(index, { contact, link: undefined, dials: 0, waitUs: redialFirstUs })
    if (fromUs === toUs) {
      this.#dial(index)
      this.#endWhenQuiet(index, -1)
      return
    }
    this.#dialLater(index, link.setupUs)
    time.at(toUs, () => this.#end(index))
  }

  /** A device runs again: whoever is near hears of it. */
  started(device: number): void {
    for (const [index, { contact }] of this.#live) {
      if (contact.fromUs === contact.toUs) continue
      if (contact.a === device || contact.b === device) this.#dialLater(index, contact.link.setupUs)
    }
  }

  /** A device's process has ended. */
  stopped(device: number): void {
    for (const live of this.#live.values()) {
      if (live.contact.a === device || live.contact.b === device) live.link?.cut()
    }
  }

  #dialLater(index: number, delayUs: number): void {
    this.#options.time.after(delayUs, () => this.#dial(index))
  }

  #dial(index: number): void {
    const live = this.#live.get(index)
    if (live === undefined || live.link?.isDown === false) return
    const { time, devices, trace, lossOf, mangle } = this.#options
    const { a, b, fromUs, toUs, link: profile } = live.contact
    const [dialler, listener] = [devices[a]!, devices[b]!]
    if (dialler.runtime === undefined || listener.runtime === undefined) return
    this.#count(live)
    this.links += 1
    trace.add(time.nowUs, 'connect', a, b)
    const link = new VirtualLink({
      time,
      profile,
      random: lossOf(index),
      dialler: (end) => dialler.accept(end)!,
      listener: (end) => listener.accept(end)!,
      mangle: (frame) => mangle(a, b, frame),
      name: `contact-${index}-${++live.dials}`,
      onDown: () => {
        if (this.#live.get(index) !== live || fromUs === toUs) return
        // A link that has carried something was a good one.
        live.waitUs = link.frames > 8 ? redialFirstUs : Math.min(2 * live.waitUs, redialMostUs)
        this.#dialLater(index, live.waitUs)
      },
    })
    live.link = link
  }

  /** A contact of no length lasts until both have said what they have to say. */
  #endWhenQuiet(index: number, framesBefore: number): void {
    const { time } = this.#options
    time.at(time.nowUs, () => {
      const link = this.#live.get(index)?.link
      if (link === undefined || link.isDown || (link.isQuiet && link.frames === framesBefore))
        this.#end(index)
      else this.#endWhenQuiet(index, link.frames)
    })
  }

  #end(index: number): void {
    const live = this.#live.get(index)
    if (live === undefined) return
    const { time, trace } = this.#options
    this.#live.delete(index)
    live.link?.cut()
    this.#count(live)
    trace.add(time.nowUs, 'part', live.contact.a, live.contact.b)
  }

  /** Of a link that is given up. */
  #count(live: Live): void {
    this.#bytes += live.link?.bytes ?? 0
    this.#frames += live.link?.frames ?? 0
    live.link = undefined
  }
}

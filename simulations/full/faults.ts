/** What goes wrong in a run, as its schedule says. */
import type { RandomStreams } from '../core/random-streams.ts'
import type { TraceHash } from '../core/trace-hash.ts'
import type { VirtualTime } from '../core/virtual-time.ts'
import type { Fault } from '../schedule.ts'
import type { Backup, FullDevice } from './full-device.ts'
import type { LiveContacts } from './live-contacts.ts'
import { VirtualLink } from './virtual-link.ts'

export interface FaultsOptions {
  readonly time: VirtualTime
  readonly trace: TraceHash
  readonly streams: RandomStreams
  readonly devices: readonly FullDevice[]
  readonly contacts: () => LiveContacts
}

/** A device's disk that was full is looked at again so often. */
const reopenUs = 5_000_000

function pairOf(a: number, b: number): string {
  return a < b ? `${a}/${b}` : `${b}/${a}`
}

type Mangling = Extract<Fault, { kind: 'corrupt' | 'replay' }>

export class Faults {
  readonly #options: FaultsOptions
  readonly #mangled = new Map<number, Set<Mangling>>()
  /** What went over a device's links while they are said to be recorded. */
  readonly #recorded = new Map<number, Uint8Array[]>()
  readonly #misled = new Set<string>()
  readonly #lost = new Set<number>()
  /** Ends of the times for which devices are down. */
  readonly #downUntilUs = new Map<number, number>()
  #strangers = 0

  constructor(options: FaultsOptions) {
    this.#options = options
  }

  plan(faults: readonly Fault[]): void {
    for (const [index, fault] of faults.entries()) {
      if (fault.kind === 'restore') this.#planRestore(index, fault)
      else this.#at(fault.atUs, fault, () => this.#strike(index, fault))
    }
  }

  /** Devices whose disk was put back to an earlier state. */
  readonly goneBack = new Set<number>()

  /** Devices that are gone for good. */
  get lost(): ReadonlySet<number> {
    return this.#lost
  }

  mangle(a: number, b: number, frame: Uint8Array): readonly Uint8Array[] {
    let frames: readonly Uint8Array[] = [frame]
    for (const device of [a, b]) {
      for (const fault of this.#mangled.get(device) ?? [])
        frames = frames.flatMap((each) => this.#mangledBy(fault, each))
    }
    if (frames.length !== 1 || frames[0] !== frame) this.#misled.add(pairOf(a, b))
    return frames
  }

  /** Whether two devices have heard of each other, in some conversation, what the other has not said then: who believes it is not to blame. */
  areMisled(a: number, b: number): boolean {
    return this.#misled.has(pairOf(a, b))
  }

  /** The store of a device takes nothing more: it begins anew as soon as there is room. */
  storeFailed(index: number): void {
    const { time, devices } = this.#options
    const device = devices[index]!
    const life = device.runtime
    const look = (): void => {
      if (device.runtime !== life || life === undefined) return
      if (device.isFull) time.after(reopenUs, look)
      else void this.#restart(index, { power: false, forUs: 0 })
    }
    time.after(reopenUs, look)
  }

  #at(atUs: number, fault: Fault, run: () => void): void {
    const { time, trace } = this.#options
    time.at(atUs, () => {
      trace.add(time.nowUs, fault.kind, fault.device)
      run()
    })
  }

  #strike(index: number, fault: Exclude<Fault, { kind: 'restore' }>): void {
    const { time, devices } = this.#options
    const device = devices[fault.device]!
    if (this.#lost.has(fault.device)) return
    switch (fault.kind) {
      case 'crash':
        void this.#restart(fault.device, fault)
        return
      case 'lost':
        this.#lost.add(fault.device)
        this.#stop(fault.device, true)
        return
      case 'disk-full':
        device.isFull = true
        time.after(fault.forUs, () => {
          device.isFull = false
        })
        return
      case 'clock-step':
        device.stepClock(fault.stepMs)
        return
      case 'corrupt':
      case 'replay': {
        const set = this.#mangled.get(fault.device) ?? new Set()
        this.#mangled.set(fault.device, set.add(fault))
        time.after(fault.forUs, () => {
          set.delete(fault)
        })
        return
      }
      case 'strangers':
        this.#sendStrangers(index, fault, time.nowUs + fault.forUs)
        return
      default:
        return fault satisfies never
    }
  }

  #planRestore(index: number, fault: Extract<Fault, { kind: 'restore' }>): void {
    const { time, devices } = this.#options
    let backup: Backup | undefined
    time.at(fault.toUs, () => {
      backup = devices[fault.device]!.backup()
    })
    this.#at(fault.atUs, fault, () => {
      if (this.#lost.has(fault.device) || backup === undefined) return
      this.#stop(fault.device, false)
      devices[fault.device]!.restore(backup, fault)
      this.goneBack.add(fault.device)
      void this.#start(fault.device)
    })
  }

  #stop(device: number, power: boolean): void {
    this.#options.contacts().stopped(device)
    this.#options.devices[device]!.crash({ power })
  }

  async #restart(device: number, { power, forUs }: { power: boolean; forUs: number }) {
    const { time } = this.#options
    this.#stop(device, power)
    const untilUs = time.nowUs + forUs
    this.#downUntilUs.set(device, Math.max(untilUs, this.#downUntilUs.get(device) ?? 0))
    if (forUs === 0) await this.#start(device)
    else
      time.at(untilUs, () => {
        // Another crash may have come meanwhile.
        if (this.#downUntilUs.get(device) === untilUs) void this.#start(device)
      })
  }

  async #start(device: number): Promise<void> {
    const { devices, contacts } = this.#options
    const target = devices[device]!
    if (this.#lost.has(device) || target.runtime !== undefined) return
    if (await target.start()) contacts().started(device)
  }

  #mangledBy(fault: Mangling, frame: Uint8Array): readonly Uint8Array[] {
    const random = this.#options.streams.stream(`faults/${fault.kind}/${fault.device}`)
    if (fault.kind === 'replay') {
      const recorded = this.#recorded.get(fault.device) ?? []
      if (recorded.length < 64) this.#recorded.set(fault.device, [...recorded, frame])
      return random.chance(fault.perMille / 1_000) && recorded.length > 0
        ? [random.pick(recorded), frame]
        : [frame]
    }
    if (!random.chance(fault.perMille / 1_000) || frame.length === 0) return [frame]
    const changed = frame.slice()
    changed[random.int(0, frame.length - 1)]! ^= 1 << random.int(0, 7)
    return [changed]
  }

  /** Somebody dials who knows nothing, says something, and goes. */
  #sendStrangers(
    index: number,
    fault: Extract<Fault, { kind: 'strangers' }>,
    untilUs: number,
  ): void {
    const { time, streams, devices } = this.#options
    const random = streams.stream(`faults/strangers/${index}`)
    const next = (): void => {
      const atUs = time.nowUs + Math.ceil(random.exponential(1e6 / fault.perSecond))
      if (atUs < untilUs) time.at(atUs, come)
    }
    const come = (): void => {
      next()
      const device = devices[fault.device]!
      if (device.runtime === undefined) return
      const link = new VirtualLink({
        time,
        profile: { latencyUs: 1_000, bytesPerSecond: 1e6, lossPercent: 0, setupUs: 0 },
        random,
        dialler: (end) => {
          time.after(0, () => end.send(random.bytes(random.int(1, fault.bytes))))
          time.after(2_000_000, () => end.close('gone'))
          return { received() {}, writable() {}, closed() {} }
        },
        listener: (end) => device.accept(end)!,
        name: `stranger-${++this.#strangers}`,
      })
      // Who does not close is held by nobody.
      time.after(15_000_000, () => link.cut())
    }
    next()
  }
}

import { FeedChain } from '../../../src/feed/chain.ts'
import type { Session } from '../../../src/sync/session.ts'
import { Chance } from './chance.ts'
import { linkNumber, SimulatedDevice } from './simulated-device.ts'
import { SimulatedLink } from './simulated-link.ts'
import type { LinkWeather } from './simulated-link.ts'
import { stubMember } from './stub-authority.ts'
import { VirtualTime } from './virtual-time.ts'

export interface NetworkOptions {
  readonly seed: number
  readonly devices: number
  /** How long a batch takes to reach the disk, from and to. */
  readonly batchMs?: readonly [number, number]
  readonly weather?: Partial<Omit<LinkWeather, 'chance'>>
  /** Pairs that have heard of each other before; all by default. */
  readonly acquainted?: (a: number, b: number) => boolean
}

/** Devices, links between them, and the truth about who holds what. */
export class SimulatedNetwork {
  readonly time = new VirtualTime()
  readonly chance: Chance
  readonly devices: SimulatedDevice[]
  readonly #weather: LinkWeather
  readonly #links: { readonly ends: readonly number[]; readonly link: SimulatedLink }[] = []

  constructor({ seed, devices, batchMs = [0, 30], weather, acquainted }: NetworkOptions) {
    this.chance = new Chance(seed)
    this.#weather = { delayMs: [1, 60], bufferBytes: 64 * 1024, ...weather, chance: this.chance }
    this.devices = Array.from(
      { length: devices },
      (_, index) => new SimulatedDevice(index, this.time, this.chance, batchMs),
    )
    for (const a of this.devices) {
      for (const b of this.devices) {
        if (a === b || acquainted?.(a.index, b.index) === false) continue
        a.authority.known.set(b.id, stubMember(b.index).certificate)
      }
    }
  }

  /** Dials, unless there is a link. */
  connect(a: number, b: number): SimulatedLink {
    return this.#between(a, b).find((link) => !link.isDown) ?? this.dial(a, b)
  }

  /** Dials, whatever links there are. */
  dial(a: number, b: number): SimulatedLink {
    const link = new SimulatedLink(this.time, this.#weather, this.devices[a]!, this.devices[b]!)
    this.#links.push({ ends: [a, b], link })
    return link
  }

  cut(a: number, b: number): void {
    for (const link of this.#between(a, b)) link.cut()
  }

  /** Ends all links of a device: its process has ended. */
  isolate(device: number): void {
    for (const { ends, link } of this.#links) if (ends.includes(device)) link.cut()
  }

  #between(a: number, b: number): SimulatedLink[] {
    return this.#links.flatMap(({ ends, link }) =>
      ends.includes(a) && ends.includes(b) ? [link] : [],
    )
  }

  run(ms: number): Promise<void> {
    return this.time.run(ms, () => this.#check())
  }

  /** All feeds that somebody holds. */
  feeds(): string[] {
    const chains = this.devices.flatMap(({ replica }) => [...replica.chains()])
    return [...new Set(chains.map(({ feed }) => feed))]
  }

  /** The other end of a session, if both are open. */
  counterpart(session: Session): SimulatedDevice | undefined {
    return this.devices.find(({ id }) => id === session.device)
  }

  /** What must hold whenever everything is at rest. */
  #check(): void {
    for (const device of this.devices) {
      const [error] = device.errors
      if (error !== undefined) throw error
      this.#checkComplete(device)
      device.settledLog = device.store.log.length
    }
  }

  /**
   * A session that says COMPLETE: what we hold is durable at the other side, and what it held when it last spoke is durable here.
   */
  #checkComplete(device: SimulatedDevice): void {
    for (const session of device.sessions()) {
      if (!session.complete) continue
      const other = this.counterpart(session)!
      // Put back to a backup meanwhile: nobody can know until the link ends.
      if (other.lifeOfLink.get(linkNumber(session.link)) !== other.life) continue
      const theirs = other.store.disk.commits
      const missing = device.store.log.find((id) => !theirs.has(id))
      if (missing !== undefined && !device.store.failed)
        throw new Error(`${device.index} says complete, but ${other.index} lacks a commit of it`)
      const told = device.told.get(session.link) ?? 0
      for (const id of other.store.log.slice(0, told)) {
        if (!device.store.disk.commits.has(id))
          throw new Error(`${device.index} says complete, but lacks a commit of ${other.index}`)
      }
    }
  }

  /** Differences between what devices hold, and what is not complete that should be: empty when all is well. */
  differences(): string[] {
    const found: string[] = []
    const [first, ...others] = this.devices
    for (const other of others) {
      if (other.replica.digest !== first!.replica.digest)
        found.push(`clocks of ${first!.index} and ${other.index} differ`)
      const missing = [...first!.commits].filter((id) => !other.commits.has(id)).length
      const more = [...other.commits].filter((id) => !first!.commits.has(id)).length
      if (missing + more > 0)
        found.push(`${other.index} lacks ${missing} commits of ${first!.index}, has ${more} more`)
    }
    for (const device of this.devices) {
      found.push(...this.faultsOf(device))
      for (const session of device.sessions()) {
        if (!session.complete)
          found.push(
            `${device.index} is not complete with ${this.counterpart(session)?.index}: ${session.state}, behind ${session.behind}, ahead ${session.ahead}`,
          )
      }
    }
    return found
  }

  /** Whether what a replica says of itself is what is on its disk. */
  faultsOf(device: SimulatedDevice): string[] {
    const found: string[] = []
    const { disk } = device.store
    let count = 0
    for (const chain of device.replica.chains()) {
      count += chain.count
      const row = disk.chains.get(chain.feed)
      if (row === undefined || !FeedChain.decode(chain.feed, row).equals(chain))
        found.push(`${device.index} has another chain on disk`)
      if (!disk.descriptors.has(chain.feed)) found.push(`${device.index} lacks a descriptor`)
    }
    if (count !== disk.commits.size)
      found.push(`${device.index} counts ${count} commits, and has ${disk.commits.size}`)
    if (device.replica.commits !== count)
      found.push(`${device.index} says ${device.replica.commits} commits, and counts ${count}`)
    return found
  }
}

/** A run in full fidelity: a schedule, played with the production code. */
import { isHavenError } from '../../src/core/errors.ts'
import type { StoredCommit } from '../../src/feed/commit-store.ts'
import { bytesToHex } from '../../src/core/bytes.ts'
import { decodeDescriptor } from '../../src/feed/descriptor.ts'
import { meshCollectionId } from '../../src/identity/names.ts'
import { RandomStreams } from '../core/random-streams.ts'
import { TraceHash } from '../core/trace-hash.ts'
import { rest, VirtualTime } from '../core/virtual-time.ts'
import type { Contact, Schedule } from '../schedule.ts'
import { FullDevice, messageName } from './full-device.ts'
import { foundSimulatedMesh } from './mesh-founding.ts'
import type { SimulatedMesh } from './mesh-founding.ts'
import { VirtualLink } from './virtual-link.ts'

/** A commit of records has become durable on a device: on its author's own first. */
export interface Arrival {
  readonly message: string
  readonly device: number
  readonly atUs: number
}

export interface FullResult {
  /** In the order of time. */
  readonly arrivals: readonly Arrival[]
  /** On the wire, all that was said. */
  readonly bytes: number
  readonly frames: number
  readonly contacts: number
  readonly events: number
  readonly traceHash: string
  /** Writes that a device refused (its disk was full, it did not run), by error code. */
  readonly refused: ReadonlyMap<string, number>
}

export class FullRun {
  readonly time = new VirtualTime()
  readonly devices: readonly FullDevice[]
  readonly streams: RandomStreams
  readonly trace = new TraceHash()
  readonly arrivals: Arrival[] = []
  readonly #schedule: Schedule
  readonly #mesh: SimulatedMesh
  readonly #links = new Map<number, VirtualLink>()
  readonly #refused = new Map<string, number>()
  #bytes = 0
  #frames = 0
  #contacts = 0

  private constructor(schedule: Schedule, streams: RandomStreams) {
    this.#schedule = schedule
    this.streams = streams
    this.#mesh = foundSimulatedMesh(schedule.devices, streams)
    const members = this.#mesh.members
    this.devices = schedule.devices.map(
      (spec, index) =>
        new FullDevice({
          spec,
          member: members[index]!,
          disk: this.#mesh.diskOf(members[index]!),
          time: this.time,
          streams,
          stored: (commits) => this.#stored(index, commits),
          emit: () => {},
        }),
    )
  }

  /** All devices run, and know of each other. */
  static async start(schedule: Schedule, streams: RandomStreams): Promise<FullRun> {
    const run = new FullRun(schedule, streams)
    await run.#writeFacts()
    for (const device of run.devices) await device.start()
    run.#plan()
    return run
  }

  /** @param atRest - called after each event */
  async play(atRest?: () => void): Promise<FullResult> {
    await this.time.runUntil(this.#schedule.endUs, atRest)
    return this.result()
  }

  result(): FullResult {
    for (const [index, { runtime }] of this.devices.entries())
      this.trace.add(this.time.nowUs, 'clock', index, runtime?.replica.digest ?? 'off')
    this.trace.add(this.time.nowUs, this.streams.lastDraws())
    return {
      arrivals: this.arrivals,
      bytes: this.#bytes + sum(this.#links.values(), ({ bytes }) => bytes),
      frames: this.#frames + sum(this.#links.values(), ({ frames }) => frames),
      contacts: this.#contacts,
      events: this.time.eventCount,
      traceHash: this.trace.finish(),
      refused: this.#refused,
    }
  }

  /** The facts of the mesh, on every disk: as if everybody had met everybody. */
  async #writeFacts(): Promise<void> {
    const { founder, facts } = this.#mesh
    const disk = this.#mesh.diskOf(founder)
    const author = new FullDevice({
      spec: {
        name: 'founder',
        site: '',
        role: 'admin',
        syncUs: 0,
        clockOffsetMs: 0,
        clockDriftPpm: 0,
      },
      member: founder,
      disk,
      time: this.time,
      streams: this.streams,
      stored: () => {},
      emit: () => {},
    })
    await author.start()
    await author.runtime!.writeFacts(facts)
    author.crash({ power: false })
    for (const device of this.devices) {
      for (const descriptor of disk.descriptors.values())
        device.disk.apply({ kind: 'descriptor', descriptor })
      for (const commits of disk.commits.values())
        for (const commit of commits) device.disk.apply({ kind: 'commit', commit })
      for (const [feed, value] of disk.chains) device.disk.apply({ kind: 'chain', feed, value })
    }
    await rest()
  }

  #plan(): void {
    const { contacts, writes, endUs } = this.#schedule
    for (const [index, contact] of contacts.entries())
      if (contact.fromUs <= endUs) this.time.at(contact.fromUs, () => this.#meet(index, contact))
    for (const write of writes) {
      if (write.atUs > endUs) continue
      this.time.at(write.atUs, () => {
        this.trace.add(this.time.nowUs, 'write', write.device, write.record, write.field)
        void this.#write(write)
      })
    }
  }

  async #write({ device, record, field, bytes, urgent }: Schedule['writes'][number]) {
    // Of a length, and never the same twice.
    const value = JSON.stringify(`${this.time.nowUs}/${device}`.padEnd(Math.max(0, bytes - 2), '.'))
    try {
      await this.devices[device]!.write(record, field, value, urgent)
    } catch (error) {
      if (!isHavenError(error)) throw error
      this.#refused.set(error.code, (this.#refused.get(error.code) ?? 0) + 1)
    }
  }

  #meet(index: number, contact: Contact): void {
    const { a, b, fromUs, toUs, link: profile } = contact
    if (fromUs === toUs) {
      this.#connect(index, contact)
      this.#cutWhenQuiet(index, -1)
      return
    }
    if (fromUs + profile.setupUs >= toUs) return
    this.time.at(fromUs + profile.setupUs, () => this.#connect(index, contact))
    this.time.at(toUs, () => this.#cut(index))
    this.trace.add(this.time.nowUs, 'meet', a, b)
  }

  #connect(index: number, { a, b, link: profile }: Contact): void {
    const [dialler, listener] = [this.devices[a]!, this.devices[b]!]
    if (dialler.runtime === undefined || listener.runtime === undefined) return
    this.#contacts += 1
    this.trace.add(this.time.nowUs, 'connect', a, b)
    const link = new VirtualLink({
      time: this.time,
      profile,
      random: this.streams.stream(`loss/${index}`),
      dialler: (end) => dialler.accept(end)!,
      listener: (end) => listener.accept(end)!,
      name: `contact-${index}`,
    })
    this.#links.set(index, link)
  }

  /** A contact of no length lasts until both have said what they have to say. */
  #cutWhenQuiet(index: number, framesBefore: number): void {
    this.time.at(this.time.nowUs, () => {
      const link = this.#links.get(index)
      if (link === undefined) return
      if (link.isDown || (link.isQuiet && link.frames === framesBefore)) this.#cut(index)
      else this.#cutWhenQuiet(index, link.frames)
    })
  }

  #cut(index: number): void {
    const link = this.#links.get(index)
    if (link === undefined) return
    this.#links.delete(index)
    link.cut()
    this.#bytes += link.bytes
    this.#frames += link.frames
    this.trace.add(this.time.nowUs, 'cut', index, link.bytes, link.frames)
  }

  #stored(device: number, commits: readonly StoredCommit[]): void {
    const { disk } = this.devices[device]!
    const meshCollection = meshCollectionId(this.#mesh.mesh)
    for (const commit of commits) {
      const descriptor = decodeDescriptor(disk.descriptors.get(commit.feed)!.bytes)
      if (bytesToHex(descriptor.collection) === meshCollection) continue
      const message = messageName(commit)
      this.arrivals.push({ message, device, atUs: this.time.nowUs })
      this.trace.add(this.time.nowUs, 'stored', device, message)
    }
  }
}

function sum<T>(items: Iterable<T>, of: (item: T) => number): number {
  let total = 0
  for (const item of items) total += of(item)
  return total
}

/** A run in full fidelity: a schedule, played with the production code. */
import { HavenError, isHavenError } from '../../src/core/errors.ts'
import type { StoredCommit } from '../../src/feed/commit-store.ts'
import { bytesToHex } from '../../src/core/bytes.ts'
import { decodeDescriptor } from '../../src/feed/descriptor.ts'
import { meshCollectionId } from '../../src/identity/names.ts'
import { RandomStreams } from '../core/random-streams.ts'
import { TraceHash } from '../core/trace-hash.ts'
import { rest, VirtualTime } from '../core/virtual-time.ts'
import type { Schedule } from '../schedule.ts'
import { Faults } from './faults.ts'
import { FullDevice, messageName } from './full-device.ts'
import { LiveContacts } from './live-contacts.ts'
import { foundSimulatedMesh } from './mesh-founding.ts'
import type { SimulatedMesh } from './mesh-founding.ts'

/** A commit of records has become durable on a device: on its author's own first. */
export interface Arrival {
  readonly message: string
  readonly device: number
  readonly atUs: number
}

/** A commit that its author has made durable: whoever wrote it was told so. */
export interface AcknowledgedWrite {
  readonly message: string
  /** The author's index. */
  readonly device: number
}

/** All values that are written begin with this: it must not be found where nobody may read. */
export const valueMarker = 'written-at-'

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
  readonly #contacts: LiveContacts
  readonly faults: Faults
  readonly refused = new Map<string, number>()
  readonly acknowledged: AcknowledgedWrite[] = []
  readonly #holders = new Map<string, Set<number>>()

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
          storeFailed: () => this.faults.storeFailed(index),
        }),
    )
    const { time, trace, devices } = this
    this.faults = new Faults({ time, trace, streams, devices, contacts: () => this.#contacts })
    this.#contacts = new LiveContacts({
      time,
      trace,
      devices,
      lossOf: (contact) => streams.stream(`loss/${contact}`),
      mangle: (a, b, frame) => this.faults.mangle(a, b, frame),
    })
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
      ...this.#contacts.traffic,
      contacts: this.#contacts.links,
      events: this.time.eventCount,
      traceHash: this.trace.finish(),
      refused: this.refused,
    }
  }

  /** How many devices have ever had it. */
  holdersOf(message: string): number {
    return this.#holders.get(message)?.size ?? 0
  }

  /** On its disk now. */
  holds({ disk }: FullDevice, { message }: AcknowledgedWrite): boolean {
    const [feed = '', seq] = message.split('/')
    for (const [id, rows] of disk.commits) {
      if (!id.startsWith(feed)) continue
      if (rows.some((row) => row.seq === Number(seq) && messageName(row) === message)) return true
    }
    return false
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
    const { contacts, writes, faults, endUs } = this.#schedule
    this.faults.plan(faults)
    for (const [index, contact] of contacts.entries())
      if (contact.fromUs <= endUs)
        this.time.at(contact.fromUs, () => this.#contacts.begin(index, contact))
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
    const value = JSON.stringify(
      `${valueMarker}${this.time.nowUs}/${device}`.padEnd(Math.max(0, bytes - 2), '.'),
    )
    try {
      if (this.devices[device]!.runtime === undefined)
        throw new HavenError('STOPPED', 'A device that does not run writes nothing.')
      await this.devices[device]!.write(record, field, value, urgent)
    } catch (error) {
      if (!isHavenError(error)) throw error
      this.refused.set(error.code, (this.refused.get(error.code) ?? 0) + 1)
    }
  }

  #stored(device: number, commits: readonly StoredCommit[]): void {
    const { disk, id } = this.devices[device]!
    const meshCollection = meshCollectionId(this.#mesh.mesh)
    for (const commit of commits) {
      const descriptor = decodeDescriptor(disk.descriptors.get(commit.feed)!.bytes)
      if (bytesToHex(descriptor.collection) === meshCollection) continue
      const message = messageName(commit)
      this.arrivals.push({ message, device, atUs: this.time.nowUs })
      const holders = this.#holders.get(message)
      if (holders === undefined) {
        this.#holders.set(message, new Set([device]))
        if (bytesToHex(descriptor.device) === id) this.acknowledged.push({ message, device })
      } else holders.add(device)
      this.trace.add(this.time.nowUs, 'stored', device, message)
    }
  }
}

/** One device of a run: the production code of a member, on a simulated disk, clock and network. */
import { bytesToHex } from '../../src/core/bytes.ts'
import type { DeviceEvent } from '../../src/device/api.ts'
import { MeshRuntime } from '../../src/device/mesh-runtime.ts'
import { RecordOperations } from '../../src/device/record-operations.ts'
import type { StoreChange, StoredCommit } from '../../src/feed/commit-store.ts'
import type { Mark, MarkContent } from '../../src/store/mark.ts'
import type { Link, LinkHandler } from '../../src/sync/link.ts'
import type { RandomStreams } from '../core/random-streams.ts'
import type { VirtualTime } from '../core/virtual-time.ts'
import type { DeviceSpec } from '../schedule.ts'
import { DiskStore } from './disk-store.ts'
import type { Disk } from './disk.ts'
import { epochMs } from './mesh-founding.ts'
import type { Member } from './mesh-founding.ts'

export interface FullDeviceOptions {
  readonly spec: DeviceSpec
  readonly member: Member
  readonly disk: Disk
  readonly time: VirtualTime
  readonly streams: RandomStreams
  /** Commits have become durable on the device. */
  readonly stored: (commits: readonly StoredCommit[]) => void
  readonly emit: (event: DeviceEvent) => void
  /** Its store takes nothing any more. */
  readonly storeFailed?: () => void
}

/** A machine as a backup has it. */
export interface Backup {
  readonly disk: Disk
  /** Outside of the data directory: undefined where the backup does not have it. */
  readonly mark: MarkContent | undefined
}

export class FullDevice {
  readonly spec: DeviceSpec
  readonly id: string
  readonly #options: FullDeviceOptions
  #disk: Disk
  #mark: MarkContent | undefined
  #store!: DiskStore
  #runtime: MeshRuntime | undefined
  #operations: RecordOperations | undefined
  #stepMs = 0
  /** How often it was started or ended. */
  #lives = 0
  isFull = false
  /** What should not happen. */
  readonly failures: string[] = []

  constructor(options: FullDeviceOptions) {
    this.#options = options
    this.spec = options.spec
    this.id = options.member.keys.device
    this.#disk = options.disk
  }

  get disk(): Disk {
    return this.#disk
  }

  /** undefined while it does not run. */
  get runtime(): MeshRuntime | undefined {
    return this.#runtime
  }

  /** By its own wall clock. */
  nowMs(): number {
    const { time, spec } = this.#options
    const elapsedMs = time.nowUs / 1000
    return Math.floor(
      epochMs +
        this.#stepMs +
        spec.clockOffsetMs +
        elapsedMs * (1 + spec.clockDriftPpm / 1_000_000),
    )
  }

  stepClock(stepMs: number): void {
    this.#stepMs += stepMs
  }

  /** @returns false when it was ended before it ran */
  async start(): Promise<boolean> {
    const { member, time, streams, spec } = this.#options
    const store = new DiskStore({
      disk: this.#disk,
      time,
      // Before time moves, nothing takes any.
      syncUs: () => (time.hasBegun ? spec.syncUs : 0),
      isFull: () => this.isFull,
    })
    this.#store = store
    const life = ++this.#lives
    const runtime = await MeshRuntime.open({
      store: this.#watched(store),
      keys: member.keys,
      membership: member.membership,
      mark: this.#newMark(),
      clock: { nowMs: () => this.nowMs() },
      random: streams.stream(`protocol/${spec.name}`),
      timers: {
        after: (delayMs, run) =>
          time.after(delayMs * 1000, () => {
            if (this.#store === store) run()
          }),
      },
      emit: (event) => this.#options.emit(event),
      storeFailed: () => {
        if (this.#store === store) this.#options.storeFailed?.()
      },
      log: (level, code, message) => {
        if (level === 'error' && code !== 'DISK_FULL') this.failures.push(`${code}: ${message}`)
      },
    })
    if (life !== this.#lives) return false
    this.#runtime = runtime
    this.#operations = new RecordOperations(runtime)
    return true
  }

  /** The process ends in the middle of whatever it does. */
  crash({ power }: { readonly power: boolean }): void {
    this.#lives += 1
    this.#store.die(power)
    void this.#runtime?.driver.stop()
    this.#runtime = undefined
    this.#operations = undefined
  }

  backup(): Backup {
    return { disk: this.#disk.copy(), mark: this.#mark }
  }

  /** Of a device that does not run. */
  restore({ disk, mark }: Backup, { whole }: { readonly whole: boolean }): void {
    this.#disk = disk.copy()
    if (whole) this.#mark = mark
  }

  /** A handler for a link to this device; undefined while it does not run. */
  accept(link: Link): LinkHandler | undefined {
    return this.#runtime?.driver.accept(link)
  }

  /** @throws HavenError of the write */
  async write(record: string, field: string, value: string, urgent: boolean): Promise<void> {
    await this.#operations?.set('records', record, [[field, value]], { urgent })
  }

  #watched(store: DiskStore): DiskStore {
    const { stored } = this.#options
    const batch = async (
      changes: readonly StoreChange[],
      options?: { readonly sync?: boolean },
    ): Promise<void> => {
      await store.batch(changes, options)
      const commits = changes.flatMap((change) => (change.kind === 'commit' ? [change.commit] : []))
      if (commits.length > 0) stored(commits)
    }
    return new Proxy(store, {
      get(target, name) {
        if (name === 'batch') return batch
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function'
          ? (value as (...args: unknown[]) => unknown).bind(target)
          : value
      },
    })
  }

  #newMark(): Mark {
    const content = this.#mark
    return {
      path: '',
      state: content === undefined ? 'missing' : 'ok',
      content,
      writable: true,
      write: (next) => {
        this.#mark = next
        return Promise.resolve()
      },
      close: () => Promise.resolve(),
    }
  }
}

/** How a commit is named in a run's files. */
export function messageName({ feed, seq, id }: StoredCommit): string {
  return `${feed.slice(0, 12)}/${seq}/${bytesToHex(id).slice(0, 8)}`
}

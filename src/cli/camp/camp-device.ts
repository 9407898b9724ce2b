import { join } from 'node:path'

import { HavenError } from '../../core/errors.ts'
import { findRunningDevice } from '../../daemon/local-client.ts'
import type { DeviceEvent, DeviceStatus } from '../../device/api.ts'
import { runHaven, startUp, type UpProcess } from './haven-process.ts'

type SyncEvent = Extract<DeviceEvent, { event: 'sync' }>

/** What a device has received and sent since the camp began. */
export interface Traffic {
  commits: { in: number; out: number }
  bytes: { in: number; out: number }
}

export interface CampOptions {
  directory: string
  env: Record<string, string | undefined>
  /** Aborted when the camp ends. */
  signal: AbortSignal
}

/** One of the three devices: a data directory, and a process while it is up. */
export class CampDevice {
  readonly name: string
  readonly dataDir: string
  readonly #options: CampOptions
  readonly #onChange: () => void
  readonly #sessions: SyncEvent[] = []
  #up: UpProcess | undefined
  #status: DeviceStatus | undefined
  #addresses: string[] = []

  constructor(name: string, options: CampOptions, onChange: () => void) {
    this.name = name
    this.dataDir = join(options.directory, name)
    this.#options = options
    this.#onChange = onChange
  }

  get isUp(): boolean {
    return this.#up !== undefined
  }

  /** As last heard; undefined before the first time. */
  get status(): DeviceStatus | undefined {
    return this.#status
  }

  get addresses(): readonly string[] {
    return this.#addresses
  }

  get traffic(): Traffic {
    const total: Traffic = { commits: { in: 0, out: 0 }, bytes: { in: 0, out: 0 } }
    for (const { commits, bytes } of this.#sessions) {
      total.commits.in += commits.in
      total.commits.out += commits.out
      total.bytes.in += bytes.in
      total.bytes.out += bytes.out
    }
    return total
  }

  /** Runs `haven` with this device's data directory and gives its document. */
  run(...args: string[]): Promise<unknown> {
    const { env, signal } = this.#options
    return runHaven(['--data', this.dataDir, ...args], { env, signal })
  }

  /** Starts `haven up`; resolves when it listens. */
  async up(...args: string[]): Promise<void> {
    const { env, signal } = this.#options
    signal.throwIfAborted()
    const up = startUp(['--data', this.dataDir, ...args], { env, onEvent: (it) => this.#heard(it) })
    this.#up = up
    void this.#forgetWhenEnded(up)
    this.#addresses = await up.ready
    this.#onChange()
  }

  /** Ends `haven up`: from then on this device has no link to any other. */
  async down(): Promise<void> {
    await this.#up?.stop()
  }

  /** Ends it at once. */
  kill(): void {
    this.#up?.kill()
  }

  /** Asks the running device how it is; nothing changes while it is down. */
  async refresh(): Promise<void> {
    if (!this.isUp) return
    try {
      const device = await findRunningDevice(this.dataDir, this.#options.env)
      if (device === undefined) return
      this.#status = await device.status()
      this.#onChange()
    } catch (error) {
      // It is just starting or stopping.
      if (!(error instanceof HavenError)) throw error
    }
  }

  async #forgetWhenEnded(up: UpProcess): Promise<void> {
    await up.ended
    if (this.#up === up) this.#up = undefined
    this.#onChange()
  }

  #heard(event: DeviceEvent): void {
    if (event.event !== 'sync') return
    // The amounts of one session only grow: where they shrink, or the peer is another, a new one has begun.
    const at = this.#sessions.findLastIndex(({ device }) => device.id === event.device.id)
    const before = this.#sessions[at]
    const goesOn =
      before !== undefined &&
      before.bytes.in <= event.bytes.in &&
      before.bytes.out <= event.bytes.out
    if (goesOn) this.#sessions[at] = event
    else this.#sessions.push(event)
    this.#onChange()
  }
}

/** Who else is in the mesh, how far each of us is behind the other, and when that changes. */
import type { Clock, Timers } from '../core/environment.ts'
import type { SyncEngine } from '../sync/engine.ts'
import type { DeviceEvent, DeviceInfo, PeerStatus, SyncState } from './api.ts'
import type { ControlPlane } from './control-plane.ts'
import { rfc3339 } from './system.ts'

type Timeless<E> = E extends unknown ? Omit<E, 'time'> : never

/** Progress is told at most so often for each device, unless its state changes. */
const eventEveryMs = 250

/** Ends of sessions that a person should look at; a link that was cut is none. */
const failureReasons = new Set([
  'MALFORMED',
  'OUT_OF_ORDER',
  'BAD_SIGNATURE',
  'BAD_CHAIN',
  'LIMIT_EXCEEDED',
  'FRAME_TOO_LONG',
  'VERSION_MISMATCH',
  'REVOKED',
  'DISK_FULL',
  'STORE_FAILED',
])

export class PeerBook {
  readonly #engine: SyncEngine
  readonly #control: ControlPlane
  readonly #emit: (event: Timeless<DeviceEvent>) => void
  readonly #lastState = new Map<string, SyncState>()
  readonly #lastEventMs = new Map<string, number>()
  readonly #lastSeenMs = new Map<string, number>()
  readonly #failures = new Set<string>()
  /** Devices whose session was told of: one that was turned away while it joined is no peer. */
  readonly #opened = new Set<string>()
  readonly #clock: Clock
  readonly #timers: Timers
  /** Of devices that are to be told of later. */
  readonly #cancels = new Map<string, () => void>()

  constructor(options: {
    readonly engine: SyncEngine
    readonly control: ControlPlane
    readonly clock: Clock
    readonly timers: Timers
    readonly emit: (event: Timeless<DeviceEvent>) => void
  }) {
    this.#engine = options.engine
    this.#control = options.control
    this.#clock = options.clock
    this.#timers = options.timers
    this.#emit = options.emit
  }

  info(device: string): DeviceInfo {
    return {
      id: device,
      name: this.#control.nameOf(device),
      role: this.#control.certificateOf(device)?.role ?? 'viewer',
    }
  }

  opened(device: string): void {
    this.#lastSeenMs.set(device, this.#clock.nowMs())
    this.#failures.delete(device)
    this.#opened.add(device)
    this.#emit({
      event: 'peer',
      device: this.info(device),
      state: this.status(device).state,
      connected: true,
    })
    this.#tell(device, true)
  }

  closed(device: string, reason: string): void {
    this.#lastSeenMs.set(device, this.#clock.nowMs())
    if (failureReasons.has(reason)) this.#failures.add(device)
    if (this.#engine.sessionWith(device) !== undefined || !this.#opened.delete(device)) return
    this.#emit({
      event: 'peer',
      device: this.info(device),
      state: this.status(device).state,
      connected: false,
    })
    this.#lastState.delete(device)
  }

  progressed(device: string): void {
    if (this.#engine.sessionWith(device) !== undefined) {
      this.#lastSeenMs.set(device, this.#clock.nowMs())
      this.#tell(device, false)
    }
  }

  #tell(device: string, always: boolean): void {
    const { state, behind, ahead } = this.status(device)
    const session = this.#engine.sessionWith(device)
    if (session === undefined) return
    const nowMs = this.#clock.nowMs()
    const due = (this.#lastEventMs.get(device) ?? 0) + eventEveryMs
    if (!always && state === this.#lastState.get(device) && nowMs < due) {
      if (!this.#cancels.has(device)) {
        const cancel = this.#timers.after(due - nowMs, () => {
          this.#cancels.delete(device)
          this.#tell(device, false)
        })
        this.#cancels.set(device, cancel)
      }
      return
    }
    this.#lastState.set(device, state)
    this.#lastEventMs.set(device, nowMs)
    this.#emit({
      event: 'sync',
      device: this.info(device),
      state,
      commits: { ...session.commits },
      bytes: { ...session.bytes },
      behind,
      ahead,
    })
  }

  /** Derived from the two clocks: ours, and the last one heard of theirs. */
  status(device: string): PeerStatus {
    const session = this.#engine.sessionWith(device)
    const entry = this.#engine.book.entries.get(device)
    const connected = session !== undefined
    const known =
      session?.theirs !== undefined
        ? { behind: session.behind, ahead: session.ahead }
        : entry?.known === undefined
          ? undefined
          : this.#engine.replica.compare(entry.known.clock)
    const covered = known !== undefined && known.behind === 0 && known.ahead === 0
    let state: SyncState
    if (connected) state = session.complete ? 'COMPLETE' : 'SYNCING'
    else if (this.#failures.has(device)) state = 'ERROR'
    else state = covered ? 'COMPLETE' : 'IDLE'
    const seenMs = Math.max(
      this.#lastSeenMs.get(device) ?? 0,
      entry?.announcement?.timeMs ?? 0,
      entry?.known?.last.timeMs ?? 0,
    )
    const info = this.info(device)
    return {
      device: info,
      name: info.name,
      site: this.#control.siteOf(device),
      connected,
      state,
      behind: known?.behind ?? null,
      ahead: known?.ahead ?? null,
      lastSeen: seenMs === 0 ? null : rfc3339(seenMs),
    }
  }

  all(): PeerStatus[] {
    return this.#control.membership
      .members()
      .filter(({ device }) => device !== this.#control.device)
      .map(({ device }) => this.status(device))
  }

  close(): void {
    for (const cancel of this.#cancels.values()) cancel()
    this.#cancels.clear()
  }
}

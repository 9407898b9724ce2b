/** How much a mesh may have on this server, and how much each device may send to it in a day. */
import { limits } from '../core/limits.ts'
import type { SentBytes } from './sent-bytes.ts'

export interface QuotaLimits {
  /** Commits of one mesh. */
  readonly meshBytes: number
  /** From one device in one day (UTC), whoever wrote it. */
  readonly deviceBytesPerDay: number
}

const dayMs = 24 * 60 * 60 * 1000

export class Quota {
  readonly #limits: QuotaLimits
  readonly #storedBytes: () => number
  readonly #nowMs: () => number
  readonly #sent: () => Pick<SentBytes, 'add' | 'of'> | undefined

  constructor(options: {
    readonly limits: QuotaLimits
    /** What the mesh has here now. */
    readonly storedBytes: () => number
    /** Undefined: nothing can be stored now. */
    readonly sent: () => Pick<SentBytes, 'add' | 'of'> | undefined
    readonly nowMs: () => number
  }) {
    this.#limits = options.limits
    this.#storedBytes = options.storedBytes
    this.#sent = options.sent
    this.#nowMs = options.nowMs
  }

  /** A device has sent something. */
  sent(device: string, bytes: number): void {
    this.#sent()?.add(device, this.#today(), bytes)
  }

  /**
   * For the engine ({@link import('../sync/engine-port.ts').Intake}). Facts about members, which may close a hole, and what was under way
   * when it became full, are taken beyond a quota, but not without end.
   */
  intake(device: string): number {
    const { meshBytes, deviceBytesPerDay } = this.#limits
    const ofMesh = meshBytes - this.#storedBytes()
    const ofDevice = deviceBytesPerDay - (this.#sent()?.of(device, this.#today()) ?? 0)
    if (ofMesh < -beyond(meshBytes) || ofDevice < -beyond(deviceBytesPerDay)) return -1
    return Math.max(0, Math.min(ofMesh, ofDevice))
  }

  /** Until devices may send again as much as in a day. */
  get untilTomorrowMs(): number {
    return dayMs - (this.#nowMs() % dayMs)
  }

  /** UTC. */
  #today(): number {
    return Math.floor(this.#nowMs() / dayMs)
  }
}

/** A few windows, or a twentieth. */
function beyond(quotaBytes: number): number {
  return Math.max(2 * limits.windowMaxBytes, quotaBytes / 20)
}

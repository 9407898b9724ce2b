/**
 * When this device says what it holds: when it has become quiet, at the end of a contact, and otherwise at most every 30 s. A mesh
 * of N devices would otherwise send N² messages for each write.
 */
import { announcementNumber, createAnnouncement } from './announcement.ts'
import type { Announcement } from './announcement.ts'
import type { ClockBook } from './clock-book.ts'
import type { Authority } from './engine-port.ts'
import type { Replica } from './replica.ts'

const quietMs = 1_000
const atMostEveryMs = 30_000

export class Announcer {
  readonly #authority: Authority
  readonly #replica: Replica
  readonly #book: ClockBook
  #changedMs: number | undefined
  #firstChangedMs: number | undefined
  #announcedMs = -Infinity
  #contactEnded = false
  #lastNumber = 0
  #lastSaid = ''

  constructor(authority: Authority, replica: Replica, book: ClockBook) {
    this.#authority = authority
    this.#replica = replica
    this.#book = book
  }

  changed(nowMs: number): void {
    this.#changedMs = nowMs
    this.#firstChangedMs ??= nowMs
  }

  contactEnded(nowMs: number): void {
    if (this.#changedMs !== undefined) {
      this.#contactEnded = true
      this.#changedMs = nowMs
    }
  }

  /** Our own last announcement came back from the store. */
  restored(device: string): void {
    if (device !== this.#authority.device) return
    const announcement = this.#book.entries.get(device)?.announcement
    if (announcement === undefined) return
    this.#lastNumber = announcement.number
    this.#lastSaid = sayingOf(announcement)
  }

  /**
   * Others pass on what this device has said. What it does not remember was said by a store that is gone: the next announcement outnumbers it.
   *
   * @returns whether it is such a one
   */
  forgot({ number }: Announcement): boolean {
    if (number <= this.#lastNumber) return false
    this.#lastNumber = number
    this.#lastSaid = ''
    return true
  }

  wakeAtMs(): number {
    if (this.#changedMs === undefined || this.#firstChangedMs === undefined) return Infinity
    return Math.min(
      this.#changedMs + quietMs,
      Math.max(this.#announcedMs, this.#firstChangedMs) + atMostEveryMs,
    )
  }

  /** Whether it is time to announce; true once for what has changed. */
  isDue(nowMs: number): boolean {
    if (this.#changedMs === undefined) return false
    if (!this.#contactEnded && nowMs < this.wakeAtMs()) return false
    this.#changedMs = undefined
    this.#firstChangedMs = undefined
    this.#contactEnded = false
    return true
  }

  /** What there is to say now; undefined: no more than was said last. */
  create(nowMs: number): Announcement | undefined {
    const { digest, commits } = this.#replica
    const parts = {
      incarnation: this.#authority.incarnation,
      epochs: this.#authority.readableEpochs(),
      clockDigest: digest,
      commits,
    }
    // An empty clock, or the same as before, is no news.
    if (commits === 0 || sayingOf(parts) === this.#lastSaid) return undefined
    const number = announcementNumber(this.#lastNumber, this.#authority.generation, nowMs)
    this.#book.rememberOwn(digest, this.#replica.clock)
    return createAnnouncement(
      {
        ...parts,
        mesh: this.#authority.mesh,
        number,
        timeMs: Math.max(0, Math.floor(nowMs)),
      },
      this.#authority.keys.signing,
    )
  }

  /** @returns false for one that is older than what was said before */
  announced(announcement: Announcement, nowMs: number): boolean {
    if (announcement.number <= this.#lastNumber) return false
    this.#announcedMs = nowMs
    this.#lastNumber = announcement.number
    this.#lastSaid = sayingOf(announcement)
    return this.#book.announced(announcement)
  }
}

function sayingOf(parts: {
  incarnation: string
  epochs: readonly string[]
  clockDigest: string
}): string {
  return `${parts.incarnation}/${parts.epochs.join(',')}/${parts.clockDigest}`
}

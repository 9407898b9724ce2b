/** What a session has to say, and says later because bytes are dear: see `thrift.ts`. */
import type { Announcement } from './announcement.ts'

/** How long the rest is gathered: so said, a day of a busy mesh takes a megabyte or two. */
export const chatterMs = 10 * 60_000

/** What waits in a session until it is said with all the rest. */
export class Gathered {
  /** When nothing was left waiting. */
  saidAllMs: number
  readonly unsaid = new Set<string>()
  readonly announcements = new Map<string, Announcement>()
  /** The peer was told of urgent commits that arrived here, and has no announcement of it yet. */
  owesReceipt = false

  constructor(nowMs: number) {
    this.saidAllMs = nowMs
  }

  get dueMs(): number {
    const isWaiting = this.unsaid.size > 0 || this.announcements.size > 0
    return isWaiting ? this.saidAllMs + chatterMs : Infinity
  }
}

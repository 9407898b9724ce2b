/**
 * Who is asked for what. What is on its way from one neighbour is not asked of another until it is late.
 *
 * The order of transfer and the choice of whom to ask are the forwarding policy of production (epidemic: everything to everybody who
 * lacks it).
 */
import { bytesToHex } from '../core/bytes.ts'
import type { FeedDescriptor } from '../feed/descriptor.ts'
import type { Replica } from './replica.ts'
import type { Want } from './section.ts'
import type { Session } from './session.ts'

/** Without progress for so long, somebody else is asked as well: several windows of a slow link. */
const lateMs = 10_000
/** So long for a feed while others come from the same neighbour: over a slow link, each waits for those before it. */
const busyLateMs = 120_000

interface Expected {
  session: Session
  progressMs: number
}

export class WantPlanner {
  readonly #replica: Replica
  readonly #priorityOfCollection: (collection: string) => number
  readonly #expected = new Map<string, Expected>()
  #retry = false

  constructor(replica: Replica, priorityOfCollection: (collection: string) => number) {
    this.#replica = replica
    this.#priorityOfCollection = priorityOfCollection
  }

  /** Control facts first, then urgent lanes, then collections by priority. */
  priorityOf(descriptor: FeedDescriptor): number {
    const collection = this.#priorityOfCollection(bytesToHex(descriptor.collection))
    if (collection < 0) return -2
    return descriptor.lane === 'urgent' ? -1 : collection
  }

  /** A feed comes from this session without having been asked for. */
  expect(session: Session, feed: string, nowMs: number): void {
    if (!this.#expected.has(feed)) this.#expected.set(feed, { session, progressMs: nowMs })
  }

  progressed(session: Session, feed: string, nowMs: number): void {
    session.receivedMs = nowMs
    const expected = this.#expected.get(feed)
    if (expected?.session === session) expected.progressMs = nowMs
  }

  /** Nothing more is lacking of a feed that this session had. */
  satisfied(session: Session, feed: string): void {
    if (this.#expected.get(feed)?.session === session) this.#expected.delete(feed)
  }

  closed(session: Session): void {
    for (const [feed, expected] of this.#expected) {
      if (expected.session === session) this.#expected.delete(feed)
    }
  }

  /** What could not be taken before may be wanted again. */
  retryAll(): void {
    this.#retry = true
  }

  plan(sessions: readonly Session[], nowMs: number): void {
    if (this.#retry) {
      this.#retry = false
      this.#expected.clear()
    }
    const pulled = sessions.find((session) => nowMs < pulledUntilMs(session))
    for (const session of sessions) {
      // What the one that was asked for everything has is not clear yet.
      if (pulled !== undefined && pulled !== session) continue
      if (session.behindByFeed.size === 0) continue
      const wants: Want[] = []
      for (const feed of session.behindByFeed.keys()) {
        const expected = this.#expected.get(feed)
        if (expected !== undefined && nowMs < lateAtMs(expected)) continue
        // It knows, and sends it when it is told that there is room.
        if (session.saidFull && expected?.session === session) continue
        // What is staged already needs no want; the comparison follows when it is durable.
        const staged = this.#replica.staged(feed)
        const entries = session.theirs?.get(feed) ?? []
        if (entries.every((entry) => staged.tipAt(entry.seq, entry.head) !== undefined)) continue
        this.#expected.set(feed, { session, progressMs: nowMs })
        wants.push({
          feed,
          places: staged.tips().map((tip) => ({ seq: tip.seq, id: tip.id.slice(0, 16) })),
        })
      }
      if (wants.length > 0) session.outbox.push({ tag: 'want', wants })
    }
  }

  wakeAtMs(sessions: readonly Session[], nowMs: number): number {
    let wakeAtMs = Infinity
    for (const expected of this.#expected.values())
      if (!expected.session.saidFull) wakeAtMs = Math.min(wakeAtMs, lateAtMs(expected))
    for (const session of sessions) {
      const untilMs = pulledUntilMs(session)
      if (nowMs < untilMs) wakeAtMs = Math.min(wakeAtMs, untilMs)
    }
    return wakeAtMs
  }
}

function lateAtMs({ session, progressMs }: Expected): number {
  return Math.max(
    progressMs + lateMs,
    Math.min(session.receivedMs + lateMs, progressMs + busyLateMs),
  )
}

/** Until when everything may be on its way from one that has not said yet what it has. */
function pulledUntilMs(session: Session): number {
  return session.pulls && session.theirs === undefined ? session.openedMs + lateMs : 0
}

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
    for (const session of sessions) {
      const wants: Want[] = []
      for (const feed of session.behindByFeed.keys()) {
        const expected = this.#expected.get(feed)
        if (expected !== undefined && nowMs - expected.progressMs < lateMs) continue
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

  wakeAtMs(): number {
    let wakeAtMs = Infinity
    for (const expected of this.#expected.values())
      wakeAtMs = Math.min(wakeAtMs, expected.progressMs + lateMs)
    return wakeAtMs
  }
}

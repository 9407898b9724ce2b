/**
 * Serving peers: what each is to be sent, where in each feed that has got to, and the frames that it becomes.
 *
 * A want can be answered from the store and the want alone; cursors are only the memory of it in a session.
 */
import { bytesToHex } from '../core/bytes.ts'
import { assert } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Link as ChainLink, Segment } from '../feed/chain.ts'
import type { StoredCommit } from '../feed/commit-store.ts'
import type { FeedDescriptor } from '../feed/descriptor.ts'
import type { VectorClock } from '../feed/vector-clock.ts'
import { encodeRun } from '../feed/run.ts'
import type { LoadRequest, LoadResult, LoadedRun } from './engine-port.ts'
import { segmentHolding } from '../feed/grow-chain.ts'
import type { Replica } from './replica.ts'
import { encodeSections, runSection } from './section.ts'
import type { Want } from './section.ts'
import type { Cursor, Session } from './session.ts'

export interface RunServerPorts {
  readonly replica: Replica
  /** Lower goes first; control facts and urgent lanes are below zero. */
  priorityOf(descriptor: FeedDescriptor): number
  load(request: LoadRequest, done: (result: LoadResult | undefined, nowMs: number) => void): void
  /** How much of what is not urgent may go to the peer now, in bytes. */
  outflow(session: Session): number
  /** @param sections - encoded ones, for one frame */
  send(session: Session, sections: readonly Uint8Array[], nowMs: number): void
}

/** Of control facts and urgent commits, so much may be on its way beyond the window. */
const urgentBytes = 16 * 1024
/** Of one feed, before the peer has said what it holds now. */
const urgentAtOnce = 16
/** Parts of feeds read in one go for one frame. */
const partsPerLoad = 64
/** What a message has around its sections. */
const messageOverheadBytes = 1024

export class RunServer {
  readonly #ports: RunServerPorts

  constructor(ports: RunServerPorts) {
    this.#ports = ports
  }

  /** The peer says what it lacks: what it names is served from there on. */
  wanted(session: Session, want: Want): void {
    const chain = this.#ports.replica.chain(want.feed)
    if (chain.segments.length === 0) return
    const place = want.places[0]
    // Who wants a feed from its start may not know whose it is.
    if (place === undefined) session.descriptorsSent.delete(want.feed)
    if (!chain.forked && want.places.length <= 1) {
      const after = place?.seq ?? 0
      if (place !== undefined && after >= chain.seq) {
        // It holds all that is here, or a history of which this is not the beginning: its other places will tell.
        if (chain.tipAt(after, place.id) === undefined)
          session.outbox.push({ tag: 'late', feeds: [want.feed] })
        return
      }
      const sent = session.sentTo.get(want.feed)
      if (sent !== undefined && sent.place.seq > after) {
        // The run that goes on there: if it had not arrived when this was said, it need not be said again.
        const next = sent.runs.findLast((run) => run.after <= after)
        if (next === undefined || !session.window.hasArrived(next.atBytes)) {
          session.earlyWants.add(want.feed)
          return
        }
        // It was not taken, and nothing that was sent after it can be.
        session.sentTo.delete(want.feed)
      }
      this.#addCursor(session, {
        feed: want.feed,
        segment: -1,
        priority: this.#priority(want.feed),
        after,
        base: undefined,
        first: undefined,
      })
      return
    }
    // Ids tell which commits are meant; where branches run side by side, the way back to their fork tells which branch.
    const ranges = want.places.flatMap(({ seq }) => {
      const beside = chain.segmentsAt(seq).map((index) => chain.segments[index]!.from)
      if (beside.length === 0) return []
      return [{ from: beside.length === 1 ? seq : Math.min(...beside), to: seq }]
    })
    this.#ports.load({ kind: 'links', feed: want.feed, ranges }, (result) => {
      const links = result?.kind === 'links' ? result.links : []
      if (session.state === 'open') this.#serveFrom(session, want, links)
    })
  }

  /** Of feeds that were wanted while runs of them were on their way: these have arrived. What was not taken is sent again. */
  #lookAtEarlyWants(session: Session): void {
    for (const feed of session.earlyWants) {
      const sent = session.sentTo.get(feed)
      const last = sent?.runs.at(-1)
      if (last !== undefined && !session.window.hasArrived(last.atBytes)) continue
      session.earlyWants.delete(feed)
      if (sent === undefined || heldBy(session, feed) >= sent.place.seq) continue
      session.sentTo.delete(feed)
      session.cursors.delete(`${feed}/-1`)
      this.offer(session, feed)
    }
  }

  /** Serves all of a feed that does not lie in the history of one of these places. */
  #serveFrom(session: Session, want: Want, links: readonly ChainLink[]): void {
    const chain = this.#ports.replica.chain(want.feed)
    const priority = this.#priority(want.feed)
    /** How far the peer holds each segment. */
    const held = new Map<number, { seq: number; id: string }>()
    for (const place of want.places) {
      const link = links.find((each) => each.seq === place.seq && each.id.startsWith(place.id))
      if (link === undefined) continue
      let index = segmentHolding(chain, link.seq, link.id, links)
      if (index === undefined) continue
      if (link.seq > (held.get(index)?.seq ?? 0)) held.set(index, { seq: link.seq, id: link.id })
      for (index = chain.segments[index]!.parent; index !== -1;) {
        const segment: Segment = chain.segments[index]!
        held.set(index, { seq: segment.to, id: segment.head })
        index = segment.parent
      }
    }
    // None of them is known, and there are more: only with the first commit among them is it clear that nothing is common.
    if (held.size === 0 && want.places.length > 0 && !want.places.some(({ seq }) => seq === 1)) {
      session.outbox.push({ tag: 'late', feeds: [want.feed] })
      return
    }
    for (const [index, segment] of chain.segments.entries()) {
      const place = held.get(index)
      if (place !== undefined && place.seq < segment.to) {
        this.#addCursor(session, {
          feed: want.feed,
          segment: index,
          priority,
          after: place.seq,
          base: place.id,
          first: undefined,
        })
      } else if (place === undefined) {
        // What grows out of a segment that is sent follows when that has been sent.
        const parent = held.get(segment.parent)
        if (segment.parent !== -1 && parent?.seq !== segment.from - 1) continue
        this.#addCursor(session, {
          feed: want.feed,
          segment: index,
          priority,
          after: segment.from - 1,
          base: parent?.id,
          first: segment.first,
        })
      }
    }
  }

  /** A segment has been sent to its end: the branches that grow out of it follow. */
  #addBranches(session: Session, feed: string, index: number, priority: number): void {
    const chain = this.#ports.replica.chain(feed)
    const segment = chain.segments[index]!
    for (const child of chain.childrenOf(index)) {
      this.#addCursor(session, {
        feed,
        segment: child,
        priority,
        after: segment.to,
        base: segment.head,
        first: chain.segments[child]!.first,
      })
    }
  }

  #addCursor(session: Session, cursor: Cursor): void {
    session.cursors.set(`${cursor.feed}/${cursor.segment}`, cursor)
  }

  /** Everything the peer lacks, as far as we know: for one who pulls. */
  offerAll(session: Session): void {
    for (const feed of session.aheadByFeed.keys()) this.offer(session, feed)
  }

  /** What the peer lacks of a feed, without having been asked. */
  offer(session: Session, feed: string): void {
    if (session.theirs === undefined || !session.aheadByFeed.has(feed)) return
    const chain = this.#ports.replica.chain(feed)
    if ([...session.cursors.values()].some((cursor) => cursor.feed === feed)) return
    const entries = session.theirs.get(feed) ?? []
    if (chain.forked) {
      const places = entries.map((entry) => ({ seq: entry.seq, id: entry.head }))
      this.wanted(session, { feed, places })
      return
    }
    const after = Math.max(
      session.sentTo.get(feed)?.place.seq ?? 0,
      ...entries.map((entry) => entry.seq).filter((seq) => seq <= chain.seq),
      0,
    )
    if (after >= chain.seq) return
    this.#addCursor(session, {
      feed,
      segment: -1,
      priority: this.#priority(feed),
      after,
      base: undefined,
      first: undefined,
    })
  }

  /** The peer has more of a feed than we had sent it: others are faster. */
  heard(session: Session, feed: string): void {
    const key = `${feed}/-1`
    const cursor = session.cursors.get(key)
    const chain = this.#ports.replica.chain(feed)
    const entries = session.theirs?.get(feed) ?? []
    const [theirs] = entries
    if (cursor === undefined || theirs === undefined || entries.length > 1 || chain.forked) return
    if (theirs.seq <= cursor.after) return
    if (theirs.seq >= chain.seq) session.cursors.delete(key)
    else session.cursors.set(key, { ...cursor, after: theirs.seq, base: undefined })
  }

  /** Control facts and urgent commits that the peer lacked when it had this clock, as far as these are few. */
  offerUrgent(session: Session, clock: VectorClock): void {
    for (const chain of this.#ports.replica.chains()) {
      const priority = this.#priority(chain.feed)
      if (priority >= 0 || chain.forked) continue
      const after = Math.max(0, ...(clock.get(chain.feed) ?? []).map(({ seq }) => seq))
      // It may have them from somebody else by now.
      if (after >= chain.seq || chain.seq - after > urgentAtOnce) continue
      const { feed } = chain
      this.#addCursor(session, {
        feed,
        segment: -1,
        priority,
        after,
        base: undefined,
        first: undefined,
      })
    }
  }

  #priority(feed: string): number {
    const descriptor = this.#ports.replica.descriptor(feed)
    if (descriptor === undefined) return Infinity
    return this.#ports.priorityOf(descriptor)
  }

  /** Reads and sends the next frame of what is to be sent, as far as the window has room: what goes first, first. */
  serve(session: Session): void {
    if (session.earlyWants.size > 0) this.#lookAtEarlyWants(session)
    if (session.loading || !session.writable || session.cursors.size === 0) return
    const cursors = [...session.cursors.values()].toSorted((a, b) => a.priority - b.priority)
    const first = cursors[0]!
    // What is urgent does not wait until a backlog that is on its way has been acknowledged.
    const { roomBytes, inFlightBytes } = session.window
    const room =
      first.priority < 0
        ? Math.max(roomBytes, urgentBytes)
        : Math.min(roomBytes, this.#ports.outflow(session) - inFlightBytes)
    if (room <= 0) return
    const chosen = cursors
      .slice(0, partsPerLoad)
      .filter((cursor) => cursor.priority === first.priority)
    const maxBytes = Math.min(room, session.window.frameBytes)
    session.loading = true
    const parts = chosen.map((cursor) => ({
      feed: cursor.feed,
      after: cursor.after,
      upTo:
        cursor.segment === -1
          ? this.#ports.replica.chain(cursor.feed).seq
          : (this.#ports.replica.chain(cursor.feed).segments[cursor.segment]?.to ?? 0),
      base: cursor.base,
      first: cursor.first,
    }))
    this.#ports.load({ kind: 'runs', parts, maxBytes }, (result, loadedMs) => {
      session.loading = false
      if (session.state !== 'open') return
      if (result === undefined) {
        // The disk did not give it: whoever wants it says so again, later.
        for (const { feed, segment } of chosen) session.cursors.delete(`${feed}/${segment}`)
        return
      }
      const runs = result.kind === 'runs' ? result.runs : []
      this.#sendRuns(session, chosen, runs, loadedMs)
    })
  }

  #sendRuns(
    session: Session,
    cursors: readonly Cursor[],
    runs: readonly (LoadedRun | undefined)[],
    nowMs: number,
  ): void {
    let sections: Uint8Array[] = []
    let bytes = 0
    let runBytes = 0
    const flush = (): void => {
      if (sections.length === 0) return
      session.window.sent(runBytes, nowMs)
      this.#ports.send(session, sections, nowMs)
      sections = []
      bytes = 0
      runBytes = 0
    }
    for (const [index, cursor] of cursors.entries()) {
      const key = `${cursor.feed}/${cursor.segment}`
      if (session.cursors.get(key) !== cursor) continue
      const run = runs[index]
      if (run === undefined) continue
      if (run.commits.length === 0) {
        // Nothing can be read there (yet): whoever wants it will say so again.
        session.cursors.delete(key)
        continue
      }
      const encoded = encodeRun(run.base, run.commits)
      const parts: Uint8Array[] = []
      if (
        !session.descriptorsSent.has(cursor.feed) &&
        (run.base.seq === 0 || !session.theirs?.has(cursor.feed))
      ) {
        const descriptor = this.#ports.replica.descriptor(cursor.feed)
        assert(descriptor !== undefined, 'a feed that is held has a descriptor')
        parts.push(encodeSections([{ tag: 'descriptor', bytes: descriptor.bytes }]))
      }
      session.descriptorsSent.add(cursor.feed)
      parts.push(runSection(encoded))
      const size = parts.reduce((sum, part) => sum + part.length, 0)
      if (bytes + size > limits.frameBytes - messageOverheadBytes) flush()
      sections.push(...parts)
      bytes += size
      runBytes += encoded.length
      session.commits.out += run.commits.length
      const atBytes = session.window.sentBytes + runBytes
      this.#advanceCursor(session, cursor, { last: run.commits.at(-1)!, atBytes })
    }
    flush()
  }

  /** @param atBytes - of runs sent in this session, with this one */
  #advanceCursor(
    session: Session,
    cursor: Cursor,
    { last, atBytes }: { readonly last: StoredCommit; readonly atBytes: number },
  ): void {
    const key = `${cursor.feed}/${cursor.segment}`
    const place = { seq: last.seq, id: bytesToHex(last.id) }
    const chain = this.#ports.replica.chain(cursor.feed)
    if (cursor.segment === -1) {
      const held = heldBy(session, cursor.feed)
      const before = session.sentTo.get(cursor.feed)?.runs ?? []
      const runs = before.filter(
        (run) => run.after >= held || !session.window.hasArrived(run.atBytes),
      )
      runs.push({ after: cursor.after, atBytes })
      session.sentTo.set(cursor.feed, { place, runs })
    }
    cursor.after = place.seq
    cursor.base = place.id
    if (cursor.segment === -1 && !chain.forked) {
      if (place.seq >= chain.seq) session.cursors.delete(key)
      return
    }
    const segment = chain.segments[cursor.segment]
    if (segment === undefined || cursor.segment === -1) {
      // The feed turned out to have forked meanwhile: the peer says what it lacks when it hears of the branches.
      session.cursors.delete(key)
    } else if (place.seq >= segment.to) {
      session.cursors.delete(key)
      if (segment.head === place.id)
        this.#addBranches(session, cursor.feed, cursor.segment, cursor.priority)
    } else {
      session.cursors.set(key, { ...cursor, first: undefined })
    }
  }
}

/** How far the peer holds a feed without forks, by its own words. */
function heldBy(session: Session, feed: string): number {
  return Math.max(0, ...(session.theirs?.get(feed) ?? []).map(({ seq }) => seq))
}

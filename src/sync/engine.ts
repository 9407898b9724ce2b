/**
 * The sync engine: one state machine for every carrier (docs/protocol.md).
 *
 * No sockets, no clock, no awaiting. Inputs are the methods below, each with the time; outputs come from {@link SyncEngine.poll}
 * and are to be carried out in their order. Clock, offers and acknowledgements move only on `persisted`. Every message can be answered from the
 * store and the message alone: a session is a cache that makes it fast.
 */
import { bytesToHex } from '../core/bytes.ts'
import { assert, HavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { decodeDescriptor } from '../feed/descriptor.ts'
import { encodeRun } from '../feed/run.ts'
import type { StoredCommit } from '../feed/commit-store.ts'
import type { Link as ChainLink, Segment } from '../feed/chain.ts'
import { differenceFrom } from '../feed/vector-clock.ts'
import type { ClockEntry, VectorClock } from '../feed/vector-clock.ts'
import { decodeAnnouncement } from './announcement.ts'
import { Announcer } from './announcer.ts'
import { ClockBook } from './clock-book.ts'
import type {
  Authority,
  EngineOptions,
  LoadRequest,
  LoadResult,
  LoadedRun,
  Notification,
  Output,
} from './engine-port.ts'
import { Handshake } from './handshake.ts'
import { decodeMessage, encodeMessage } from './message.ts'
import type { MessageType } from './message.ts'
import { Receiver, segmentHolding } from './receiver.ts'
import { Replica } from './replica.ts'
import { encodeSections, runSection } from './section.ts'
import type { ClockBody, ClockWanted, Section, Want } from './section.ts'
import { Session } from './session.ts'
import type { Cursor } from './session.ts'
import { WantPlanner } from './want-planner.ts'

type Plain = Exclude<Section, { tag: 'run' }>

/** Of control facts and urgent commits, so much may be on its way beyond the window. */
const urgentBytes = 16 * 1024
/** Parts of feeds read in one go for one frame. */
const partsPerLoad = 64
/** What a message has around its sections. */
const messageOverheadBytes = 1024

export class SyncEngine {
  readonly replica = new Replica()
  readonly book = new ClockBook(this.replica)
  readonly #authority: Authority
  readonly #outputs: Output[] = []
  readonly #sessions = new Map<string, Session>()
  readonly #loads = new Map<number, (result: LoadResult | undefined, nowMs: number) => void>()
  readonly #handshake: Handshake
  readonly #receiver: Receiver
  readonly #wants: WantPlanner
  readonly #announcer: Announcer
  #nextToken = 1
  #wakeAtMs = Infinity
  #storeFailed = false

  constructor(options: EngineOptions) {
    this.#authority = options.authority
    this.#wants = new WantPlanner(this.replica, (collection) =>
      this.#authority.priorityOf(collection),
    )
    this.#handshake = new Handshake(options.authority, options.random)
    this.#announcer = new Announcer(options.authority, this.replica, this.book)
    this.#receiver = new Receiver({
      replica: this.replica,
      authority: options.authority,
      persist: (persist) => {
        const token = this.#nextToken++
        this.#outputs.push({ type: 'persist', token, ...persist })
        return token
      },
      load: (request, done) => this.#load(request, done),
      wantAgain: (session, feed, places) => {
        const live = this.#sessions.get(session)
        if (live?.state === 'open') live.outbox.push({ tag: 'want', wants: [{ feed, places }] })
      },
      fail: (session, error, nowMs) => {
        const live = this.#sessions.get(session)
        if (live !== undefined) this.#fail(live, error, nowMs)
      },
      durable: (session, bytes) => {
        const live = this.#sessions.get(session)
        if (live === undefined) return
        live.durableBytes += bytes
        live.ackDue = true
      },
      notify: (notification) => this.#notify(notification),
    })
  }

  poll(): Output | undefined {
    return this.#outputs.shift()
  }

  /** A link is up; `side` says who dialled. */
  connected(link: string, side: 'dialler' | 'listener', binding: Uint8Array, nowMs: number): void {
    const session = new Session(link, side, binding, nowMs)
    this.#sessions.set(link, session)
    session.deadlineMs = nowMs + limits.helloMs
    if (this.#storeFailed) {
      this.#end(session, 'STORE_FAILED', nowMs)
    } else if (side === 'dialler') {
      session.moved('dialled')
      const frame = this.#handshake.greet(session, this.#helloSections(session))
      if (frame === undefined) this.#end(session, 'NOT_MEMBER', nowMs)
      else this.#send(session, frame)
    } else {
      session.moved('accepted')
    }
    this.#settle(nowMs)
  }

  received(link: string, frame: Uint8Array, nowMs: number): void {
    const session = this.#sessions.get(link)
    if (session === undefined || session.state === 'closed') return
    session.bytes.in += frame.length + 4
    try {
      if (session.state === 'open' || session.state === 'joining')
        this.#message(session, frame, nowMs)
      else this.#hello(session, frame, nowMs)
    } catch (error) {
      this.#fail(session, error, nowMs)
    }
    this.#settle(nowMs)
  }

  /** The link takes more. */
  writable(link: string, nowMs: number): void {
    const session = this.#sessions.get(link)
    if (session === undefined) return
    session.writable = true
    this.#settle(nowMs)
  }

  /** The link's buffer is full until `writable`. */
  blocked(link: string): void {
    const session = this.#sessions.get(link)
    if (session !== undefined) session.writable = false
  }

  disconnected(link: string, reason: string, nowMs: number): void {
    const session = this.#sessions.get(link)
    if (session === undefined) return
    if (session.state === 'hello-sent') {
      this.#notify({ kind: 'refused', link, code: session.failure ?? 'NOT_A_MEMBER', by: 'them' })
    }
    session.moved('disconnected')
    this.#forget(session, reason, nowMs)
    this.#settle(nowMs)
  }

  persisted(token: number, error: HavenError | undefined, nowMs: number): void {
    if (error !== undefined) {
      this.#storeFailed = true
      this.replica.forgetStaged()
      this.#receiver.failed()
      for (const session of this.#sessions.values()) this.#end(session, error.code, nowMs)
    } else {
      for (const feed of this.#receiver.persisted(token)) this.#advanced(feed, false, nowMs)
    }
    this.#settle(nowMs)
  }

  /** The store works again. */
  storeRecovered(): void {
    this.#storeFailed = false
  }

  loaded(token: number, result: LoadResult | undefined, nowMs: number): void {
    const done = this.#loads.get(token)
    this.#loads.delete(token)
    done?.(result, nowMs)
    this.#settle(nowMs)
  }

  /** Commits of this device have become durable; their chains are staged and durable in the replica already. */
  wrote(feeds: Iterable<string>, nowMs: number): void {
    for (const feed of feeds) this.#advanced(feed, true, nowMs)
    this.#settle(nowMs)
  }

  /** Members, rights or keys have changed. */
  authorityChanged(nowMs: number): void {
    for (const session of this.#sessions.values()) {
      if (session.state !== 'open' || session.device === undefined) continue
      if (this.#authority.revocationOf(session.device) !== undefined)
        this.#turnAway(session, session.device, nowMs)
    }
    this.#receiver.retryParked(nowMs)
    this.#wants.retryAll()
    this.#settle(nowMs)
  }

  /** Epochs whose keys are lacking here: every neighbour is asked once. */
  needKeys(epochs: readonly string[], nowMs: number): void {
    for (const session of this.#sessions.values()) {
      if (session.state !== 'open') continue
      const asked = epochs.filter((epoch) => !session.keysAsked.has(epoch))
      if (asked.length === 0) continue
      for (const epoch of asked) session.keysAsked.add(epoch)
      session.outbox.push({ tag: 'key-wanted', epochs: asked })
    }
    this.#settle(nowMs)
  }

  /** Answers a joiner, after what is offered has been made durable. */
  offerJoin(link: string, body: Uint8Array, nowMs: number): void {
    const session = this.#sessions.get(link)
    if (session?.state !== 'joining') return
    const frame = this.#handshake.answer(session, [{ tag: 'join-offer', body }])
    this.#send(session, frame)
    this.#settle(nowMs)
  }

  welcome(link: string, nowMs: number): void {
    const session = this.#sessions.get(link)
    if (session?.state !== 'joining') return
    this.#sendMessage(session, 'ack', [{ tag: 'join-welcome' }], [], nowMs)
    session.moved('welcomed')
    this.#end(session, 'joined', nowMs)
    this.#settle(nowMs)
  }

  /** Turns a joiner away with a code of its own. */
  refuseJoin(link: string, code: string, sentence: string, nowMs: number): void {
    const session = this.#sessions.get(link)
    if (session?.state !== 'joining') return
    this.#send(session, this.#handshake.answer(session, [{ tag: 'fault', code, sentence }]))
    this.#notify({ kind: 'refused', link, code, by: 'us' })
    session.moved('refused')
    this.#end(session, code, nowMs)
    this.#settle(nowMs)
  }

  tick(nowMs: number): void {
    for (const session of this.#sessions.values()) {
      if (
        session.deadlineMs !== undefined &&
        session.deadlineMs <= nowMs &&
        session.state !== 'closed'
      ) {
        this.#notify({ kind: 'refused', link: session.link, code: 'TIMED_OUT', by: 'us' })
        session.moved('late')
        this.#end(session, 'TIMED_OUT', nowMs)
      }
    }
    this.#settle(nowMs)
  }

  sessions(): Iterable<Session> {
    return this.#sessions.values()
  }

  /** The open session with a device, if there is one. */
  sessionWith(device: string): Session | undefined {
    for (const session of this.#sessions.values()) {
      if (session.device === device && session.state === 'open') return session
    }
    return undefined
  }

  restoreAnnouncement(device: string, bytes: Uint8Array): void {
    this.book.restoreEntry(device, bytes, (announcement) =>
      decodeAnnouncement(announcement, this.#authority.mesh),
    )
    this.#announcer.restored(device)
  }

  // ---- hello ----

  #helloSections(session: Session): Plain[] {
    const { digest } = this.replica
    this.book.rememberOwn(digest, this.replica.clock)
    session.saidDigest = digest
    session.pulls = ![...this.#sessions.values()].some(
      (other) => other !== session && other.state === 'open',
    )
    const sections: Plain[] = [
      { tag: 'digest', digest, commits: this.replica.commits },
      { tag: 'gossip', digest: this.book.gossipDigest() },
      { tag: 'window', durableBytes: 0, moreBytes: limits.windowMaxBytes },
    ]
    if (session.pulls) sections.push({ tag: 'pull' })
    return sections
  }

  #hello(session: Session, frame: Uint8Array, nowMs: number): void {
    const hello = this.#handshake.open(session, frame)
    switch (hello.kind) {
      case 'certificate-needed': {
        if (!session.moved('certificate-needed') || session.showedChain) throw outOfOrder()
        session.showedChain = true
        const again = this.#handshake.greet(session, this.#helloSections(session))
        if (again !== undefined) this.#send(session, again)
        return
      }
      case 'refused':
        session.failure = hello.code
        this.#notify({ kind: 'refused', link: session.link, code: hello.code, by: 'them' })
        session.moved('refused')
        this.#end(session, hello.code, nowMs)
        return
      case 'need-certificate':
        session.moved('certificate-needed')
        this.#send(session, this.#handshake.askForCertificate(session))
        return
      case 'turn-away':
        this.#send(
          session,
          this.#handshake.answer(session, [{ tag: 'revocation', bytes: hello.revocation }]),
        )
        this.#notify({ kind: 'refused', link: session.link, code: 'REVOKED', by: 'us' })
        session.moved('refused')
        this.#end(session, 'REVOKED', nowMs)
        return
      case 'join': {
        if (!session.moved('join-hello')) throw outOfOrder()
        const request = hello.sections.find((section) => section.tag === 'join-request')
        if (request === undefined)
          throw new HavenError('MALFORMED', 'A device that wants to join did not say what for.')
        session.device = hello.device
        session.invitationCode = hello.code
        this.#notify({
          kind: 'join-request',
          link: session.link,
          code: hello.code,
          device: hello.device,
          body: request.body,
        })
        return
      }
      case 'member':
        this.#open(session, hello.device, hello.sections, nowMs)
        return
    }
  }

  #open(session: Session, device: string, sections: readonly Section[], nowMs: number): void {
    const revocation = sections.find((section) => section.tag === 'revocation')
    if (revocation !== undefined) {
      this.#notify({ kind: 'revoked', bytes: revocation.bytes })
      session.moved('refused')
      this.#end(session, 'REVOKED', nowMs)
      return
    }
    if (device === this.#authority.device) {
      this.#end(session, 'itself', nowMs)
      return
    }
    const twin = this.sessionWith(device)
    if (twin !== undefined) {
      const loser = this.#worseOf(session, twin, device)
      if (loser === session) {
        this.#end(session, 'duplicate', nowMs)
        return
      }
      this.#end(twin, 'duplicate', nowMs)
    }
    if (!session.moved('member-hello')) throw outOfOrder()
    session.device = device
    session.deadlineMs = undefined
    if (session.side === 'listener') {
      this.#send(session, this.#handshake.answer(session, this.#helloSections(session)))
    }
    this.#notify({ kind: 'opened', link: session.link, device })
    this.#sayWhatMovedSinceHello(session)
    this.#sections(session, sections, nowMs)
    const digest = session.theirDigest
    if (digest !== undefined) {
      const known =
        digest === this.replica.digest ? this.replica.clock : this.book.clockByDigest(digest)
      if (known !== undefined) this.#learnTheirs(session, known, nowMs)
      else
        session.outbox.push({
          tag: 'clock-wanted',
          wanted: { device, digest, base: this.book.entries.get(device)?.known?.digest },
        })
    }
    this.#receiver.reopened()
  }

  /** Our hello named a clock that may have moved while it was on its way. */
  #sayWhatMovedSinceHello(session: Session): void {
    if (session.saidDigest === this.replica.digest) return
    const said = this.book.clockByDigest(session.saidDigest)
    if (said === undefined) {
      // Too long ago to tell: everything is said again.
      for (const chain of this.replica.chains()) session.unsaid.add(chain.feed)
      return
    }
    for (const entry of differenceFrom(said, this.replica.clock).added)
      session.unsaid.add(entry.feed)
  }

  /** One session per device: the one dialled by the device with the lower id; of two by the same device, the newer. */
  #worseOf(session: Session, twin: Session, device: string): Session {
    if (session.side === twin.side) return twin
    const weAreLower = this.#authority.device < device
    const better = weAreLower ? 'dialler' : 'listener'
    return session.side === better ? twin : session
  }

  #turnAway(session: Session, device: string, nowMs: number): void {
    const revocation = this.#authority.revocationOf(device)
    if (revocation !== undefined)
      this.#sendMessage(session, 'error', [{ tag: 'revocation', bytes: revocation }], [], nowMs)
    session.moved('refused')
    this.#end(session, 'REVOKED', nowMs)
  }

  // ---- messages ----

  #message(session: Session, frame: Uint8Array, nowMs: number): void {
    const message = decodeMessage(frame)
    if (!session.moved('message')) throw outOfOrder()
    if (session.state === 'joining') {
      const confirm = message.sections.find((section) => section.tag === 'join-confirm')
      if (confirm === undefined) throw outOfOrder()
      this.#notify({ kind: 'join-confirm', link: session.link, body: confirm.body })
      return
    }
    this.#sections(session, message.sections, nowMs)
  }

  #sections(session: Session, sections: readonly Section[], nowMs: number): void {
    for (const section of sections) {
      switch (section.tag) {
        case 'digest':
          session.theirDigest = section.digest
          break
        case 'gossip':
          if (section.digest !== this.book.gossipDigest()) {
            session.outbox.push({ tag: 'gossip-list', numbers: this.book.gossipList() })
          }
          break
        case 'gossip-list':
          for (const announcement of this.book.newerThan(section.numbers)) {
            session.announcementsOut.set(announcement.device, announcement)
          }
          break
        case 'window':
          session.window.acknowledged(section.durableBytes, section.moreBytes, nowMs)
          break
        case 'pull':
          session.peerPulls = true
          break
        case 'clock':
          this.#clockTold(session, section.clock, nowMs)
          break
        case 'clock-wanted':
          this.#clockWanted(session, section.wanted)
          break
        case 'have':
          this.#have(session, section.entries)
          break
        case 'want':
          for (const want of section.wants) this.#wanted(session, want)
          break
        case 'late':
          for (const feed of section.feeds) this.#receiver.sayMorePlaces(session.link, feed)
          break
        case 'descriptor':
          this.#receiver.descriptor(decodeDescriptor(section.bytes.slice()))
          break
        case 'run':
          session.commits.in += section.run.commits.length
          session.receivedBytes += section.run.bytes
          if (
            session.receivedBytes - session.durableBytes >
            limits.windowMaxBytes + limits.frameBytes
          ) {
            throw new HavenError(
              'LIMIT_EXCEEDED',
              'A device sends more than it was allowed before it was stored.',
            )
          }
          this.#wants.progressed(session, section.run.feed, nowMs)
          this.#receiver.run(session.link, section.run, nowMs)
          break
        case 'announcement':
          this.#announced(session, section.bytes)
          break
        case 'key-wanted':
          this.#keyWanted(session, section.epochs)
          break
        case 'key':
          this.#notify({
            kind: 'key',
            collection: section.key.collection,
            epoch: section.key.epoch,
            sealed: section.key.sealed.slice(),
          })
          break
        case 'revocation':
          this.#notify({ kind: 'revoked', bytes: section.bytes.slice() })
          break
        case 'fault':
          session.failure = section.code
          break
        // Parts of other conversations, and what a later version may say.
        case 'join-request':
        case 'join-offer':
        case 'join-confirm':
        case 'join-welcome':
        case 'unknown':
          break
      }
    }
  }

  #clockTold(session: Session, body: ClockBody, nowMs: number): void {
    const clock = this.book.read(body)
    if (clock === undefined) {
      // The base is gone on our side: ask for the whole, once.
      const asked = `${body.digest}/whole`
      if (session.clocksAsked.has(asked)) return
      session.clocksAsked.add(asked)
      session.outbox.push({
        tag: 'clock-wanted',
        wanted: { device: body.device, digest: body.digest, base: undefined },
      })
      return
    }
    if (body.device === session.device && session.theirs === undefined) {
      this.#learnTheirs(session, clock, nowMs)
    }
    const entry = this.book.entries.get(body.device)
    const timeMs =
      entry?.announcement?.clockDigest === body.digest ? entry.announcement.timeMs : nowMs
    if (body.device === session.device || entry?.announcement?.clockDigest === body.digest) {
      this.book.learned(body.device, body.digest, clock, timeMs)
      this.#remember(body.device)
    }
    for (const other of this.#sessions.values()) {
      const owed = other.clocksOwed.findIndex((wanted) => wanted.digest === body.digest)
      if (owed !== -1) this.#clockWanted(other, other.clocksOwed.splice(owed, 1)[0]!)
    }
  }

  #clockWanted(session: Session, wanted: ClockWanted): void {
    const body = this.book.bodyFor(wanted.device, wanted.digest, wanted.base)
    if (body !== undefined) session.outbox.push({ tag: 'clock', clock: body })
    else if (session.clocksOwed.length < limits.announcements) session.clocksOwed.push(wanted)
  }

  #learnTheirs(session: Session, clock: VectorClock, nowMs: number): void {
    session.theirs = new Map(clock)
    for (const feed of session.theirs.keys()) this.#compare(session, feed)
    for (const chain of this.replica.chains()) this.#compare(session, chain.feed)
    if (session.peerPulls) this.#offerAll(session)
    // What the peer sends of its own accord needs no want.
    if (session.pulls)
      for (const feed of session.behindByFeed.keys()) this.#wants.expect(session, feed, nowMs)
    const waiting = session.haveBeforeClock
    session.haveBeforeClock = []
    if (waiting.length > 0) this.#have(session, waiting)
  }

  #have(session: Session, entries: readonly ClockEntry[]): void {
    if (session.theirs === undefined) {
      // It talks of changes to a clock that we are still waiting for.
      if (session.haveBeforeClock.length < limits.clockFeeds)
        session.haveBeforeClock.push(...entries)
      return
    }
    const byFeed = new Map<string, ClockEntry[]>()
    for (const entry of entries) byFeed.set(entry.feed, [...(byFeed.get(entry.feed) ?? []), entry])
    for (const [feed, feedEntries] of byFeed) {
      session.theirs.set(feed, feedEntries)
      this.#compare(session, feed)
    }
    this.#notify({ kind: 'progress', link: session.link, device: session.device! })
  }

  /** Renews what we know of who lacks what of one feed. */
  #compare(session: Session, feed: string): void {
    if (session.theirs === undefined) return
    const entries = session.theirs.get(feed) ?? []
    const behind = this.replica.behindOf(feed, entries, (entry) => this.#holds(session, entry))
    const ahead = this.replica.aheadOf(feed, entries)
    session.behind += behind - (session.behindByFeed.get(feed) ?? 0)
    session.ahead += ahead - (session.aheadByFeed.get(feed) ?? 0)
    if (behind === 0) {
      session.behindByFeed.delete(feed)
      this.#wants.satisfied(session, feed)
    } else session.behindByFeed.set(feed, behind)
    if (ahead === 0) session.aheadByFeed.delete(feed)
    else session.aheadByFeed.set(feed, ahead)
  }

  /** Whether a place of a forked feed is in our chains: looked up once, counted as held until the answer is there. */
  #holds(session: Session, entry: ClockEntry): boolean {
    const key = `${entry.feed}/${entry.seq}/${entry.head}`
    const known = session.lookedUp.get(key)
    if (known !== undefined) return known !== 'missing'
    session.lookedUp.set(key, 'pending')
    this.#load(
      { kind: 'links', feed: entry.feed, ranges: [{ from: entry.seq, to: entry.seq }] },
      (result) => {
        const links = result?.kind === 'links' ? result.links : []
        session.lookedUp.set(
          key,
          links.some((link) => link.id.startsWith(entry.head)) ? 'held' : 'missing',
        )
        this.#compare(session, entry.feed)
      },
    )
    return true
  }

  // ---- serving ----

  #wanted(session: Session, want: Want): void {
    const chain = this.replica.chain(want.feed)
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
      // It was said before our last frames had arrived.
      if (sent !== undefined && sent.seq > after && session.window.inFlightBytes > 0) return
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
    this.#load({ kind: 'links', feed: want.feed, ranges }, (result) => {
      const links = result?.kind === 'links' ? result.links : []
      if (session.state === 'open') this.#serveFrom(session, want, links)
    })
  }

  /** Serves all of a feed that does not lie in the history of one of these places. */
  #serveFrom(session: Session, want: Want, links: readonly ChainLink[]): void {
    const chain = this.replica.chain(want.feed)
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
    const chain = this.replica.chain(feed)
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
  #offerAll(session: Session): void {
    for (const feed of session.aheadByFeed.keys()) this.#offer(session, feed)
  }

  #offer(session: Session, feed: string): void {
    if (session.theirs === undefined || !session.aheadByFeed.has(feed)) return
    const chain = this.replica.chain(feed)
    if ([...session.cursors.values()].some((cursor) => cursor.feed === feed)) return
    const entries = session.theirs.get(feed) ?? []
    if (chain.forked) {
      const places = entries.map((entry) => ({ seq: entry.seq, id: entry.head }))
      this.#wanted(session, { feed, places })
      return
    }
    const after = Math.max(
      session.sentTo.get(feed)?.seq ?? 0,
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

  #priority(feed: string): number {
    const descriptor = this.replica.descriptor(feed)
    if (descriptor === undefined) return Infinity
    return this.#wants.priorityOf(descriptor)
  }

  #serve(session: Session): void {
    if (session.loading || !session.writable || session.cursors.size === 0) return
    const cursors = [...session.cursors.values()].toSorted((a, b) => a.priority - b.priority)
    const first = cursors[0]!
    // What is urgent does not wait until a backlog that is on its way has been acknowledged.
    const room = Math.max(session.window.roomBytes, first.priority < 0 ? urgentBytes : 0)
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
          ? this.replica.chain(cursor.feed).seq
          : (this.replica.chain(cursor.feed).segments[cursor.segment]?.to ?? 0),
      base: cursor.base,
      first: cursor.first,
    }))
    this.#load({ kind: 'runs', parts, maxBytes }, (result, loadedMs) => {
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
      this.#sendMessage(session, 'sync_response', [], sections, nowMs)
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
        const descriptor = this.replica.descriptor(cursor.feed)
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
      this.#advanceCursor(session, key, cursor, run.commits.at(-1)!)
    }
    flush()
  }

  #advanceCursor(session: Session, key: string, cursor: Cursor, last: StoredCommit): void {
    const place = { seq: last.seq, id: bytesToHex(last.id) }
    const chain = this.replica.chain(cursor.feed)
    if (cursor.segment === -1) session.sentTo.set(cursor.feed, place)
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

  // ---- what changed here ----

  #advanced(feed: string, own: boolean, nowMs: number): void {
    this.#announcer.changed(nowMs)
    for (const session of this.#sessions.values()) {
      if (session.state !== 'open') continue
      session.unsaid.add(feed)
      session.lookAgain(feed)
      this.#compare(session, feed)
      if (own || session.peerPulls) this.#offer(session, feed)
    }
  }

  #announced(session: Session, bytes: Uint8Array): void {
    const announcement = decodeAnnouncement(bytes, this.#authority.mesh)
    if (
      announcement.device === this.#authority.device ||
      !this.#authority.isVouchedFor(announcement.device)
    )
      return
    if (!this.book.announced(announcement)) return
    this.#remember(announcement.device)
    for (const other of this.#sessions.values()) {
      if (other !== session && other.state === 'open')
        other.announcementsOut.set(announcement.device, announcement)
    }
    const lacking = this.book.lacking(announcement.device)
    if (lacking !== undefined && !session.clocksAsked.has(lacking.digest)) {
      session.clocksAsked.add(lacking.digest)
      session.outbox.push({
        tag: 'clock-wanted',
        wanted: { device: announcement.device, ...lacking },
      })
    }
    this.#notify({ kind: 'progress', link: session.link, device: announcement.device })
  }

  #keyWanted(session: Session, epochs: readonly string[]): void {
    const wanted = epochs.length === 0 ? this.#authority.epochsFor(session.device!) : epochs
    for (const epoch of wanted) {
      const key = this.#authority.sealKeyFor(session.device!, epoch)
      if (key !== undefined) session.outbox.push({ tag: 'key', key: { epoch, ...key } })
    }
  }

  // ---- output ----

  /** After each input: says what is to be said, announces what is due, and asks to be woken. */
  #settle(nowMs: number): void {
    const announcement = this.#announcer.due(nowMs)
    if (announcement !== undefined) {
      this.#remember(announcement.device)
      for (const session of this.#sessions.values()) {
        if (session.state === 'open')
          session.announcementsOut.set(announcement.device, announcement)
      }
    }
    const open = [...this.#sessions.values()].filter((session) => session.state === 'open')
    this.#wants.plan(open, nowMs)
    for (const session of open) {
      this.#say(session, nowMs)
      this.#serve(session)
    }
    let wakeAtMs = Math.min(this.#announcer.wakeAtMs(), this.#wants.wakeAtMs())
    for (const session of this.#sessions.values())
      wakeAtMs = Math.min(wakeAtMs, session.deadlineMs ?? Infinity)
    if (wakeAtMs !== this.#wakeAtMs) {
      this.#wakeAtMs = wakeAtMs
      if (wakeAtMs !== Infinity) this.#outputs.push({ type: 'wakeAt', ms: wakeAtMs })
    }
  }

  #say(session: Session, nowMs: number): void {
    const sections = session.outbox
    session.outbox = []
    const acknowledges = session.ackDue || session.unsaid.size > 0
    if (session.unsaid.size > 0) {
      const entries = [...session.unsaid].flatMap((feed) => this.replica.chain(feed).entries())
      session.unsaid.clear()
      if (entries.length > 0) sections.push({ tag: 'have', entries })
    }
    if (session.ackDue) {
      // First: whoever reads a want wants to know what had arrived before it.
      sections.unshift({
        tag: 'window',
        durableBytes: session.durableBytes,
        moreBytes: limits.windowMaxBytes,
      })
      session.ackDue = false
    }
    for (const announcement of session.announcementsOut.values()) {
      sections.push({ tag: 'announcement', bytes: announcement.bytes })
    }
    session.announcementsOut.clear()
    if (sections.length === 0) return
    const type: MessageType = acknowledges
      ? 'ack'
      : sections.some((section) => section.tag === 'clock' || section.tag === 'key')
        ? 'sync_response'
        : 'sync_request'
    // What does not fit into one frame goes into several.
    let batch: Uint8Array[] = []
    let bytes = 0
    for (const section of sections) {
      const encoded = encodeSections([section])
      if (bytes + encoded.length > limits.frameBytes - messageOverheadBytes && batch.length > 0) {
        this.#sendMessage(session, type, [], batch, nowMs)
        batch = []
        bytes = 0
      }
      batch.push(encoded)
      bytes += encoded.length
    }
    this.#sendMessage(session, type, [], batch, nowMs)
  }

  #sendMessage(
    session: Session,
    type: MessageType,
    sections: readonly Plain[],
    encoded: readonly Uint8Array[],
    nowMs: number,
  ): void {
    const frame = encodeMessage(
      {
        type,
        messageId: session.nextMessageId++,
        timeMs: Math.max(0, Math.round(nowMs - session.openedMs)),
      },
      encodeSections(sections),
      ...encoded,
    )
    this.#send(session, frame)
  }

  #send(session: Session, frame: Uint8Array): void {
    assert(frame.length <= limits.frameBytes, 'a frame keeps within its limit')
    session.bytes.out += frame.length + 4
    this.#outputs.push({ type: 'send', link: session.link, frame })
  }

  #load(request: LoadRequest, done: (result: LoadResult | undefined, nowMs: number) => void): void {
    const token = this.#nextToken++
    this.#loads.set(token, done)
    this.#outputs.push({ type: 'load', token, request })
  }

  #notify(notification: Notification): void {
    this.#outputs.push({ type: 'notify', notification })
  }

  #remember(device: string): void {
    const value = this.book.encodeEntry(device)
    if (value !== undefined)
      this.#outputs.push({ type: 'remember', name: `clock/${device}`, value })
  }

  #fail(session: Session, error: unknown, nowMs: number): void {
    if (!(error instanceof HavenError)) throw error
    session.failure = error.code
    if (session.state === 'hello-sent' || session.state === 'awaiting-hello') {
      const answer =
        error.code === 'VERSION_MISMATCH' && session.side === 'listener'
          ? this.#handshake.versionFrame()
          : this.#handshake.refusal(session, error.code)
      if (answer !== undefined) this.#send(session, answer)
    } else if (session.state === 'open') {
      this.#sendMessage(
        session,
        'error',
        [{ tag: 'fault', code: error.code, sentence: error.message }],
        [],
        nowMs,
      )
    }
    this.#notify({ kind: 'refused', link: session.link, code: error.code, by: 'us' })
    session.moved('refused')
    this.#end(session, error.code, nowMs)
  }

  #end(session: Session, reason: string, nowMs: number): void {
    session.state = 'closed'
    this.#outputs.push({ type: 'close', link: session.link, reason })
    this.#forget(session, reason, nowMs)
  }

  #forget(session: Session, reason: string, nowMs: number): void {
    if (!this.#sessions.delete(session.link)) return
    this.#wants.closed(session)
    if (session.device !== undefined && session.theirs !== undefined) {
      // The next conversation starts from what this one has told.
      this.book.learnedDirectly(session.device, session.theirs, nowMs)
      this.#remember(session.device)
    }
    this.#announcer.contactEnded(nowMs)
    this.#notify({ kind: 'closed', link: session.link, device: session.device, reason })
  }
}

function outOfOrder(): HavenError {
  return new HavenError(
    'OUT_OF_ORDER',
    'A device said something that has no place in the conversation. It may run another version.',
  )
}

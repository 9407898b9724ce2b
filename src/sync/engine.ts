/**
 * The sync engine: one state machine for every carrier (docs/protocol.md).
 *
 * No sockets, no clock, no awaiting. Inputs are the methods below, each with the time; outputs come from {@link SyncEngine.poll}
 * and are to be carried out in their order. Clock, offers and acknowledgements move only on `persisted`. Every message can be answered from the
 * store and the message alone: a session is a cache that makes it fast.
 */
import { emptyBytes } from '../core/bytes.ts'
import { assert, HavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { FeedChain } from '../feed/chain.ts'
import { decodeDescriptor } from '../feed/descriptor.ts'
import type { FeedDescriptor } from '../feed/descriptor.ts'
import { clockDigest, differenceFrom } from '../feed/vector-clock.ts'
import type { ClockEntry, VectorClock } from '../feed/vector-clock.ts'
import { decodeAnnouncement } from './announcement.ts'
import type { Announcement } from './announcement.ts'
import { Announcer } from './announcer.ts'
import { ClockBook } from './clock-book.ts'
import type { Claim } from './clock-book.ts'
import type {
  Authority,
  EngineOptions,
  Intake,
  LoadRequest,
  LoadResult,
  Notification,
  Outflow,
  Output,
} from './engine-port.ts'
import { Exchange, saidBytes, wantsPerQuestion } from './exchange.ts'
import type { ExchangeBudget, ExchangeOutlook } from './exchange.ts'
import { Handshake } from './handshake.ts'
import { decodeMessage, encodeMessage } from './message.ts'
import type { MessageType } from './message.ts'
import { OwnPositions } from './positions.ts'
import type { Positions } from './positions.ts'
import { Receiver } from './receiver.ts'
import { Replica } from './replica.ts'
import { RunServer } from './run-server.ts'
import { encodeSections } from './section.ts'
import type { ClockBody, ClockWanted, Section } from './section.ts'
import { Session } from './session.ts'
import { gather } from './thrift.ts'
import { WantPlanner } from './want-planner.ts'

type Plain = Exclude<Section, { tag: 'run' }>

/** What a message has around its sections. */
const messageOverheadBytes = 1024
/** Why a link is over whose question has been answered. */
export const answeredReason = 'answered'
const noChains: ReadonlyMap<string, FeedChain> = new Map()

export class SyncEngine {
  readonly replica = new Replica()
  readonly book = new ClockBook(this.replica)
  readonly #authority: Authority
  readonly #intake: Intake
  readonly #outflow: Outflow
  readonly #isShared: boolean
  readonly #positions: Positions
  /** Where this device is in the clocks of those whom it asks, by their ids. */
  readonly #positionsAt = new Map<string, Uint8Array>()
  /** Whose input is being worked on, as far as it matters who waits for what is loaded. */
  #inHand: Session | undefined
  readonly #outputs: Output[] = []
  readonly #sessions = new Map<string, Session>()
  readonly #loads = new Map<number, (result: LoadResult | undefined, nowMs: number) => void>()
  readonly #handshake: Handshake
  readonly #receiver: Receiver
  readonly #server: RunServer
  readonly #wants: WantPlanner
  readonly #announcer: Announcer
  #nextToken = 1
  #wakeAtMs = Infinity
  #storeFailed = false

  constructor(options: EngineOptions) {
    this.#authority = options.authority
    this.#intake = options.intake ?? (() => limits.windowMaxBytes)
    this.#outflow = options.outflow ?? (() => Infinity)
    this.#isShared = options.isShared ?? false
    this.#positions =
      options.positions ?? new OwnPositions(options.random.bytes(OwnPositions.nameBytes))
    this.#wants = new WantPlanner(this.replica, (collection) =>
      this.#authority.priorityOf(collection),
    )
    this.#handshake = new Handshake(options.authority, options.random)
    this.#announcer = new Announcer(options.authority, this.replica, this.book)
    this.#server = new RunServer({
      replica: this.replica,
      priorityOf: (descriptor) => this.#wants.priorityOf(descriptor),
      outflow: (session) => this.#outflow(session.device!),
      load: (request, done) => {
        this.#load(request, done)
      },
      send: (session, sections, nowMs) => {
        this.#sendMessage(session, 'sync_response', [], sections, nowMs)
      },
    })
    this.#receiver = new Receiver({
      replica: this.replica,
      authority: options.authority,
      isShared: this.#isShared,
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
    this.#inHand = session
    try {
      if (session.state === 'open' || session.state === 'joining')
        this.#message(session, frame, nowMs)
      else if (session.exchange !== undefined) this.#question(session, frame, nowMs)
      else this.#hello(session, frame, nowMs)
    } catch (error) {
      this.#fail(session, error, nowMs)
    } finally {
      this.#inHand = undefined
    }
    this.#settle(nowMs)
  }

  // ---- exchanges ----

  /**
   * A link is up whose carrier has proved who is at its other end, and carries questions and their answers only. Who dialled asks, again and
   * again ({@link SyncEngine.ask}); the other side hears one question, answers it ({@link SyncEngine.answer}), and the link is over.
   */
  vouchedFor(link: string, side: 'dialler' | 'listener', device: string, nowMs: number): void {
    const session = new Session(link, side, emptyBytes, nowMs)
    const exchange = new Exchange(side === 'dialler' ? 'asker' : 'answerer')
    session.exchange = exchange
    session.device = device
    this.#sessions.set(link, session)
    if (this.#storeFailed) this.#end(session, 'STORE_FAILED', nowMs)
    else if (exchange.role === 'answerer') {
      session.moved('accepted')
      session.deadlineMs = nowMs + limits.helloMs
    } else {
      session.moved('dialled')
      session.moved('member-hello')
      const known = this.book.entries.get(device)?.known
      if (known !== undefined) {
        session.theirs = known.clock
        session.sharesTheirs = true
        session.toldMs = known.last.timeMs
        exchange.heldDigest = known.digest
        this.#compareAll(session)
      }
      this.#notify({ kind: 'opened', link, device, isBrief: false })
    }
    this.#settle(nowMs)
  }

  /** The next question: it is sent from now on, until the link {@link SyncEngine.isSettled} and it has been {@link SyncEngine.asked}. */
  ask(link: string, budget: ExchangeBudget, nowMs: number): void {
    const session = this.#sessions.get(link)
    const exchange = session?.exchange
    if (session?.state !== 'open' || exchange?.role !== 'asker') return
    session.restart(budget.sendBytes, nowMs)
    this.#wants.closed(session)
    exchange.hasToldNews = false
    exchange.lacksGossip = false
    exchange.isHeld = false
    session.outbox.unshift(...this.#opening(session, exchange, budget))
    const asksFor = exchange.isResting ? 0 : wantsPerQuestion
    for (const feed of [...session.behindByFeed.keys()].slice(asksFor))
      this.#wants.expect(session, feed, nowMs)
    if (!exchange.isResting) this.#server.offerAll(session)
    this.#settle(nowMs)
  }

  /** Nothing more goes into the question. */
  asked(link: string): void {
    const session = this.#sessions.get(link)
    if (session?.exchange === undefined) return
    session.exchange.isHeld = true
    // They are made anew from what the answer says of the peer's clock.
    session.cursors.clear()
  }

  /** All frames of an answer have been received. */
  answered(link: string, nowMs: number): void {
    const session = this.#sessions.get(link)
    if (session?.state !== 'open' || session.exchange === undefined) return
    this.#concludeAnswer(session, session.exchange, session.device!, nowMs)
    this.#settle(nowMs)
  }

  /** What came in with a question or an answer is durable, and what was asked for has been read. */
  isSettled(link: string): boolean {
    const session = this.#sessions.get(link)
    if (session?.exchange === undefined) return true
    return (
      session.state === 'open' &&
      session.exchange.loads === 0 &&
      !session.loading &&
      session.durableBytes >= session.receivedBytes
    )
  }

  /** After an answer: whether there is more to ask or to send at once. What the last question could not bring about is not repeated. */
  outlook(link: string): ExchangeOutlook {
    const session = this.#sessions.get(link)
    const exchange = session?.exchange
    if (session?.state !== 'open' || exchange === undefined) return 'still'
    const isMore =
      exchange.peerHasMore ||
      exchange.clockWanted !== undefined ||
      session.ahead > 0 ||
      session.behind > 0 ||
      session.outbox.length > 0
    const { digest } = this.replica
    const { heldDigest } = exchange
    const isTold = exchange.clockWanted === undefined
    const mayBring = session.window.allowedBytes > 0
    const { lacksGossip } = exchange
    const after = [digest, heldDigest, isTold, mayBring, lacksGossip].join('/')
    const isAsBefore = after === exchange.after
    const isLacking = exchange.peerHasMore || session.ahead > 0 || session.behind > 0
    exchange.fruitless = isAsBefore && isLacking ? exchange.fruitless + 1 : 0
    exchange.after = after
    if (isAsBefore) return 'still'
    return isMore ? 'more' : 'moved'
  }

  /** Says what there is to say to a question that has been heard and {@link SyncEngine.isSettled}, and ends the link. */
  answer(link: string, nowMs: number): void {
    const session = this.#sessions.get(link)
    if (session?.state !== 'open' || session.exchange?.role !== 'answerer') return
    // What has just been stored is part of what this device says that it holds.
    this.#announcer.contactEnded(nowMs)
    session.exchange.isHeld = false
    session.ackDue = true
    this.#settle(nowMs)
    this.#end(session, answeredReason, nowMs)
    this.#settle(nowMs)
  }

  /** The first frame of a question. */
  #question(session: Session, frame: Uint8Array, nowMs: number): void {
    const { sections } = decodeMessage(frame)
    const device = session.device!
    if (this.#authority.revocationOf(device) !== undefined) {
      this.#turnAway(session, device, nowMs)
      return
    }
    const chain = sections.find((section) => section.tag === 'chain')
    const proved =
      chain === undefined ? undefined : this.#authority.acceptChain([...chain.certificates])
    if (proved === undefined ? !this.#authority.isMember(device) : proved !== device) {
      throw new HavenError(
        'NOT_A_MEMBER',
        'A device that does not belong to this mesh wanted to connect. If it should belong, invite it.',
      )
    }
    if (!session.moved('member-hello')) throw outOfOrder()
    session.deadlineMs = undefined
    this.#notify({ kind: 'opened', link: session.link, device, isBrief: true })
    this.#sections(session, sections, nowMs)
    if (session.theirs === undefined && !tellsOf(sections, device))
      this.#lookUpTheirs(session, device, nowMs)
    this.#receiver.reopened()
  }

  /** What the first message of a question says before all else. */
  #opening(session: Session, exchange: Exchange, { takeBytes }: ExchangeBudget): Plain[] {
    const { digest, clock, commits } = this.replica
    this.book.rememberOwn(digest, clock)
    session.pulls =
      !exchange.isResting &&
      ![...this.#sessions.values()].some((other) => other !== session && other.state === 'open')
    const moreBytes = exchange.isResting ? 0 : Math.min(takeBytes, this.#roomFor(session))
    const chain = this.#authority.ownCertificate().chain.map(({ bytes }) => bytes)
    const token = this.#positionsAt.get(session.device!) ?? emptyBytes
    const sections: Plain[] = [
      ...(exchange.showsChain ? [{ tag: 'chain', certificates: chain } as const] : []),
      { tag: 'digest', digest, commits },
      { tag: 'gossip', digest: this.book.gossipDigest() },
      { tag: 'window', durableBytes: 0, moreBytes },
      { tag: 'position', more: false, digest: exchange.heldDigest, token },
      ...this.#ownClock(exchange),
    ]
    if (session.pulls) sections.push({ tag: 'pull' })
    exchange.telling = { digest, clock: new Map(clock) }
    return sections
  }

  /** What has changed of the own clock since the peer was told, or what it asked for. */
  #ownClock(exchange: Exchange): Plain[] {
    const { device } = this.#authority
    const { digest } = this.replica
    const { clockWanted, told } = exchange
    exchange.clockWanted = undefined
    if (clockWanted !== undefined) {
      const clock = this.book.bodyFor(device, digest, clockWanted.base)
      return clock === undefined ? [] : [{ tag: 'clock', clock }]
    }
    if (told === undefined || told.digest === digest) return []
    const difference = differenceFrom(told.clock, this.replica.clock)
    const base = told.digest
    return [{ tag: 'clock', clock: { device, digest, base, whole: undefined, difference } }]
  }

  #concludeAnswer(session: Session, exchange: Exchange, device: string, nowMs: number): void {
    const { position } = exchange
    exchange.position = undefined
    this.#wants.closed(session)
    if (position === undefined) return
    exchange.told = exchange.telling
    exchange.peerHasMore = position.more
    const { theirs } = session
    const isWhole = theirs !== undefined && clockDigest(theirs) === position.digest
    exchange.heldDigest = isWhole ? position.digest : undefined
    if (!isWhole) {
      this.#positionsAt.delete(device)
      return
    }
    // Until it has all facts that are here, another process of it may not know this device.
    if (session.ahead === 0) exchange.showsChain = false
    this.#positionsAt.set(device, position.token)
    exchange.isPresumed = false
    session.toldMs = nowMs
    const known = this.book.entries.get(device)?.known?.digest
    this.book.learnedDirectly(device, theirs, nowMs, session.theirNumber)
    const lacking = this.book.lacking(device)
    if (lacking !== undefined)
      session.outbox.push({ tag: 'clock-wanted', wanted: { device, ...lacking } })
    if (known !== position.digest) this.#remember(device)
    this.#notify({ kind: 'progress', link: session.link, device })
  }

  /** What the asker lacks of this device's clock, and where it is now. */
  #closing(exchange: Exchange, more: boolean): Plain[] {
    const { digest } = this.replica
    const asked = exchange.position
    const sections: Plain[] = [{ tag: 'position', more, digest, token: this.#positions.now() }]
    if (asked?.digest === digest) return sections
    const feeds =
      asked?.digest === undefined || asked.token.length === 0
        ? undefined
        : this.#positions.movedSince(asked.token)
    if (feeds === undefined) {
      const clock = this.book.bodyFor(this.#authority.device, digest, asked?.digest)
      if (clock !== undefined) sections.push({ tag: 'clock', clock })
    } else {
      const entries = [...feeds].flatMap((feed) => this.replica.chain(feed).entries())
      if (entries.length > 0) sections.push({ tag: 'have', entries })
    }
    return sections
  }

  // ---- more inputs ----

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

  /**
   * @param merged - where several processes share the store: the chains that it made of this batch and what it had, where those are others than
   *   the batch said
   */
  persisted(
    token: number,
    error: HavenError | undefined,
    nowMs: number,
    merged: ReadonlyMap<string, FeedChain> = noChains,
  ): void {
    if (error !== undefined) {
      this.#storeFailed = true
      this.replica.forgetStaged()
      this.#receiver.failed()
      for (const session of this.#sessions.values()) this.#end(session, error.code, nowMs)
    } else {
      for (const feed of this.#receiver.persisted(token, merged)) this.#advanced(feed, false, nowMs)
    }
    this.#settle(nowMs)
  }

  /** Another process has stored these, durably, in the store that this one shares with it. */
  adopted(
    descriptors: readonly FeedDescriptor[],
    chains: readonly FeedChain[],
    nowMs: number,
  ): void {
    for (const descriptor of descriptors) this.replica.addDescriptor(descriptor)
    for (const chain of chains) {
      const had = this.replica.chain(chain.feed)
      if (chain.equals(had)) continue
      this.#receiver.adopted(chain)
      if (chain.segments.length > Math.max(1, had.segments.length))
        this.#notify({ kind: 'forked', feed: chain.feed })
      this.#advanced(chain.feed, false, nowMs)
    }
    this.#settle(nowMs)
  }

  /** This device goes on as another incarnation: what was said before counts no more. */
  incarnationChanged(nowMs: number): void {
    this.#announcer.changed(nowMs)
    this.#settle(nowMs)
  }

  /** What this device has to announce; undefined: no more than it announced last. It counts when it is `announced`. */
  announcement(nowMs: number): Announcement | undefined {
    return this.#announcer.create(nowMs)
  }

  /** A device has let this one know that it holds nothing (any more), whatever it has announced. */
  holdsNothing(device: string, nowMs: number): void {
    const number = this.book.entries.get(device)?.announcement?.number
    if (number === undefined || this.sessionWith(device) !== undefined) return
    this.book.learnedDirectly(device, new Map(), nowMs, number)
    this.#remember(device)
    this.#settle(nowMs)
  }

  /** What another process remembers of a device. */
  heardElsewhere(device: string, bytes: Uint8Array, nowMs: number): void {
    const isNews = this.book.mergeEntry(device, bytes, (announcement) =>
      decodeAnnouncement(announcement, this.#authority.mesh),
    )
    const announcement = this.book.entries.get(device)?.announcement
    if (!isNews || announcement === undefined) return
    for (const session of this.#sessions.values()) {
      if (isToHear(session)) session.announcementsOut.set(device, announcement)
    }
    this.#settle(nowMs)
  }

  /** An announcement of this device is durable, by whichever process. */
  announced(bytes: Uint8Array, nowMs: number): void {
    this.#announceOwn(decodeAnnouncement(bytes, this.#authority.mesh), nowMs)
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
    this.#inHand = undefined
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
    for (const { exchange } of this.#sessions.values()) if (exchange) exchange.after = undefined
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
    // Timers may fire a moment early by the wall clock: then there is to be another one.
    this.#wakeAtMs = Infinity
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

  /** More may come in and go out than before, or less: every peer hears how much. */
  intakeChanged(nowMs: number): void {
    for (const session of this.#sessions.values())
      if (session.state === 'open') session.ackDue = true
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

  /** What a device said that it holds durably, the newest claim first: in the open conversation, and before. */
  *claims(device: string): Iterable<Claim> {
    const session = this.sessionWith(device)
    if (session?.theirs !== undefined && session.exchange?.isPresumed !== true) {
      const theirs = new Map(session.theirs)
      const entries = (feed: string): readonly ClockEntry[] => theirs.get(feed) ?? []
      const said = { timeMs: session.toldMs, direct: true }
      yield { first: said, last: said, feeds: () => theirs.keys(), entries }
    }
    yield* this.book.claims(device)
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
    session.saidMoreBytes = this.#roomFor(session)
    const sections: Plain[] = [
      { tag: 'digest', digest, commits: this.replica.commits },
      { tag: 'gossip', digest: this.book.gossipDigest() },
      { tag: 'window', durableBytes: 0, moreBytes: session.saidMoreBytes },
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
    const roomBytes = this.#roomFor(session)
    if (roomBytes === 0 || roomBytes !== session.saidMoreBytes) session.ackDue = true
    this.#notify({ kind: 'opened', link: session.link, device, isBrief: false })
    this.#sayWhatMovedSinceHello(session)
    this.#sections(session, sections, nowMs)
    this.#lookUpTheirs(session, device, nowMs)
    this.#askForClocks(session, () => true)
    this.#receiver.reopened()
  }

  /** The peer has named its clock: it may be known here. */
  #lookUpTheirs(session: Session, device: string, nowMs: number): void {
    const digest = session.theirDigest
    if (digest === undefined) return
    const known = this.book.clockByDigest(digest)
    const before = known ?? this.book.entries.get(device)?.known?.clock
    if (known !== undefined) this.#learnTheirs(session, { digest, clock: known }, nowMs)
    else
      session.outbox.push({
        tag: 'clock-wanted',
        wanted: { device, digest, base: this.book.entries.get(device)?.known?.digest },
      })
    // It will have lost nothing: what is urgent need not wait a round trip for its clock, or for its want.
    if (before !== undefined && session.exchange === undefined)
      this.#server.offerUrgent(session, before)
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
          } else {
            const own = this.book.entries.get(session.device!)?.announcement
            this.#outdated(session, own?.number, nowMs)
          }
          break
        case 'gossip-list':
          this.#outdated(
            session,
            section.numbers.find(({ device }) => session.device!.startsWith(device))?.number,
            nowMs,
          )
          for (const announcement of this.book.newerThan(section.numbers)) {
            session.announcementsOut.set(announcement.device, announcement)
          }
          // An answerer is not told to compare: it hears what to send when there is something.
          if (session.exchange?.role === 'asker' && this.book.isBehind(section.numbers)) {
            session.exchange.lacksGossip = true
            session.outbox.push({ tag: 'gossip-list', numbers: this.book.gossipList() })
          }
          break
        case 'window':
          session.window.acknowledged(section.durableBytes, section.moreBytes, nowMs)
          if (section.moreBytes > 0 && session.failure === 'QUOTA_EXCEEDED')
            session.failure = undefined
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
          this.#have(session, section.entries, nowMs)
          break
        case 'want':
          for (const want of section.wants) this.#server.wanted(session, want)
          break
        case 'late':
          for (const feed of section.feeds) this.#receiver.sayMorePlaces(session.link, feed)
          break
        case 'descriptor':
          this.#receiver.descriptor(decodeDescriptor(section.bytes.slice()))
          break
        case 'run':
          if (this.#intake(session.device!) < 0) throw quotaExceeded()
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
          this.#announced(session, section.bytes, nowMs)
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
        case 'position':
          if (session.exchange !== undefined) session.exchange.position = section
          break
        // Parts of other conversations, and what a later version may say.
        case 'chain':
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
    const isAsker = session.exchange?.role === 'asker'
    if (clock === undefined) {
      // What is not said of the answerer's clock is said with the next answer.
      if (isAsker && body.device === session.device) return
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
    if (body.device === session.device && (session.theirs === undefined || isAsker))
      this.#learnTheirs(session, { digest: body.digest, clock }, nowMs)
    if (this.book.entries.get(body.device)?.announcement?.clockDigest === body.digest) {
      this.book.announcedClock(body.device, clock)
      this.#remember(body.device)
    }
    this.#clockIsKnown(body.digest)
  }

  /** A clock with this digest may be known here now: whoever announced it holds that, and who waits for it gets it. */
  #clockIsKnown(digest: string): void {
    for (const device of this.book.foundClock(digest)) this.#remember(device)
    for (const session of this.#sessions.values()) {
      const owed = session.clocksOwed.findIndex((wanted) => wanted.digest === digest)
      if (owed !== -1) this.#clockWanted(session, session.clocksOwed.splice(owed, 1)[0]!)
    }
  }

  /** Who was asked before may be gone, or has not heard it either. */
  #askForClocks(session: Session, isWanted: (digest: string) => boolean): void {
    for (const device of this.book.entries.keys()) {
      const lacking = this.book.lacking(device)
      if (lacking === undefined || !isWanted(lacking.digest)) continue
      if (device === session.device || session.clocksAsked.has(lacking.digest)) continue
      session.clocksAsked.add(lacking.digest)
      session.outbox.push({ tag: 'clock-wanted', wanted: { device, ...lacking } })
    }
  }

  #clockWanted(session: Session, wanted: ClockWanted): void {
    if (session.exchange?.role === 'asker' && wanted.device === this.#authority.device) {
      session.exchange.clockWanted = wanted
      return
    }
    const body = this.book.bodyFor(wanted.device, wanted.digest, wanted.base)
    if (body !== undefined) session.outbox.push({ tag: 'clock', clock: body })
    else if (session.clocksOwed.length < limits.announcements) session.clocksOwed.push(wanted)
  }

  /** @param told.clock - as the digest says; nobody changes it */
  #learnTheirs(
    session: Session,
    { digest, clock }: { readonly digest: string; readonly clock: VectorClock },
    nowMs: number,
  ): void {
    const before = session.theirs ?? new Map<string, never>()
    session.theirs = clock
    session.sharesTheirs = true
    if (session.exchange?.role === 'asker') {
      // It counts when the whole answer has been heard.
      this.#compareAll(session, before.keys())
      return
    }
    session.toldMs = nowMs
    const known = this.book.entries.get(session.device!)?.known?.digest
    this.book.learnedDirectly(session.device!, clock, nowMs, session.theirNumber, digest)
    this.#clockIsKnown(this.book.entries.get(session.device!)?.known?.digest ?? '')
    // Who asks again and again is remembered when there is something new.
    if (
      session.exchange === undefined ||
      known !== this.book.entries.get(session.device!)?.known?.digest
    )
      this.#remember(session.device!)
    this.#compareAll(session)
    if (session.peerPulls) this.#server.offerAll(session)
    // What the peer sends of its own accord needs no want.
    if (session.pulls)
      for (const feed of session.behindByFeed.keys()) this.#wants.expect(session, feed, nowMs)
    const waiting = session.haveBeforeClock
    session.haveBeforeClock = []
    if (waiting.length > 0) this.#have(session, waiting, nowMs)
  }

  #have(session: Session, entries: readonly ClockEntry[], nowMs: number): void {
    if (session.theirs === undefined) {
      // It talks of changes to a clock that we are still waiting for.
      if (session.haveBeforeClock.length < limits.clockFeeds)
        session.haveBeforeClock.push(...entries)
      return
    }
    const byFeed = new Map<string, ClockEntry[]>()
    for (const entry of entries) byFeed.set(entry.feed, [...(byFeed.get(entry.feed) ?? []), entry])
    for (const [feed, feedEntries] of byFeed) {
      session.sayTheirs(feed, feedEntries)
      this.#compare(session, feed)
      this.#server.heard(session, feed)
    }
    session.toldMs = nowMs
    this.#notify({ kind: 'progress', link: session.link, device: session.device! })
  }

  #compareAll(session: Session, feeds: Iterable<string> = []): void {
    for (const feed of [...feeds, ...(session.theirs?.keys() ?? [])]) this.#compare(session, feed)
    for (const chain of this.replica.chains()) this.#compare(session, chain.feed)
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

  // ---- what changed here ----

  #advanced(feed: string, own: boolean, nowMs: number): void {
    this.#announcer.changed(nowMs)
    this.#positions.moved(feed)
    for (const session of this.#sessions.values()) {
      if (session.state !== 'open') continue
      session.unsaid.add(feed)
      session.lookAgain(feed)
      this.#compare(session, feed)
      if (session.exchange?.role === 'asker') this.#tellNews(session, session.exchange, feed)
      else if (own || session.peerPulls) this.#server.offer(session, feed)
    }
  }

  /** Something that the peer lacks has become durable: it goes with the next question. */
  #tellNews(session: Session, exchange: Exchange, feed: string): void {
    if (exchange.hasToldNews || !session.aheadByFeed.has(feed)) return
    exchange.hasToldNews = true
    this.#outputs.push({ type: 'news', link: session.link })
  }

  #announced(session: Session, bytes: Uint8Array, nowMs: number): void {
    const announcement = decodeAnnouncement(bytes, this.#authority.mesh)
    if (announcement.device === this.#authority.device) {
      this.#heardOwn(announcement, nowMs)
      return
    }
    if (!this.#authority.isVouchedFor(announcement.device)) return
    if (!this.book.announced(announcement)) return
    this.#remember(announcement.device)
    // It has told us of everything in it before.
    if (announcement.device === session.device)
      session.theirNumber = Math.max(session.theirNumber, announcement.number)
    for (const other of this.#sessions.values()) {
      if (other !== session && isToHear(other))
        other.announcementsOut.set(announcement.device, announcement)
    }
    // What an answerer holds follows from its answer.
    const isAnswerers = session.exchange?.role === 'asker' && announcement.device === session.device
    const lacking = isAnswerers ? undefined : this.book.lacking(announcement.device)
    if (isAnswerers) session.theirNumber = Math.max(session.theirNumber, announcement.number)
    if (lacking !== undefined && !session.clocksAsked.has(lacking.digest)) {
      session.clocksAsked.add(lacking.digest)
      session.outbox.push({
        tag: 'clock-wanted',
        wanted: { device: announcement.device, ...lacking },
      })
    }
    this.#notify({ kind: 'progress', link: session.link, device: announcement.device })
  }

  #heardOwn(announcement: Announcement, nowMs: number): void {
    const { incarnation } = announcement
    // Another process of this device has said it.
    if (this.#isShared && incarnation === this.#authority.incarnation) return
    if (!this.#announcer.forgot(announcement)) return
    this.#announcer.changed(nowMs)
    this.#notify({ kind: 'forgotten', incarnation })
  }

  /** What the peer announced before this conversation is older than what it says in it. */
  #outdated(session: Session, number: number | undefined, nowMs: number): void {
    if (number === undefined || session.device === undefined) return
    session.theirNumber = Math.max(session.theirNumber, number)
    if (session.theirs === undefined || session.exchange?.role === 'asker') return
    this.book.learnedDirectly(session.device, session.theirs, nowMs, session.theirNumber)
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
    if (this.#announcer.isDue(nowMs)) {
      this.#clockIsKnown(this.replica.digest)
      if (this.#isShared) this.#outputs.push({ type: 'announce' })
      else {
        const announcement = this.#announcer.create(nowMs)
        if (announcement !== undefined) this.#announceOwn(announcement, nowMs)
      }
    }
    const open = [...this.#sessions.values()].filter((session) => session.state === 'open')
    for (const session of open) this.#gather(session, nowMs)
    // An answerer is sent what it lacks without asking.
    this.#wants.plan(
      open.filter(
        ({ exchange }) => exchange === undefined || (exchange.role === 'asker' && !exchange.isHeld),
      ),
      nowMs,
    )
    for (const session of open) {
      const { exchange } = session
      if (exchange?.isHeld !== true && (exchange !== undefined || session.hasToSay))
        this.#say(session, nowMs)
      if (exchange?.role !== 'asker' || !exchange.isHeld) this.#server.serve(session)
    }
    let wakeAtMs = Math.min(this.#announcer.wakeAtMs(), this.#wants.wakeAtMs(open, nowMs))
    for (const { gathered } of open) wakeAtMs = Math.min(wakeAtMs, gathered.dueMs)
    for (const session of this.#sessions.values())
      wakeAtMs = Math.min(wakeAtMs, session.deadlineMs ?? Infinity)
    if (wakeAtMs !== this.#wakeAtMs) {
      this.#wakeAtMs = wakeAtMs
      if (wakeAtMs !== Infinity) this.#outputs.push({ type: 'wakeAt', ms: wakeAtMs })
    }
  }

  #announceOwn(announcement: Announcement, nowMs: number): void {
    if (!this.#announcer.announced(announcement, nowMs)) return
    this.#remember(announcement.device)
    for (const session of this.#sessions.values()) {
      if (isToHear(session)) session.announcementsOut.set(announcement.device, announcement)
    }
  }

  #gather(session: Session, nowMs: number): void {
    // Questions and answers gather by themselves.
    if (session.exchange !== undefined) return
    gather(session, {
      isDear: session.window.isShut || this.#outflow(session.device!) <= 0,
      isUrgent: (feed) => {
        const descriptor = this.replica.descriptor(feed)
        return descriptor !== undefined && this.#wants.priorityOf(descriptor) < 0
      },
      device: this.#authority.device,
      nowMs,
    })
  }

  #roomFor(session: Session): number {
    return Math.min(Math.max(0, this.#intake(session.device ?? '')), limits.windowMaxBytes)
  }

  /** Once, whenever there is no room any more: the session goes on the other way. */
  #sayWhetherFull(session: Session, sections: Plain[]): void {
    const isFull = this.#roomFor(session) === 0
    if (isFull && !session.saidFull)
      sections.push({ tag: 'fault', code: 'QUOTA_EXCEEDED', sentence: quotaExceeded().message })
    session.saidFull = isFull
  }

  #say(session: Session, nowMs: number): void {
    const { exchange } = session
    const said = this.#unsaidSections(session)
    const sections = exchange === undefined ? said : this.#asMuchAsFits(session, said)
    if (exchange?.role === 'answerer') {
      const isMore = session.outbox.length > 0 || session.cursors.size > 0
      sections.unshift(...this.#closing(exchange, isMore))
    }
    this.#sayAll(session, sections, nowMs)
  }

  /** The rest waits for the next question; an answerer forgets it, and is asked again. */
  #asMuchAsFits(session: Session, sections: readonly Plain[]): Plain[] {
    let bytes = 0
    const fits = sections.filter((section) => {
      bytes += encodeSections([section]).length
      return bytes <= saidBytes
    })
    session.outbox = sections.slice(fits.length)
    return fits
  }

  #unsaidSections(session: Session): Plain[] {
    const sections = session.outbox
    session.outbox = []
    if (session.exchange?.role === 'answerer') session.unsaid.clear()
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
        moreBytes: this.#roomFor(session),
      })
      session.ackDue = false
      this.#sayWhetherFull(session, sections)
    }
    for (const announcement of session.announcementsOut.values()) {
      sections.push({ tag: 'announcement', bytes: announcement.bytes })
    }
    session.announcementsOut.clear()
    return sections
  }

  #sayAll(session: Session, sections: readonly Plain[], nowMs: number): void {
    if (sections.length === 0) return
    const says = (...tags: Plain['tag'][]): boolean =>
      sections.some(({ tag }) => tags.includes(tag))
    const opens = says('digest')
    const type: MessageType =
      says('window', 'have') && !opens
        ? 'ack'
        : says('clock', 'key') && !opens
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
    const session = this.#inHand
    const exchange = session?.exchange
    if (exchange !== undefined) exchange.loads += 1
    this.#loads.set(token, (result, nowMs) => {
      if (exchange !== undefined) exchange.loads -= 1
      this.#inHand = session
      done(result, nowMs)
    })
    this.#outputs.push({ type: 'load', token, request })
  }

  #notify(notification: Notification): void {
    this.#outputs.push({ type: 'notify', notification })
  }

  #remember(device: string): void {
    const value = this.book.encodeEntry(device)
    const order = this.book.entries.get(device)?.announcement?.number ?? 0
    if (value !== undefined)
      this.#outputs.push({ type: 'remember', name: `clock/${device}`, value, order })
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
    const { device, theirs, exchange } = session
    if (device !== undefined && theirs !== undefined && exchange === undefined) {
      // The next conversation starts from what this one has told.
      this.book.learnedDirectly(device, theirs, nowMs, session.theirNumber)
      this.#remember(device)
    }
    for (const other of this.#sessions.values())
      if (other.state === 'open' && other.exchange === undefined)
        this.#askForClocks(other, (digest) => session.clocksAsked.has(digest))
    this.#announcer.contactEnded(nowMs)
    const isBrief = exchange?.role === 'answerer'
    this.#notify({ kind: 'closed', link: session.link, device, reason, isBrief })
  }
}

/** Whether what is announced now has to be said in this session: what came before went into its hello. */
function isToHear({ state }: Session): boolean {
  return state === 'open' || state === 'hello-sent'
}

function tellsOf(sections: readonly Section[], device: string): boolean {
  return sections.some((section) => section.tag === 'clock' && section.clock.device === device)
}

function quotaExceeded(): HavenError {
  return new HavenError(
    'QUOTA_EXCEEDED',
    'There is no room for more from this device now. What was acknowledged is kept; the rest stays with the devices that have it.',
  )
}

function outOfOrder(): HavenError {
  return new HavenError(
    'OUT_OF_ORDER',
    'A device said something that has no place in the conversation. It may run another version.',
  )
}

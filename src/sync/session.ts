/** One conversation with one device over one link: its state, and what is known of the other side. All of it is a cache. */
import type { Place } from '../feed/chain.ts'
import type { ClockEntry, VectorClock } from '../feed/vector-clock.ts'
import type { Announcement } from './announcement.ts'
import type { Exchange } from './exchange.ts'
import type { ClockWanted, Section } from './section.ts'
import { SendWindow } from './send-window.ts'
import { nextState } from './session-states.ts'
import type { SessionEvent, SessionState } from './session-states.ts'
import { Gathered } from './gathered.ts'

/** A part of a feed that is to be sent to the peer. */
export interface Cursor {
  readonly feed: string
  /** Index of the segment in the feed's chain; -1 while it is not known (a chain without a fork). */
  readonly segment: number
  readonly priority: number
  after: number
  base: string | undefined
  readonly first: string | undefined
}

export interface SentFeed {
  readonly place: Place
  /** Runs of it, the oldest first, that the peer may not have taken: after which seq each goes on, and how many bytes of runs had been sent with it. */
  readonly runs: readonly { readonly after: number; readonly atBytes: number }[]
}

export interface Traffic {
  in: number
  out: number
}

export class Session {
  readonly link: string
  readonly side: 'dialler' | 'listener'
  readonly binding: Uint8Array
  readonly openedMs: number
  state: SessionState = 'new'
  /** Hex; known once the peer has proved who it is. */
  device: string | undefined

  ownNonce: Uint8Array = new Uint8Array(16)
  peerNonce: Uint8Array | undefined
  /** The key that seals the hellos. */
  helloKey: Uint8Array | undefined
  showedChain = false
  invitationCode: string | undefined
  deadlineMs: number | undefined

  /** What the peer holds durably, by its own words; undefined until it has said so. */
  theirs: VectorClock | undefined
  /** Others read the same: hundreds of devices may hold what we hold. */
  sharesTheirs = false
  theirDigest: string | undefined
  /** When it last said something of it, by our clock. */
  toldMs = 0
  /** Its own newest announcement when it said so, as far as is known: none up to this number says something newer. */
  theirNumber = -1
  /** Changes of their clock that came before the clock itself. */
  haveBeforeClock: ClockEntry[] = []
  /** The digest that our hello named. */
  saidDigest = ''
  /** Commits we lack of theirs, and they of ours, by feed; feeds with none are absent. */
  readonly behindByFeed = new Map<string, number>()
  readonly aheadByFeed = new Map<string, number>()
  behind = 0
  ahead = 0
  /** Places of theirs that are being looked up, or have been found, in our chains. */
  readonly lookedUp = new Map<string, 'pending' | 'held' | 'missing'>()

  /** The peer asked us to send whatever it lacks without waiting for wants. */
  peerPulls = false
  /** We asked the peer to. */
  pulls = false
  readonly cursors = new Map<string, Cursor>()
  /** How far we have sent each feed in this session. */
  readonly sentTo = new Map<string, SentFeed>()
  /** Feeds of wants that may be older than what is on its way. */
  readonly earlyWants = new Set<string>()
  readonly descriptorsSent = new Set<string>()
  window = new SendWindow()
  writable = true
  loading = false

  /** Bytes of runs received in this session. */
  receivedBytes = 0
  /** When the last one came. */
  receivedMs = 0
  /** Of these, how many are durable here. */
  durableBytes = 0
  ackDue = false
  /** Feeds whose entries in our clock the peer has not been told. */
  readonly unsaid = new Set<string>()
  /** Sections for the next message. */
  outbox: Exclude<Section, { tag: 'run' }>[] = []
  readonly announcementsOut = new Map<string, Announcement>()
  readonly clocksAsked = new Set<string>()
  readonly keysAsked = new Set<string>()
  /** Clocks that the peer asked us for and we did not have yet. */
  readonly clocksOwed: ClockWanted[] = []

  nextMessageId = 1
  readonly commits: Traffic = { in: 0, out: 0 }
  readonly bytes: Traffic = { in: 0, out: 0 }
  failure: string | undefined
  /** Our hello, which may have been said before it was known to whom, let the peer send so much. */
  saidMoreBytes = 0
  /** We have told the peer that there is no room for more. */
  saidFull = false
  /** Where the carrier only asks and is answered. */
  exchange: Exchange | undefined
  /** What is said later, where bytes are dear. */
  readonly gathered: Gathered

  constructor(link: string, side: 'dialler' | 'listener', binding: Uint8Array, nowMs: number) {
    this.link = link
    this.side = side
    this.binding = binding
    this.openedMs = nowMs
    this.gathered = new Gathered(nowMs)
  }

  /** @returns false when the event is out of order in this state; nothing has changed then */
  moved(event: SessionEvent): boolean {
    const next = nextState(this.state, event)
    if (next === undefined) return false
    this.state = next
    return true
  }

  /** What was on its way has arrived or is lost: a question begins with nothing sent and nothing received. */
  restart(sendBytes: number, nowMs: number): void {
    const { allowedBytes } = this.window
    this.window = new SendWindow()
    this.window.acknowledged(0, Math.min(allowedBytes, sendBytes), nowMs)
    this.receivedBytes = 0
    this.durableBytes = 0
    this.ackDue = false
    this.sentTo.clear()
    this.earlyWants.clear()
    this.descriptorsSent.clear()
    this.unsaid.clear()
  }

  /** Besides commits. */
  get hasToSay(): boolean {
    return (
      this.ackDue ||
      this.outbox.length > 0 ||
      this.unsaid.size > 0 ||
      this.announcementsOut.size > 0
    )
  }

  /** The peer holds something else of a feed now; once {@link Session.theirs} is known. */
  sayTheirs(feed: string, entries: readonly ClockEntry[]): void {
    const own = this.sharesTheirs
      ? new Map(this.theirs)
      : (this.theirs as Map<string, readonly ClockEntry[]>)
    own.set(feed, entries)
    this.theirs = own
    this.sharesTheirs = false
  }

  /** A feed has advanced here: places of theirs that were missing may be held now. */
  lookAgain(feed: string): void {
    for (const [key, state] of this.lookedUp)
      if (state === 'missing' && key.startsWith(`${feed}/`)) this.lookedUp.delete(key)
  }

  /** Both clocks cover each other, as far as both have said; where bytes are dear, they say it late. */
  get complete(): boolean {
    return (
      this.state === 'open' &&
      (this.exchange !== undefined || !(this.window.isShut || this.saidFull)) &&
      this.theirs !== undefined &&
      this.exchange?.isPresumed !== true &&
      this.behind === 0 &&
      this.ahead === 0 &&
      ![...this.lookedUp.values()].includes('pending')
    )
  }
}

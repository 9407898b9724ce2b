/**
 * What a session has beyond others when its carrier only asks and is answered (docs/protocol.md, Exchanges). The asker's session goes on from
 * question to question; the answerer's is a new one for each, and nothing of it is kept.
 */
import type { VectorClock } from '../feed/vector-clock.ts'
import type { Section } from './section.ts'

type Position = Extract<Section, { tag: 'position' }>

/** Of runs, in one question and in its answer. */
export interface ExchangeBudget {
  readonly sendBytes: number
  readonly takeBytes: number
}

/** `more`: to be asked or sent at once; `moved`: something has come or gone, and that was all; `still`: all is as it was. */
export type ExchangeOutlook = 'more' | 'moved' | 'still'

/** A clock that the peer has been told of. */
interface ToldClock {
  readonly digest: string
  readonly clock: VectorClock
}

/** Without what runs take, so much is said in a question or an answer; the rest with the next. */
export const saidBytes = 384 * 1024
/** What could not be taken before may be taken later, for a reason that can't be seen from here. */
const retryEvery = 4
/** Feeds asked for in one question: 27 KB. */
export const wantsPerQuestion = 1_024

export class Exchange {
  readonly role: 'asker' | 'answerer'
  /** Nothing is said now: the asker waits for its answer or has none to ask, the answerer has not heard everything. */
  isHeld = true
  /** Loads on its behalf that have not been answered. */
  loads = 0
  /** In an answer: what it says of the answerer's clock. In the answerer's session: what the question said of it. */
  position: Position | undefined

  // ---- the asker's ----

  /** What the peer holds is what was known of that before: it has not answered yet. */
  isPresumed = true
  showsChain = true
  /** Digest of what the peer holds, by its own words, and as we know it; undefined: the two may not be the same. */
  heldDigest: string | undefined
  /** Own clocks that the peer has heard of, and hears of in this question. */
  told: ToldClock | undefined
  telling: ToldClock | undefined
  /** The peer asked for the own clock, as a difference from one that it knows, or whole. */
  clockWanted: { readonly base: string | undefined } | undefined
  peerHasMore = false
  /** The peer has announcements that are newer than those here. */
  lacksGossip = false
  /** Both clocks after the last answer: an exchange that leaves them as they were has brought nothing. */
  after: string | undefined
  /** So many exchanges in a row brought nothing, though something is lacking here or there. */
  fruitless = 0
  /** The owner of the link has been told that there is something to say. */
  hasToldNews = false

  constructor(role: 'asker' | 'answerer') {
    this.role = role
  }

  /** What could not be brought about is not sent again and again: for the most part only clocks are compared, until something has changed. */
  get isResting(): boolean {
    return this.fruitless % retryEvery !== 0
  }
}

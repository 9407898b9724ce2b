/**
 * One link for each peer, however many connections both sides have dialled.
 *
 * Both sides decide by the same rule without a word: of two connections that different sides dialled, the one dialled by
 * the lower peer id stays. A dialler that already has a link gives its own new connection up; so a second connection
 * from the same dialler means that it has lost the first, and takes its place.
 */
import type { MeshLink } from './libp2p-link.ts'

/** How long a connection that would be kept may take to get its stream before the other one is used. */
const betterMs = 3_000
/** How long a link may take to show that it is alive when its peer dials again. */
const answerMs = 2_000

export interface LinkOffer {
  readonly peer: string
  readonly isDialledHere: boolean
  /** Turns the connection into a link; undefined when it has ended meanwhile. */
  start(): MeshLink | undefined
  refuse(): void
}

export class LinkTable {
  readonly #self: string
  readonly #maxLinks: number
  /** Whether a connection to this peer is open, dialled by the given side, that has no stream yet. */
  readonly #expects: (peer: string, isDialledHere: boolean) => boolean
  readonly #links = new Map<string, MeshLink>()
  readonly #waiting = new Map<string, { offer: LinkOffer; timer: NodeJS.Timeout }>()

  constructor(options: {
    self: string
    maxLinks: number
    expects(peer: string, isDialledHere: boolean): boolean
  }) {
    this.#self = options.self
    this.#maxLinks = options.maxLinks
    this.#expects = (peer, isDialledHere) => options.expects(peer, isDialledHere)
  }

  get size(): number {
    return this.#links.size
  }

  get links(): Iterable<MeshLink> {
    return this.#links.values()
  }

  get(peer: string): MeshLink | undefined {
    return this.#links.get(peer)
  }

  offer(offer: LinkOffer): void {
    const link = this.#links.get(offer.peer)
    if (link === undefined) {
      if (this.#links.size >= this.#maxLinks) offer.refuse()
      else if (this.#isBetterExpected(offer)) this.#wait(offer)
      else this.#start(offer)
      return
    }
    const isSameDialler = (link.side === 'dialler') === offer.isDialledHere
    if (offer.isDialledHere) {
      if (isSameDialler || !this.#isPreferred(offer)) offer.refuse()
      else this.#replace(link, offer)
    } else if (isSameDialler || this.#isPreferred(offer)) {
      this.#replace(link, offer)
    } else {
      void this.#replaceIfDead(link, offer)
    }
  }

  /** A link has ended, or a connection that might have become one. */
  ended(peer: string, link?: MeshLink): void {
    if (link !== undefined && this.#links.get(peer) === link) this.#links.delete(peer)
    this.#reconsider(peer)
  }

  close(reason: string): void {
    for (const peer of this.#waiting.keys()) this.#takeWaiting(peer)?.refuse()
    for (const link of this.#links.values()) link.end(reason)
  }

  #isPreferred(offer: LinkOffer): boolean {
    return this.#self < offer.peer === offer.isDialledHere
  }

  #isBetterExpected(offer: LinkOffer): boolean {
    return !this.#isPreferred(offer) && this.#expects(offer.peer, !offer.isDialledHere)
  }

  #wait(offer: LinkOffer): void {
    this.#takeWaiting(offer.peer)?.refuse()
    const timer = setTimeout(() => {
      const late = this.#takeWaiting(offer.peer)
      if (late !== undefined && !this.#links.has(late.peer)) this.#start(late)
      else late?.refuse()
    }, betterMs)
    this.#waiting.set(offer.peer, { offer, timer })
  }

  #reconsider(peer: string): void {
    const offer = this.#takeWaiting(peer)
    if (offer !== undefined) this.offer(offer)
  }

  #takeWaiting(peer: string): LinkOffer | undefined {
    const entry = this.#waiting.get(peer)
    if (entry === undefined) return undefined
    clearTimeout(entry.timer)
    this.#waiting.delete(peer)
    return entry.offer
  }

  #start(offer: LinkOffer): void {
    const link = offer.start()
    if (link === undefined) return
    this.#links.set(offer.peer, link)
    this.#takeWaiting(offer.peer)?.refuse()
  }

  /** The new link is up before the old one goes. */
  #replace(link: MeshLink, offer: LinkOffer): void {
    this.#links.delete(offer.peer)
    this.#start(offer)
    link.end('REPLACED')
  }

  async #replaceIfDead(link: MeshLink, offer: LinkOffer): Promise<void> {
    const isAlive = await link.answers(answerMs)
    if (isAlive && this.#links.get(offer.peer) === link) {
      offer.refuse()
      return
    }
    const current = this.#links.get(offer.peer)
    if (current === link) this.#replace(link, offer)
    else this.offer(offer)
  }
}

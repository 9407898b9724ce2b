import { bytesToHex, utf8ToBytes } from '../../../src/core/bytes.ts'
import { sha256 } from '../../../src/crypto/hash.ts'
import { FeedChain } from '../../../src/feed/chain.ts'
import type { ChainPlace } from '../../../src/feed/coverage.ts'
import { clockDigest, clockOf } from '../../../src/feed/vector-clock.ts'
import type { ClockEntry, VectorClock } from '../../../src/feed/vector-clock.ts'
import { ClockBook } from '../../../src/sync/clock-book.ts'
import type { Claim } from '../../../src/sync/clock-book.ts'
import type { CoverageDevice, CoverageInput } from '../../../src/sync/site-coverage.ts'
import { Stretches } from '../../../src/sync/stretches.ts'
import { wordsOf } from '../../../src/sync/words.ts'

export interface WorldCommit {
  readonly id: string
  readonly feed: string
  readonly seq: number
  readonly parent: WorldCommit | undefined
  readonly author: string
  readonly madeMs: number
}

interface Announced {
  readonly device: string
  readonly number: number
  readonly timeMs: number
  readonly clock: VectorClock
}

export type Act =
  | { kind: 'write'; device: number; lane: number }
  | { kind: 'meet'; one: number; other: number; share: number }
  | { kind: 'announce'; device: number }
  | { kind: 'restore'; device: number; keep: number }

/** Devices with sets of commits, that write, meet, tell each other what was announced, and are put back. The first one observes. */
export class CoverageWorld {
  readonly names: readonly string[]
  readonly sites: readonly string[]
  /** Devices that are to be wiped, or are no members any more. */
  readonly gone: ReadonlySet<string>
  readonly held = new Map<string, Set<WorldCommit>>()
  readonly book: ClockBook
  /** What a device held when it said that it had this clock. */
  readonly truth = new Map<string, ReadonlySet<WorldCommit>>()
  readonly restored = new Set<string>()
  nowMs = 1_000
  readonly #heard = new Map<string, Map<string, Announced>>()
  readonly #own: { digest: string; clock: VectorClock } = { digest: '', clock: new Map() }
  #commits = 0
  #numbers = 0

  constructor(sites: readonly string[], gone: readonly number[]) {
    this.sites = sites
    this.names = sites.map((_, index) => `device ${index}`)
    this.gone = new Set(gone.map((index) => this.names[index % sites.length]!))
    for (const name of this.names) {
      this.held.set(name, new Set())
      this.#heard.set(name, new Map())
    }
    this.book = new ClockBook(this.#own)
  }

  get here(): string {
    return this.names[0]!
  }

  perform(act: Act): void {
    this.nowMs += 10
    if (act.kind === 'write') this.#write(this.#device(act.device), act.lane)
    else if (act.kind === 'announce') this.#announce(this.#device(act.device))
    else if (act.kind === 'meet')
      this.#meet(this.#device(act.one), this.#device(act.other), act.share)
    else this.#restore(this.#device(act.device), act.keep)
    const clock = this.clockOf(this.here)
    Object.assign(this.#own, { clock, digest: clockDigest(clock) })
  }

  #device(index: number): string {
    return this.names[index % this.names.length]!
  }

  #write(author: string, lane: number): void {
    const feed = hex(`${author}, lane ${lane}`).slice(0, 32)
    const held = this.held.get(author)!
    const parent = [...held]
      .filter((each) => each.feed === feed)
      .toSorted(bySeq)
      .at(-1)
    const seq = (parent?.seq ?? 0) + 1
    const id = hex(`commit ${this.#commits++}`)
    held.add({ id, feed, seq, parent, author, madeMs: this.nowMs })
  }

  #announce(device: string): void {
    const clock = this.clockOf(device)
    if (clock.size === 0) return
    const announced = { device, number: ++this.#numbers, timeMs: this.nowMs, clock }
    this.#remember(device, clock)
    this.#hear(device, announced)
  }

  /** Each takes all, a part or nothing of what it lacks, feed by feed from the front, and hears all that the other has heard. */
  #meet(one: string, other: string, share: number): void {
    if (one === other) return
    for (const [from, to] of [
      [one, other],
      [other, one],
    ] as const) {
      const held = this.held.get(to)!
      const lacking = [...this.held.get(from)!].filter((commit) => !held.has(commit))
      for (const [index, commit] of lacking.toSorted(bySeq).entries()) {
        const isTaken = share === 0 || (share < 4 && (index * 7 + share) % 4 !== 0)
        if (isTaken && (commit.parent === undefined || held.has(commit.parent))) held.add(commit)
      }
      for (const announced of this.#heard.get(from)!.values()) this.#hear(to, announced)
    }
    const peer = one === this.here ? other : one
    if (one !== this.here && other !== this.here) return
    const clock = this.clockOf(peer)
    this.#remember(peer, clock)
    const number = this.#heard.get(peer)!.get(peer)?.number ?? -1
    if (clock.size > 0) this.book.learnedDirectly(peer, clock, this.nowMs, number)
  }

  #hear(listener: string, announced: Announced): void {
    const heard = this.#heard.get(listener)!
    const known = heard.get(announced.device)
    if (known !== undefined && known.number >= announced.number) return
    heard.set(announced.device, announced)
    if (listener !== this.here) return
    const { device, number, timeMs, clock } = announced
    const rest = { incarnation: '', epochs: [], commits: 0, bytes: new Uint8Array(0) }
    this.book.announced({ device, number, timeMs, clockDigest: clockDigest(clock), ...rest })
    this.book.announcedClock(device, clock)
  }

  /** Puts it back to the first so many commits that it held: what it wrote since is lost to it, and its feeds may fork. */
  #restore(device: string, keep: number): void {
    this.restored.add(device)
    const held = [...this.held.get(device)!]
    const kept = new Set(held.slice(0, keep % (held.length + 1)))
    for (const commit of kept)
      if (commit.parent !== undefined && !kept.has(commit.parent)) kept.delete(commit)
    this.held.set(device, kept)
  }

  #remember(device: string, clock: VectorClock): void {
    this.truth.set(`${device}/${clockDigest(clock)}`, new Set(this.held.get(device)))
  }

  clockOf(device: string): Map<string, ClockEntry[]> {
    const held = this.held.get(device)!
    const parents = new Set([...held].map(({ parent }) => parent))
    const tips = [...held].filter((commit) => !parents.has(commit))
    return clockOf(
      tips.map(({ feed, seq, id }) => ({ feed, floor: 0, seq, head: id.slice(0, 16) })),
    )
  }

  /** The claims of a device that the observer knows of, the newest first. */
  claimsOf(device: string): Claim[] {
    const heard = [...this.book.claims(device)]
    if (device !== this.here) return heard
    const said = { timeMs: this.nowMs, direct: true }
    const clock = this.clockOf(device)
    const now = { first: said, last: said }
    const entries = (feed: string): readonly ClockEntry[] => clock.get(feed) ?? []
    return [{ ...now, feeds: () => clock.keys(), entries }, ...heard]
  }

  input(): CoverageInput {
    const held = [...this.held.get(this.here)!]
    const byFeed = Map.groupBy(held.toSorted(bySeq), ({ feed }) => feed)
    const chains = new Map([...byFeed].map(([feed, commits]) => [feed, chainOf(feed, commits)]))
    const authors = new Map(held.map(({ feed, author }) => [feed, author]))
    const stretches = new Stretches(chains.values(), (feed) => authors.get(feed))
    const placeOf = ({ feed, seq, head }: ClockEntry): ChainPlace | undefined => {
      const commit = held.find(
        (each) => each.feed === feed && each.seq === seq && each.id.startsWith(head),
      )
      return commit === undefined ? undefined : placeIn(chains.get(feed)!, commit, held)
    }
    const devices = this.names.map((device, index): CoverageDevice => ({
      device,
      site: this.sites[index]!,
      counts: !this.gone.has(device),
      words: wordsOf(device, this.claimsOf(device), stretches, placeOf),
    }))
    return { stretches, devices }
  }

  /** The commits of a stretch from a place on that lie in it. */
  commitsFrom({ stretches }: CoverageInput, at: { stretch: number; seq: number }): WorldCommit[] {
    const { feed, segment, to } = stretches.all[at.stretch]!
    const end = stretches.feed(feed)!.chain.segments[segment]!.head
    const held = [...this.held.get(this.here)!]
    const commits: WorldCommit[] = []
    let commit = held.find(({ id, seq }) => id === end && seq === to)
    while (commit !== undefined && commit.seq >= at.seq) {
      commits.push(commit)
      commit = commit.parent
    }
    return commits
  }
}

export function ancestors(tip: WorldCommit): WorldCommit[] {
  const all: WorldCommit[] = []
  for (let at: WorldCommit | undefined = tip; at !== undefined; at = at.parent) all.push(at)
  return all
}

function chainOf(feed: string, commits: readonly WorldCommit[]): FeedChain {
  let chain = new FeedChain(feed)
  const taken: WorldCommit[] = []
  for (const commit of commits) {
    const { seq, id, parent } = commit
    const link = { seq, id, prev: parent?.id ?? '0'.repeat(64) }
    const at = parent === undefined ? -1 : placeIn(chain, parent, taken).segment
    // In the stretch of the parent: other children begin stretches of their own already.
    const next = taken.find(
      (each) =>
        each.parent === parent &&
        each.seq === seq &&
        at !== -1 &&
        placeIn(chain, each, taken).segment === at,
    )
    chain = chain.with(link, at, next?.id)
    taken.push(commit)
  }
  return chain
}

/** Forward to the end of the stretch that the commit is in. */
function placeIn(chain: FeedChain, commit: WorldCommit, held: readonly WorldCommit[]): ChainPlace {
  for (let at: WorldCommit | undefined = commit; at !== undefined;) {
    const { id } = at
    const segment = chain.segments.findIndex(({ head }) => head === id)
    if (segment !== -1) return { segment, seq: commit.seq }
    const parent: WorldCommit = at
    at = held.find((each) => each.parent === parent)
  }
  throw new Error('a commit that is not in its chain')
}

function bySeq(a: WorldCommit, b: WorldCommit): number {
  return a.seq - b.seq || (a.id < b.id ? -1 : 1)
}

function hex(text: string): string {
  return bytesToHex(sha256(utf8ToBytes(text)))
}

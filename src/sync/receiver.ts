/**
 * Taking in what peers send: each run's place is found, its chain and signature are checked, and it goes to the disk; what cannot be
 * placed is asked for again with more places, and what nobody vouches for waits for the facts.
 */
import { bytesToHex } from '../core/bytes.ts'
import { HavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { startPlace } from '../feed/chain.ts'
import type { FeedChain, Link as ChainLink, Place } from '../feed/chain.ts'
import type { StoredCommit } from '../feed/commit-store.ts'
import { decodeHeader } from '../feed/commit.ts'
import type { FeedDescriptor } from '../feed/descriptor.ts'
import { growChain, linksAround } from '../feed/grow-chain.ts'
import { verifyRun } from '../feed/run.ts'
import type { ReceivedRun } from '../feed/run.ts'
import { equalBytes } from '../core/bytes.ts'
import type { Authority, LoadRequest, LoadResult, Notification, Output } from './engine-port.ts'
import type { Replica } from './replica.ts'
import type { ShortPlace } from './section.ts'

export interface ReceiverPorts {
  readonly replica: Replica
  readonly authority: Authority
  /** See `EngineOptions`. */
  readonly isShared: boolean
  persist(
    persist: Pick<Extract<Output, { type: 'persist' }>, 'descriptors' | 'commits' | 'chains'>,
  ): number
  load(request: LoadRequest, done: (result: LoadResult | undefined, nowMs: number) => void): void
  wantAgain(link: string, feed: string, places: readonly ShortPlace[]): void
  fail(link: string, error: unknown, nowMs: number): void
  durable(link: string, bytes: number): void
  notify(notification: Notification): void
}

interface Waiting {
  readonly link: string
  readonly run: ReceivedRun
}

export class Receiver {
  readonly #ports: ReceiverPorts
  readonly #persists = new Map<
    number,
    {
      link: string
      bytes: number
      chain: FeedChain | undefined
      commits: readonly StoredCommit[]
      forked: boolean
    }
  >()
  /** Descriptors that came in, and whose feeds have no commit here yet. */
  readonly #newDescriptors = new Map<string, FeedDescriptor>()
  /** Runs behind one of the same feed whose place is being looked up. */
  readonly #queues = new Map<string, Waiting[]>()
  /** Feeds of authors that nobody vouches for yet. */
  readonly #parked = new Set<string>()
  /** Links by feed over which we have said more places since the feed last advanced. */
  readonly #askedMore = new Map<string, Set<string>>()

  constructor(ports: ReceiverPorts) {
    this.#ports = ports
  }

  descriptor(descriptor: FeedDescriptor): void {
    if (!equalBytes(descriptor.mesh, this.#ports.authority.mesh)) {
      throw new HavenError('WRONG_MESH', 'A device sent a feed of another mesh.')
    }
    if (
      this.#ports.replica.descriptor(descriptor.feed) === undefined &&
      this.#newDescriptors.size < limits.clockFeeds
    ) {
      this.#newDescriptors.set(descriptor.feed, descriptor)
    }
  }

  run(link: string, run: ReceivedRun, nowMs: number): void {
    const queue = this.#queues.get(run.feed)
    if (queue !== undefined) {
      queue.push({ link, run })
      return
    }
    this.#take(link, run, nowMs)
  }

  /**
   * What a persist had staged is durable.
   *
   * @param merged - chains that have become others than what was staged, since other processes write to the store too
   * @returns the feeds that advanced
   */
  persisted(token: number, merged: ReadonlyMap<string, FeedChain>): string[] {
    const persist = this.#persists.get(token)
    this.#persists.delete(token)
    if (persist === undefined) return []
    this.#ports.durable(persist.link, persist.bytes)
    if (persist.chain === undefined) return []
    const { feed } = persist.chain
    const had = this.#ports.replica.chain(feed)
    const other = merged.get(feed)
    if (other !== undefined) this.adopted(other)
    // What was adopted since may have it already, and more.
    else if (this.#ports.isShared && had.count > persist.chain.count) this.adopted(had)
    else this.#ports.replica.durable(persist.chain)
    this.#askedMore.delete(feed)
    this.#ports.notify({ kind: 'stored', commits: persist.commits })
    if (persist.forked) this.#ports.notify({ kind: 'forked', feed })
    return [feed]
  }

  /** A chain is durable that was not staged here. */
  adopted(chain: FeedChain): void {
    const { replica } = this.#ports
    replica.durable(chain)
    // What is on its way to the disk will be part of what comes back from there.
    const isOnItsWay = [...this.#persists.values()].some((each) => each.chain?.feed === chain.feed)
    if (!isOnItsWay) replica.stage(chain)
    this.#askedMore.delete(chain.feed)
  }

  failed(): void {
    this.#persists.clear()
    this.#queues.clear()
  }

  reopened(): void {
    this.#askedMore.clear()
  }

  /** Members changed: what was parked may be taken when it is sent again. */
  retryParked(nowMs: number): void {
    void nowMs
    this.#parked.clear()
  }

  /** The peer does not know the places that we named: name more of them, back to the start. */
  sayMorePlaces(link: string, feed: string): void {
    const asked = this.#askedMore.get(feed) ?? new Set()
    if (asked.has(link)) return
    this.#askedMore.set(feed, asked.add(link))
    const chain = this.#ports.replica.staged(feed)
    const seqs = [...new Set([...locatorSeqs(chain.seq), ...chain.tips().map(({ seq }) => seq)])]
    this.#ports.load(
      { kind: 'links', feed, ranges: seqs.map((seq) => ({ from: seq, to: seq })) },
      (result) => {
        const links = result?.kind === 'links' ? result.links : []
        const places = links
          .map((each) => ({ seq: each.seq, id: each.id.slice(0, 16) }))
          .toSorted((a, b) => b.seq - a.seq)
        // The last one is the feed's first commit: it tells that nothing is common.
        const first = places.splice(limits.locatorEntries - 1).slice(-1)
        this.#ports.wantAgain(link, feed, [...places, ...first])
      },
    )
  }

  #take(link: string, run: ReceivedRun, nowMs: number): void {
    const { replica, authority } = this.#ports
    const descriptor = replica.descriptor(run.feed) ?? this.#newDescriptors.get(run.feed)
    if (descriptor === undefined) {
      this.#ports.wantAgain(link, run.feed, [])
      this.#ports.durable(link, run.bytes)
      return
    }
    if (!authority.isVouchedFor(bytesToHex(descriptor.device))) {
      this.#parked.add(run.feed)
      // It is wanted again when somebody vouches for its author; until then it must not fill the window.
      this.#ports.durable(link, run.bytes)
      return
    }
    const chain = replica.staged(run.feed)
    const tip =
      run.baseSeq === 0 && chain.segments.length === 0
        ? startPlace
        : chain.tipAt(run.baseSeq, run.baseId)
    if (tip !== undefined) {
      this.#append(link, run, descriptor, tip, nowMs)
      return
    }
    if (run.baseSeq > chain.seq) {
      // What is between has not come (yet): it is wanted from where we are.
      this.#ports.wantAgain(
        link,
        run.feed,
        chain.tips().map((each) => ({ seq: each.seq, id: each.id.slice(0, 16) })),
      )
      this.#ports.durable(link, run.bytes)
      return
    }
    this.#lookUp(link, run, descriptor)
  }

  /** The usual case: the run goes on where the chain ends. */
  #append(
    link: string,
    run: ReceivedRun,
    descriptor: FeedDescriptor,
    tip: Place,
    nowMs: number,
  ): void {
    let chain = this.#ports.replica.staged(run.feed)
    let commits: StoredCommit[]
    try {
      commits = verifyRun(run, tip, descriptor)
    } catch (error) {
      this.#ports.fail(link, error, nowMs)
      return
    }
    const leaf = chain.leaves().find((index) => chain.segments[index]!.head === tip.id) ?? -1
    let at = leaf
    for (const commit of commits) {
      chain = chain.with(linkOf(commit), at)
      at = chain.leaves().find((index) => chain.segments[index]!.head === bytesToHex(commit.id))!
    }
    this.#stage(link, run, descriptor, chain, commits, false)
  }

  /** A run that begins inside what is held: what is new in it is a fork. */
  #lookUp(link: string, run: ReceivedRun, descriptor: FeedDescriptor): void {
    const chain = this.#ports.replica.staged(run.feed)
    const queue: Waiting[] = []
    this.#queues.set(run.feed, queue)
    const range = linksAround(chain, run.baseSeq, run.baseSeq + run.commits.length + 1)
    this.#ports.load({ kind: 'links', feed: run.feed, ranges: [range] }, (result, nowMs) => {
      this.#queues.delete(run.feed)
      try {
        this.#placeAmong(link, run, descriptor, result?.kind === 'links' ? result.links : [])
      } catch (error) {
        this.#ports.fail(link, error, nowMs)
      }
      for (const waiting of queue) this.run(waiting.link, waiting.run, nowMs)
    })
  }

  #placeAmong(
    link: string,
    run: ReceivedRun,
    descriptor: FeedDescriptor,
    links: readonly ChainLink[],
  ): void {
    const chain = this.#ports.replica.staged(run.feed)
    const base =
      run.baseSeq === 0
        ? startPlace
        : links.find((each) => each.seq === run.baseSeq && each.id.startsWith(run.baseId))
    if (base === undefined) {
      // It follows a history that we do not hold: together we find where the two part.
      this.#ports.durable(link, run.bytes)
      this.sayMorePlaces(link, run.feed)
      return
    }
    const commits = verifyRun(run, { seq: base.seq, id: base.id }, descriptor)
    const held = new Set(links.map((each) => each.id))
    const fresh = commits.filter((commit) => !held.has(bytesToHex(commit.id)))
    if (fresh.length === 0) {
      this.#ports.durable(link, run.bytes)
      return
    }
    if (chain.leaves().length >= limits.branchesPerFeed) {
      throw new HavenError(
        'LIMIT_EXCEEDED',
        'A feed has forked more often than can be kept: revoke the device and enrol it anew.',
      )
    }
    const wasForks = chain.segments.length
    const grown = growChain(chain, fresh.map(linkOf), links)
    if (grown.left.length > 0)
      throw new HavenError('BAD_CHAIN', 'A run of commits has no place in its feed.')
    const forked = grown.chain.segments.length > wasForks
    this.#stage(link, run, descriptor, grown.chain, fresh, forked)
  }

  #stage(
    link: string,
    run: ReceivedRun,
    descriptor: FeedDescriptor,
    chain: FeedChain,
    commits: readonly StoredCommit[],
    forked: boolean,
  ): void {
    const { replica } = this.#ports
    const isNew = this.#newDescriptors.delete(run.feed)
    if (isNew && !replica.addDescriptor(descriptor)) {
      throw new HavenError('LIMIT_EXCEEDED', 'There are more feeds than this device can keep.')
    }
    replica.stage(chain)
    const token = this.#ports.persist({
      descriptors: isNew ? [{ feed: descriptor.feed, bytes: descriptor.bytes }] : [],
      commits,
      chains: [chain],
    })
    this.#persists.set(token, { link, bytes: run.bytes, chain, commits, forked })
  }
}

function linkOf(commit: StoredCommit): ChainLink {
  return {
    seq: commit.seq,
    id: bytesToHex(commit.id),
    prev: bytesToHex(decodeHeader(commit.header).prev),
  }
}

/** seq, seq - 1, -2, -4, … down to 1. */
function locatorSeqs(seq: number): number[] {
  const seqs: number[] = []
  for (let step = 0, at = seq; at >= 1; step = step === 0 ? 1 : step * 2, at = seq - step)
    seqs.push(at)
  if (seq > 0 && seqs.at(-1) !== 1) seqs.push(1)
  return seqs
}

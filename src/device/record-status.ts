/**
 * How safe a record is, and how fresh: which other devices hold it, since when, and up to when this device knows what others wrote. From
 * clocks alone, without any network.
 */
import { bytesToHex } from '../core/bytes.ts'
import { visiblyOffMs } from '../core/hybrid-time.ts'
import { limits } from '../core/limits.ts'
import type { ChainPlace } from '../feed/coverage.ts'
import type { FeedDescriptor } from '../feed/descriptor.ts'
import { mayWrite } from '../identity/certificate.ts'
import type { RecordState } from '../records/record-state.ts'
import type { Claim } from '../sync/clock-book.ts'
import type { KnownAuthor, RecordHolder, RecordStatus } from './api.ts'
import { ClaimCheck } from './claim-check.ts'
import type { Collection } from './collection.ts'
import { CommitOpener } from './commit-opener.ts'
import type { MeshRuntime } from './mesh-runtime.ts'
import { checkedId, notFound } from './record-operations.ts'
import { rfc3339 } from './system.ts'

/** @throws HavenError `NOT_FOUND` */
export async function recordStatus(
  runtime: MeshRuntime,
  name: string,
  id: string,
): Promise<RecordStatus> {
  const collection = await runtime.integrator.collection(runtime.collectionId(name))
  await runtime.integrator.idle()
  const state = await collection.state(checkedId(id))
  if (state === undefined) throw notFound()
  await collection.causalityReady()
  const reader = new StatusReader(runtime, collection, state)
  const members = runtime.control.membership
    .members()
    .filter(({ device }) => device !== runtime.control.device)
  const holders: RecordHolder[] = []
  const authors: KnownAuthor[] = []
  for (const { device, certificate } of members) {
    holders.push(await reader.holder(device))
    if (mayWrite(certificate, collection.id)) authors.push(await reader.author(device))
  }
  const servers = holders.filter(({ device: { role } }) => role === 'server')
  const onServer = servers.length === 0 ? null : servers.some(({ holds }) => holds === true)
  return { id, collection: name, holders, onServer, authors, unread: reader.unread() }
}

class StatusReader {
  readonly #runtime: MeshRuntime
  readonly #collection: Collection
  readonly #check: ClaimCheck
  readonly #opener: CommitOpener
  readonly #nowMs: number
  /** Of each writer of the record the last commit that touched it. */
  readonly #places = new Map<string, ChainPlace[]>()
  /** When this device itself wrote it last. */
  readonly #ownMs: number

  constructor(runtime: MeshRuntime, collection: Collection, state: RecordState) {
    this.#runtime = runtime
    this.#collection = collection
    this.#check = new ClaimCheck(runtime)
    this.#opener = new CommitOpener(runtime)
    this.#nowMs = runtime.clock.nowMs()
    let ownMs = 0
    for (const { writer, feed, lastSeq, writes } of state.writers.values()) {
      const chain = runtime.replica.chain(feed)
      const segment = chain.segments.findIndex((_, index) => chain.writerOf(index) === writer)
      if (lastSeq === 0 || segment === -1) continue
      this.#places.set(feed, [...(this.#places.get(feed) ?? []), { segment, seq: lastSeq }])
      if (this.#deviceOf(feed) !== runtime.control.device) continue
      for (const { commit } of writes.values()) ownMs = Math.max(ownMs, commit.time.ms)
    }
    this.#ownMs = ownMs
  }

  async holder(device: string): Promise<RecordHolder> {
    const { control, peers, driver } = this.#runtime
    let holds: boolean | null = null
    let newest: Claim | undefined
    let since: Claim | undefined
    for (const claim of driver.engine.claims(device)) {
      const covers = await this.#check.covers(claim, this.#places)
      if (newest === undefined) {
        newest = claim
        holds = covers ?? null
      }
      if (covers !== true) break
      since = claim
    }
    return {
      device: peers.info(device),
      holds,
      since: since === undefined ? null : rfc3339(since.first.timeMs),
      heard: this.#heard(device),
      clockOff: since !== undefined && this.#isOff(since),
      retiring: control.membership.isRetiring(device),
    }
  }

  /** When this device last said what it holds. */
  #heard(device: string): string | null {
    const { engine } = this.#runtime.driver
    if (engine.sessionWith(device) !== undefined) return rfc3339(this.#nowMs)
    const known = engine.book.entries.get(device)?.known
    return known === undefined ? null : rfc3339(known.last.timeMs)
  }

  async author(device: string): Promise<KnownAuthor> {
    const feeds = this.#runtime.integrator
      .feedsOf(this.#collection.id)
      .filter((descriptor) => bytesToHex(descriptor.device) === device)
    const claimed = await this.#claimedUntil(device)
    const written = await this.#writtenUntil(feeds)
    const until =
      claimed === undefined || (written !== undefined && written.timeMs > claimed.timeMs)
        ? written
        : claimed
    return {
      device: this.#runtime.peers.info(device),
      until: until === undefined ? null : rfc3339(until.timeMs),
      clockOff: until !== undefined && !until.direct && until.timeMs > this.#nowMs + visiblyOffMs,
    }
  }

  /** The newest claim whose own commits in this collection are all part of the records here: when it was made, all of them were known. */
  async #claimedUntil(device: string): Promise<{ timeMs: number; direct: boolean } | undefined> {
    const { engine } = this.#runtime.driver
    let isNewest = true
    for (const claim of engine.claims(device)) {
      if (await this.#knowsOwnFeeds(device, claim)) {
        // While we talk, it says at once what it writes.
        const isOpen = isNewest && engine.sessionWith(device)?.theirs !== undefined
        return isOpen ? { timeMs: this.#nowMs, direct: true } : claim.last
      }
      isNewest = false
    }
    return undefined
  }

  async #knowsOwnFeeds(device: string, claim: Claim): Promise<boolean> {
    for (const feed of claim.feeds()) {
      const descriptor = this.#runtime.replica.descriptor(feed)
      // It may be one of its own.
      if (descriptor === undefined) return false
      if (bytesToHex(descriptor.collection) !== this.#collection.id) continue
      if (bytesToHex(descriptor.device) !== device) continue
      const ends = await this.#check.endsOf(feed, claim)
      if (ends === undefined) return false
      if (ends.some(({ segment, seq }) => this.#integrated(feed, segment).seq < seq)) return false
    }
    return true
  }

  /**
   * Without such a claim: the time of its last commit that is part of the records; of the feed that is known to go on, where there is
   * one.
   */
  async #writtenUntil(
    feeds: readonly FeedDescriptor[],
  ): Promise<{ timeMs: number; direct: boolean } | undefined> {
    const { replica } = this.#runtime
    const own = new Set(
      feeds.flatMap(({ feed }) => {
        const chain = replica.chain(feed)
        return chain.segments.map((_, index) => chain.writerOf(index))
      }),
    )
    const awaited = [...this.#collection.awaited()]
    // It has written into a feed that nobody has shown here.
    if (awaited.some(({ feed, by }) => own.has(by) && replica.descriptor(feed) === undefined))
      return undefined
    let last: number | undefined
    let least: number | undefined
    for (const { feed } of feeds) {
      const chain = replica.chain(feed)
      let timeMs: number | undefined
      let isWhole = awaited.every((each) => each.feed !== feed)
      for (const index of chain.leaves()) {
        const { seq, id, table } = this.#integrated(feed, index)
        if (seq < chain.segments[index]!.to) isWhole = false
        if (table === undefined) continue
        const ms = (await this.#opener.openAt(feed, seq, table, id))?.payload.time.ms
        if (ms !== undefined) timeMs = Math.max(timeMs ?? 0, ms)
      }
      if (timeMs === undefined) return undefined
      last = Math.max(last ?? 0, timeMs)
      if (!isWhole) least = Math.min(least ?? Infinity, timeMs)
    }
    const timeMs = least ?? last
    return timeMs === undefined ? undefined : { timeMs, direct: false }
  }

  #integrated(feed: string, segment: number) {
    const { integrator, replica } = this.#runtime
    const position = integrator.position(feed, replica.chain(feed).writerOf(segment))
    return position ?? { seq: 0, id: '', table: undefined }
  }

  unread(): number {
    const { integrator, replica } = this.#runtime
    let unread = 0
    for (const { feed } of integrator.feedsOf(this.#collection.id)) {
      for (const [index, { from, to }] of replica.chain(feed).segments.entries())
        unread += to - Math.min(to, Math.max(from - 1, this.#integrated(feed, index).seq))
    }
    return unread
  }

  #deviceOf(feed: string): string | undefined {
    const descriptor = this.#runtime.replica.descriptor(feed)
    return descriptor === undefined ? undefined : bytesToHex(descriptor.device)
  }

  /**
   * The device said so at a time that has not come yet; or it holds what this device wrote a day and more after that. (A hybrid time is at
   * most a day ahead of the clock by which it was made.)
   */
  #isOff({ first: { timeMs, direct } }: Claim): boolean {
    if (direct) return false
    if (timeMs > this.#nowMs + visiblyOffMs) return true
    return timeMs + limits.clockDriftMs + visiblyOffMs < this.#ownMs
  }
}

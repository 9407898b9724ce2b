/**
 * One of several processes that are the same member, on one store (a server's): takes in what the others have stored, and announces with
 * them, one number after the other.
 */
import { bytesToHex } from '../core/bytes.ts'
import type { Clock } from '../core/environment.ts'
import { isHavenError } from '../core/errors.ts'
import { FeedChain } from '../feed/chain.ts'
import type { StoredCommit } from '../feed/commit-store.ts'
import { decodeDescriptor } from '../feed/descriptor.ts'
import type { FeedDescriptor } from '../feed/descriptor.ts'
import type { SharedStore, StoreNews } from '../store/shared-store.ts'
import type { SyncEngine } from '../sync/engine.ts'

export interface OtherProcessesOptions {
  readonly store: SharedStore
  readonly clock: Clock
  readonly meshCollection: string
  /** There may be something to send. */
  readonly pump: () => void
  /** Facts that others have stored; resolves when they have been taken into account. */
  readonly controlStored: (commits: readonly StoredCommit[]) => Promise<void>
  readonly failed: (error: unknown) => void
}

interface Adoption {
  readonly descriptors: readonly FeedDescriptor[]
  readonly chains: readonly FeedChain[]
  readonly metas: StoreNews['metas']
}

/** A part of a control feed whose commits others have stored. */
interface ControlRange {
  readonly feed: string
  readonly after: number
}

const clockPrefix = 'clock/'

export class OtherProcesses {
  readonly #options: OtherProcessesOptions
  #engine!: SyncEngine
  #adoption: Adoption | undefined
  #controlWork: Promise<void> = Promise.resolve()
  #announcing: Promise<void> | undefined
  #announceAgain = false
  #isClosed = false

  constructor(options: OtherProcessesOptions) {
    this.#options = options
  }

  /** @param engine - as it was restored from the store: from here on it hears what is new there */
  start(engine: SyncEngine): void {
    this.#engine = engine
    this.#adoptAnnouncement()
  }

  /**
   * All that had been stored before the call has been taken in when it resolves.
   *
   * @throws HavenError of the store
   */
  async refresh(): Promise<void> {
    await this.#options.store.refresh()
    this.merged()
    this.adopt()
    this.#options.pump()
    await this.#controlWork
  }

  /** Chains that have become others than this process had made them. To be adopted with all the rest by `adopt`, before anything else is done. */
  merged(): ReadonlyMap<string, FeedChain> {
    const news = this.#options.store.takeNews()
    if (news === undefined) return new Map()
    const adoption = {
      descriptors: news.descriptors.map(({ bytes }) => decodeDescriptor(bytes)),
      chains: news.chains.map(({ feed, value }) => FeedChain.decode(feed, value)),
      metas: news.metas,
    }
    this.#adoption = adoption
    const ranges = this.#controlRanges(adoption)
    if (ranges.length > 0) this.#takeFacts(ranges)
    return new Map(adoption.chains.map((chain) => [chain.feed, chain]))
  }

  adopt(): void {
    const adoption = this.#adoption
    this.#adoption = undefined
    const nowMs = this.#options.clock.nowMs()
    if (adoption !== undefined) {
      this.#engine.adopted(adoption.descriptors, adoption.chains, nowMs)
      for (const { name, value } of adoption.metas) {
        if (name.startsWith(clockPrefix)) this.#heard(name.slice(clockPrefix.length), value)
      }
    }
    this.#adoptAnnouncement()
  }

  /** Says what the processes hold together, if there is anything new to say. */
  announce(): void {
    this.#announceAgain = true
    this.#announcing ??= this.#announceAll().finally(() => {
      this.#announcing = undefined
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#announcing
    await this.#controlWork
  }

  async #announceAll(): Promise<void> {
    try {
      while (this.#announceAgain && !this.#isClosed) {
        this.#announceAgain = false
        await this.refresh()
        const announcement = this.#engine.announcement(this.#options.clock.nowMs())
        if (announcement === undefined) continue
        if (await this.#options.store.announce(announcement)) {
          this.#adoptAnnouncement()
          this.#options.pump()
        } else this.#announceAgain = true
      }
    } catch (error) {
      this.#options.failed(error)
    }
  }

  #adoptAnnouncement(): void {
    const { store, clock } = this.#options
    if (store.announcement !== undefined)
      this.#engine.announced(store.announcement.bytes, clock.nowMs())
  }

  #heard(device: string, value: Uint8Array): void {
    try {
      this.#engine.heardElsewhere(device, value, this.#options.clock.nowMs())
    } catch (error) {
      // It will be heard again.
      if (!isHavenError(error)) throw error
    }
  }

  /** Before the chains are adopted: what of them is not here yet. */
  #controlRanges({ descriptors, chains }: Adoption): ControlRange[] {
    const { replica } = this.#engine
    const collections = new Map(descriptors.map(({ feed, collection }) => [feed, collection]))
    return chains.flatMap((chain) => {
      const collection = replica.descriptor(chain.feed)?.collection ?? collections.get(chain.feed)
      if (collection === undefined || bytesToHex(collection) !== this.#options.meshCollection)
        return []
      const had = replica.chain(chain.feed)
      if (chain.equals(had)) return []
      // Of a fork some may lie below.
      return [{ feed: chain.feed, after: chain.forked ? 0 : had.seq }]
    })
  }

  #takeFacts(ranges: readonly ControlRange[]): void {
    const { store, controlStored, failed } = this.#options
    const before = this.#controlWork
    this.#controlWork = (async () => {
      await before
      try {
        const commits: StoredCommit[] = []
        for (const range of ranges) commits.push(...(await store.commits(range)))
        await controlStored(commits)
      } catch (error) {
        failed(error)
      }
    })()
  }
}

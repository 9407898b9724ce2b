/**
 * This device's own feeds, and the incarnation that they belong to.
 *
 * A feed must never have two histories of our making. So a store that may have been rolled back or copied goes on in a new incarnation, with
 * new feeds (docs/storage.md, Rollback), and so does one that meets commits of its own that it does not remember.
 */
import { bytesToHex, emptyBytes, equalBytes, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import type { Random } from '../core/environment.ts'
import { startPlace } from '../feed/chain.ts'
import type { Place } from '../feed/chain.ts'
import { decodeHeader } from '../feed/commit.ts'
import type { CommitStore, StoreChange } from '../feed/commit-store.ts'
import { createDescriptor } from '../feed/descriptor.ts'
import type { FeedDescriptor, Lane } from '../feed/descriptor.ts'
import type { DeviceKeys } from '../identity/device-key.ts'
import { FeedTable } from '../records/feed-table.ts'
import { incarnationVerdict } from '../store/incarnation-verdict.ts'
import type { Mark } from '../store/mark.ts'
import type { Replica } from '../sync/replica.ts'
import type { Integrator } from './integrator.ts'

/** A feed of this device in its current incarnation. */
export interface OwnFeed {
  readonly descriptor: FeedDescriptor
  tip: Place
  lastDay: number
  table: FeedTable
  /** What its contexts have said: the seq of each other writer. */
  readonly told: Map<string, number>
}

interface Incarnation {
  readonly id: string
  /** How often the store began anew. */
  readonly generation: number
  readonly previous: string
}

export interface OwnFeedsOptions {
  readonly store: CommitStore
  readonly replica: Replica
  readonly keys: DeviceKeys
  readonly mesh: Uint8Array
  readonly mark: Mark | undefined
  /** Other processes write on the same store as this device: each in feeds of its own. What they announce, they announce as one incarnation. */
  readonly isShared?: boolean | undefined
  readonly random: Random
  readonly notice: (code: string, message: string) => void
  /** There are new feeds from now on. */
  readonly begun: () => void
}

export class OwnFeeds {
  readonly #options: OwnFeedsOptions
  readonly #feeds = new Map<string, OwnFeed>()
  /** That which writes. */
  #incarnation: Incarnation = { id: '', generation: 0, previous: '' }
  /** As the store has it. */
  #stored = this.#incarnation
  #integrator: Integrator | undefined

  constructor(options: OwnFeedsOptions) {
    this.#options = options
  }

  /** That which announces. */
  get incarnation(): { id: string; generation: number } {
    return this.#options.isShared === true ? this.#stored : this.#incarnation
  }

  /** Decides whether the store may go on where it is. */
  async restore(integrator: Integrator): Promise<void> {
    this.#integrator = integrator
    const { store, replica, mark, keys } = this.#options
    const row = await store.meta(incarnationName)
    if (row !== undefined) this.#incarnation = this.#stored = decodeIncarnation(row)
    if (this.#options.isShared === true) {
      await this.#begin(undefined)
      return
    }
    const own = [...replica.descriptors()].filter(({ device }) =>
      equalBytes(device, keys.signing.publicKey),
    )
    const contained = new Set<string>()
    for (const { feed, seq, id } of mark?.content?.feeds ?? []) {
      if (await this.#contains(feed, seq, id)) contained.add(`${feed}/${seq}`)
    }
    const { verdict, reason } = incarnationVerdict({
      mark: mark === undefined ? { state: 'missing', writable: false } : mark,
      storeIsEmpty: own.length === 0,
      storeIncarnation: row === undefined ? undefined : this.#incarnation.id,
      storeContains: (feed, seq) => contained.has(`${feed}/${seq}`),
    })
    if (row === undefined || verdict === 'new')
      await this.#begin(row === undefined ? undefined : reason)
    if (mark !== undefined && !mark.writable) {
      this.#options.notice(
        'MARK_NOT_WRITABLE',
        'The rollback mark can not be written, so every start begins new feeds. Make the state directory writable.',
      )
    }
    await this.#loadCurrent()
    // The mark speaks of this incarnation from now on.
    await this.mark()
  }

  async #contains(feed: string, seq: number, id: Uint8Array): Promise<boolean> {
    if (this.#options.replica.chain(feed).tipAt(seq, bytesToHex(id)) !== undefined) return true
    return (await this.#options.store.commit(feed, seq, id)) !== undefined
  }

  /** New feeds from now on. Durable when it resolves. */
  async #begin(reason: string | undefined): Promise<void> {
    const { store, random } = this.#options
    const previous = this.#incarnation
    this.#incarnation = {
      id: bytesToHex(random.bytes(16)),
      generation: previous.id === '' ? 0 : previous.generation + 1,
      previous: previous.id,
    }
    this.#feeds.clear()
    if (this.#options.isShared !== true || this.#stored.id === '') {
      this.#stored = this.#incarnation
      await store.batch([incarnationChange(this.#incarnation)])
    }
    this.#options.begun()
    if (reason !== undefined) {
      this.#options.notice(
        'NEW_INCARNATION',
        `This store goes on in new feeds, since it may have been restored or copied (${reason}). What other devices hold of it comes back from them.`,
      )
    }
  }

  /** Commits of our own came from others: this store had forgotten them, or another copy of it is at work. */
  async metOwnCommits(feed: string): Promise<void> {
    const descriptor = this.#options.replica.descriptor(feed)
    if (descriptor === undefined || bytesToHex(descriptor.incarnation) !== this.#incarnation.id)
      return
    if (!equalBytes(descriptor.device, this.#options.keys.signing.publicKey)) return
    await this.leave('it met commits of its own that it did not remember')
  }

  /** The next write goes into new feeds. Called with the lock held. */
  async leave(reason: string): Promise<void> {
    await this.#begin(reason)
    await this.mark()
  }

  async #loadCurrent(): Promise<void> {
    const { replica, keys, store } = this.#options
    for (const descriptor of replica.descriptors()) {
      if (!equalBytes(descriptor.device, keys.signing.publicKey)) continue
      if (bytesToHex(descriptor.incarnation) !== this.#incarnation.id) continue
      const chain = replica.chain(descriptor.feed)
      const tip = chain.tips()[0]
      if (tip === undefined) continue
      if (chain.forked) {
        await this.#begin('one of its feeds has forked')
        return
      }
      const last = await store.commit(descriptor.feed, tip.seq, hexToBytes(tip.id))
      this.#feeds.set(feedKey(bytesToHex(descriptor.collection), descriptor.lane), {
        descriptor,
        tip,
        lastDay: last === undefined ? 0 : decodeHeader(last.header).day,
        table: FeedTable.empty,
        told: new Map(),
      })
    }
  }

  /** The feed to write in; called with the lock held and everything integrated. */
  async feed(collection: string, lane: Lane): Promise<OwnFeed> {
    const key = feedKey(collection, lane)
    const known = this.#feeds.get(key)
    if (known !== undefined) {
      const chain = this.#options.replica.staged(known.descriptor.feed)
      // Also while what has come of it is only on its way to the disk: it must not be claimed with what is written now.
      const moved =
        chain.forked ||
        (chain.segments.length > 0 && !chain.tips().some((tip) => tip.id === known.tip.id))
      if (!moved) {
        await this.#prepare(known)
        return known
      }
      await this.#begin('it met commits of its own that it did not remember')
    }
    const { keys, mesh, random } = this.#options
    const descriptor = createDescriptor(
      {
        mesh,
        collection: hexToBytes(collection),
        lane,
        incarnation: hexToBytes(this.#incarnation.id),
        previousIncarnation:
          this.#incarnation.previous === '' ? emptyBytes : hexToBytes(this.#incarnation.previous),
        salt: random.bytes(8),
      },
      keys.signing,
    )
    const feed: OwnFeed = {
      descriptor,
      tip: startPlace,
      lastDay: 0,
      table: FeedTable.empty,
      told: new Map(),
    }
    this.#feeds.set(key, feed)
    return feed
  }

  /** What the feed's contexts have said so far follows from its own commits. */
  async #prepare(feed: OwnFeed): Promise<void> {
    if (feed.told.size > 0 || feed.tip.seq === 0) return
    const position = this.#integrator?.position(feed.descriptor.feed, feed.descriptor.feed)
    if (position !== undefined) feed.table = position.table
    for await (const { value } of this.#options.store.contexts(feed.descriptor.feed)) {
      for (const { feed: named, seq } of readContextPlaces(value)) {
        feed.told.set(named, Math.max(seq, feed.told.get(named) ?? 0))
      }
    }
    // Said or not, this need not be looked up again.
    feed.told.set('', 0)
  }

  isOwnNow(feed: string): boolean {
    return [...this.#feeds.values()].some(({ descriptor }) => descriptor.feed === feed)
  }

  /** Names in the mark what may be offered from now on; resolves when it is durable. */
  async mark(): Promise<void> {
    await this.#options.mark?.write({
      incarnation: this.#incarnation.id,
      feeds: [...this.#feeds.values()]
        .filter(({ tip }) => tip.seq > 0)
        .map(({ descriptor, tip }) => ({
          feed: descriptor.feed,
          seq: tip.seq,
          id: hexToBytes(tip.id),
        })),
    })
  }
}

function feedKey(collection: string, lane: Lane): string {
  return `${collection}/${lane}`
}

export const incarnationName = 'incarnation'

function incarnationChange(incarnation: Incarnation): StoreChange {
  return { kind: 'meta', name: incarnationName, value: encodeIncarnation(incarnation) }
}

/** What a store goes on with that was put back from a backup. @param row - what the backup says */
export function incarnationAfter(row: Uint8Array, random: Random): StoreChange {
  const { id, generation } = decodeIncarnation(row)
  const next = { id: bytesToHex(random.bytes(16)), generation: generation + 1, previous: id }
  return incarnationChange(next)
}

function encodeIncarnation({ id, generation, previous }: Incarnation): Uint8Array {
  return new ByteWriter(64).bytes(hexToBytes(id)).varint(generation).text(previous).finish()
}

function decodeIncarnation(bytes: Uint8Array): Incarnation {
  const reader = new ByteReader(bytes, 'incarnation')
  return {
    id: bytesToHex(reader.bytes(16)),
    generation: reader.varint(),
    previous: reader.text(32),
  }
}

/** Feeds and seqs in a context row (collection.ts writes them). */
function readContextPlaces(bytes: Uint8Array): { feed: string; seq: number }[] {
  const reader = new ByteReader(bytes, 'context row')
  reader.text(64)
  return Array.from({ length: reader.count(21) }, () => {
    const feed = bytesToHex(reader.bytes(16))
    const seq = reader.varint()
    reader.bytes(4)
    return { feed, seq }
  })
}

import { bytesToHex, hexToBytes } from '../../../src/core/bytes.ts'
import { limits } from '../../../src/core/limits.ts'
import { writeCommits } from '../../../src/feed/author.ts'
import { FeedChain, startPlace } from '../../../src/feed/chain.ts'
import type { Place } from '../../../src/feed/chain.ts'
import { decodeHeader } from '../../../src/feed/commit.ts'
import { createDescriptor, decodeDescriptor } from '../../../src/feed/descriptor.ts'
import type { FeedDescriptor, Lane } from '../../../src/feed/descriptor.ts'
import { epochIdOf } from '../../../src/identity/epoch.ts'
import { SyncDriver } from '../../../src/device/sync-driver.ts'
import type { Intake, Notification, Outflow } from '../../../src/sync/engine-port.ts'
import type { Link, LinkHandler } from '../../../src/sync/link.ts'
import { decodeMessage } from '../../../src/sync/message.ts'
import type { Session } from '../../../src/sync/session.ts'
import type { Chance } from './chance.ts'
import { copyOfDisk, emptyDisk, MemoryCommitStore } from './memory-commit-store.ts'
import type { Disk } from './memory-commit-store.ts'
import { StubAuthority, stubMember } from './stub-authority.ts'
import type { LinkEnd } from './simulated-link.ts'
import type { VirtualTime } from './virtual-time.ts'

interface OwnFeed {
  readonly descriptor: FeedDescriptor
  tip: Place
}

/** A whole machine, as a backup of it would be. */
export interface Backup {
  readonly disk: Disk
  readonly feeds: ReadonlyMap<string, OwnFeed>
}

/** Both ends of a link have it. */
export function linkNumber(link: string): string {
  return link.split('/')[0]!
}

const epochKey = new Uint8Array(32).fill(9)
const epoch = hexToBytes(epochIdOf(epochKey))
const helloByte = 0x48

/** A device with the real engine and the real driver, over a store and links that the test rules. It writes as the record writer does. */
export class SimulatedDevice implements LinkEnd {
  readonly index: number
  readonly id: string
  readonly notifications: Notification[] = []
  readonly errors: unknown[] = []
  store!: MemoryCommitStore
  driver!: SyncDriver
  authority!: StubAuthority
  readonly #time: VirtualTime
  readonly #chance: Chance
  readonly #batchMs: readonly [number, number]
  #feeds = new Map<string, OwnFeed>()
  #writing: Promise<void> = Promise.resolve()
  /** What each peer is known to have held by the last frame that came from it: a length of its store's log. */
  readonly told = new Map<string, number>()
  /** How much this one has told of, by link. */
  readonly #toldOn = new Map<string, number>()
  /** In which life of this process each link came up. */
  readonly lifeOfLink = new Map<string, number>()
  /** Length of the log when everything was last at rest. */
  settledLog = 0
  /** Counts lives of the process. */
  life = 0
  /** How much others may send it. */
  intake: Intake = () => limits.windowMaxBytes
  /** How much it may send them. */
  outflow: Outflow = () => Infinity

  constructor(
    index: number,
    time: VirtualTime,
    chance: Chance,
    batchMs: readonly [number, number],
  ) {
    this.index = index
    this.id = stubMember(index).keys.device
    this.#time = time
    this.#chance = chance
    this.#batchMs = batchMs
    this.start(emptyDisk())
  }

  /** Starts from what is on a disk. */
  start(disk: Disk, feeds: ReadonlyMap<string, OwnFeed> = this.#feeds): void {
    const known = this.authority?.known
    this.store?.kill()
    this.life += 1
    this.told.clear()
    this.store = new MemoryCommitStore(disk, this.#time, () => this.#chance.int(...this.#batchMs))
    this.settledLog = this.store.log.length
    this.authority = new StubAuthority(stubMember(this.index), {
      id: '22'.repeat(16),
      generation: 0,
    })
    for (const [device, certificate] of known ?? []) this.authority.known.set(device, certificate)
    const life = this.life
    this.driver = new SyncDriver({
      authority: this.authority,
      store: this.store,
      clock: this.#time,
      random: this.#chance,
      intake: (device) => this.intake(device),
      outflow: (device) => this.outflow(device),
      timers: {
        after: (delayMs, run) =>
          this.#time.after(delayMs, () => {
            if (this.life === life) run()
          }),
      },
      notified: (notification) => {
        this.notifications.push(notification)
        if (notification.kind === 'stored') this.#met(notification.commits.map(({ feed }) => feed))
      },
    })
    const descriptors = [...disk.descriptors.values()].map(({ bytes }) => decodeDescriptor(bytes))
    const chains = [...disk.chains].map(([feed, value]) => FeedChain.decode(feed, value))
    this.driver.engine.replica.restore(descriptors, chains)
    for (const [name, value] of disk.metas)
      this.driver.engine.restoreAnnouncement(name.slice('clock/'.length), value)
    // What it wrote last may not have reached the disk.
    this.#feeds = new Map()
    for (const [name, feed] of feeds) {
      const chain = this.replica.chain(feed.descriptor.feed)
      const tip = chain.tips()[0]
      if (!chain.forked && tip !== undefined) this.#feeds.set(name, { ...feed, tip })
    }
    this.#writing = Promise.resolve()
  }

  get replica() {
    return this.driver.engine.replica
  }

  get commits(): ReadonlySet<string> {
    return new Set(this.store.disk.commits.keys())
  }

  backup(): Backup {
    const feeds = new Map([...this.#feeds].map(([name, feed]) => [name, { ...feed }]))
    return { disk: copyOfDisk(this.store.disk), feeds }
  }

  sessions(): Session[] {
    return [...this.driver.engine.sessions()]
  }

  /** Writes commits of so many bytes each, durably, then offers them. */
  write(bytes: readonly number[], collection: string, lane: Lane): Promise<void> {
    const { life } = this
    this.#writing = this.#writing.then(() => this.#write(life, bytes, collection, lane))
    return this.#writing
  }

  async #write(
    life: number,
    bytes: readonly number[],
    collection: string,
    lane: Lane,
  ): Promise<void> {
    const { store, driver } = this
    if (life !== this.life || store.failed) return
    const feed = this.#feed(collection, lane)
    const isNew = this.replica.descriptor(feed.descriptor.feed) === undefined
    let { tip } = feed
    let chain = this.replica.staged(feed.descriptor.feed)
    let at = chain.leaves().find((index) => chain.segments[index]!.head === tip.id) ?? -1
    const commits = bytes.flatMap((count) => {
      const written = writeCommits(
        {
          descriptor: feed.descriptor,
          tip,
          lastDay: 0,
          epoch,
          epochKey,
          key: this.authority.keys.signing,
          nowMs: this.#time.nowMs(),
          random: this.#chance,
        },
        1,
        this.#chance.bytes(count),
      )
      tip = { seq: written.at(-1)!.seq, id: bytesToHex(written.at(-1)!.id) }
      return written
    })
    for (const commit of commits) {
      const id = bytesToHex(commit.id)
      const prev = bytesToHex(decodeHeader(commit.header).prev)
      chain = chain.with({ seq: commit.seq, id, prev }, at)
      at = chain.leaves().find((index) => chain.segments[index]!.head === id)!
    }
    if (isNew) this.replica.addDescriptor(feed.descriptor)
    this.replica.stage(chain)
    const stored = { feed: feed.descriptor.feed, bytes: feed.descriptor.bytes }
    try {
      await store.batch([
        ...(isNew ? [{ kind: 'descriptor' as const, descriptor: stored }] : []),
        ...commits.map((commit) => ({ kind: 'commit' as const, commit })),
        { kind: 'chain', feed: chain.feed, value: chain.encode() },
      ])
    } catch {
      return
    }
    if (life !== this.life) return
    this.replica.durable(chain)
    feed.tip = tip
    driver.engine.wrote([chain.feed], this.#time.nowMs())
    driver.pump()
  }

  #feed(collection: string, lane: Lane): OwnFeed {
    const name = `${collection}/${lane}`
    let feed = this.#feeds.get(name)
    const tip = feed?.tip.id
    const chain = feed === undefined ? undefined : this.replica.staged(feed.descriptor.feed)
    const moved = chain?.segments.length !== 0 && chain?.tips().every(({ id }) => id !== tip)
    if (feed === undefined || chain?.forked === true || moved === true) {
      const descriptor = createDescriptor(
        {
          mesh: this.authority.mesh,
          collection: hexToBytes(collection),
          lane,
          incarnation: this.#chance.bytes(16),
          previousIncarnation: new Uint8Array(0),
          salt: this.#chance.bytes(8),
        },
        this.authority.keys.signing,
      )
      feed = { descriptor, tip: startPlace }
      this.#feeds.set(name, feed)
    }
    return feed
  }

  /** Commits of its own came from others: it goes on in new feeds. */
  #met(feeds: readonly string[]): void {
    for (const [name, { descriptor }] of this.#feeds)
      if (feeds.includes(descriptor.feed)) this.#feeds.delete(name)
  }

  // ---- what its links tell ----

  accept(link: Link): LinkHandler {
    const handler = this.driver.accept(link)
    const { life } = this
    this.lifeOfLink.set(linkNumber(link.id), life)
    const guarded = (run: () => void): void => {
      if (this.life !== life) return
      try {
        run()
      } catch (error) {
        this.errors.push(error)
      }
    }
    return {
      received: (frame) => guarded(() => handler.received(frame)),
      writable: () => guarded(() => handler.writable()),
      closed: (reason) => guarded(() => handler.closed(reason)),
    }
  }

  sending(frame: Uint8Array, link: string): number {
    if (frame[0] !== helloByte) this.#checkDurable(frame)
    const session = [...this.sessions()].find((each) => each.link === link)
    // What it holds and keeps to itself for a while, since bytes are dear, the other side has not been told.
    if (session !== undefined && session.gathered.unsaid.size > 0)
      return this.#toldOn.get(link) ?? 0
    this.#toldOn.set(link, this.settledLog)
    return this.settledLog
  }

  receiving(_frame: Uint8Array, link: string, told: number): void {
    this.told.set(link, told)
  }

  /** Whatever leaves a device, commit or claim, is on its disk. */
  #checkDurable(frame: Uint8Array): void {
    const held = [...this.store.disk.commits.values()]
    for (const section of decodeMessage(frame).sections) {
      if (section.tag === 'run') {
        for (const { salt } of section.run.commits) {
          const found = held.some((commit) =>
            Buffer.from(decodeHeader(commit.header).salt).equals(salt),
          )
          if (!found) this.errors.push(new Error('a commit was sent before it was durable'))
        }
      } else if (section.tag === 'have') {
        for (const { feed, seq, head } of section.entries) {
          const found = held.some(
            (commit) =>
              commit.feed === feed && commit.seq === seq && bytesToHex(commit.id).startsWith(head),
          )
          if (!found) this.errors.push(new Error('a commit was claimed before it was durable'))
        }
      }
    }
  }
}

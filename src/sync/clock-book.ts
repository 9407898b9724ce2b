/**
 * What every device was last known to hold: its newest announcement, and the newest clock of it whose body is known (a matrix clock).
 *
 * A clock is fetched by digest and only when needed; the digests of the own last clocks, and of all bodies held, are recognised.
 */
import { bytesToHex, hexToBytes, utf8ToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { limits } from '../core/limits.ts'
import { domainHash } from '../crypto/hash.ts'
import { generationOf } from './announcement.ts'
import type { Announcement } from './announcement.ts'
import {
  applyDifference,
  clockDigest,
  clockOf,
  differenceFrom,
  encodeClock,
  readEntries,
} from '../feed/vector-clock.ts'
import type { ClockEntry, VectorClock } from '../feed/vector-clock.ts'
import { allInDoubt, lostAfter, readLostClaims, writeLostClaims } from './lost-claims.ts'
import type { LostClaims } from './lost-claims.ts'
import { readOlderClaims, withOlder, writeOlderClaims } from './older-claims.ts'
import type { OlderClaim } from './older-claims.ts'
import type { ClockBody } from './section.ts'

/** When a device said something. */
export interface Said {
  readonly timeMs: number
  /** To us, and the time is by our clock; else it is by the device's. */
  readonly direct: boolean
}

interface KnownClock {
  readonly digest: string
  readonly clock: VectorClock
  /** When its device first said so, and when last. */
  readonly first: Said
  readonly last: Said
}

/** What a device said that it held. */
export interface Claim {
  readonly first: Said
  readonly last: Said
  feeds(): Iterable<string>
  entries(feed: string): readonly ClockEntry[]
  /** Feeds in which it may differ from the device's next newer claim; absent: any. */
  readonly differsIn?: Iterable<string>
}

export interface BookEntry {
  announcement: Announcement | undefined
  /** The newest whose body is held. */
  known: KnownClock | undefined
  /** What `known` was before, the newest first: a bounded part. */
  older: readonly OlderClaim[]
  /** Announcements up to this number were made before the device told us directly what `known` says. */
  outdatedUpTo: number
  /** The clock of such an announcement, for others that have not heard the newer one. */
  outdated: { readonly digest: string; readonly clock: VectorClock } | undefined
  /** What it had said that it held, and does not by `known`. */
  lost: LostClaims | undefined
}

const ownClocksKept = 16

export class ClockBook {
  readonly entries = new Map<string, BookEntry>()
  readonly #ownClocks = new Map<string, VectorClock>()
  readonly #own: { readonly digest: string; readonly clock: VectorClock }
  #ownNow: { readonly digest: string; readonly clock: VectorClock } | undefined
  #gossipDigest: string | undefined

  /** @param own - this replica's clock as it is now */
  constructor(own: { readonly digest: string; readonly clock: VectorClock }) {
    this.#own = own
  }

  /** Remembers an own clock that peers were told the digest of. */
  rememberOwn(digest: string, clock: VectorClock): void {
    this.#ownClocks.delete(digest)
    this.#ownClocks.set(digest, new Map(clock))
    for (const oldest of this.#ownClocks.keys()) {
      if (this.#ownClocks.size <= ownClocksKept) break
      this.#ownClocks.delete(oldest)
    }
  }

  clockByDigest(digest: string): VectorClock | undefined {
    if (digest === this.#own.digest) {
      // The same for all who ask while it is so.
      if (this.#ownNow?.digest !== digest)
        this.#ownNow = { digest, clock: new Map(this.#own.clock) }
      return this.#ownNow.clock
    }
    const own = this.#ownClocks.get(digest)
    if (own !== undefined) return own
    for (const entry of this.entries.values()) {
      if (entry.known?.digest === digest) return entry.known.clock
      if (entry.outdated?.digest === digest) return entry.outdated.clock
    }
    return undefined
  }

  /**
   * Takes in an announcement.
   *
   * @returns whether it is newer than what was known of its device, and is to be passed on
   */
  announced(announcement: Announcement): boolean {
    const entry = this.#entry(announcement.device)
    if (entry === undefined) return false
    const old = entry.announcement
    if (old !== undefined && !isNewer(announcement, old)) return false
    entry.announcement = announcement
    this.#gossipDigest = undefined
    if (isOfAnotherIncarnation(announcement, old)) {
      // What it held then it may have lost.
      entry.lost = allInDoubt(entry.lost, entry.known?.clock)
      entry.known = undefined
      entry.older = []
      entry.outdatedUpTo = -1
    }
    entry.outdated = undefined
    const clock = this.clockByDigest(announcement.clockDigest)
    if (clock !== undefined) this.announcedClock(announcement.device, clock)
    return true
  }

  /** The clock of a device's newest announcement. */
  announcedClock(device: string, clock: VectorClock): void {
    const entry = this.entries.get(device)
    if (entry?.announcement === undefined) return
    const { clockDigest: digest, timeMs, number } = entry.announcement
    if (number > entry.outdatedUpTo) this.learned(device, digest, clock, { timeMs, direct: false })
    else if (digest !== entry.known?.digest) entry.outdated = { digest, clock }
  }

  /**
   * A clock of a device became known, with its body.
   *
   * @param isNewest - it is known to be newer than what was known before
   */
  learned(
    device: string,
    digest: string,
    clock: VectorClock,
    said: Said,
    isNewest: boolean = true,
  ): void {
    const entry = this.#entry(device)
    if (entry === undefined) return
    const { known } = entry
    entry.lost = lostAfter(entry.lost, known?.clock, clock, isNewest ? said.timeMs : undefined)
    if (known?.digest === digest) {
      entry.known = { ...known, last: said }
      return
    }
    const { timeMs } = said
    if (known !== undefined && known.digest === entry.announcement?.clockDigest)
      entry.outdated = { digest: known.digest, clock: known.clock }
    if (known !== undefined)
      entry.older = withOlder(
        entry.older,
        { ...known.first, clock: known.clock },
        { timeMs, clock },
      )
    entry.known = { digest, clock, first: said, last: said }
  }

  /**
   * What a device has told us itself, in a conversation.
   *
   * @param newestNumber - of its announcements then, as far as is known
   * @param digest - where it is known; nobody changes the clock then
   */
  learnedDirectly(
    device: string,
    clock: VectorClock,
    nowMs: number,
    newestNumber: number,
    digest?: string,
  ): void {
    const said = { timeMs: nowMs, direct: true }
    const isNewest = (this.entries.get(device)?.announcement?.number ?? -1) <= newestNumber
    if (digest === undefined)
      this.learned(device, clockDigest(clock), new Map(clock), said, isNewest)
    else this.learned(device, digest, clock, said, isNewest)
    const entry = this.entries.get(device)
    if (entry !== undefined) entry.outdatedUpTo = Math.max(entry.outdatedUpTo, newestNumber)
  }

  /** What a device said that it held, the newest claim first. Older ones are not all there are: see `older-claims.ts`. */
  *claims(device: string): Iterable<Claim> {
    const entry = this.entries.get(device)
    if (entry?.known === undefined) return
    const { clock, first, last } = entry.known
    yield { first, last, feeds: () => clock.keys(), entries: (feed) => clock.get(feed) ?? [] }
    for (const [index, { timeMs, direct }] of entry.older.entries()) {
      const said = { timeMs, direct }
      const steps = entry.older.slice(0, index + 1).toReversed()
      const entries = (feed: string): readonly ClockEntry[] =>
        steps.find(({ feeds }) => feeds.has(feed))?.feeds.get(feed) ?? clock.get(feed) ?? []
      const feeds = (): string[] =>
        [...new Set([...clock.keys(), ...steps.flatMap((step) => [...step.feeds.keys()])])].filter(
          (feed) => entries(feed).length > 0,
        )
      const differsIn = [...steps[0]!.feeds.keys()]
      yield { first: said, last: said, feeds, entries, differsIn }
    }
  }

  /** A device's announced clock whose body is lacking, and the digest of an older one that is held. */
  lacking(device: string): { digest: string; base: string | undefined } | undefined {
    const entry = this.entries.get(device)
    if (entry?.announcement === undefined) return undefined
    if (entry.announcement.clockDigest === entry.known?.digest) return undefined
    if (entry.announcement.clockDigest === entry.outdated?.digest) return undefined
    return { digest: entry.announcement.clockDigest, base: entry.known?.digest }
  }

  /**
   * A clock may be known here that was lacking when its device announced it.
   *
   * @returns the devices that announced it
   */
  foundClock(digest: string): string[] {
    const found: string[] = []
    for (const [device, { announcement }] of this.entries) {
      if (announcement?.clockDigest !== digest || this.lacking(device) === undefined) continue
      const clock = this.clockByDigest(digest)
      if (clock === undefined) return []
      this.announcedClock(device, clock)
      found.push(device)
    }
    return found
  }

  /** The answer to who asks for a clock by digest; undefined: not known here. */
  bodyFor(device: string, digest: string, base: string | undefined): ClockBody | undefined {
    const clock = this.clockByDigest(digest)
    if (clock === undefined) return undefined
    const baseClock = base === undefined ? undefined : this.clockByDigest(base)
    if (base === undefined || baseClock === undefined) {
      return {
        device,
        digest,
        base: undefined,
        whole: [...clock.values()].flat(),
        difference: undefined,
      }
    }
    return { device, digest, base, whole: undefined, difference: differenceFrom(baseClock, clock) }
  }

  /** The clock that a body says; undefined when its base is not known here, or it does not have the digest that it names. */
  read(body: ClockBody): VectorClock | undefined {
    let clock: VectorClock
    if (body.base === undefined) clock = clockOf(body.whole ?? [])
    else {
      const base = this.clockByDigest(body.base)
      if (base === undefined || body.difference === undefined) return undefined
      clock = applyDifference(base, body.difference)
    }
    return clockDigest(clock) === body.digest ? clock : undefined
  }

  /** 8 bytes, hex: equal on two replicas that know the same announcements. */
  gossipDigest(): string {
    if (this.#gossipDigest === undefined) {
      const lines = [...this.entries]
        .flatMap(([device, entry]) =>
          entry.announcement === undefined
            ? []
            : [`${device}:${entry.announcement.incarnation}:${entry.announcement.number}`],
        )
        .toSorted()
      this.#gossipDigest = bytesToHex(
        domainHash('havenmesh/gossip/v1', utf8ToBytes(lines.join('\n'))),
      ).slice(0, 16)
    }
    return this.#gossipDigest
  }

  gossipList(): { device: string; number: number }[] {
    return [...this.entries].flatMap(([device, entry]) =>
      entry.announcement === undefined
        ? []
        : [{ device: device.slice(0, 16), number: entry.announcement.number }],
    )
  }

  /** Announcements that a peer with this list lacks. */
  newerThan(list: readonly { device: string; number: number }[]): Announcement[] {
    const numbers = new Map(list.map(({ device, number }) => [device, number]))
    return [...this.entries.values()].flatMap(({ announcement }) =>
      announcement !== undefined &&
      announcement.number > (numbers.get(announcement.device.slice(0, 16)) ?? -1)
        ? [announcement]
        : [],
    )
  }

  /** Whether a peer with this list has announcements that are lacking here. */
  isBehind(list: readonly { device: string; number: number }[]): boolean {
    const numbers = new Map(this.gossipList().map(({ device, number }) => [device, number]))
    return list.some(({ device, number }) => number > (numbers.get(device) ?? -1))
  }

  /** For the store: one device's entry. */
  encodeEntry(device: string): Uint8Array | undefined {
    const entry = this.entries.get(device)
    if (entry === undefined) return undefined
    const writer = new ByteWriter(512).lengthPrefixed(
      entry.announcement?.bytes ?? new Uint8Array(0),
    )
    if (entry.known === undefined) writer.u8(0)
    else {
      const { digest, clock, first, last } = entry.known
      writer.u8(1).bytes(hexToBytes(digest)).u64(last.timeMs).bytes(encodeClock(clock))
      writer.u64(first.timeMs).u8((first.direct ? 1 : 0) | (last.direct ? 2 : 0))
      writer.varint(entry.outdatedUpTo + 1)
      writeOlderClaims(writer, entry.older)
    }
    if (entry.lost !== undefined) writeLostClaims(writer, entry.lost)
    return writer.finish()
  }

  /** @param decodeAnnouncement - checks it again, and throws when it is damaged */
  restoreEntry(
    device: string,
    bytes: Uint8Array,
    decodeAnnouncement: (bytes: Uint8Array) => Announcement,
  ): void {
    const entry = this.#entry(device)
    if (entry === undefined) return
    Object.assign(entry, decodeEntry(bytes, decodeAnnouncement))
    this.#gossipDigest = undefined
  }

  /**
   * Takes in what another process of this device remembers.
   *
   * @returns whether the announcement in it was news
   */
  mergeEntry(
    device: string,
    bytes: Uint8Array,
    decodeAnnouncement: (bytes: Uint8Array) => Announcement,
  ): boolean {
    const { announcement, known } = decodeEntry(bytes, decodeAnnouncement)
    const isNews = announcement !== undefined && this.announced(announcement)
    const entry = this.#entry(device)
    if (known === undefined || entry === undefined) return isNews
    if (known.digest === entry.announcement?.clockDigest) this.announcedClock(device, known.clock)
    else if (announcement?.incarnation === entry.announcement?.incarnation) {
      if (known.last.timeMs > (entry.known?.last.timeMs ?? -1))
        this.learned(device, known.digest, known.clock, known.last)
    }
    return isNews
  }

  #entry(device: string): BookEntry | undefined {
    let entry = this.entries.get(device)
    if (entry === undefined) {
      if (this.entries.size >= limits.announcements) return undefined
      entry = emptyEntry()
      this.entries.set(device, entry)
    }
    return entry
  }
}

function emptyEntry(): BookEntry {
  return {
    announcement: undefined,
    known: undefined,
    older: [],
    outdatedUpTo: -1,
    outdated: undefined,
    lost: undefined,
  }
}

function decodeEntry(
  bytes: Uint8Array,
  decodeAnnouncement: (bytes: Uint8Array) => Announcement,
): BookEntry {
  const entry = emptyEntry()
  const reader = new ByteReader(bytes, 'remembered announcement')
  const announcementBytes = reader.lengthPrefixed(limits.announcementBytes)
  if (announcementBytes.length > 0) entry.announcement = decodeAnnouncement(announcementBytes)
  if (reader.u8() === 1) {
    const digest = bytesToHex(reader.bytes(16))
    const timeMs = reader.u64()
    const clock = clockOf(readEntries(reader))
    entry.known = { digest, clock, ...readTimes(reader, timeMs) }
    if (reader.remaining > 0) {
      entry.outdatedUpTo = reader.varint() - 1
      entry.older = readOlderClaims(reader)
    }
  }
  if (reader.remaining > 0) entry.lost = readLostClaims(reader)
  return entry
}

function readTimes(reader: ByteReader, timeMs: number): { first: Said; last: Said } {
  // Older rows do not say.
  if (reader.remaining === 0) {
    const said = { timeMs, direct: false }
    return { first: said, last: said }
  }
  const firstMs = reader.u64()
  const flags = reader.u8()
  return {
    first: { timeMs: firstMs, direct: (flags & 1) !== 0 },
    last: { timeMs, direct: (flags & 2) !== 0 },
  }
}

/** Numbers carry the incarnation's generation in their upper bits, so that a restored device's are above its old ones. */
function isNewer(a: Announcement, b: Announcement): boolean {
  return a.number > b.number || (a.number === b.number && a.incarnation > b.incarnation)
}

/**
 * Claims of another incarnation than the announcement's are void. Of one that came before any announcement nothing is known but that there
 * was a later one, if there was.
 */
function isOfAnotherIncarnation(
  { incarnation, number }: Announcement,
  old: Announcement | undefined,
): boolean {
  return old === undefined ? generationOf(number) > 0 : old.incarnation !== incarnation
}

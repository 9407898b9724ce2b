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
import { readOlderClaims, withOlder, writeOlderClaims } from './older-claims.ts'
import type { OlderClaim } from './older-claims.ts'
import type { ClockBody } from './section.ts'

interface KnownClock {
  readonly digest: string
  readonly clock: VectorClock
  /** When its device last said so, by that device's clock; by ours when it told us directly. */
  readonly timeMs: number
  /** When it first said so, and whether that was to us. */
  readonly since: { readonly timeMs: number; readonly direct: boolean }
}

/** What a device said that it held. */
export interface Claim {
  /** When it said so first. */
  readonly timeMs: number
  /** The time is by our clock; else by the device's. */
  readonly direct: boolean
  feeds(): Iterable<string>
  entries(feed: string): readonly ClockEntry[]
}

export interface BookEntry {
  announcement: Announcement | undefined
  /** The newest whose body is held. */
  known: KnownClock | undefined
  /** What `known` was before, the newest first: a bounded part. */
  older: readonly OlderClaim[]
}

const ownClocksKept = 16

export class ClockBook {
  readonly entries = new Map<string, BookEntry>()
  readonly #ownClocks = new Map<string, VectorClock>()
  readonly #own: { readonly digest: string; readonly clock: VectorClock }
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
    if (digest === this.#own.digest) return new Map(this.#own.clock)
    const own = this.#ownClocks.get(digest)
    if (own !== undefined) return own
    for (const entry of this.entries.values()) {
      if (entry.known?.digest === digest) return entry.known.clock
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
      entry.known = undefined
      entry.older = []
    }
    const clock = this.clockByDigest(announcement.clockDigest)
    if (clock !== undefined)
      this.learned(announcement.device, announcement.clockDigest, clock, {
        timeMs: announcement.timeMs,
        direct: false,
      })
    return true
  }

  /** A clock of a device became known, with its body. */
  learned(
    device: string,
    digest: string,
    clock: VectorClock,
    said: { readonly timeMs: number; readonly direct: boolean },
  ): void {
    const entry = this.#entry(device)
    if (entry === undefined) return
    const { known } = entry
    if (known?.digest === digest) {
      entry.known = { ...known, timeMs: said.timeMs }
      return
    }
    const { timeMs } = said
    if (known !== undefined)
      entry.older = withOlder(
        entry.older,
        { ...known.since, clock: known.clock },
        { timeMs, clock },
      )
    entry.known = { digest, clock, timeMs, since: said }
  }

  /** What a device has told us itself, in a conversation. */
  learnedDirectly(device: string, clock: VectorClock, nowMs: number): void {
    const digest = clockDigest(clock)
    const entry = this.entries.get(device)
    if (entry?.known?.digest === digest) return
    const announced =
      entry?.announcement?.clockDigest === digest ? entry.announcement.timeMs : undefined
    this.learned(device, digest, new Map(clock), {
      timeMs: announced ?? nowMs,
      direct: announced === undefined,
    })
  }

  /** What a device said that it held, the newest claim first. Older ones are not all there are: see `older-claims.ts`. */
  *claims(device: string): Iterable<Claim> {
    const entry = this.entries.get(device)
    if (entry?.known === undefined) return
    const { clock, since } = entry.known
    yield { ...since, feeds: () => clock.keys(), entries: (feed) => clock.get(feed) ?? [] }
    for (const [index, { timeMs, direct }] of entry.older.entries()) {
      const steps = entry.older.slice(0, index + 1).toReversed()
      const entries = (feed: string): readonly ClockEntry[] =>
        steps.find(({ feeds }) => feeds.has(feed))?.feeds.get(feed) ?? clock.get(feed) ?? []
      const feeds = (): string[] =>
        [...new Set([...clock.keys(), ...steps.flatMap((step) => [...step.feeds.keys()])])].filter(
          (feed) => entries(feed).length > 0,
        )
      yield { timeMs, direct, feeds, entries }
    }
  }

  /** A device's announced clock whose body is lacking, and the digest of an older one that is held. */
  lacking(device: string): { digest: string; base: string | undefined } | undefined {
    const entry = this.entries.get(device)
    if (entry?.announcement === undefined) return undefined
    if (entry.announcement.clockDigest === entry.known?.digest) return undefined
    return { digest: entry.announcement.clockDigest, base: entry.known?.digest }
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

  /** For the store: one device's entry. */
  encodeEntry(device: string): Uint8Array | undefined {
    const entry = this.entries.get(device)
    if (entry === undefined) return undefined
    const writer = new ByteWriter(512).lengthPrefixed(
      entry.announcement?.bytes ?? new Uint8Array(0),
    )
    if (entry.known === undefined) return writer.u8(0).finish()
    const { digest, timeMs, clock, since } = entry.known
    writer.u8(1).bytes(hexToBytes(digest)).u64(timeMs).bytes(encodeClock(clock))
    writer.u64(since.timeMs).u8(since.direct ? 1 : 0)
    writeOlderClaims(writer, entry.older)
    return writer.finish()
  }

  /** @param decodeAnnouncement - checks it again, and throws when it is damaged */
  restoreEntry(
    device: string,
    bytes: Uint8Array,
    decodeAnnouncement: (bytes: Uint8Array) => Announcement,
  ): void {
    const reader = new ByteReader(bytes, 'remembered announcement')
    const announcementBytes = reader.lengthPrefixed(limits.announcementBytes)
    const entry = this.#entry(device)
    if (entry === undefined) return
    if (announcementBytes.length > 0) entry.announcement = decodeAnnouncement(announcementBytes)
    if (reader.u8() === 1) {
      const digest = bytesToHex(reader.bytes(16))
      const timeMs = reader.u64()
      const clock = clockOf(readEntries(reader))
      // Older rows do not say.
      const since =
        reader.remaining === 0
          ? { timeMs, direct: false }
          : { timeMs: reader.u64(), direct: reader.u8() === 1 }
      entry.known = { digest, timeMs, clock, since }
      entry.older = reader.remaining === 0 ? [] : readOlderClaims(reader)
    }
    this.#gossipDigest = undefined
  }

  #entry(device: string): BookEntry | undefined {
    let entry = this.entries.get(device)
    if (entry === undefined) {
      if (this.entries.size >= limits.announcements) return undefined
      entry = { announcement: undefined, known: undefined, older: [] }
      this.entries.set(device, entry)
    }
    return entry
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

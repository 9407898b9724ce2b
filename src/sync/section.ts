/** The sections that messages and hellos are made of (docs/protocol.md, Messages): parsed once, here, into types. */
import { bytesToHex, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { limits } from '../core/limits.ts'
import { decodeRun } from '../feed/run.ts'
import type { ReceivedRun } from '../feed/run.ts'
import { readEntries, writeEntries } from '../feed/vector-clock.ts'
import type { ClockDifference, ClockEntry } from '../feed/vector-clock.ts'

/** A place as peers name it: the first 8 bytes of the id, hex. */
export interface ShortPlace {
  readonly seq: number
  readonly id: string
}
export interface Want {
  readonly feed: string
  /** Send what lies above the first of these places that you have; none: from the start. */
  readonly places: readonly ShortPlace[]
}
/** A clock of a device, whole or as a difference from one that the receiver has named. */
export interface ClockBody {
  readonly device: string
  readonly digest: string
  readonly base: string | undefined
  readonly whole: readonly ClockEntry[] | undefined
  readonly difference: ClockDifference | undefined
}
export interface ClockWanted {
  readonly device: string
  readonly digest: string
  readonly base: string | undefined
}
/** An epoch key sealed to the receiver. */
interface SealedKey {
  readonly collection: string
  readonly epoch: string
  readonly sealed: Uint8Array
}

export type Section =
  | { readonly tag: 'digest'; readonly digest: string; readonly commits: number }
  | { readonly tag: 'clock'; readonly clock: ClockBody }
  | { readonly tag: 'want'; readonly wants: readonly Want[] }
  | { readonly tag: 'window'; readonly durableBytes: number; readonly moreBytes: number }
  | { readonly tag: 'descriptor'; readonly bytes: Uint8Array }
  | { readonly tag: 'run'; readonly run: ReceivedRun }
  | { readonly tag: 'have'; readonly entries: readonly ClockEntry[] }
  | { readonly tag: 'announcement'; readonly bytes: Uint8Array }
  | { readonly tag: 'gossip'; readonly digest: string }
  | { readonly tag: 'gossip-list'; readonly numbers: readonly { device: string; number: number }[] }
  | { readonly tag: 'clock-wanted'; readonly wanted: ClockWanted }
  | { readonly tag: 'key-wanted'; readonly epochs: readonly string[] }
  | { readonly tag: 'key'; readonly key: SealedKey }
  | { readonly tag: 'revocation'; readonly bytes: Uint8Array }
  | { readonly tag: 'pull' }
  | { readonly tag: 'late'; readonly feeds: readonly string[] }
  | { readonly tag: 'join-request'; readonly body: Uint8Array }
  | { readonly tag: 'join-offer'; readonly body: Uint8Array }
  | { readonly tag: 'join-confirm'; readonly body: Uint8Array }
  | { readonly tag: 'join-welcome' }
  | { readonly tag: 'fault'; readonly code: string; readonly sentence: string }
  /** From a device's certificate up to one by the root. */
  | { readonly tag: 'chain'; readonly certificates: readonly Uint8Array[] }
  /** Where an answerer's clock is: what its asker holds of it, and what it is now. */
  | {
      readonly tag: 'position'
      /** The answerer has more to send. */
      readonly more: boolean
      /** Undefined: the asker holds none. */
      readonly digest: string | undefined
      /** Opaque; empty: none. */
      readonly token: Uint8Array
    }
  | { readonly tag: 'unknown'; readonly number: number; readonly body: Uint8Array }

/** Tags on the wire. */
export const sectionNumbers = {
  digest: 1,
  clock: 2,
  want: 3,
  window: 4,
  descriptor: 5,
  run: 6,
  have: 7,
  announcement: 8,
  gossip: 9,
  'clock-wanted': 10,
  'key-wanted': 11,
  key: 12,
  revocation: 13,
  pull: 14,
  late: 15,
  'join-request': 16,
  'join-offer': 17,
  'join-confirm': 18,
  'join-welcome': 19,
  fault: 20,
  'gossip-list': 21,
  chain: 22,
  position: 23,
} as const

const sealedKeyBytes = 80
const listMax = limits.clockFeeds

/** A run is encoded by `feed/run.ts`; this wraps its bytes. */
export function runSection(runBytes: Uint8Array): Uint8Array {
  return frame(sectionNumbers.run, runBytes)
}

export function encodeSections(sections: readonly Exclude<Section, { tag: 'run' }>[]): Uint8Array {
  const writer = new ByteWriter(128)
  for (const section of sections) {
    const number = section.tag === 'unknown' ? section.number : sectionNumbers[section.tag]
    writer.varint(number).lengthPrefixed(encodeBody(section))
  }
  return writer.finish()
}

/** @throws HavenError `MALFORMED` */
export function decodeSections(bytes: Uint8Array): Section[] {
  const reader = new ByteReader(bytes, 'message')
  const sections: Section[] = []
  while (reader.remaining > 0) {
    const number = reader.varint()
    sections.push(decodeBody(number, reader.lengthPrefixed(limits.frameBytes)))
  }
  return sections
}

function frame(number: number, body: Uint8Array): Uint8Array {
  return new ByteWriter(body.length + 8).varint(number).lengthPrefixed(body).finish()
}

function encodeBody(section: Exclude<Section, { tag: 'run' }>): Uint8Array {
  const writer = new ByteWriter(64)
  switch (section.tag) {
    case 'digest':
      return writer.bytes(hexToBytes(section.digest)).varint(section.commits).finish()
    case 'clock': {
      const { device, digest, base, whole, difference } = section.clock
      writer.bytes(hexToBytes(device)).bytes(hexToBytes(digest))
      if (base === undefined) {
        writer.u8(0)
        writeEntries(writer, whole ?? [])
      } else {
        writer.u8(1).bytes(hexToBytes(base))
        writeEntries(writer, difference?.added ?? [])
        writeEntries(writer, difference?.removed ?? [])
      }
      return writer.finish()
    }
    case 'want':
      writer.varint(section.wants.length)
      for (const want of section.wants) {
        writer.bytes(hexToBytes(want.feed)).varint(want.places.length)
        for (const place of want.places) writer.varint(place.seq).bytes(hexToBytes(place.id))
      }
      return writer.finish()
    case 'window':
      return writer.varint(section.durableBytes).varint(section.moreBytes).finish()
    case 'have':
      writeEntries(writer, section.entries)
      return writer.finish()
    case 'gossip':
      return writer.bytes(hexToBytes(section.digest)).finish()
    case 'gossip-list':
      writer.varint(section.numbers.length)
      for (const { device, number } of section.numbers)
        writer.bytes(hexToBytes(device)).varint(number)
      return writer.finish()
    case 'clock-wanted': {
      const { device, digest, base } = section.wanted
      writer.bytes(hexToBytes(device)).bytes(hexToBytes(digest))
      if (base === undefined) writer.u8(0)
      else writer.u8(1).bytes(hexToBytes(base))
      return writer.finish()
    }
    case 'key-wanted':
      writer.varint(section.epochs.length)
      for (const epoch of section.epochs) writer.bytes(hexToBytes(epoch))
      return writer.finish()
    case 'key':
      return writer
        .bytes(hexToBytes(section.key.collection))
        .bytes(hexToBytes(section.key.epoch))
        .bytes(section.key.sealed)
        .finish()
    case 'late':
      writer.varint(section.feeds.length)
      for (const feed of section.feeds) writer.bytes(hexToBytes(feed))
      return writer.finish()
    case 'fault':
      return writer.text(section.code).text(section.sentence).finish()
    case 'pull':
      return writer.u8(1).finish()
    case 'chain':
      writer.varint(section.certificates.length)
      for (const certificate of section.certificates) writer.lengthPrefixed(certificate)
      return writer.finish()
    case 'position': {
      const { more, digest, token } = section
      writer.u8((more ? 1 : 0) | (digest === undefined ? 0 : 2))
      if (digest !== undefined) writer.bytes(hexToBytes(digest))
      return writer.lengthPrefixed(token).finish()
    }
    case 'join-welcome':
      return writer.finish()
    case 'descriptor':
    case 'announcement':
    case 'revocation':
      return section.bytes
    case 'join-request':
    case 'join-offer':
    case 'join-confirm':
    case 'unknown':
      return section.body
    default:
      return unreachable(section)
  }
}

function unreachable(section: never): never {
  throw new TypeError(`no such section: ${String(section)}`)
}

function decodeBody(number: number, body: Uint8Array): Section {
  const reader = new ByteReader(body, 'message section')
  const done = (section: Section): Section => {
    reader.end()
    return section
  }
  const hex = (count: number): string => bytesToHex(reader.bytes(count))
  switch (number) {
    case sectionNumbers.digest:
      return done({ tag: 'digest', digest: hex(16), commits: reader.varint() })
    case sectionNumbers.clock: {
      const device = hex(32)
      const digest = hex(16)
      const form = reader.u8()
      if (form > 1) reader.fail('an unknown form of clock')
      const base = form === 1 ? hex(16) : undefined
      const entries = readEntries(reader)
      return done({
        tag: 'clock',
        clock: {
          device,
          digest,
          base,
          whole: base === undefined ? entries : undefined,
          difference:
            base === undefined ? undefined : { added: entries, removed: readEntries(reader) },
        },
      })
    }
    case sectionNumbers.want: {
      const wants = Array.from({ length: reader.count(17, listMax) }, () => {
        const feed = hex(16)
        const places = Array.from({ length: reader.count(9, limits.locatorEntries) }, () => ({
          seq: reader.varint(),
          id: hex(8),
        }))
        return { feed, places }
      })
      return done({ tag: 'want', wants })
    }
    case sectionNumbers.window:
      return done({ tag: 'window', durableBytes: reader.varint(), moreBytes: reader.varint() })
    case sectionNumbers.descriptor:
      return { tag: 'descriptor', bytes: body }
    case sectionNumbers.run:
      return { tag: 'run', run: decodeRun(body) }
    case sectionNumbers.have:
      return done({ tag: 'have', entries: readEntries(reader) })
    case sectionNumbers.announcement:
      if (body.length > limits.announcementBytes) reader.fail('too long an announcement')
      return { tag: 'announcement', bytes: body }
    case sectionNumbers.gossip:
      return done({ tag: 'gossip', digest: hex(8) })
    case sectionNumbers['gossip-list']: {
      const numbers = Array.from({ length: reader.count(9, limits.announcements) }, () => ({
        device: hex(8),
        number: reader.varint(),
      }))
      return done({ tag: 'gossip-list', numbers })
    }
    case sectionNumbers['clock-wanted']: {
      const device = hex(32)
      const digest = hex(16)
      const form = reader.u8()
      if (form > 1) reader.fail('an unknown form of clock')
      const base = form === 1 ? hex(16) : undefined
      return done({ tag: 'clock-wanted', wanted: { device, digest, base } })
    }
    case sectionNumbers['key-wanted']:
      return done({
        tag: 'key-wanted',
        epochs: Array.from({ length: reader.count(16, listMax) }, () => hex(16)),
      })
    case sectionNumbers.key:
      return done({
        tag: 'key',
        key: { collection: hex(16), epoch: hex(16), sealed: reader.bytes(sealedKeyBytes) },
      })
    case sectionNumbers.revocation:
      return { tag: 'revocation', bytes: body }
    case sectionNumbers.pull:
      if (reader.u8() !== 1) reader.fail('an unknown way to pull')
      return done({ tag: 'pull' })
    case sectionNumbers.late:
      return done({
        tag: 'late',
        feeds: Array.from({ length: reader.count(16, listMax) }, () => hex(16)),
      })
    case sectionNumbers['join-request']:
      return { tag: 'join-request', body }
    case sectionNumbers['join-offer']:
      return { tag: 'join-offer', body }
    case sectionNumbers['join-confirm']:
      return { tag: 'join-confirm', body }
    case sectionNumbers['join-welcome']:
      return done({ tag: 'join-welcome' })
    case sectionNumbers.fault:
      return done({ tag: 'fault', code: reader.text(64), sentence: reader.text(512) })
    case sectionNumbers.chain:
      return done({
        tag: 'chain',
        certificates: Array.from({ length: reader.count(1, limits.certificateChain) }, () =>
          reader.lengthPrefixed(limits.helloBytes).slice(),
        ),
      })
    case sectionNumbers.position: {
      const flags = reader.u8()
      if (flags > 3) reader.fail('unknown flags of a position')
      return done({
        tag: 'position',
        more: (flags & 1) !== 0,
        digest: (flags & 2) === 0 ? undefined : hex(16),
        token: reader.lengthPrefixed(limits.positionBytes).slice(),
      })
    }
    default:
      return { tag: 'unknown', number, body }
  }
}

/**
 * The keys of the database (docs/storage.md). One byte says what kind of row it is; integers are big-endian, so that
 * LevelDB's order is theirs.
 */
import { concatBytes, bytesToHex, hexToBytes, utf8ToBytes } from '../core/bytes.ts'
import { assert } from '../core/errors.ts'

export const rowKinds = {
  /** What the store says about itself. */
  store: 0,
  descriptor: 1,
  commit: 2,
  chain: 3,
  meta: 4,
  secret: 5,
  record: 6,
  context: 7,
  verified: 8,
} as const

export type RowKind = keyof typeof rowKinds

const feedIdBytes = 16
/** Of a commit id, in keys. */
export const shortIdBytes = 8
/** Greater than every seq: nobody writes 2^48 commits into one feed. */
const maxSeq = 2 ** 48 - 1

const seqBytes = 6
const placeBytes = 1 + feedIdBytes + seqBytes + shortIdBytes

export const formatKey: Uint8Array = Uint8Array.of(rowKinds.store, 0)
export const keyCheckKey: Uint8Array = Uint8Array.of(rowKinds.store, 1)

export interface KeyRange {
  readonly gte: Uint8Array
  readonly lt: Uint8Array
}

export function feedKey(kind: 'descriptor' | 'chain' | 'verified', feed: string): Uint8Array {
  return concatBytes(Uint8Array.of(rowKinds[kind]), feedBytes(feed))
}

/** Of a commit, or of its context. */
export function placeKey(
  kind: 'commit' | 'context',
  { feed, seq, id }: { readonly feed: string; readonly seq: number; readonly id: Uint8Array },
): Uint8Array {
  assert(id.length >= shortIdBytes, 'a commit id, or its first 8 bytes')
  const key = new Uint8Array(placeBytes)
  writePlace(key, kind, feed, seq)
  key.set(id.subarray(0, shortIdBytes), 1 + feedIdBytes + seqBytes)
  return key
}

/** The rows of one feed with after < seq ≤ upTo. */
export function placeRange(
  kind: 'commit' | 'context',
  { feed, after, upTo = maxSeq }: { feed: string; after: number; upTo?: number | undefined },
): KeyRange {
  const bound = (seq: number): Uint8Array => {
    const key = new Uint8Array(1 + feedIdBytes + seqBytes)
    writePlace(key, kind, feed, Math.min(seq, maxSeq))
    return key
  }
  return { gte: bound(after + 1), lt: bound(Math.max(upTo, after) + 1) }
}

/** Reads what {@link placeKey} made; `undefined` when the key is damaged. */
export function placeOfKey(
  key: Uint8Array,
): { feed: string; seq: number; shortId: Uint8Array } | undefined {
  if (key.length !== placeBytes) return undefined
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength)
  const at = 1 + feedIdBytes
  return {
    feed: bytesToHex(key.subarray(1, at)),
    seq: view.getUint16(at) * 0x1_0000_0000 + view.getUint32(at + 2),
    shortId: new Uint8Array(key.subarray(at + seqBytes)),
  }
}

export function metaKey(name: string): Uint8Array {
  return concatBytes(Uint8Array.of(rowKinds.meta), utf8ToBytes(name))
}

export function kindRange(kind: RowKind): KeyRange {
  return prefixRange(Uint8Array.of(rowKinds[kind]))
}

/** All keys that start with these bytes, whose first is a row kind. */
export function prefixRange(prefix: Uint8Array): KeyRange {
  const end = prefix.slice()
  let last = end.length - 1
  while (end[last] === 0xff) last--
  end[last]! += 1
  return { gte: prefix, lt: end.subarray(0, last + 1) }
}

function feedBytes(feed: string): Uint8Array {
  const bytes = hexToBytes(feed)
  assert(bytes.length === feedIdBytes, 'a feed id has 16 bytes')
  return bytes
}

function writePlace(key: Uint8Array, kind: 'commit' | 'context', feed: string, seq: number): void {
  assert(Number.isInteger(seq) && seq >= 0 && seq <= maxSeq, 'a seq has 48 bits')
  key[0] = rowKinds[kind]
  key.set(feedBytes(feed), 1)
  const view = new DataView(key.buffer)
  view.setUint16(1 + feedIdBytes, Math.floor(seq / 0x1_0000_0000))
  view.setUint32(1 + feedIdBytes + 2, seq % 0x1_0000_0000)
}

/** Versions of a record: which of two came first, by what their writers had seen. */
import { bytesToHex, equalBytes, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { HavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { domainHash16 } from '../crypto/hash.ts'
import type { Causality } from './candidates.ts'
import type { RecordState } from './record-state.ts'
import type { LiveWrite } from './visibility.ts'
import type { UnseenPlace, WriterId } from './writes.ts'

/** Of each writer in a record the seq of its last commit that touched it. */
export type RecordVersion = ReadonlyMap<WriterId, number>

export function versionOf(state: RecordState): RecordVersion {
  const version = new Map<WriterId, number>()
  for (const { writer, lastSeq } of state.writers.values()) version.set(writer, lastSeq)
  return version
}

/**
 * How two versions of one record lie to each other. `before`: whoever had `b` had seen all of `a`.
 *
 * By causality, so that two versions that hold different commits can be `equal` only if each had seen the other's.
 */
export function compareVersions(
  a: RecordVersion,
  b: RecordVersion,
  causality: Pick<Causality, 'isInPast'>,
): 'before' | 'after' | 'equal' | 'concurrent' {
  const aInB = isWithin(a, b, causality)
  const bInA = isWithin(b, a, causality)
  if (aInB) return bInA ? 'equal' : 'before'
  return bInA ? 'after' : 'concurrent'
}

function isWithin(
  part: RecordVersion,
  whole: RecordVersion,
  causality: Pick<Causality, 'isInPast'>,
): boolean {
  return [...part].every(
    ([writer, seq]) =>
      (whole.get(writer) ?? 0) >= seq ||
      [...whole].some(([other, otherSeq]) =>
        causality.isInPast({ writer, seq }, { writer: other, seq: otherSeq }),
      ),
  )
}

/**
 * Where the commits are that whoever looked at this version did not see: what a write of theirs must not replace.
 *
 * @param live - of live writes and edits
 */
export function unseenSince(
  version: RecordVersion,
  live: readonly Pick<LiveWrite, 'writer' | 'feed' | 'seq'>[],
): UnseenPlace[] {
  const places = new Map<string, UnseenPlace>()
  for (const { writer, feed, seq } of live) {
    if ((version.get(writer) ?? 0) < seq) places.set(`${feed}:${seq}`, { feed, seq })
  }
  return [...places.values()]
}

/** Writers of a record whose version a program may hand in. */
const versionWriters = limits.clockFeeds

/** The record that a version is of. */
export interface VersionedRecord {
  /** In hex. */
  readonly collection: string
  readonly id: string
}

const formOfNone = 1
const formOfRecord = 2
const recordTagBytes = 4

/** Enough to notice a mistake. */
function recordTag({ collection, id }: VersionedRecord): Uint8Array {
  const name = new ByteWriter(64).lengthPrefixed(hexToBytes(collection)).text(id).finish()
  return domainHash16('havenmesh/record-version/v1', name).subarray(0, recordTagBytes)
}

/** Nothing had been seen, of whatever record. */
export const nothingSeen = textOf(new ByteWriter(2).u8(formOfNone).varint(0))

/** A version as text without white space, to be kept by a form and handed back. */
export function versionToken(version: RecordVersion, record: VersionedRecord): string {
  const out = new ByteWriter(64).u8(formOfRecord).bytes(recordTag(record)).varint(version.size)
  // The same bytes on every device that holds the same.
  const writers = [...version].toSorted(([a], [b]) => (a < b ? -1 : 1))
  for (const [writer, seq] of writers) out.lengthPrefixed(hexToBytes(writer)).varint(seq)
  return textOf(out)
}

function textOf(out: ByteWriter): string {
  return Buffer.from(out.finish()).toString('base64url')
}

/** @throws HavenError `USAGE` for what is no version of a record, or one of another record */
export function versionFromToken(token: string, record: VersionedRecord): RecordVersion {
  const { version, tag } = parsed(token)
  if (tag !== undefined && !equalBytes(tag, recordTag(record))) throw otherRecord()
  return version
}

/** @throws HavenError `USAGE` also where they are of two records */
export function versionsFromTokens(a: string, b: string): readonly [RecordVersion, RecordVersion] {
  const [one, other] = [parsed(a), parsed(b)]
  const isOfOne = one.tag === undefined || other.tag === undefined || equalBytes(one.tag, other.tag)
  if (!isOfOne) throw otherRecord()
  return [one.version, other.version]
}

function otherRecord(): HavenError {
  return new HavenError(
    'USAGE',
    'This is the version of another record: take it from "version" in what `haven get --json` prints of this one.',
  )
}

function parsed(token: string): { readonly version: RecordVersion; readonly tag?: Uint8Array } {
  try {
    const reader = new ByteReader(Buffer.from(token, 'base64url'), 'version of a record')
    const form = reader.u8()
    if (form !== formOfNone && form !== formOfRecord)
      reader.fail('a format that this version does not know')
    const tag = form === formOfRecord ? reader.bytes(recordTagBytes) : undefined
    const version = new Map<WriterId, number>()
    for (let rest = reader.count(2, versionWriters); rest > 0; rest--) {
      version.set(bytesToHex(reader.lengthPrefixed(32)), reader.varint())
    }
    reader.end()
    if (tag === undefined && version.size > 0) reader.fail('no record that it is of')
    return tag === undefined ? { version } : { version, tag }
  } catch (error) {
    throw new HavenError(
      'USAGE',
      'This is not the version of a record: take it from "version" in what `haven get --json` prints.',
      { cause: error },
    )
  }
}

/**
 * The writes of one record in the binary form of its state. Several writers hold much of the same: a field's name is
 * there once, and of a value that begins or ends like the one before it of its field, only what is between.
 */
import { bytesToHex, hexToBytes } from '../core/bytes.ts'
import type { ByteReader, ByteWriter } from '../core/codec.ts'
import { limits } from '../core/limits.ts'
import type { AcceptedWrite, CommitStamp } from './record-state.ts'
import { opNameBytes, type UnseenPlace } from './writes.ts'

// The head of a write: what op, …
const opPut = 0
const opDelete = 1
const opOther = 2
const opMask = 3
// … its value: none, as text, in part that of the field's write before, or just that one, …
const valueWhole = 1 << 2
const valueShared = 2 << 2
const valueSame = 3 << 2
const valueMask = 3 << 2
const withUnseen = 1 << 4
// … its commit: that of the write before, a later one, an earlier one by its index, or any other, …
const stampLater = 1 << 5
const stampEarlier = 2 << 5
const stampAny = 3 << 5
const stampMask = 3 << 5
// … and whether it stands elsewhere than right behind the write before.
const withClock = 1 << 7

// What else there is to say of a commit.
const withCounter = 1
const withOrigin = 2

/** One more byte says how much is shared. */
const worthSharing = 2
/** Shared characters at the end are said in one number with those at the beginning, or, from here on, in one of their own. */
const manyAtEnd = 7

interface NamedField {
  readonly field: string
  readonly index: number
  /** What the last write of it said. */
  value: string | undefined
}

const noStamp: CommitStamp = {
  seq: 0,
  time: { ms: 0, counter: 0 },
  schemaVersion: 0,
  actor: '',
}

/** To be used for all writes of a record, writer by writer. */
export class WriteEncoder {
  readonly #out: ByteWriter
  readonly #fieldsOnce: boolean
  readonly #fields = new Map<string, NamedField>()
  readonly #stamps = new Map<CommitStamp, number>()
  /** The commit that came first here last. */
  #stamp = noStamp
  #last: CommitStamp | undefined
  #seq = 0
  #clock = 0

  /** @param fieldsOnce - no field is written twice: what was said of one is needed no more */
  constructor(out: ByteWriter, fieldsOnce = false) {
    this.#out = out
    this.#fieldsOnce = fieldsOnce
  }

  /** @param from - numbers near which the writer's begin */
  begin(from: { readonly seq: number; readonly clock: number }): void {
    this.#stamps.clear()
    this.#last = undefined
    this.#seq = from.seq
    this.#clock = from.clock
  }

  write({ field, op, value, unseen, clock, commit }: AcceptedWrite): void {
    const out = this.#out
    const known = this.#fieldsOnce ? undefined : this.#fields.get(field)
    const isSame = value !== undefined && value === known?.value
    const shared = isSame || known?.value === undefined ? undefined : sharedEnds(known.value, value)
    const kind = op === 'put' ? opPut : op === 'delete' ? opDelete : opOther
    const earlier = commit === this.#last ? undefined : this.#stamps.get(commit)
    const stamp =
      commit === this.#last
        ? 0
        : earlier !== undefined
          ? stampEarlier
          : commit.seq >= this.#seq && commit.time.ms >= this.#stamp.time.ms
            ? stampLater
            : stampAny
    out.u8(
      kind |
        (value === undefined
          ? 0
          : isSame
            ? valueSame
            : shared === undefined
              ? valueWhole
              : valueShared) |
        (unseen.length === 0 ? 0 : withUnseen) |
        stamp |
        (clock === this.#clock ? 0 : withClock),
    )
    if (earlier !== undefined) out.varint(earlier)
    else if (stamp !== 0) this.#newStamp(commit, stamp === stampLater ? plain : folded)
    this.#last = commit
    if (clock !== this.#clock) out.varint(folded(clock - this.#clock))
    this.#clock = clock + 1
    if (known !== undefined) out.varint(known.index + 1)
    else out.varint(0).text(field)
    if (kind === opOther) out.text(op)
    if (shared !== undefined) {
      const { head, tail } = shared
      out.varint(head * (manyAtEnd + 1) + Math.min(tail, manyAtEnd))
      if (tail >= manyAtEnd) out.varint(tail - manyAtEnd)
      out.text(value!.slice(head, value!.length - tail))
    } else if (value !== undefined && !isSame) out.text(value)
    if (known === undefined) {
      if (!this.#fieldsOnce) this.#fields.set(field, { field, index: this.#fields.size, value })
    } else if (value !== undefined) known.value = value
    if (unseen.length === 0) return
    out.varint(unseen.length)
    for (const { feed, seq } of unseen) out.lengthPrefixed(hexToBytes(feed)).varint(seq)
  }

  #newStamp(commit: CommitStamp, numbered: (difference: number) => number): void {
    const { seq, time, schemaVersion, actor } = commit
    const before = this.#stamp
    const isElse = schemaVersion !== before.schemaVersion || actor !== before.actor
    const more = (time.counter === 0 ? 0 : withCounter) | (isElse ? withOrigin : 0)
    this.#out
      .varint(numbered(seq - this.#seq) * 2 + (more === 0 ? 0 : 1))
      .varint(numbered(time.ms - before.time.ms))
    if (more !== 0) this.#out.u8(more)
    if (time.counter !== 0) this.#out.varint(time.counter)
    if (isElse) this.#out.varint(schemaVersion).text(actor)
    this.#stamps.set(commit, this.#stamps.size)
    this.#stamp = commit
    this.#seq = seq
  }
}

/** Reads what {@link WriteEncoder} wrote. */
export class WriteDecoder {
  readonly #reader: ByteReader
  readonly #fields: NamedField[] = []
  #stamps: CommitStamp[] = []
  #stamp = noStamp
  #last: CommitStamp | undefined
  #seq = 0
  #clock = 0

  constructor(reader: ByteReader) {
    this.#reader = reader
  }

  begin(from: { readonly seq: number; readonly clock: number }): void {
    this.#stamps = []
    this.#last = undefined
    this.#seq = from.seq
    this.#clock = from.clock
  }

  /** @throws HavenError `MALFORMED` */
  read(): AcceptedWrite {
    const reader = this.#reader
    const head = reader.u8()
    const commit = this.#commit(head & stampMask)
    this.#last = commit
    let clock = this.#clock
    if ((head & withClock) !== 0) clock += unfolded(reader.varint())
    this.#clock = clock + 1
    const named = this.#field()
    const kind = head & opMask
    const op = kind === opPut ? 'put' : kind === opDelete ? 'delete' : reader.text(opNameBytes)
    const value = this.#value(head & valueMask, named.value)
    if (value !== undefined) named.value = value
    const unseen = (head & withUnseen) === 0 ? noPlaces : this.#places()
    return { field: named.field, op, value, unseen, clock, commit }
  }

  #commit(how: number): CommitStamp {
    const reader = this.#reader
    if (how === stampEarlier) {
      return this.#stamps[reader.varint()] ?? reader.fail('a write of no commit')
    }
    if (how !== 0) return this.#newStamp(how === stampLater ? plain : unfolded)
    return this.#last ?? reader.fail('a first write without a commit')
  }

  #newStamp(difference: (number: number) => number): CommitStamp {
    const reader = this.#reader
    const before = this.#stamp
    const head = reader.varint()
    const seq = this.#seq + difference(Math.floor(head / 2))
    const ms = before.time.ms + difference(reader.varint())
    const more = head % 2 === 0 ? 0 : reader.u8()
    const counter = (more & withCounter) === 0 ? 0 : reader.varint()
    const isElse = (more & withOrigin) !== 0
    const schemaVersion = isElse ? reader.varint() : before.schemaVersion
    const actor = isElse ? reader.text(limits.actorBytes) : before.actor
    const stamp: CommitStamp = { seq, time: { ms, counter }, schemaVersion, actor }
    this.#stamps.push(stamp)
    this.#stamp = stamp
    this.#seq = seq
    return stamp
  }

  #field(): NamedField {
    const reader = this.#reader
    const at = reader.varint()
    if (at > 0) return this.#fields[at - 1] ?? reader.fail('a field without a name')
    const field = reader.text(limits.fieldNameBytes)
    const named: NamedField = { field, index: this.#fields.length, value: undefined }
    this.#fields.push(named)
    return named
  }

  #value(how: number, before: string | undefined): string | undefined {
    const reader = this.#reader
    if (how === 0) return undefined
    if (how === valueWhole) return reader.text(limits.valueBytes)
    if (before === undefined) return reader.fail('a value like one that is not there')
    if (how === valueSame) return before
    const ends = reader.varint()
    const head = Math.floor(ends / (manyAtEnd + 1))
    const atEnd = ends % (manyAtEnd + 1)
    const tail = atEnd < manyAtEnd ? atEnd : manyAtEnd + reader.varint()
    if (head + tail > before.length) reader.fail('more of a value than there is')
    const between = reader.text(limits.valueBytes)
    return before.slice(0, head) + between + before.slice(before.length - tail)
  }

  #places(): UnseenPlace[] {
    const reader = this.#reader
    const places: UnseenPlace[] = []
    for (let rest = reader.count(2); rest > 0; rest--) {
      places.push({ feed: bytesToHex(reader.lengthPrefixed(32)), seq: reader.varint() })
    }
    return places
  }
}

const noPlaces: readonly UnseenPlace[] = []

/** How many characters two values have in common at the beginning and at the end, where that saves something. */
function sharedEnds(
  before: string,
  value: string | undefined,
): { head: number; tail: number } | undefined {
  if (value === undefined) return undefined
  const most = Math.min(before.length, value.length)
  let head = 0
  while (head < most && before.charCodeAt(head) === value.charCodeAt(head)) head++
  // A pair of surrogates is one character, and half of it can't be written.
  if (head > 0 && isHighSurrogate(value.charCodeAt(head - 1))) head--
  let tail = 0
  const inEnd = most - head
  while (
    tail < inEnd &&
    before.charCodeAt(before.length - 1 - tail) === value.charCodeAt(value.length - 1 - tail)
  ) {
    tail++
  }
  if (tail > 0 && isLowSurrogate(value.charCodeAt(value.length - tail))) tail--
  return head + tail < worthSharing ? undefined : { head, tail }
}

function isHighSurrogate(code: number): boolean {
  return code >= 0xd800 && code < 0xdc00
}

function isLowSurrogate(code: number): boolean {
  return code >= 0xdc00 && code < 0xe000
}

/** 0, -1, 1, -2, 2, … as 0, 1, 2, 3, 4, …: small numbers of either sign take few bytes. */
function folded(difference: number): number {
  return difference < 0 ? -2 * difference - 1 : 2 * difference
}

function plain(difference: number): number {
  return difference
}

function unfolded(number: number): number {
  return number % 2 === 0 ? number / 2 : -(number + 1) / 2
}

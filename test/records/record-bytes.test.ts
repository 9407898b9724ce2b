import { fc, test } from '@fast-check/vitest'
import { describe, expect } from 'vitest'
import * as Y from 'yjs'
import type { FreeCommit, FreeState, HiddenEntry } from '../../src/records/free-state.ts'
import { FeedTable } from '../../src/records/feed-table.ts'
import {
  decodeRecordState,
  encodeRecordState,
  recordIdOfState,
} from '../../src/records/record-bytes.ts'
import {
  decodePayload,
  encodePayload,
  type RecordPayload,
} from '../../src/records/record-payload.ts'
import type { RecordState, WriterState } from '../../src/records/record-state.ts'
import { slotOf } from '../../src/records/slots.ts'
import { ContentSum } from '../../src/records/content-hash.ts'

const anyFeed = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => Buffer.from(bytes).toString('hex'))
const anyText = fc.string({ unit: 'grapheme', maxLength: 20 })
const anyTime = fc.record({ ms: fc.nat(2 ** 48 - 1), counter: fc.nat(0xffff) })
const anyStamp = fc.record({
  seq: fc.nat(),
  time: anyTime,
  schemaVersion: fc.nat(9),
  actor: anyText,
})
/** Several writers have the same fields, and much the same in them. */
const anyField = fc.oneof(anyText, fc.constantFrom('a', 'b', 'é'))
const anyValue = fc.oneof(
  fc.json(),
  fc
    .array(fc.constantFrom('x', 'y', '😀', '😁', 'é'), { maxLength: 12 })
    .map((characters) => JSON.stringify(characters.join(''))),
)
const anyState: fc.Arbitrary<RecordState> = fc
  .record({
    id: anyText,
    writers: fc.array(
      fc.record({
        feed: anyFeed,
        isBranch: fc.boolean(),
        lastSeq: fc.nat(),
        clientId: fc.nat(2 ** 53 - 1),
        baseClock: fc.nat(9),
        nextClock: fc.nat(99),
        stamps: fc.array(anyStamp, { minLength: 1, maxLength: 3 }),
        writes: fc.uniqueArray(
          fc.record({
            field: anyField,
            op: fc.constantFrom('put', 'delete', 'vote'),
            value: fc.option(anyValue, { nil: undefined }),
            unseen: fc.array(fc.record({ feed: anyFeed, seq: fc.nat() }), { maxLength: 2 }),
            clock: fc.nat(99),
            stamp: fc.nat(),
          }),
          { selector: (write) => write.field, maxLength: 8 },
        ),
        free: fc.option(anyFreeState(), { nil: undefined }),
      }),
      { maxLength: 4 },
    ),
  })
  .map(({ id, writers }) => ({
    id,
    writers: new Map(
      writers.map(({ stamps, writes, isBranch, ...writer }) => [
        isBranch ? writer.feed + writer.feed : writer.feed,
        {
          ...writer,
          writer: isBranch ? writer.feed + writer.feed : writer.feed,
          beside: writes
            .slice(0, 2)
            .map(({ stamp, ...write }) => ({ ...write, commit: stamps[stamp % stamps.length]! })),
          writes: new Map(
            writes.map(({ stamp, ...write }) => [
              slotOf(write),
              { ...write, commit: stamps[stamp % stamps.length]! },
            ]),
          ),
        },
      ]),
    ),
  }))

/** A writer that has put one value into one field. */
function putBy(feed: string, value: string): [string, WriterState] {
  const commit = { seq: 9, time: { ms: 1.7e12, counter: 0 }, schemaVersion: 0, actor: '' }
  const field = 'medicationCodeableConcept'
  const writer = {
    writer: feed,
    feed,
    lastSeq: 9,
    clientId: 2 ** 52,
    baseClock: 0,
    nextClock: 1,
    writes: new Map([[field, { field, op: 'put', value, unseen: [], clock: 0, commit }]]),
    beside: [],
    free: undefined,
  }
  return [feed, writer]
}

describe('the state of a record', () => {
  test.prop([anyState])('comes back from its bytes as it was', (state) => {
    const bytes = encodeRecordState(state)
    expect(decodeRecordState(bytes)).toEqual(state)
    expect(encodeRecordState(decodeRecordState(bytes))).toEqual(bytes)
    expect(recordIdOfState(bytes)).toBe(state.id)
  })

  test.prop([anyState, fc.nat(), fc.integer({ min: 1, max: 255 })])(
    'is refused where it was damaged, or read as another',
    (state, at, change) => {
      const bytes = encodeRecordState(state)
      bytes[at % bytes.length]! ^= change
      try {
        decodeRecordState(bytes)
      } catch (error) {
        if ((error as { code?: string }).code !== 'MALFORMED') throw error
      }
    },
  )

  test('says a field that several writers have once, and of a value only what differs', () => {
    const text = (dose: number): string => JSON.stringify({ text: `Amoxicillin ${dose} mg` })
    const sizeOf = (...writers: [string, WriterState][]): number =>
      encodeRecordState({ id: 'r', writers: new Map(writers) }).length
    const [ada, ben, cyd] = ['aa', 'bb', 'cc'].map((byte) => byte.repeat(16))
    const alone = sizeOf(putBy(ada!, text(250)))
    const two = sizeOf(putBy(ada!, text(250)), putBy(ben!, text(500)))
    const three = sizeOf(putBy(ada!, text(250)), putBy(ben!, text(500)), putBy(cyd!, text(500)))
    // A feed id, a client id, and a few numbers; "500", or nothing.
    expect(two - alone).toBeLessThan(16 + 8 + 20)
    expect(three - two).toBeLessThan(16 + 8 + 16)
  })

  // They have their first halves in common, or their second.
  test.each([
    ['"a😀b"', '"a😁b"'],
    ['"a😀b"', '"a🈀b"'],
  ])('cuts no character in two: %s, %s', (...values) => {
    const writers = values.map((value, index) => putBy(`${index}`.repeat(32), value))
    const state = { id: 'r', writers: new Map(writers) }
    expect(decodeRecordState(encodeRecordState(state))).toEqual(state)
  })
})

const uuid = '0b9e2b1c-61a5-4a5c-8d1e-6f0f7d1d2c3b'
const anyId = fc.oneof(
  anyText.filter((id) => id !== ''),
  fc.constantFrom(uuid, `Patient/${uuid}`, `x${uuid}`, `Patient/${uuid.toUpperCase()}`),
)
const anyBytes = fc.uint8Array({ maxLength: 12 })
const anyPayload: fc.Arbitrary<RecordPayload> = fc.record({
  time: anyTime,
  schemaVersion: fc.nat(),
  actor: anyText,
  context: fc.array(
    fc.record({
      feed: fc.constantFrom('aa', 'bb', 'cc', 'dd', 'ee').map((byte) => byte.repeat(16)),
      seq: fc.maxSafeNat(),
      id: fc.uint8Array({ minLength: 4, maxLength: 4 }),
    }),
    { maxLength: 6 },
  ),
  records: fc.uniqueArray(
    fc.oneof(
      fc.record({ id: anyId, back: fc.nat(), fields: anyBytes }),
      fc.record({
        id: anyId,
        back: fc.nat(),
        free: fc.record({ stateVector: anyBytes, update: anyBytes }),
      }),
    ),
    { selector: (record) => record.id, maxLength: 5 },
  ),
})

function anyHiddenEntry(): fc.Arbitrary<HiddenEntry> {
  const place = fc.tuple(fc.nat(2 ** 53 - 1), fc.nat()).map(([client, clock]) => {
    return Y.createID(client, clock)
  })
  const none = fc.constant(null)
  return fc.oneof(
    fc.record({ clock: fc.nat(), origin: place, parent: none, key: none }),
    fc.record({ clock: fc.nat(), origin: none, parent: fc.oneof(anyText, place), key: anyText }),
    fc.record({ clock: fc.nat(), origin: none, parent: none, key: none }),
  )
}

function anyFreeState(): fc.Arbitrary<FreeState> {
  return fc
    .record({
      clientId: fc.nat(2 ** 53 - 1),
      baseClock: fc.nat(9),
      shownSeq: fc.nat(),
      steps: fc.array(fc.record({ seq: fc.nat(9), length: fc.nat(99) }), { maxLength: 4 }),
      updates: fc.option(fc.uint8Array(), { nil: undefined }),
      waiting: fc.array(
        fc.record({ seq: fc.nat(99), hidden: fc.boolean(), update: fc.uint8Array() }),
        { maxLength: 3 },
      ),
      hiddenEntries: fc.array(anyHiddenEntry(), { maxLength: 3 }),
    })
    .map(({ baseClock, steps, ...free }) => {
      const commits: FreeCommit[] = []
      let last: FreeCommit = { seq: 0, end: baseClock }
      for (const { seq, length } of steps) {
        last = { seq: last.seq + seq, end: last.end + length }
        commits.push(last)
      }
      return { ...free, baseClock, nextClock: last.end, commits }
    })
}

describe('the payload of a commit', () => {
  test.prop([fc.array(anyPayload, { maxLength: 5 })])(
    'is read with the table of feeds as it was then, or later',
    (payloads) => {
      let table = FeedTable.empty
      const written = payloads.map((payload) => {
        const bytes = encodePayload(payload, table)
        const before = table
        table = table.naming(payload.context.map((entry) => entry.feed))
        return { payload, bytes, before, after: table }
      })
      for (const { payload, bytes, before, after } of written) {
        const then = decodePayload(bytes, before)
        expect(then.payload).toEqual(payload)
        expect(then.feeds.toBytes()).toEqual(after.toBytes())
        expect(decodePayload(bytes, table).payload).toEqual(payload)
      }
      expect(FeedTable.fromBytes(table.toBytes()).toBytes()).toEqual(table.toBytes())
    },
  )

  test.prop([anyPayload, fc.nat(), fc.integer({ min: 1, max: 255 })])(
    'has one form only',
    (payload, at, change) => {
      const bytes = encodePayload(payload, FeedTable.empty)
      bytes[at % bytes.length]! ^= change
      try {
        expect(
          encodePayload(decodePayload(bytes, FeedTable.empty).payload, FeedTable.empty),
        ).toEqual(bytes)
      } catch (error) {
        if ((error as { code?: string }).code !== 'MALFORMED') throw error
      }
    },
  )

  test('takes one record once only', () => {
    const records = [1, 2].map((back) => ({ id: 'r', back, fields: Uint8Array.of(0, 0) }))
    const payload = {
      time: { ms: 1, counter: 0 },
      schemaVersion: 0,
      actor: '',
      context: [],
      records,
    }
    expect(() => decodePayload(encodePayload(payload, FeedTable.empty), FeedTable.empty)).toThrow(
      'a record twice',
    )
  })
})

describe('the sum of record hashes', () => {
  const anyHash = fc.uint8Array({ minLength: 32, maxLength: 32 })
  test.prop([fc.array(anyHash, { maxLength: 6 }), anyHash])(
    'counts modulo 2^256, in any order, and can be taken back',
    (hashes, extra) => {
      const sum = new ContentSum()
      for (const hash of [...hashes, extra]) sum.add(hash)
      sum.subtract(extra)
      const toInteger = (bytes: Uint8Array) => BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
      const expected = hashes.reduce((total, hash) => total + toInteger(hash), 0n) % 2n ** 256n
      expect(toInteger(sum.toBytes())).toBe(expected)
      expect(ContentSum.fromBytes(sum.toBytes()).toBytes()).toEqual(sum.toBytes())
    },
  )
})

import { test } from '@fast-check/vitest'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { ByteReader, ByteWriter } from '../../src/core/codec.ts'
import { HavenError } from '../../src/core/errors.ts'
import {
  applyDifference,
  clockDigest,
  clockOf,
  commitCount,
  differenceFrom,
  encodeClock,
  readEntries,
  sortedEntries,
  writeEntries,
} from '../../src/feed/vector-clock.ts'
import type { ClockEntry } from '../../src/feed/vector-clock.ts'

const entry = fc
  .record({
    feed: fc.constantFrom('11', '22', '33', '44').map((each) => each.repeat(16)),
    seq: fc.integer({ min: 1, max: 6 }),
    floor: fc.constantFrom(0, 0, 0, 3),
    head: fc.constantFrom('aa', 'bb').map((each) => each.repeat(8)),
  })
  .map((each): ClockEntry => ({ ...each, floor: each.floor < each.seq ? each.floor : 0 }))
const entries = fc.uniqueArray(entry, {
  maxLength: 10,
  selector: (each) => `${each.feed}/${each.floor}/${each.seq}/${each.head}`,
})

describe('a vector clock', () => {
  test.prop([entries])('has the same digest whatever order its entries come in', (all) => {
    expect(clockDigest(clockOf(all.toReversed()))).toBe(clockDigest(clockOf(all)))
  })

  test.prop([entries, entries])(
    'has another digest exactly when it says something else',
    (a, b) => {
      const same =
        JSON.stringify(sortedEntries(clockOf(a))) === JSON.stringify(sortedEntries(clockOf(b)))
      expect(clockDigest(clockOf(a)) === clockDigest(clockOf(b))).toBe(same)
    },
  )

  test.prop([entries, entries])('is its base and the difference', (base, all) => {
    const difference = differenceFrom(clockOf(base), clockOf(all))
    const again = applyDifference(clockOf(base), difference)
    expect(clockDigest(again)).toBe(clockDigest(clockOf(all)))
    expect(difference.added.length === 0 && difference.removed.length === 0).toBe(
      clockDigest(clockOf(base)) === clockDigest(clockOf(all)),
    )
  })

  test.prop([entries])('is read as it was written, and nothing shorter is', (all) => {
    const bytes = encodeClock(clockOf(all))
    const reader = new ByteReader(bytes, 'clock')
    expect(readEntries(reader)).toEqual(sortedEntries(clockOf(all)))
    reader.end()
    for (let length = 0; length < bytes.length; length++)
      expect(() => readEntries(new ByteReader(bytes.slice(0, length), 'clock'))).toThrow(HavenError)
  })

  it('refuses entries that hold nothing', () => {
    for (const [floor, seq] of [
      [0, 0],
      [3, 3],
      [4, 3],
    ]) {
      const writer = new ByteWriter()
      writeEntries(writer, [
        { feed: '11'.repeat(16), floor: floor!, seq: seq!, head: 'aa'.repeat(8) },
      ])
      expect(() => readEntries(new ByteReader(writer.finish(), 'clock'))).toThrow(HavenError)
    }
  })

  it('counts commits above the floor', () => {
    const head = 'aa'.repeat(8)
    const all = [
      { feed: '11'.repeat(16), floor: 0, seq: 7, head },
      { feed: '22'.repeat(16), floor: 10, seq: 12, head },
    ]
    expect(commitCount(clockOf(all))).toBe(9)
  })
})

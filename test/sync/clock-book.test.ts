import { fc, test } from '@fast-check/vitest'
import { describe, expect, it } from 'vitest'

import { limits } from '../../src/core/limits.ts'
import { signingKeyFromSeed } from '../../src/crypto/signing.ts'
import { clockDigest, clockOf } from '../../src/feed/vector-clock.ts'
import type { ClockEntry, VectorClock } from '../../src/feed/vector-clock.ts'
import { announcementNumber, createAnnouncement } from '../../src/sync/announcement.ts'
import { ClockBook } from '../../src/sync/clock-book.ts'
import type { Claim } from '../../src/sync/clock-book.ts'

const device = 'd1'.repeat(32)

function bookOf(): ClockBook {
  const clock: VectorClock = new Map()
  return new ClockBook({ digest: clockDigest(clock), clock })
}

function feedName(index: number): string {
  return index.toString(16).padStart(32, '0')
}

function holding(seqs: readonly number[]): VectorClock {
  return clockOf(
    seqs.flatMap((seq, index): ClockEntry[] =>
      seq === 0
        ? []
        : [{ feed: feedName(index), floor: 0, seq, head: seq.toString(16).padStart(16, '0') }],
    ),
  )
}

function wholeOf(claim: Claim): VectorClock {
  return clockOf([...claim.feeds()].flatMap((feed) => [...claim.entries(feed)]))
}

const anyClock = fc.array(fc.nat(4), { maxLength: 6 }).map(holding)
const anyClaims = fc.array(
  fc.record({ clock: anyClock, laterMs: fc.nat(100), direct: fc.boolean() }),
  {
    minLength: 1,
    maxLength: 60,
  },
)

function learn(
  book: ClockBook,
  claims: readonly { clock: VectorClock; laterMs: number; direct: boolean }[],
) {
  const said: { digest: string; timeMs: number }[] = []
  let timeMs = 1000
  for (const { clock: body, laterMs, direct } of claims) {
    timeMs += laterMs
    const digest = clockDigest(body)
    book.learned(device, digest, body, { timeMs, direct })
    if (said.at(-1)?.digest !== digest) said.push({ digest, timeMs })
  }
  return said
}

const key = signingKeyFromSeed(new Uint8Array(32).fill(7))

function announce(incarnation: number, generation: number, body: VectorClock, nowMs: number) {
  return createAnnouncement(
    {
      mesh: new Uint8Array(16),
      incarnation: incarnation.toString(16).padStart(32, '0'),
      number: announcementNumber(0, generation, nowMs),
      timeMs: nowMs,
      epochs: [],
      clockDigest: clockDigest(body),
      commits: 1,
    },
    key,
  )
}

describe('what a device said that it held', () => {
  test.prop([anyClaims])(
    'is kept with the time when it was said first, and nothing is made up',
    (claims) => {
      const book = bookOf()
      const said = learn(book, claims)
      const kept = [...book.claims(device)].map((claim) => ({
        digest: clockDigest(wholeOf(claim)),
        timeMs: claim.first.timeMs,
      }))
      expect(kept[0]).toEqual(said.at(-1))
      // In their order, each as it was said.
      let at = said.length - 1
      for (const claim of kept) {
        while (at >= 0 && (said[at]!.digest !== claim.digest || said[at]!.timeMs !== claim.timeMs))
          at--
        expect(at).toBeGreaterThanOrEqual(0)
        at--
      }
      const [newest] = book.claims(device)
      expect(newest!.last.timeMs).toBe(1000 + claims.reduce((sum, { laterMs }) => sum + laterMs, 0))
      expect(kept.length).toBe(Math.min(said.length, limits.claimsKept + 1))
      // As long as there is room, it is known since when something was held at first.
      expect(kept.at(-1)).toEqual(said[0])
    },
  )

  test.prop([anyClaims])('is the same after a restart', (claims) => {
    const book = bookOf()
    learn(book, claims)
    const again = bookOf()
    again.restoreEntry(device, book.encodeEntry(device)!, () => {
      throw new Error('nothing was announced')
    })
    const plain = (from: ClockBook) =>
      [...from.claims(device)].map((claim) => [
        claim.first,
        claim.last,
        clockDigest(wholeOf(claim)),
      ])
    expect(plain(again)).toEqual(plain(book))
  })

  it('is bounded, whatever it said', () => {
    const book = bookOf()
    for (let round = 1; round < 50; round++) {
      const seqs = Array.from({ length: 100 }, (_, index) => round * 100 + index)
      const body = holding(seqs)
      book.learned(device, clockDigest(body), body, { timeMs: round, direct: true })
    }
    const claims = [...book.claims(device)]
    expect(claims.length).toBe(1 + Math.floor(limits.claimEntriesKept / 100))
    expect(claims.map(({ first }) => first.timeMs)).toEqual([49, 48, 47])
  })

  it('in a conversation is not replaced by what it had announced before', () => {
    const book = bookOf()
    const [first, second, third] = [1, 2, 3].map((seq) =>
      announce(1, 0, holding([seq]), seq * 1_000_000),
    )
    const { device: id } = first!
    const newest = () => [...book.claims(id)].map((claim) => claim.entries(feedName(0))[0]!.seq)
    book.announced(first!)
    // It was known to have made two announcements, when it told us.
    book.learnedDirectly(id, holding([9]), 5_000_000, second!.number)
    book.announced(second!)
    expect(book.lacking(id)).toMatchObject({ digest: second!.clockDigest })
    book.announcedClock(id, holding([2]))
    expect(newest()).toEqual([9])
    // Others who have not heard the newer one can have its clock.
    expect(book.clockByDigest(second!.clockDigest)).toEqual(holding([2]))
    expect(book.lacking(id)).toBeUndefined()
    const again = bookOf()
    again.restoreEntry(id, book.encodeEntry(id)!, () => second!)
    again.announcedClock(id, holding([2]))
    expect([...again.claims(id)][0]!.entries(feedName(0))[0]!.seq).toBe(9)
    book.announced(third!)
    book.announcedClock(id, holding([3]))
    expect(newest()).toEqual([3, 9])
  })

  it('in another incarnation is void', () => {
    const first = announce(1, 0, holding([5]), 1_000_000)
    const restored = announce(2, 1, holding([3]), 2_000_000)
    const book = bookOf()
    book.announced(first)
    book.learned(first.device, clockDigest(holding([4])), holding([4]), {
      timeMs: 900_000,
      direct: true,
    })
    book.learned(first.device, first.clockDigest, holding([5]), {
      timeMs: 1_000_000,
      direct: false,
    })
    expect([...book.claims(first.device)]).toHaveLength(2)
    book.announced(restored)
    expect([...book.claims(first.device)]).toEqual([])
    expect(book.lacking(first.device)).toEqual({ digest: restored.clockDigest, base: undefined })
    // Whoever tells of a restored device for the first time makes void what was heard before.
    const other = bookOf()
    other.learned(first.device, clockDigest(holding([5])), holding([5]), {
      timeMs: 1,
      direct: true,
    })
    other.announced(restored)
    expect([...other.claims(first.device)]).toEqual([])
    const young = bookOf()
    young.learned(first.device, clockDigest(holding([5])), holding([5]), {
      timeMs: 1,
      direct: true,
    })
    young.announced(first)
    expect([...young.claims(first.device)]).toHaveLength(1)
  })
})

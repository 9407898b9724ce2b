import { describe, expect, it } from 'vitest'
import { signingKeyFromSeed } from '../../src/crypto/signing.ts'
import { clockDigest, clockOf } from '../../src/feed/vector-clock.ts'
import type { VectorClock } from '../../src/feed/vector-clock.ts'
import { createAnnouncement, decodeAnnouncement } from '../../src/sync/announcement.ts'
import { ClockBook } from '../../src/sync/clock-book.ts'
import { lostAfter } from '../../src/sync/lost-claims.ts'

const mesh = new Uint8Array(16).fill(3)
const key = signingKeyFromSeed(new Uint8Array(32).fill(5))
const server = Buffer.from(key.publicKey).toString('hex')
const empty: VectorClock = new Map()

/** `a5`: feed a up to 5; `a5x`: another history; `a3-5`: without the first 3. */
function clock(...entries: string[]): VectorClock {
  return clockOf(
    entries.map((text) => {
      const [, name, floor, seq, branch] = /^([a-f])(?:(\d+)-)?(\d+)([x-z]?)$/.exec(text)!
      const head = `${seq}${branch === '' ? '' : 'f'.repeat(branch!.charCodeAt(0) - 100)}`
      const place = { floor: Number(floor ?? 0), seq: Number(seq) }
      return { feed: name!.repeat(32), ...place, head: head.slice(0, 16).padStart(16, '0') }
    }),
  )
}

const announcementOf = (number: number, claimed: VectorClock, incarnation = '11'.repeat(16)) =>
  createAnnouncement(
    {
      mesh,
      incarnation,
      number,
      timeMs: number * 1_000,
      epochs: [],
      clockDigest: clockDigest(claimed),
      commits: 1,
    },
    key,
  )

function bookOf() {
  const book = new ClockBook({ digest: clockDigest(empty), clock: empty })
  const announce = (number: number, claimed: VectorClock, incarnation?: string): void => {
    if (book.announced(announcementOf(number, claimed, incarnation)))
      book.announcedClock(server, claimed)
  }
  const tell = (claimed: VectorClock, nowMs: number, newestNumber: number) =>
    book.learnedDirectly(server, claimed, nowMs, newestNumber)
  return { book, announce, tell, lost: () => book.entries.get(server)?.lost }
}

describe('what a later claim lacks', () => {
  it.each([
    ['nothing', ['a5', 'b2'], ['a5', 'b7', 'c1'], undefined],
    ['a lower seq', ['a5', 'b2'], ['a3', 'b2'], 2],
    ['an entry that is gone', ['a5', 'b2'], ['b2'], 5],
    ['everything', ['a5', 'b2'], [], 7],
    ['another head at the same place', ['a5'], ['a5x'], 5],
    ['one of two branches', ['a5', 'a7x'], ['a7x'], 5],
    ['neither, when both have grown', ['a5', 'a7x'], ['a6', 'a9x'], undefined],
    ['nothing that was dropped on purpose', ['a5'], ['a4-5'], undefined],
    ['only what had not been dropped', ['a4-9'], [], 5],
  ])('%s', (_, before, after, commits) => {
    expect(lostAfter(undefined, clock(...before), clock(...after), 1)?.commits).toBe(commits)
  })
})

it('made-up seqs do no harm', () => {
  const { book, tell } = bookOf()
  const most = Number.MAX_SAFE_INTEGER
  tell(clock(`a${most}`, `b${most}`), 10_000, -1)
  tell(empty, 20_000, -1)
  const again = bookOf()
  again.book.restoreEntry(server, book.encodeEntry(server)!, (each) =>
    decodeAnnouncement(each, mesh),
  )
  expect(again.lost()).toMatchObject({ commits: most, sinceMs: 20_000 })
})

describe('a server that claims less than before', () => {
  it('is noticed by its announcements, until it has everything again', () => {
    const { announce, lost } = bookOf()
    announce(10, clock('a5', 'b2'))
    expect(lost()).toBeUndefined()
    announce(20, clock('a3', 'b2', 'c4'))
    expect(lost()).toMatchObject({ commits: 2, sinceMs: 20_000 })
    announce(30, clock('a4', 'b9', 'c4'))
    expect(lost()).toMatchObject({ commits: 1, sinceMs: 20_000 })
    announce(40, clock('a5', 'b9', 'c4'))
    expect(lost()).toBeUndefined()
  })

  it('is noticed when it tells so itself, after restarts too', () => {
    const { book, announce, tell, lost } = bookOf()
    announce(10, clock('a5'))
    tell(clock('a2'), 50_000, 10)
    expect(lost()).toMatchObject({ commits: 3, sinceMs: 50_000 })
    const again = bookOf()
    const bytes = book.encodeEntry(server)!
    again.book.restoreEntry(server, bytes, (each) => decodeAnnouncement(each, mesh))
    expect(again.lost()).toEqual(lost())
    again.tell(clock('a6'), 60_000, 10)
    expect(again.lost()).toBeUndefined()
  })

  it('is noticed when it was set up anew: when its new words tell what it has', () => {
    const { book, announce, lost } = bookOf()
    announce(10, clock('a5', 'b2'))
    const anew = announcementOf(20, clock('b2'), '22'.repeat(16))
    book.announced(anew)
    expect(lost()?.sinceMs, 'not before they are known').toBeUndefined()
    book.announcedClock(server, clock('b2'))
    expect(lost()).toMatchObject({ commits: 5, sinceMs: 20_000 })
  })

  it('is none when words only come in another order, late, or by others', () => {
    const { announce, tell, lost } = bookOf()
    announce(10, clock('a5'))
    announce(9, clock('a1'))
    expect(lost()).toBeUndefined()
    // It has told us more than it announced before.
    tell(clock('a7'), 50_000, 12)
    announce(12, clock('a6'))
    expect(lost()).toBeUndefined()
    // Others have heard what it said after it spoke with us: that it ends changes nothing.
    announce(14, clock('a9'))
    tell(clock('a8'), 60_000, 12)
    expect(lost()?.sinceMs).toBeUndefined()
    announce(16, clock('a9', 'b1'))
    expect(lost()).toBeUndefined()
  })

  it('is none for who hears of it for the first time', () => {
    const { announce, lost } = bookOf()
    announce(30, clock('a3'))
    expect(lost()).toBeUndefined()
  })
})

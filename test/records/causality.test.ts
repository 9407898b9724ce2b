import { fc, test } from '@fast-check/vitest'
import { describe, expect } from 'vitest'
import { CausalIndex, type Place } from '../../src/records/causality.ts'

/** Looks at every commit that a context names, one by one. */
class PlainIndex {
  readonly parents = new Map<string, Place | undefined>()
  readonly seen: { by: Place; entry: Place }[] = []

  isInPast(a: Place, b: Place): boolean {
    if (a.writer === b.writer) return a.seq < b.seq
    const reached = new Map<string, number>([[b.writer, b.seq]])
    for (let grows = true; grows;) {
      grows = false
      const add = ({ writer, seq }: Place): void => {
        if ((reached.get(writer) ?? 0) >= seq) return
        reached.set(writer, seq)
        grows = true
      }
      for (const writer of reached.keys()) {
        const parent = this.parents.get(writer)
        if (parent !== undefined) add(parent)
      }
      for (const { by, entry } of this.seen) if ((reached.get(by.writer) ?? 0) >= by.seq) add(entry)
    }
    return (reached.get(a.writer) ?? 0) >= a.seq
  }
}

const writers = ['a', 'b', 'c', 'd', 'branch', 'twig']
const anyPlace: fc.Arbitrary<Place> = fc.record({
  writer: fc.constantFrom(...writers),
  seq: fc.integer({ min: 1, max: 12 }),
})
const anyStep = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({ by: anyPlace, entries: fc.array(anyPlace, { maxLength: 3 }) }),
  },
  { weight: 1, arbitrary: fc.record({ a: anyPlace, b: anyPlace }) },
)

describe('the causal index', () => {
  test.prop([fc.array(anyStep, { maxLength: 60 })])(
    'answers like a plain search, whenever contexts become known',
    (steps) => {
      const index = new CausalIndex()
      const plain = new PlainIndex()
      for (const writer of ['a', 'b', 'c', 'd']) index.addWriter(writer)
      index.addWriter('branch', { writer: 'a', seq: 5 })
      index.addWriter('twig', { writer: 'branch', seq: 8 })
      plain.parents.set('branch', { writer: 'a', seq: 5 })
      plain.parents.set('twig', { writer: 'branch', seq: 8 })
      for (const step of steps) {
        if ('a' in step) {
          const isInPast = plain.isInPast(step.a, step.b)
          expect(index.isInPast(step.a, step.b)).toBe(isInPast)
          expect(index.lastInPast(step.a.writer, step.b) >= step.a.seq).toBe(isInPast)
        } else {
          index.addSeen(step.by.writer, step.by.seq, step.entries)
          for (const entry of step.entries) plain.seen.push({ by: step.by, entry })
        }
      }
    },
  )

  test('takes contexts of many commits that become known late', () => {
    const index = new CausalIndex()
    index.addWriter('a')
    index.addWriter('b')
    for (let seq = 4000; seq > 0; seq--) {
      index.addSeen('a', seq, [{ writer: 'b', seq: seq * 2 }])
      if (seq % 500 === 0) index.isInPast({ writer: 'b', seq: 1 }, { writer: 'a', seq })
    }
    expect(index.isInPast({ writer: 'b', seq: 2000 }, { writer: 'a', seq: 1000 })).toBe(true)
    expect(index.isInPast({ writer: 'b', seq: 2001 }, { writer: 'a', seq: 1000 })).toBe(false)
    expect(index.isInPast({ writer: 'b', seq: 2001 }, { writer: 'a', seq: 1001 })).toBe(true)
  })

  test('knows writers that appear after its first answers', () => {
    const index = new CausalIndex()
    index.addWriter('a')
    index.addWriter('b')
    expect(index.isInPast({ writer: 'a', seq: 1 }, { writer: 'b', seq: 1 })).toBe(false)
    for (let i = 0; i < 100; i++) index.addWriter(`late${i}`)
    index.addSeen('b', 1, [{ writer: 'late99', seq: 7 }])
    index.addSeen('late99', 3, [{ writer: 'a', seq: 2 }])
    expect(index.isInPast({ writer: 'late99', seq: 7 }, { writer: 'b', seq: 1 })).toBe(true)
    expect(index.isInPast({ writer: 'a', seq: 2 }, { writer: 'b', seq: 1 })).toBe(true)
  })
})

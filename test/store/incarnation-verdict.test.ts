import { describe, expect, test } from 'vitest'
import { incarnationVerdict } from '../../src/store/incarnation-verdict.ts'
import type { MarkContent, MarkState } from '../../src/store/mark.ts'

const own = 'aa'.repeat(16)
const other = 'bb'.repeat(16)
const id = new Uint8Array(32)

function contentWith(incarnation: string, seqs: number[]): MarkContent {
  return { incarnation, feeds: seqs.map((seq) => ({ feed: 'f1'.repeat(16), seq, id })) }
}

/** A store that holds the feed up to seq 5. */
const holdsFive = (_feed: string, seq: number): boolean => seq <= 5

const contents: [string, MarkContent | undefined][] = [
  ['no content', undefined],
  ['no feeds', contentWith(own, [])],
  ['a place held', contentWith(own, [5])],
  ['a place behind', contentWith(own, [3])],
  ['a place ahead', contentWith(own, [6])],
  ['one held, one ahead', contentWith(own, [2, 9])],
  ['no feeds of another incarnation', contentWith(other, [])],
  ['a place held, of another incarnation', contentWith(other, [5])],
  ['a place ahead, of another incarnation', contentWith(other, [6])],
]
const states: MarkState[] = ['ok', 'missing', 'unreadable', 'foreign-machine']

function* everyCase() {
  for (const state of states) {
    for (const [name, content] of contents) {
      for (const writable of [true, false]) {
        for (const storeIsEmpty of [true, false]) {
          for (const storeIncarnation of [own, undefined]) {
            yield { state, name, content, writable, storeIsEmpty, storeIncarnation }
          }
        }
      }
    }
  }
}

describe('goes on exactly when nothing that was offered can be missing', () => {
  test.each([...everyCase()])(
    '$state, $name, writable $writable, empty $storeIsEmpty, store $storeIncarnation',
    ({ state, content, writable, storeIsEmpty, storeIncarnation }) => {
      const storeContains = storeIsEmpty ? () => false : holdsFive
      const { verdict } = incarnationVerdict({
        mark: { state, content, writable },
        storeIsEmpty,
        storeIncarnation,
        storeContains,
      })
      const named = state === 'ok' ? (content?.feeds ?? []) : []
      const containsAll = named.every(({ feed, seq }) => storeContains(feed, seq))
      const sameIncarnation =
        storeIncarnation === undefined || content?.incarnation === storeIncarnation
      const expected = storeIsEmpty
        ? containsAll
        : state === 'ok' && content !== undefined && writable && containsAll && sameIncarnation
      expect(verdict).toBe(expected ? 'continue' : 'new')
    },
  )
})

test.each([
  ['contained', 'ok', contentWith(own, [5]), true, false],
  ['ahead', 'ok', contentWith(own, [6]), true, false],
  ['ahead', 'ok', contentWith(own, [1]), true, true],
  ['other-incarnation', 'ok', contentWith(other, [5]), true, false],
  ['not-writable', 'ok', contentWith(own, [5]), false, false],
  ['missing', 'missing', undefined, true, false],
  ['unreadable', 'unreadable', undefined, true, false],
  ['foreign-machine', 'foreign-machine', undefined, true, false],
  ['empty', 'missing', undefined, false, true],
] as const)('says why: %s', (reason, state, content, writable, storeIsEmpty) => {
  const verdict = incarnationVerdict({
    mark: { state, content, writable },
    storeIsEmpty,
    storeIncarnation: own,
    storeContains: storeIsEmpty ? () => false : holdsFive,
  })
  expect(verdict.reason).toBe(reason)
})

import { fc, test } from '@fast-check/vitest'
import { expect } from 'vitest'

import type { Candidate } from '../../src/records/candidates.ts'
import { sees } from '../../src/records/candidates.ts'
import { CausalIndex } from '../../src/records/causality.ts'
import { lastValue, latestOf, replacedBy, seenOf } from '../../src/records/history.ts'
import type { WriterState } from '../../src/records/record-state.ts'
import { isOfElement } from '../../src/records/writes.ts'

const writers = ['a', 'b', 'c']
const anyWrite = fc.record({
  writer: fc.constantFrom(...writers),
  op: fc.constantFrom('put', 'put', 'add', 'remove', 'count', 'keep', 'newer'),
  value: fc.constantFrom('1', '2'),
  /** Which of the other writers' newest commits it hears of before. */
  hears: fc.array(fc.constantFrom(...writers), { maxLength: 2 }),
  /** Which of all writes before it names as unseen, if it has them in its past. */
  unseen: fc.array(fc.nat(20), { maxLength: 2 }),
  skewMs: fc.integer({ min: -50, max: 50 }),
})
const anyHistory = fc.array(anyWrite, { maxLength: 24 })

/** One field's writes, one a commit. */
function historyOf(steps: readonly (typeof anyWrite extends fc.Arbitrary<infer T> ? T : never)[]) {
  const causality = new CausalIndex()
  const states = new Map<string, WriterState>()
  for (const writer of writers) {
    causality.addWriter(writer)
    // White-box: of a writer's state only its names matter here.
    states.set(writer, { writer, feed: writer } as WriterState)
  }
  const all: Candidate[] = []
  for (const [index, { writer, op, value, hears, unseen, skewMs }] of steps.entries()) {
    const seq = all.filter(({ by }) => by.writer === writer).length + 1
    const heads = hears.flatMap((other) => {
      const last = all.findLast(({ by }) => by.writer === other)
      return other === writer || last === undefined ? [] : [last]
    })
    causality.addSeen(
      writer,
      seq,
      heads.map(({ by, write }) => ({ writer: by.writer, seq: write.commit.seq })),
    )
    const named = unseen.flatMap((at) => all[at] ?? [])
    const time = { ms: 1000 + index * 10 + skewMs, counter: 0 }
    all.push({
      by: states.get(writer)!,
      write: {
        field: 'x',
        op,
        value: op === 'count' ? `[${seq},1]` : value,
        unseen: named.map(({ by, write }) => ({ feed: by.feed, seq: write.commit.seq })),
        clock: seq,
        commit: { seq, time, schemaVersion: 0, actor: '' },
      },
    })
  }
  return { all, causality }
}

async function* newestFirst(all: readonly Candidate[], writer: string): AsyncGenerator<Candidate> {
  for (const one of all.toReversed()) if (one.by.writer === writer) yield one
}

/** Whether a write takes the place of another that it has seen: by the ops alone. */
function concerns({ write, by }: Candidate, { write: other, by: its }: Candidate): boolean {
  if (write.op === 'count') return other.op === 'count' && by === its
  if (isOfElement(write.op)) return isOfElement(other.op) && write.value === other.value
  return other.op !== 'count'
}

function replacesOwn(later: Candidate, earlier: Candidate, causality: CausalIndex): boolean {
  return concerns(later, earlier) && sees(later, earlier, causality)
}

/** Whether `later` replaced `earlier` for whoever looks at the field. */
function replaces(later: Candidate, earlier: Candidate, causality: CausalIndex): boolean {
  if (!sees(later, earlier, causality)) return false
  const { op } = later.write
  if (earlier.write.op === 'count')
    return op === 'newer' || (op === 'count' && later.by === earlier.by)
  if (op === 'count') return false
  return isOfElement(op) ? concerns(later, earlier) : true
}

test.prop([anyHistory], { numRuns: 1000 })(
  'a write took the place of what its author saw, and nobody had replaced',
  async (steps) => {
    const { all, causality } = historyOf(steps)
    for (const write of all) {
      const seenBefore = all.filter((other) => sees(write, other, causality))
      // What its own writer has replaced is no candidate, and replaces nothing any more.
      const past = seenBefore.filter(
        (one) =>
          !seenBefore.some((other) => other.by === one.by && replacesOwn(other, one, causality)),
      )
      const expected = past.filter(
        (one) => concerns(write, one) && !past.some((other) => replaces(other, one, causality)),
      )
      const seen = await Promise.all(
        writers.map((writer) => seenOf(write, newestFirst(all, writer), causality)),
      )
      expect(new Set(replacedBy(write, seen.flat(), causality))).toEqual(new Set(expected))
    }
  },
)

test.prop([anyHistory], { numRuns: 1000 })(
  'no write is told before one that had seen it',
  (steps) => {
    const { all, causality } = historyOf(steps)
    const waiting = all.map(({ by, write }) => ({
      writer: by.writer,
      feed: by.feed,
      seq: write.commit.seq,
      time: write.commit.time,
    }))
    const told: typeof waiting = []
    while (waiting.length > 0) {
      const heads = writers.flatMap(
        (writer) => waiting.findLast((each) => each.writer === writer) ?? [],
      )
      const next = latestOf(heads, causality)!
      waiting.splice(waiting.indexOf(next), 1)
      expect(told.every((later) => !causality.isInPast(later, next))).toBe(true)
      told.push(next)
    }
    expect(latestOf([], causality)).toBeUndefined()
  },
)

type Step = Parameters<typeof historyOf>[0][number]
const step = { value: '1' as const, hears: [], unseen: [], skewMs: 0 }
test.each<[string, Step[], number | undefined]>([
  ['nothing', [], undefined],
  [
    'the later of two that one saw, against the clocks',
    [
      { ...step, writer: 'a', op: 'put', skewMs: 50 },
      { ...step, writer: 'b', op: 'put', hears: ['a'], skewMs: -50 },
    ],
    1,
  ],
  [
    'the greatest of those that did not see each other',
    [
      { ...step, writer: 'a', op: 'put', skewMs: 50 },
      { ...step, writer: 'b', op: 'keep', skewMs: -50 },
    ],
    0,
  ],
  [
    'also what a later one names as unseen',
    [
      { ...step, writer: 'a', op: 'put', skewMs: 50 },
      { ...step, writer: 'a', op: 'put', unseen: [0], skewMs: -50 },
    ],
    0,
  ],
  [
    'a keep',
    [
      { ...step, writer: 'a', op: 'put' },
      { ...step, writer: 'b', op: 'keep', hears: ['a'] },
    ],
    1,
  ],
  [
    'never a count',
    [
      { ...step, writer: 'a', op: 'put' },
      { ...step, writer: 'a', op: 'count' },
    ],
    0,
  ],
  [
    'not where an element came after',
    [
      { ...step, writer: 'a', op: 'put' },
      { ...step, writer: 'a', op: 'add' },
    ],
    undefined,
  ],
  [
    'not where a newer version wrote',
    [
      { ...step, writer: 'a', op: 'put', skewMs: 50 },
      { ...step, writer: 'b', op: 'newer' },
    ],
    undefined,
  ],
])('the last value of a field: %s', (_, steps, expected) => {
  const { all, causality } = historyOf(steps)
  expect(lastValue(all, causality)).toBe(expected === undefined ? undefined : all[expected])
})

import { fc, test } from '@fast-check/vitest'
import { describe, expect, it } from 'vitest'

import { FeedChain } from '../../src/feed/chain.ts'
import type { Segment } from '../../src/feed/chain.ts'
import { wipeVerdict } from '../../src/sync/wipe-verdict.ts'
import type { WipeQuestion, Witness } from '../../src/sync/wipe-verdict.ts'

const id = (n: number): string => n.toString(16).padStart(64, '0')

/** A feed of some commits, perhaps with two branches at its end. */
const anyChain = (index: number) =>
  fc
    .record({ stem: fc.integer({ min: 1, max: 3 }), branches: fc.constantFrom(0, 0, 2) })
    .map(({ stem, branches }) => {
      const segments: Segment[] = [{ parent: -1, from: 1, to: stem, first: id(1), head: id(stem) }]
      for (let branch = 0; branch < branches; branch++) {
        const seq = stem + 1
        const head = id(10 + branch)
        segments.push({ parent: 0, from: seq, to: seq, first: head, head })
      }
      return new FeedChain(`f${index}`, segments)
    })

/** The commits of a question, each by a name. */
function commitsOf(chains: readonly FeedChain[]): string[] {
  return chains.flatMap(({ feed, segments }) =>
    segments.flatMap(({ from, to }, at) =>
      Array.from({ length: to - from + 1 }, (_, n) => `${feed}/${at}/${from + n}`),
    ),
  )
}

function heldBy(chains: readonly FeedChain[], reach: Witness['reach']): Set<string> {
  return new Set(
    commitsOf(chains).filter((commit) => {
      const [feed, at, seq] = commit.split('/')
      return (reach.get(feed!)?.[Number(at)] ?? 0) >= Number(seq)
    }),
  )
}

const anyQuestion: fc.Arbitrary<WipeQuestion> = fc
  .tuple(anyChain(0), anyChain(1))
  .chain((chains) =>
    fc.record({
      chains: fc.constant(chains),
      holders: fc.integer({ min: 1, max: 3 }),
      epochs: fc.subarray(['e0', 'e1']),
      witnesses: fc.array(
        fc.record({
          isServer: fc.nat(4).map((n) => n === 0),
          counts: fc.nat(3).map((n) => n > 0),
          epochs: fc.subarray(['e0', 'e1']).map((epochs) => new Set(epochs)),
          reach: fc
            .tuple(...chains.map((chain) => fc.option(anyReach(chain), { nil: undefined })))
            .map(
              (reaches) =>
                new Map(
                  chains.flatMap(({ feed }, at): [string, number[]][] =>
                    reaches[at] === undefined ? [] : [[feed, reaches[at]]],
                  ),
                ),
            ),
        }),
        { maxLength: 5 },
      ),
    }),
  )
  .map(({ witnesses, ...question }) => ({
    ...question,
    witnesses: witnesses.map((witness, index) => ({ ...witness, device: `d${index}` })),
  }))

/** Often all of it. */
function anyReach(chain: FeedChain): fc.Arbitrary<number[]> {
  const whole = chain.segments.map(({ to }) => to)
  const some = fc
    .tuple(...chain.segments.map(({ from, to }) => fc.integer({ min: from - 1, max: to })))
    .map(([stem, ...rest]) => [
      // A branch is in a chain only with what it grew out of.
      rest.some((seq, at) => seq >= chain.segments[at + 1]!.from) ? chain.segments[0]!.to : stem!,
      ...rest,
    ])
  return fc.oneof({ weight: 2, arbitrary: fc.constant(whole) }, { weight: 1, arbitrary: some })
}

/** By the words of the question alone. */
function isSafe({ chains, witnesses, holders, epochs }: WipeQuestion): boolean {
  const counting = witnesses.filter(({ counts }) => counts)
  const onServers = new Set(
    counting.filter(({ isServer }) => isServer).flatMap(({ reach }) => [...heldBy(chains, reach)]),
  )
  const rest = commitsOf(chains).filter((commit) => !onServers.has(commit))
  const whole = counting.filter(({ reach }) => {
    const held = heldBy(chains, reach)
    return rest.every((commit) => held.has(commit))
  })
  return (
    (rest.length === 0 || whole.length >= holders) &&
    epochs.every((epoch) => counting.some((each) => each.epochs.has(epoch)))
  )
}

describe('whether a device can be wiped', () => {
  test.prop([anyQuestion], { numRuns: 1000 })('follows from who holds what', (question) => {
    const { safe, safeReach, lostEpochs, holders } = wipeVerdict(question)
    expect(safe).toBe(isSafe(question))
    const { chains, witnesses, epochs } = question
    const everything = commitsOf(chains)
    // Whoever is to believe all that was heard sees what would be lost.
    const believed = isSafe({
      ...question,
      witnesses: witnesses.map((one) => ({ ...one, counts: true })),
    })
    const isLost = heldBy(chains, safeReach).size < everything.length || lostEpochs.length > 0
    expect(isLost).toBe(!believed)
    expect(safe && isLost).toBe(false)
    expect(lostEpochs.every((epoch) => epochs.includes(epoch))).toBe(true)
    for (const device of holders) {
      const witness = witnesses.find((one) => one.device === device)!
      expect(heldBy(chains, witness.reach).size).toBe(everything.length)
      expect(witness.counts).toBe(true)
    }
  })

  test.prop([anyQuestion, fc.nat()])('is never made worse by who holds more', (question, at) => {
    const { chains, witnesses } = question
    fc.pre(witnesses.length > 0)
    const index = at % witnesses.length
    const more = witnesses.map((one, each) =>
      each === index
        ? {
            ...one,
            counts: true,
            reach: new Map(chains.map((chain) => [chain.feed, chain.segments.map(({ to }) => to)])),
            epochs: new Set(question.epochs),
          }
        : one,
    )
    const before = wipeVerdict(question).safe
    expect(wipeVerdict({ ...question, witnesses: more }).safe || !before).toBe(true)
  })

  it('is no, where nobody else is', () => {
    const chain = new FeedChain('f', [{ parent: -1, from: 1, to: 4, first: id(1), head: id(4) }])
    const question = { chains: [chain], witnesses: [], holders: 1, epochs: ['e'] }
    expect(wipeVerdict(question)).toEqual({
      safe: false,
      holders: [],
      safeReach: new Map([['f', [0]]]),
      witnesses: [],
      lostEpochs: ['e'],
    })
  })
})

import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { SimulatedNetwork } from './support/simulated-network.ts'
import { secondCollection } from './support/stub-authority.ts'

const sizes = (min: number) =>
  fc.array(fc.constantFrom(20, 3_000, 30_000), { minLength: min, maxLength: 12 })

interface Story {
  readonly seed: number
  readonly base: readonly number[]
  readonly left: readonly number[]
  readonly right: readonly number[]
  readonly third: readonly number[]
  /** When the links are cut for a while, after they have come up. */
  readonly cutsMs: readonly number[]
  /** The author goes on writing while it hears of what it had forgotten. */
  readonly writesMeanwhile: boolean
}

const story: fc.Arbitrary<Story> = fc.record({
  seed: fc.integer(),
  base: sizes(0),
  left: sizes(1),
  right: sizes(1),
  third: sizes(0),
  cutsMs: fc.array(fc.integer({ min: 1, max: 1_500 }), { maxLength: 4 }),
  writesMeanwhile: fc.boolean(),
})

/**
 * Device 0 writes `base`, then `left`, which only device 1 hears of; it is put back to after `base` and writes `right`, which only
 * device 2 hears of; put back again, it writes `third` for itself. Then 1, 0 and 2 meet in a row.
 */
async function forked({ seed, base, left, right, third, cutsMs, writesMeanwhile }: Story) {
  const network = new SimulatedNetwork({
    seed,
    devices: 3,
    batchMs: [0, 150],
    weather: { delayMs: [1, 200] },
  })
  const [author] = network.devices
  if (base.length > 0) await runWith(network, author!.write(base, secondCollection, 'routine'))
  else await runWith(network, author!.write([10], secondCollection, 'routine'))
  const backup = author!.backup()
  const again = author!.backup()
  await runWith(network, author!.write(left, secondCollection, 'routine'))
  network.connect(0, 1)
  await network.run(20_000)
  network.isolate(0)
  author!.start(backup.disk, backup.feeds)
  await runWith(network, author!.write(right, secondCollection, 'routine'))
  network.connect(0, 2)
  await network.run(20_000)
  network.isolate(0)
  author!.start(again.disk, again.feeds)
  if (third.length > 0) await runWith(network, author!.write(third, secondCollection, 'routine'))
  for (const ms of cutsMs) {
    network.connect(1, 2)
    network.connect(0, 1)
    const writingMs = writesMeanwhile ? ms : 0
    for (let at = 0; at < writingMs; at += network.chance.int(5, 200))
      network.time.after(at, () => void author!.write([20, 20], secondCollection, 'routine'))
    await network.run(ms)
    network.cut(1, 2)
    network.isolate(0)
    await network.run(5_000)
  }
  return network
}

async function runWith(network: SimulatedNetwork, work: Promise<void>): Promise<void> {
  await network.run(5_000)
  await work
}

describe('a feed with several histories', () => {
  it('reaches everybody with all its branches, whoever meets whom', async () => {
    await fc.assert(
      fc.asyncProperty(story, fc.boolean(), async (each, throughAuthor) => {
        const network = await forked(each)
        if (throughAuthor) network.connect(1, 0)
        else network.connect(0, 1)
        network.connect(throughAuthor ? 0 : 1, 2)
        await network.run(60_000)
        expect(network.differences()).toEqual([])
        const branches = [each.left, each.right, each.third].filter(({ length }) => length > 0)
        const [chain] = [...network.devices[2]!.replica.chains()]
        const found = chain!.leaves().length
        // What the author writes meanwhile may be a branch of its own.
        expect(found).toBeGreaterThanOrEqual(branches.length)
        expect(found).toBeLessThanOrEqual(branches.length + (each.writesMeanwhile ? 1 : 0))
      }),
      { numRuns: 40 },
    )
  })
})

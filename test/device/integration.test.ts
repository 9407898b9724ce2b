import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { bytesToHex } from '../../src/core/bytes.ts'
import { isHavenError } from '../../src/core/errors.ts'
import { connect, sameClock, TestMesh, until } from './support/test-device.ts'
import type { Image, TestDevice } from './support/test-device.ts'

type Step =
  | { kind: 'set'; device: number; record: number; field: number; value: number; urgent: boolean }
  | { kind: 'remove'; device: number; record: number; field: number }
  | { kind: 'delete'; device: number; record: number }
  | { kind: 'hear'; device: number; from: number; feed: number; upTo: number }
  | { kind: 'backup' | 'restore' | 'restart'; device: number }

const writers = 3
const anyDevice = fc.nat(writers - 1)
const record = fc.nat(2)
const field = fc.nat(1)
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('set' as const),
      device: anyDevice,
      record,
      field,
      value: fc.nat(3),
      urgent: fc.nat(5).map((n) => n === 0),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('remove' as const),
      device: anyDevice,
      record,
      field,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('delete' as const), device: anyDevice, record }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('hear' as const),
      device: anyDevice,
      from: anyDevice,
      feed: fc.nat(5),
      upTo: fc.oneof(fc.constant(1_000), fc.integer({ min: 1, max: 6 })),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom('backup' as const, 'restore' as const, 'restart' as const),
      device: anyDevice,
    }),
  },
)
const steps = fc.array(anyStep, { minLength: 4, maxLength: 30 })

/** Of a record that is not there nothing can be taken. */
async function unlessGone(act: Promise<unknown>): Promise<void> {
  try {
    await act
  } catch (error) {
    if (!isHavenError(error, 'NOT_FOUND')) throw error
  }
}

async function play(
  devices: readonly TestDevice[],
  story: readonly Step[],
  images = new Map<number, Image>(),
): Promise<void> {
  for (const step of story) {
    const actor = devices[step.device]!
    switch (step.kind) {
      case 'set':
        await actor.set(`r${step.record}`, { [`f${step.field}`]: String(step.value) }, step.urgent)
        break
      case 'remove':
        await unlessGone(actor.set(`r${step.record}`, { [`f${step.field}`]: undefined }))
        break
      case 'delete':
        await unlessGone(actor.operations.delete('records', `r${step.record}`))
        break
      case 'hear': {
        const from = devices[step.from]!
        // A device that meets commits of its own goes on in new feeds: not here, where nobody tells it.
        const feeds = from.feeds().filter((feed) => !isOwn(actor, from, feed))
        if (from === actor || feeds.length === 0) break
        await actor.take(from, feeds[step.feed % feeds.length]!, step.upTo)
        break
      }
      case 'backup':
        images.set(step.device, await actor.image())
        break
      case 'restore': {
        const image = images.get(step.device)
        if (image !== undefined) await actor.putBack(image)
        images.delete(step.device)
        break
      }
      case 'restart':
        await actor.restart()
        break
    }
    await expectRightSum(actor)
  }
}

function isOwn(device: TestDevice, holder: TestDevice, feed: string): boolean {
  return bytesToHex(holder.runtime.replica.descriptor(feed)!.device) === device.id
}

async function expectRightSum(device: TestDevice): Promise<void> {
  expect(await device.kept()).toEqual(await device.recount())
}

/** Everybody gets everything that anybody holds, feed by feed, in an order of its own. */
async function meet(devices: readonly TestDevice[], order: number): Promise<void> {
  for (let round = 0; round < 2; round++) {
    for (const to of devices) {
      for (const from of order % 2 === 0 ? devices : devices.toReversed()) {
        if (from === to) continue
        const feeds = from.feeds().toSorted()
        for (const feed of order % 3 === 0 ? feeds : feeds.toReversed()) await to.take(from, feed)
      }
    }
  }
}

describe('records', () => {
  it('are the same whatever order commits came in, and sums count what is there', async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.nat(5), async (story, order) => {
        const mesh = await TestMesh.found()
        const devices = await mesh.enrolAll(['clinician', 'clinician', 'clinician', 'clinician'])
        const [a, b, c, fresh] = devices
        await play([a!, b!, c!], story)
        await meet(devices, order)
        for (const each of devices) await expectRightSum(each)
        const hashes = await Promise.all(devices.map((each) => each.contentHash()))
        expect(new Set(hashes).size).toBe(1)
        for (const each of devices) expect(await each.seen()).toEqual(await fresh!.seen())
        await a!.restart()
        expect(await a!.contentHash()).toBe(hashes[0])
        for (const each of mesh.devices) await each.runtime.close()
      }),
      { numRuns: 20 },
    )
  })

  it('are the same with the branches of forked feeds in them', async () => {
    const part = fc.array(anyStep, { minLength: 2, maxLength: 8 })
    await fc.assert(
      fc.asyncProperty(part, part, part, fc.nat(5), async (before, left, right, order) => {
        const mesh = await TestMesh.found()
        const devices = await mesh.enrolAll(['clinician', 'clinician', 'clinician', 'clinician'])
        const [a, b, c, fresh] = devices
        const writing = [a!, b!, c!]
        await a!.set('r0', { f0: '7' })
        await play(writing, before)
        const image = await a!.image()
        await a!.set('r0', { f0: '8' })
        await play(writing, left)
        // Somebody has heard of this history before it is forgotten.
        for (const feed of a!.feeds()) if (!isOwn(b!, a!, feed)) await b!.take(a!, feed)
        await a!.putBack(image)
        await a!.set('r0', { f0: '9' })
        await play(writing, right)
        await meet(devices, order)
        for (const each of devices) await expectRightSum(each)
        const hashes = await Promise.all(devices.map((each) => each.contentHash()))
        expect(new Set(hashes).size).toBe(1)
        for (const each of devices) expect(await each.seen()).toEqual(await fresh!.seen())
        expect([...fresh!.runtime.replica.chains()].some((chain) => chain.forked)).toBe(true)
        for (const each of mesh.devices) await each.runtime.close()
      }),
      { numRuns: 15 },
    )
  })
})

describe('two devices over a link', () => {
  it('have the same records after both wrote, at once and in turn', async () => {
    const mesh = await TestMesh.found()
    const other = await mesh.enrol('clinician')
    const { founder } = mesh
    const cut = connect(founder, other)
    await until(() => sameClock(founder, other))
    await Promise.all([
      founder.set('r1', { dose: '1.00' }),
      other.set('r1', { dose: '2' }),
      other.set('r2', { dose: '3' }, true),
    ])
    await until(async () => (await founder.contentHash()) === (await other.contentHash()))
    expect(await founder.seen()).toEqual(await other.seen())
    const view = await founder.operations.get('records', 'r1')
    expect(
      view.conflicts
        .get('dose')
        ?.map(({ value }) => value)
        .toSorted(),
    ).toEqual(['1.00', '2'])
    await other.set('r1', { dose: '4' })
    await until(async () => (await founder.contentHash()) === (await other.contentHash()))
    expect((await founder.operations.get('records', 'r1')).conflicts.size).toBe(0)
    cut()
  })
})

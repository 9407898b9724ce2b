import { describe, expect, test } from 'vitest'
import { pause } from '../support/until.ts'
import { TestMesh } from './support/test-device.ts'
import type { TestDevice } from './support/test-device.ts'

let a: TestDevice
let b: TestDevice
let c: TestDevice

async function enrolThree(): Promise<void> {
  const mesh = await TestMesh.found()
  const [first, second, third] = await mesh.enrolAll(['clinician', 'clinician', 'clinician'])
  a = first!
  b = second!
  c = third!
}

/** The only feed of this device. */
async function feedAfter(device: TestDevice, ...records: string[]): Promise<string> {
  const before = new Set(device.feeds())
  for (const record of records) await device.set(record, { f0: `"${record} of ${device.id}"` })
  return device.feeds().find((feed) => !before.has(feed))!
}

async function expectRightSum(device: TestDevice): Promise<void> {
  expect(await device.kept()).toEqual(await device.recount())
}

/** Rows of contexts take their time from now on. Tells whether some are on their way. */
function slowContexts({ store }: TestDevice): () => boolean {
  const batch = store.batch.bind(store)
  let isSlow = false
  store.batch = async (changes, options) => {
    const all = [...changes]
    if (all.some(({ kind }) => kind === 'context')) {
      isSlow = true
      await pause(100)
    }
    return batch(all, options)
  }
  return () => isSlow
}

/** How often the store has been asked this since. */
function countCalls({ store }: TestDevice, name: 'contexts' | 'idsAt'): () => number {
  let calls = 0
  const original = store[name].bind(store) as (...all: unknown[]) => never
  store[name] = (...all: unknown[]) => {
    calls++
    return original(...all)
  }
  return () => calls
}

async function untilTrue(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await pause(1)
}

describe('what a commit had seen counts', () => {
  test('when it arrives after a restart, with commits that touch none of the records', async () => {
    await enrolThree()
    const fromA = await feedAfter(a, 'r1', 'r2')
    await b.take(a, fromA)
    const fromB = await feedAfter(b, 'r1')
    await c.take(a, fromA, 1)
    await c.take(b, fromB)
    await expectRightSum(c)
    await c.restart()
    await c.take(a, fromA)
    await expectRightSum(c)
    expect(await c.contentHash()).toBe(await b.contentHash())
  })

  test('when it was on its way to the disk as contexts were loaded', async () => {
    await enrolThree()
    const fromA = await feedAfter(a, 'r1')
    await b.take(a, fromA)
    const fromB = await feedAfter(b, 'r3', 'r1')
    await c.take(a, fromA)
    slowContexts(c)
    const first = c.take(b, fromB, 1)
    await untilTrue(() => c.runtime.integrator.position(fromB, fromB)?.seq === 1)
    await c.take(b, fromB)
    await first
    await expectRightSum(c)
    expect(await c.contentHash()).toBe(await b.contentHash())
  })

  test('when it is that of an own write during which somebody looked at a record', async () => {
    await enrolThree()
    const fromA = await feedAfter(a, 'r0', 'r1')
    await b.take(a, fromA)
    const fromB = await feedAfter(b, 'r0')
    await c.take(a, fromA)
    await c.take(b, fromB)
    await c.restart()
    const isSlow = slowContexts(c)
    const writing = c.set('r5', { f0: '1' })
    await untilTrue(isSlow)
    await c.operations.get('records', 'r0')
    await writing
    await c.set('r1', { f0: '3' })
    const { conflicts } = await c.operations.get('records', 'r1')
    expect([...conflicts.keys()]).toEqual([])
    await expectRightSum(c)
  })

  test('when the record is read after a restart, with nothing loaded of all the others', async () => {
    await enrolThree()
    const fromA = await feedAfter(a, 'r1', 'r2')
    await b.take(a, fromA)
    const fromB = await feedAfter(b, 'r1')
    await c.take(a, fromA, 1)
    await c.take(b, fromB)
    const fields = async () => [...(await c.operations.get('records', 'r1')).conflicts.keys()]
    expect(await fields()).toEqual(['f0'])
    await c.restart()
    const loadedBefore = countCalls(c, 'contexts')
    expect(await fields()).toEqual(['f0'])
    expect(loadedBefore()).toBe(0)
    await c.take(a, fromA)
    expect(await fields()).toEqual([])
    await c.restart()
    const loadedAfter = countCalls(c, 'contexts')
    expect(await fields()).toEqual([])
    expect(loadedAfter()).toBe(0)
  })

  test('after a restart, and what it names is not looked up again', async () => {
    await enrolThree()
    const fromA = await feedAfter(a, 'r1', 'r2', 'r3')
    await b.take(a, fromA, 1)
    const fromB = await feedAfter(b, 'r1')
    await b.take(a, fromA)
    await feedAfter(b, 'r2')
    // The first commit of B names what is here, the second what is not.
    await c.take(a, fromA, 1)
    await c.take(b, fromB)
    await c.take(a, fromA)
    // The last commit of a feed is known without being looked up.
    await a.set('r4', { f0: '4' })
    await c.take(a, fromA)
    await c.restart()
    const lookedUp = countCalls(c, 'idsAt')
    const collection = await c.collection()
    await collection.causalityReady()
    expect([...collection.awaited()]).toEqual([])
    expect(collection.causal.isInPast({ writer: fromA, seq: 3 }, { writer: fromB, seq: 2 })).toBe(
      true,
    )
    expect(lookedUp()).toBe(0)
    await expectRightSum(c)
  })
})

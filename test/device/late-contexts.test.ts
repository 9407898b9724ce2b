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
})

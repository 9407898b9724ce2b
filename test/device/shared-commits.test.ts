import { expect, test } from 'vitest'

import { bytesToHex } from '../../src/core/bytes.ts'
import type { TestDevice } from './support/test-device.ts'
import { TestMesh } from './support/test-device.ts'

const id = 'Patient/p1'

async function two(): Promise<[TestDevice, TestDevice]> {
  const mesh = await TestMesh.found()
  const [a, b] = await mesh.enrolAll(['clinician', 'clinician'])
  return [a!, b!]
}

/** What the other one has written. */
async function hear(to: TestDevice, from: TestDevice): Promise<void> {
  for (const feed of from.feeds('patients')) {
    const { device } = from.runtime.replica.descriptor(feed)!
    if (bytesToHex(device) === from.id) await to.take(from, feed)
  }
}

function set(device: TestDevice, field: string, value: string) {
  return device.operations.set('patients', id, [[field, value]])
}

test('a caller sees what the one before it in the same commit has done, as everybody will see it', async () => {
  const [a, b] = await two()
  await set(b, 'telecom', '["old"]')
  await hear(a, b)
  await set(a, 'active', 'true')
  await b.operations.delete('patients', id)
  await hear(a, b)
  // The first makes the record anew, so that nothing of the old one shows for the second to add to.
  const [first, second] = await Promise.all([
    set(a, 'active', 'false'),
    set(a, 'telecom', '["old","new"]'),
  ])
  expect(second.commit).toEqual(first.commit)
  const { fields } = await a.operations.get('patients', id)
  expect(Object.fromEntries(fields)).toEqual({ active: 'false', telecom: '["old","new"]' })
})

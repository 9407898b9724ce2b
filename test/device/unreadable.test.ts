import { expect, it } from 'vitest'

import { HavenError } from '../../src/core/errors.ts'
import { connect, sameClock, TestMesh, until } from './support/test-device.ts'

it('What the disk does not give is asked for again when the peer wants it again, not at once', async () => {
  const mesh = await TestMesh.found(3)
  const [other] = await mesh.enrolAll(['clinician'])
  const device = mesh.founder
  await device.set('r', { name: '"Anna"' })
  const own = device.feeds()
  const commits = device.store.commits.bind(device.store)
  let failing = true
  let reads = 0
  device.store.commits = async (range) => {
    if (!failing || !own.includes(range.feed)) return commits(range)
    reads += 1
    await new Promise(setImmediate)
    throw new HavenError('STORE_FAILED', 'The disk has a fault.')
  }
  const cut = connect(device, other!)
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(reads).toBeGreaterThan(0)
  expect(reads).toBeLessThan(10)

  failing = false
  cut()
  connect(device, other!)
  await until(() => sameClock(device, other!))
})

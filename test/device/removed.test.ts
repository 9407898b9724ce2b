import { expect, it } from 'vitest'

import { isHavenError } from '../../src/core/errors.ts'
import { issueRevocation } from '../../src/identity/revocation.ts'
import { systemRandom } from '../../src/device/system.ts'
import { connect, sameClock, TestMesh, until } from './support/test-device.ts'
import type { TestDevice } from './support/test-device.ts'

async function fieldsOf(device: TestDevice): Promise<string[]> {
  await device.idle()
  return [...(await device.operations.get('records', 'r')).fields.keys()].toSorted()
}

it('what a removed device wrote up to the cut shows, and what lies beyond does not', async () => {
  const mesh = await TestMesh.found(5)
  const { founder } = mesh
  const [nurse, other] = await mesh.enrolAll(['clinician', 'clinician'])
  await nurse!.set('r', { before: '1' })
  const cut = connect(founder, nurse!)
  await until(() => sameClock(founder, nurse!))
  cut()

  const heads = [...founder.runtime.replica.descriptors()]
    .filter(({ device }) => Buffer.from(device).toString('hex') === nurse!.id)
    .flatMap(({ feed }) => founder.runtime.replica.chain(feed).entries())
  const revocation = issueRevocation(
    { mesh: mesh.mesh, device: nurse!.id, timeMs: 1, heads },
    founder.keys.signing,
    systemRandom,
  )
  await founder.runtime.writeFacts([{ kind: 'revocation', revocation }])
  expect(founder.runtime.control.membership.isRevoked(nurse!.id)).toBe(true)
  expect(await fieldsOf(founder)).toEqual(['before'])

  // What comes after the cut is kept, and does not count.
  await nurse!.set('r', { after: '2' })
  const [feed] = nurse!.feeds()
  await founder.take(nurse!, feed!)
  expect(founder.runtime.replica.chain(feed!).seq).toBe(2)
  expect(await fieldsOf(founder)).toEqual(['before'])

  // Unless another member says that it held it when it learnt of the removal: the cut is the highest of these statements.
  const late = connect(nurse!, other!)
  await until(() => sameClock(nurse!, other!) || other!.runtime.replica.chain(feed!).seq === 2)
  late()
  connect(other!, founder)
  await until(() => sameClock(other!, founder))
  await until(async () => (await fieldsOf(founder)).length === 2)
  expect(await fieldsOf(founder)).toEqual(['after', 'before'])
  await until(async () => (await fieldsOf(other!)).length === 2)
  expect(await other!.contentHash()).toBe(await founder.contentHash())
})

it('a courier is told that it can export nothing, instead of getting an empty file', async () => {
  const mesh = await TestMesh.found(6)
  const [courier] = await mesh.enrolAll(['courier'])
  const lines: string[] = []
  const failure = await (async () => {
    for await (const line of courier!.operations.export()) lines.push(line)
    return undefined
  })().catch((error: unknown) => error)
  expect(isHavenError(failure, 'NOT_ALLOWED')).toBe(true)
  expect(lines).toEqual([])
})

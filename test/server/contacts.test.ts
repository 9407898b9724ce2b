import { expect, test } from 'vitest'
import { withControl } from '../../src/server/reach-server.ts'
import { TestMesh, until } from '../device/support/test-device.ts'
import { bridged, register, TestServer } from './support.ts'

test('members are written down when they were heard of, and nobody else: of strangers there is no end', async () => {
  const server = await TestServer.start()
  const mesh = await TestMesh.found(1)
  const [second] = await mesh.enrolAll(['admin'])
  const other = await TestMesh.found(2)
  await register(mesh.founder, server)
  const summary = async () => {
    const [found] = await withControl(server.place, (control) => control.meshes())
    return found!
  }
  expect(await summary()).toMatchObject({ devices: 0, lastContact: null })
  const stray = await bridged(other.founder, server, { mesh: mesh.mesh })
  await until(() => stray.reasons.length === 1)
  expect(await summary()).toMatchObject({ devices: 0, lastContact: null })
  const before = Date.now()
  await bridged(mesh.founder, server)
  await until(async () => (await summary()).devices === 1)
  await bridged(second!, server)
  await until(async () => (await summary()).devices === 2)
  const { lastContact, commits, problem } = await summary()
  expect(Date.parse(lastContact!)).toBeGreaterThanOrEqual(before)
  expect([commits > 0, problem]).toEqual([true, null])
  // Without the server all the same.
  await server.server.close()
  expect(await summary()).toMatchObject({ devices: 2, quotaBytes: null })
})

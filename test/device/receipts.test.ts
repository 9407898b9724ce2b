/** What a device that never had a way out knows of servers: by their announcements, which others carry. */
import { describe, expect, it } from 'vitest'

import type { RecordHolder } from '../../src/device/api.ts'
import { recordStatus } from '../../src/device/record-status.ts'
import { exchangeAnnouncements, meet } from './support/meeting.ts'
import { TestMesh, until } from './support/test-device.ts'
import type { TestDevice } from './support/test-device.ts'

const dayMs = 24 * 3_600_000

/** A clinic that meets only the bridge, and servers that only the bridge meets. */
async function clinicAndServers() {
  const mesh = await TestMesh.found()
  const [clinic, bridge, server, other] = await mesh.enrolAll([
    'clinician',
    'clinician',
    'server',
    'server',
  ])
  await clinic!.set('r', { dose: '1' })
  return { mesh, clinic: clinic!, bridge: bridge!, server: server!, other: other! }
}

async function statusOf(device: TestDevice) {
  return recordStatus(device.runtime, 'records', 'r')
}

async function holder(of: TestDevice, server: TestDevice): Promise<RecordHolder> {
  return (await statusOf(of)).holders.find(({ device }) => device.id === server.id)!
}

/** Up to the server, and back with what it announced. */
async function bridged(clinic: TestDevice, bridge: TestDevice, server: TestDevice): Promise<void> {
  await exchangeAnnouncements(clinic, bridge)
  await exchangeAnnouncements(bridge, server)
  const heardBy = (device: TestDevice) => device.runtime.driver.engine.book.entries.get(server.id)
  const part = await meet(bridge, clinic)
  await until(
    () =>
      heardBy(clinic)?.announcement?.number === heardBy(bridge)?.announcement?.number &&
      heardBy(clinic)?.known?.digest === heardBy(clinic)?.announcement?.clockDigest,
  )
  await part()
}

describe('a receipt', () => {
  it('reaches a device that never met the server, and stays what it was when either starts again', async () => {
    const { mesh, clinic, bridge, server } = await clinicAndServers()
    expect(await statusOf(clinic)).toMatchObject({ onServer: false })
    await bridged(clinic, bridge, server)
    const held = await holder(clinic, server)
    expect(held).toMatchObject({ holds: true, clockOff: false })
    expect(await statusOf(clinic)).toMatchObject({ onServer: true })
    await clinic.restart()
    await server.restart()
    mesh.nowMs += 3 * dayMs
    await bridge.set('other', { n: '1' })
    await bridged(clinic, bridge, server)
    expect(await holder(clinic, server)).toMatchObject({ holds: true, since: held.since })
  })

  it('of one of two servers is enough, and says nothing of the other', async () => {
    const { clinic, bridge, server, other } = await clinicAndServers()
    await exchangeAnnouncements(bridge, other)
    await bridged(clinic, bridge, server)
    expect(await holder(clinic, server)).toMatchObject({ holds: true })
    expect((await holder(clinic, other)).holds).not.toBe(true)
    expect(await statusOf(clinic)).toMatchObject({ onServer: true })
  })

  it('is void when the server was put back to before it had the record', async () => {
    const { mesh, clinic, bridge, server } = await clinicAndServers()
    const image = await server.image()
    await bridged(clinic, bridge, server)
    expect(await statusOf(clinic)).toMatchObject({ onServer: true })
    mesh.nowMs += dayMs
    await server.putBack(image)
    // It meets somebody who does not have the record either, takes something else in, and says what it holds now.
    await mesh.founder.set('other', { n: '1' })
    await exchangeAnnouncements(mesh.founder, server)
    const heardBy = (device: TestDevice) => device.runtime.driver.engine.book.entries.get(server.id)
    for (const [via, to] of [
      [mesh.founder, bridge],
      [bridge, clinic],
    ] as const) {
      const part = await meet(via, to)
      await until(
        () =>
          heardBy(to)?.announcement?.number === heardBy(via)?.announcement?.number &&
          heardBy(to)?.known?.digest === heardBy(to)?.announcement?.clockDigest,
      )
      await part()
    }
    const { holds, since } = await holder(clinic, server)
    expect({ holds, since }).toEqual({ holds: false, since: null })
    expect(await statusOf(clinic)).toMatchObject({ onServer: false })
  })

  it('with a time that can not be right is marked, ahead and behind', async () => {
    for (const offMs of [2 * dayMs, -900 * dayMs]) {
      const { clinic, bridge, server } = await clinicAndServers()
      const { clock } = server.runtime
      const nowMs = clock.nowMs.bind(clock)
      // White-box: the server's own clock is off.
      Object.assign(clock, { nowMs: () => nowMs() + offMs })
      await exchangeAnnouncements(clinic, bridge)
      const part = await meet(bridge, server)
      const { engine } = server.runtime.driver
      engine.tick(nowMs() + offMs + 10_000)
      server.runtime.driver.pump()
      const heardBy = (device: TestDevice) =>
        device.runtime.driver.engine.book.entries.get(server.id)
      await until(
        () => heardBy(bridge)?.announcement?.clockDigest === server.runtime.replica.digest,
      )
      await part()
      const back = await meet(bridge, clinic)
      await until(() => heardBy(clinic)?.known?.digest === server.runtime.replica.digest)
      await back()
      expect(await holder(clinic, server)).toMatchObject({ holds: true, clockOff: true })
    }
  })
})

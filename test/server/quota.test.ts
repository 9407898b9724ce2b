import { randomBytes } from 'node:crypto'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Bridging } from '../../src/device/bridging.ts'
import { systemClock, systemRandom, systemTimers } from '../../src/device/system.ts'
import { limits } from '../../src/core/limits.ts'
import { encodeServerInvitation } from '../../src/bridge/server-invitation.ts'
import type { StoreChange } from '../../src/feed/commit-store.ts'
import { lateRowsMs } from '../../src/server/late-rows.ts'
import { Quota } from '../../src/server/quota.ts'
import { StoredSentBytes } from '../../src/server/sent-bytes.ts'
import { TestMesh, until } from '../device/support/test-device.ts'
import { bridged, register, TestServer } from './support.ts'

const dayMs = 24 * 60 * 60 * 1000
/** Not to be compressed much. */
const text = () => JSON.stringify(randomBytes(10_000).toString('base64'))

describe('how much may still come', () => {
  const quotaOf = async (storedBytes: () => number, nowMs = () => 0) => {
    const store = { metas: () => Promise.resolve([]), batch: () => Promise.resolve() }
    const sent = await StoredSentBytes.load(store, systemTimers)
    onTestFinished(() => sent.close())
    return new Quota({
      limits: { meshBytes: 1e9, deviceBytesPerDay: 1e8 },
      storedBytes,
      sent: () => sent,
      nowMs,
    })
  }

  test('is what the mesh and the device have left', async () => {
    let storedBytes = 0
    const quota = await quotaOf(() => storedBytes)
    expect(quota.intake('a')).toBe(1e8)
    quota.sent('a', 3e7)
    expect(quota.intake('a')).toBe(7e7)
    expect(quota.intake('b')).toBe(1e8)
    storedBytes = 1e9 - 5
    expect(quota.intake('b')).toBe(5)
    storedBytes = 1e9
    expect(quota.intake('b')).toBe(0)
    storedBytes = 1e9 + 5e7
    expect(quota.intake('b')).toBe(0)
    storedBytes += 1
    expect(quota.intake('b')).toBe(-1)
  })

  test('is a whole day’s for a device each day', async () => {
    let nowMs = 5 * dayMs + 1
    const quota = await quotaOf(
      () => 0,
      () => nowMs,
    )
    quota.sent('a', 1e8)
    expect(quota.intake('a')).toBe(0)
    quota.sent('a', 2 * limits.windowMaxBytes + 1)
    expect(quota.intake('a')).toBe(-1)
    expect(quota.untilTomorrowMs).toBe(dayMs - 1)
    nowMs += quota.untilTomorrowMs
    expect(quota.intake('a')).toBe(1e8)
  })
})

describe('a mesh over its quota', () => {
  test('is told so, loses nothing, gets what it has there, and goes on when there is room', async () => {
    const server = await TestServer.start({ quota: { meshBytes: 150_000, deviceBytesPerDay: 1e9 } })
    const mesh = await TestMesh.found()
    const [far] = await mesh.enrolAll(['admin'])
    await register(mesh.founder, server)
    for (let i = 0; i < 30; i++) await mesh.founder.set(`r${i}`, { x: text() })
    const link = await bridged(mesh.founder, server)
    const { device } = server.server.keys
    const session = () => mesh.founder.runtime.driver.engine.sessionWith(device)
    await until(() => session()?.failure === 'QUOTA_EXCEEDED')
    const { total } = server.server.usageOf(mesh.mesh)!
    expect(total.bytes).toBeGreaterThan(75_000)
    expect(total.bytes).toBeLessThan(400_000)
    expect(session()).toMatchObject({ state: 'open' })
    expect(session()!.ahead).toBeGreaterThan(0)

    // Another camp still gets what is there.
    const there = await bridged(far!, server)
    await until(() => {
      const runtime = server.server.runtimeOf(mesh.mesh)!
      return far!.runtime.replica.digest === runtime.replica.digest
    })
    there.cut()
    link.cut()

    // Who runs the server gives it more.
    await server.restart({ quota: { meshBytes: 1e9, deviceBytesPerDay: 1e9 } })
    expect(server.server.usageOf(mesh.mesh)!.total).toEqual(total)
    await bridged(mesh.founder, server)
    await until(() => {
      const runtime = server.server.runtimeOf(mesh.mesh)!
      return runtime.replica.digest === mesh.founder.runtime.replica.digest
    }, 20_000)
  })

  test('shows it on the device that brings it', async () => {
    const server = await TestServer.start({ quota: { meshBytes: 10_000, deviceBytesPerDay: 1e9 } })
    const { founder } = await TestMesh.found()
    for (let i = 0; i < 5; i++) await founder.set(`r${i}`, { x: text() })
    const bridging = await Bridging.open({
      runtime: founder.runtime,
      clock: systemClock,
      random: systemRandom,
      log: () => {},
    })
    await bridging.add(encodeServerInvitation(await server.invite()))
    bridging.up({ auto: false })
    await until(() => bridging.status().servers[0]?.problem?.code === 'QUOTA_EXCEEDED')
    expect(bridging.status().servers[0]).toMatchObject({ state: 'connected' })
    expect(bridging.notices()).toMatchObject([{ code: 'QUOTA_EXCEEDED' }])
    await bridging.close()
  })
})

describe('what a device has sent today', () => {
  test('still counts after a restart', async () => {
    const quota = { meshBytes: 1e9, deviceBytesPerDay: 200_000 }
    const server = await TestServer.start({ quota })
    const { founder } = await TestMesh.found()
    await register(founder, server)
    for (let i = 0; i < 30; i++) await founder.set(`r${i}`, { x: text() })
    const isFull = () =>
      founder.runtime.driver.engine.sessionWith(server.server.keys.device)?.failure ===
      'QUOTA_EXCEEDED'
    const first = await bridged(founder, server)
    await until(isFull)
    first.cut()
    const { commits } = server.server.usageOf(founder.mesh.mesh)!.total
    await server.restart({ quota })
    const second = await bridged(founder, server)
    await until(isFull)
    second.cut()
    // What was under way at the first may be taken, and facts: not what a second day's quota would let in.
    const more = server.server.usageOf(founder.mesh.mesh)!.total.commits - commits
    expect(more).toBeLessThan(5)
  })

  test('is written once in a while, not with each frame', async () => {
    const written: StoreChange[][] = []
    const due: (() => void)[] = []
    const store = {
      metas: () => Promise.resolve([]),
      batch: (changes: readonly StoreChange[]) => {
        written.push([...changes])
        return Promise.resolve()
      },
    }
    const timers = {
      after: (delayMs: number, run: () => void) => {
        expect(delayMs).toBe(lateRowsMs)
        due.push(run)
        return () => {}
      },
    }
    const sent = await StoredSentBytes.load(store, timers)
    for (let i = 0; i < 100; i++) sent.add('aa', 7, 10)
    sent.add('bb', 7, 1)
    expect([written.length, due.length, sent.of('aa', 7), sent.of('aa', 8)]).toEqual([
      0, 1, 1000, 0,
    ])
    due[0]!()
    await until(() => written.length === 1)
    expect(written[0]!.map((row) => row.kind === 'meta' && row.name)).toEqual([
      'server/sent/aa',
      'server/sent/bb',
    ])
    sent.add('aa', 8, 5)
    await sent.close()
    expect(written).toHaveLength(2)
    const rows = new Map(
      written.flat().map((row) => (row.kind === 'meta' ? [row.name, row.value] : [])) as [
        string,
        Uint8Array,
      ][],
    )
    const metas = () => Promise.resolve([...rows].map(([name, value]) => ({ name, value })))
    const again = await StoredSentBytes.load({ ...store, metas }, timers)
    expect([again.of('aa', 8), again.of('aa', 7), again.of('bb', 7)]).toEqual([5, 0, 1])
  })
})

test('what is stored is counted by who wrote it, as it is on the disk after a restart', async () => {
  const server = await TestServer.start()
  const mesh = await TestMesh.found()
  const [nurse] = await mesh.enrolAll(['clinician'])
  await register(mesh.founder, server)
  await nurse!.set('a', { x: text() })
  for (const feed of nurse!.feeds()) await mesh.founder.take(nurse!, feed)
  await bridged(mesh.founder, server)
  const runtime = () => server.server.runtimeOf(mesh.mesh)!
  await until(() => runtime().replica.digest === mesh.founder.runtime.replica.digest)
  const counted = server.server.usageOf(mesh.mesh)!
  let bytes = 0
  let commits = 0
  for (const { feed } of await mesh.founder.store.descriptors())
    for (const commit of await mesh.founder.store.commits({ feed, after: 0 })) {
      commits += 1
      bytes += commit.header.length + commit.ciphertext.length
    }
  expect(counted.total.commits).toBe(commits)
  expect(counted.total.bytes).toBeGreaterThanOrEqual(bytes)
  expect(counted.total.bytes).toBeLessThanOrEqual(bytes + 64 * commits)
  expect(counted.byDevice.get(nurse!.id)?.commits).toBeGreaterThan(0)
  const before = new Map(counted.byDevice)
  await server.restart()
  expect(new Map(server.server.usageOf(mesh.mesh)!.byDevice)).toEqual(before)
})

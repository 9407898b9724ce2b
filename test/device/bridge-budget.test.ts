import { randomBytes } from 'node:crypto'
import { describe, expect, onTestFinished, test } from 'vitest'
import { encodeServerInvitation } from '../../src/bridge/server-invitation.ts'
import { Bridging } from '../../src/device/bridging.ts'
import { DataUse } from '../../src/device/data-use.ts'
import { systemRandom } from '../../src/device/system.ts'
import { bridged, TestServer } from '../server/support.ts'
import { TestMesh, until } from './support/test-device.ts'
import type { TestDevice } from './support/test-device.ts'

const dayMs = 24 * 60 * 60 * 1000
const kb = 1000

/** So many bytes as a value, not to be compressed. */
const text = (bytes: number) => JSON.stringify(randomBytes((bytes * 3) / 4).toString('base64'))

async function bridgingOf(
  { runtime }: TestDevice,
  clock: { nowMs: () => number },
  restAfterMs?: number,
): Promise<Bridging> {
  const options = { runtime, clock, random: systemRandom, log: () => {} }
  const rest = restAfterMs === undefined ? {} : { restAfterMs }
  const bridging = await Bridging.open({ ...options, ...rest })
  onTestFinished(() => bridging.close())
  return bridging
}

describe('a device with a budget', () => {
  async function camp(restAfterMs?: number) {
    const server = await TestServer.start()
    const mesh = await TestMesh.found()
    const [far] = await mesh.enrolAll(['admin'])
    const clock = { ms: Date.UTC(2026, 5, 1, 12), nowMs: () => clock.ms }
    const bridging = await bridgingOf(mesh.founder, clock, restAfterMs)
    await bridging.add(encodeServerInvitation(await server.invite()))
    const atServer = (device: TestDevice) =>
      server.server.runtimeOf(mesh.mesh)?.replica.digest === device.runtime.replica.digest
    return { server, mesh, founder: mesh.founder, far: far!, clock, bridging, atServer }
  }

  test('stops before the reserve, exchanges what is urgent from it, and goes on the next day', async () => {
    const { server, founder, far, clock, bridging, atServer } = await camp()
    await bridging.setBudget({ bytes: 600 * kb, per: 'day', urgentBytes: 300 * kb })
    for (let i = 0; i < 60; i++) await founder.set(`r${i}`, { x: text(20 * kb) })
    bridging.up({ auto: false })
    await until(() => bridging.status().budget?.state === 'urgent', 20_000)
    const { ahead } = bridging.status().servers[0]!
    expect(ahead).toBeGreaterThan(20)
    expect(ahead).toBeLessThan(60)
    expect(bridging.status().budget!.usedBytes).toBeLessThan(420 * kb)
    expect(bridging.notices()).toMatchObject([{ code: 'BUDGET_URGENT' }])
    expect(bridging.notices()[0]!.message).toContain('2026-06-02T00:00:00')

    // Another camp has an uplink without a budget.
    await bridged(far, server)
    await until(() => atServer(far))
    await far.set('from-far', { x: '"routine"' })
    await far.set('from-far', { y: '"urgent"' }, true)
    await founder.set('from-here', { y: '"urgent"' }, true)
    await until(async () => (await fieldsOf(far, 'from-here')).includes('y'))
    await until(async () => (await fieldsOf(founder, 'from-far')).includes('y'))
    expect(await fieldsOf(founder, 'from-far'), 'what is not urgent waits').toEqual(['y'])
    expect(await fieldsOf(far, 'r59')).toEqual([])
    expect(bridging.status().budget!.state).toBe('urgent')

    clock.ms += dayMs
    await until(() => bridging.status().budget?.state === 'open', 20_000)
    expect(bridging.status().budget!.usedBytes).toBeLessThan(600 * kb)
    await bridging.setBudget(undefined)
    await until(() => atServer(founder) && atServer(far), 20_000)
  })

  test('leaves servers alone when all of it is used, says until when, also after a restart', async () => {
    const { founder, clock, bridging, atServer } = await camp()
    bridging.up({ auto: false })
    await until(() => atServer(founder))
    await until(() => bridging.status().carried.day > 5 * kb)
    await bridging.setBudget({ bytes: 5 * kb, per: 'month', urgentBytes: 1 * kb })
    expect(bridging.status()).toMatchObject({
      budget: { state: 'used', leftBytes: 0, until: '2026-07-01T00:00:00.000Z' },
      servers: [{ state: 'idle' }],
    })
    expect(bridging.notices()).toMatchObject([{ code: 'BUDGET_USED' }])
    expect(bridging.notices()[0]!.message).toContain('2026-07-01T00:00:00')
    await bridging.close()
    const { month } = bridging.status().carried
    const later = await bridgingOf(founder, clock)
    later.up({ auto: false })
    expect(later.status()).toMatchObject({ budget: { state: 'used' }, carried: { month } })
    expect(later.status().servers[0]!.state).toBe('idle')
    await founder.set('a', { x: '1' }, true)
    clock.ms = Date.UTC(2026, 6, 1, 0, 0, 1)
    await later.setBudget({ bytes: 5_000 * kb, per: 'month', urgentBytes: 1 * kb })
    await until(() => atServer(founder))
  })

  test('does not stay connected on the reserve, and calls at once when something urgent is written', async () => {
    const { server, mesh, founder, clock, bridging, atServer } = await camp(500)
    bridging.up({ auto: false })
    await until(() => bridging.status().servers[0]?.ahead === 0)
    const used = bridging.status().carried.day
    await bridging.setBudget({ bytes: used + 300 * kb, per: 'day', urgentBytes: used + 290 * kb })
    await until(() => bridging.status().servers[0]?.state === 'waiting', 20_000)
    const { nextTry, problem, since } = bridging.status().servers[0]!
    expect(problem).toBeNull()
    expect(Date.parse(nextTry!) - Date.parse(since!)).toBeGreaterThan(60 * 60_000)
    expect(bridging.status().budget!.state).toBe('urgent')
    await founder.set('routine', { x: '1' })
    const link = () =>
      server.server.runtimeOf(mesh.mesh)!.driver.engine.sessionWith(founder.id)?.state
    await until(() => link() === undefined)
    await founder.set('urgent', { x: '1' }, true)
    const urgent = () =>
      [...founder.runtime.replica.descriptors()].find(({ lane }) => lane === 'urgent')!.feed
    await until(() => server.server.runtimeOf(mesh.mesh)!.replica.chain(urgent()).seq > 0, 20_000)
    expect(bridging.status().servers[0]!.ahead).toBeGreaterThan(0)
    await until(() => bridging.status().servers[0]?.state === 'waiting', 20_000)

    clock.ms += dayMs
    await until(() => atServer(founder), 20_000)
  })

  test('may not keep all of it for what is urgent', async () => {
    const { bridging } = await camp()
    await expect(
      bridging.setBudget({ bytes: 5, per: 'day', urgentBytes: 5 }),
    ).rejects.toMatchObject({ code: 'USAGE' })
  })
})

describe('what was carried', () => {
  test('is known after a crash but for a hundredth of the budget', async () => {
    const { founder } = await TestMesh.found()
    const nowMs = Date.UTC(2026, 5, 1, 12)
    const use = await DataUse.load(founder.store)
    await use.setBudget({ bytes: 1_000 * kb, per: 'day', urgentBytes: 0 })
    for (let i = 0; i < 99; i++) await use.carried(1_500, nowMs)
    const after = await DataUse.load(founder.store)
    expect(after.usedBytes('day', nowMs)).toBeGreaterThan(99 * 1_500 - 10 * kb)
    await use.save()
    expect((await DataUse.load(founder.store)).usedBytes('day', nowMs)).toBe(99 * 1_500)
  })

  test('begins anew with a day and with a month, and not when the clock is put back', async () => {
    const { founder } = await TestMesh.found()
    const use = await DataUse.load(founder.store)
    const nowMs = Date.UTC(2026, 5, 30, 23, 59)
    await use.carried(10, nowMs)
    expect([use.usedBytes('day', nowMs), use.usedBytes('month', nowMs)]).toEqual([10, 10])
    await use.carried(5, nowMs - dayMs)
    expect([use.usedBytes('day', nowMs - dayMs), use.usedBytes('month', nowMs)]).toEqual([15, 15])
    expect(use.usedBytes('day', nowMs)).toBe(0)
    await use.carried(1, nowMs + dayMs)
    expect(use.usedBytes('month', nowMs + dayMs)).toBe(1)
  })
})

async function fieldsOf(device: TestDevice, id: string): Promise<string[]> {
  const collection = await device.collection()
  for await (const state of collection.allStates())
    if (state.id === id) return [...(await collection.view(state)).fields.keys()]
  return []
}

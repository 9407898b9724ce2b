import { describe, expect, it } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import type { SimulatedDevice } from './support/simulated-device.ts'
import { SimulatedNetwork } from './support/simulated-network.ts'
import { firstCollection, secondCollection } from './support/stub-authority.ts'

const calm = { delayMs: [5, 5] as const }
const minuteMs = 60_000

function many(count: number, bytes: number): number[] {
  return Array.from({ length: count }, () => bytes)
}

function bytesOf(device: SimulatedDevice): number {
  return device.sessions().reduce((sum, { bytes }) => sum + bytes.in + bytes.out, 0)
}

/** A bridge (0) with a server (1), to which other camps (2, 3, …) are connected. */
async function bridged(camps = 1) {
  const network = new SimulatedNetwork({ seed: 7, devices: 2 + camps, weather: calm })
  const [bridge, server, ...others] = network.devices
  for (const { index } of others) network.connect(index, 1)
  await network.run(2_000)
  const say = (bytes: number) => {
    bridge!.intake = () => Math.min(bytes, limits.windowMaxBytes)
    bridge!.outflow = () => bytes
    bridge!.driver.engine.intakeChanged(network.time.nowMs())
    bridge!.driver.pump()
  }
  return { network, bridge: bridge!, server: server!, others, say }
}

const routine = (device: SimulatedDevice, sizes: readonly number[]) =>
  void device.write(sizes, secondCollection, 'routine')
const urgent = (device: SimulatedDevice) => void device.write([100], secondCollection, 'urgent')
const fact = (device: SimulatedDevice) => void device.write([100], firstCollection, 'routine')

describe('a link on which only what is urgent may go', () => {
  it('carries control facts and urgent commits both ways, and everything when it may', async () => {
    const { network, bridge, server, others, say } = await bridged()
    say(0)
    routine(bridge, many(30, 2_000))
    routine(others[0]!, many(30, 2_000))
    for (const device of [bridge, others[0]!]) {
      urgent(device)
      fact(device)
    }
    network.connect(0, 1)
    await network.run(30_000)
    expect(bridge.commits.size).toBe(32 + 2)
    expect(server.commits.size).toBe(32 + 2)
    urgent(bridge)
    fact(others[0]!)
    await network.run(5_000)
    expect(bridge.commits.size).toBe(33 + 3)
    expect(server.commits.size).toBe(33 + 3)
    const [session] = bridge.sessions()
    say(1e6)
    await network.run(10_000)
    expect(bridge.replica.digest).toBe(server.replica.digest)
    expect(bridge.sessions()).toEqual([session])
    expect(network.differences()).toEqual([])
  })

  it('is as good as silent while others exchange, and tells of it every ten minutes', async () => {
    const { network, bridge, server, others, say } = await bridged(3)
    say(0)
    routine(bridge, many(50, 2_000))
    network.connect(0, 1)
    await network.run(minuteMs)
    const before = bytesOf(bridge)
    for (let minute = 0; minute < 60; minute++) {
      for (const camp of others) routine(camp, [500])
      await network.run(minuteMs)
    }
    // Six times what is new of three camps and of the server: their announcements, and clocks.
    expect(bytesOf(bridge) - before).toBeLessThan(20_000)
    const lag = others.map(({ id }) => {
      const known = bridge.driver.engine.book.entries.get(id)?.announcement
      return network.time.nowMs() - (known?.timeMs ?? 0)
    })
    expect(Math.max(...lag)).toBeLessThan(12 * minuteMs)
    expect(bridge.sessions()[0]).toMatchObject({ ahead: 50 })
    expect(bridge.sessions()[0]!.behind).toBeGreaterThan(140)
    expect(server.commits.size).toBe(180)
  })

  it('brings the receipt of an urgent commit at once, for those without an uplink', async () => {
    const { network, bridge, server, say } = await bridged()
    say(0)
    network.connect(0, 1)
    await network.run(minuteMs)
    urgent(bridge)
    await network.run(10_000)
    const known = bridge.driver.engine.book.entries.get(server.id)
    expect(known?.announcement?.commits).toBe(1)
    expect(known?.known?.digest).toBe(bridge.replica.digest)
  })
})

it('about as much goes both ways together as is allowed: a run that came with one signature goes on whole', async () => {
  const { network, bridge, server, others, say } = await bridged()
  routine(bridge, many(400, 2_000))
  routine(others[0]!, many(400, 2_000))
  const leftBytes = 400_000
  const used = () =>
    bridge
      .sessions()
      .reduce((sum, { receivedBytes, window }) => sum + receivedBytes + window.sentBytes, 0)
  const half = () => Math.max(0, Math.floor((leftBytes - used()) / 2))
  bridge.intake = () => Math.min(half(), limits.windowMaxBytes)
  bridge.outflow = half
  network.connect(0, 1)
  await network.run(60_000)
  expect(used()).toBeGreaterThan(leftBytes * 0.8)
  expect(used()).toBeLessThan(leftBytes + limits.frameBytes)
  expect(server.commits.size).toBeGreaterThan(420)
  expect(bridge.commits.size).toBeGreaterThan(420)
  say(1e6)
  await network.run(60_000)
  expect(network.differences()).toEqual([])
})

import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { SimulatedNetwork } from './support/simulated-network.ts'
import type { Backup } from './support/simulated-device.ts'
import { firstCollection, secondCollection } from './support/stub-authority.ts'

type Action =
  | {
      kind: 'write'
      device: number
      commits: number
      bytes: number
      collection: string
      urgent: boolean
    }
  | { kind: 'connect' | 'dial' | 'cut'; a: number; b: number }
  | { kind: 'wait'; ms: number }
  | { kind: 'crash' | 'backup' | 'restore'; device: number }
  | { kind: 'failDisk'; device: number; after: number }

const devices = 3
const device = fc.nat(devices - 1)
const pair = fc
  .tuple(device, fc.integer({ min: 1, max: devices - 1 }))
  .map(([a, step]) => ({ a, b: (a + step) % devices }))

const write = fc.record({
  kind: fc.constant('write' as const),
  device,
  commits: fc.integer({ min: 1, max: 12 }),
  bytes: fc.constantFrom(20, 900, 9_000),
  collection: fc.constantFrom(firstCollection, secondCollection),
  urgent: fc.boolean(),
})
const wait = fc.record({
  kind: fc.constant('wait' as const),
  ms: fc.constantFrom(1, 20, 150, 1_200, 12_000),
})
const links = fc
  .tuple(
    fc.constantFrom('connect' as const, 'connect' as const, 'dial' as const, 'cut' as const),
    pair,
  )
  .map(([kind, ends]) => ({ kind, ...ends }))
const crash = fc.record({ kind: fc.constant('crash' as const), device })
const failDisk = fc.record({ kind: fc.constant('failDisk' as const), device, after: fc.nat(4) })
const backup = fc.record({ kind: fc.constantFrom('backup' as const, 'restore' as const), device })

async function play(network: SimulatedNetwork, actions: readonly Action[]): Promise<void> {
  const backups = new Map<number, Backup>()
  for (const action of actions) {
    switch (action.kind) {
      case 'write': {
        const sizes = Array.from({ length: action.commits }, () => action.bytes)
        const lane = action.urgent ? 'urgent' : 'routine'
        void network.devices[action.device]!.write(sizes, action.collection, lane)
        break
      }
      case 'connect':
        network.connect(action.a, action.b)
        break
      case 'dial':
        network.dial(action.a, action.b)
        break
      case 'cut':
        network.cut(action.a, action.b)
        break
      case 'wait':
        await network.run(action.ms)
        break
      case 'crash': {
        network.isolate(action.device)
        const crashed = network.devices[action.device]!
        crashed.start(crashed.store.disk)
        break
      }
      case 'failDisk':
        network.devices[action.device]!.store.failAfter(action.after)
        break
      case 'backup':
        backups.set(action.device, network.devices[action.device]!.backup())
        break
      case 'restore': {
        const from = backups.get(action.device)
        if (from === undefined) break
        network.isolate(action.device)
        backups.delete(action.device)
        network.devices[action.device]!.start(from.disk, from.feeds)
        break
      }
    }
  }
}

/** All disks and links work again, in a row, and everybody has time. */
async function heal(network: SimulatedNetwork): Promise<void> {
  for (const each of network.devices) {
    if (!each.store.failed) {
      each.store.recover()
      continue
    }
    network.isolate(each.index)
    each.start(each.store.disk)
  }
  await network.run(6_000)
  for (let index = 1; index < network.devices.length; index++) network.connect(index - 1, index)
  await network.run(60_000)
}

async function converges(seed: number, actions: readonly Action[]): Promise<void> {
  const network = new SimulatedNetwork({ seed, devices })
  await play(network, actions)
  await heal(network)
  expect(network.differences()).toEqual([])
}

describe('devices whose links are cut anywhere', () => {
  const story = (...kinds: fc.Arbitrary<Action>[]) =>
    fc.array(fc.oneof(write, links, wait, ...kinds), { maxLength: 40 })

  it('hold the same when the links have healed', async () => {
    await fc.assert(fc.asyncProperty(fc.integer(), story(), converges), { numRuns: 50 })
  })

  it('hold the same after crashes and full disks', async () => {
    await fc.assert(fc.asyncProperty(fc.integer(), story(crash, failDisk), converges), {
      numRuns: 50,
    })
  })

  it('hold both branches of every feed that a restored machine has forked', async () => {
    await fc.assert(fc.asyncProperty(fc.integer(), story(backup, backup, crash), converges), {
      numRuns: 50,
    })
  })
})

import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { bytesToHex, concatBytes } from '../../src/core/bytes.ts'
import { SyncEngine } from '../../src/sync/engine.ts'
import { limits } from '../../src/core/limits.ts'
import { encodeSections } from '../../src/sync/section.ts'
import type { Section } from '../../src/sync/section.ts'
import { Chance } from './support/chance.ts'
import { SimulatedNetwork } from './support/simulated-network.ts'
import {
  firstCollection,
  secondCollection,
  StubAuthority,
  stubMember,
} from './support/stub-authority.ts'

const calm = { delayMs: [5, 5] as const }

async function written(network: SimulatedNetwork, device: number, sizes: readonly number[]) {
  void network.devices[device]!.write(sizes, secondCollection, 'routine')
  await network.run(2_000)
}

function many(count: number, bytes: number): number[] {
  return Array.from({ length: count }, () => bytes)
}

describe('devices that are never online together', () => {
  it('get each other’s commits, and hear who holds them, through a third', async () => {
    const network = new SimulatedNetwork({ seed: 1, devices: 3, weather: calm })
    const [a, b, c] = network.devices
    await written(network, 0, [100, 100])
    network.connect(0, 1)
    await network.run(5_000)
    network.isolate(0)
    await network.run(5_000)
    network.connect(1, 2)
    await network.run(5_000)
    expect([...c!.commits]).toEqual([...a!.commits])
    network.isolate(2)
    await network.run(5_000)
    network.connect(1, 0)
    await network.run(5_000)
    // A learns through B that C holds what A holds.
    const known = a!.driver.engine.book.entries.get(c!.id)?.known
    expect(known?.digest).toBe(a!.replica.digest)
    expect(b!.replica.digest).toBe(a!.replica.digest)
    expect(a!.driver.engine.replica.compare(known!.clock)).toEqual({ behind: 0, ahead: 0 })
  })
})

describe('what a device announces', () => {
  it('is said also when it is announced while the other one has not answered yet', async () => {
    const network = new SimulatedNetwork({ seed: 2, devices: 2, weather: { delayMs: [400, 400] } })
    const [a, b] = network.devices
    void a!.write([100], secondCollection, 'routine')
    await network.run(500)
    // Half a second from now a has been quiet for long enough, and has said hello already.
    network.connect(0, 1)
    await network.run(8_000)
    const own = a!.driver.engine.book.entries.get(a!.id)?.announcement
    expect(own).toBeDefined()
    expect(b!.driver.engine.book.entries.get(a!.id)?.announcement?.number).toBe(own!.number)
  })
})

describe('what somebody far away holds', () => {
  /** 0 has no link but to 1 and 4, which have links to 2 in turns; 2 holds what the others can't take yet. */
  async function cutOffWhileAsking() {
    const network = new SimulatedNetwork({
      seed: 3,
      devices: 5,
      weather: { delayMs: [100, 100] },
      acquainted: (one, other) => other !== 3 || one === 2,
    })
    const camp = [0, 1, 4]
    const [clinic, first, server] = network.devices
    for (const [one, other] of [
      [0, 1],
      [0, 4],
      [1, 4],
      [1, 2],
    ] as const)
      network.connect(one, other)
    await network.run(5_000)
    await written(network, 3, many(3, 500))
    network.connect(3, 2)
    const lacking = () => first!.driver.engine.book.lacking(server!.id)
    for (let ms = 0; lacking() === undefined && ms < 10_000; ms += 20) await network.run(20)
    // It has asked for what the announcement says, and 0 asks in turn.
    expect(lacking()).toBeDefined()
    network.isolate(2)
    await network.run(5_000)
    for (const each of camp.map((index) => network.devices[index]!)) {
      each.authority.known.set(network.devices[3]!.id, stubMember(3).certificate)
      each.driver.engine.authorityChanged(network.time.nowMs())
      each.driver.pump()
    }
    expect(clinic!.driver.engine.book.lacking(server!.id)).toBeDefined()
    const known = () => clinic!.driver.engine.book.entries.get(server!.id)?.known?.digest
    return { network, server: server!, known }
  }

  it.each([1, 4])(
    'is heard in the end, when %i has a link that was cut amid the answer',
    async (bridge) => {
      const { network, server, known } = await cutOffWhileAsking()
      network.connect(bridge, 2)
      await network.run(40_000)
      expect(known()).toBe(server.replica.digest)
    },
  )

  it('is heard from another one, when the one that was asked has gone', async () => {
    const { network, server, known } = await cutOffWhileAsking()
    network.isolate(1)
    await network.run(5_000)
    network.connect(4, 2)
    await network.run(40_000)
    expect(known()).toBe(server.replica.digest)
  })

  it('is heard from whom there is a link to later, when nobody was there who knew', async () => {
    const { network, server, known } = await cutOffWhileAsking()
    network.isolate(0)
    network.connect(4, 2)
    await network.run(20_000)
    network.cut(4, 2)
    network.connect(0, 4)
    await network.run(20_000)
    expect(known()).toBe(server.replica.digest)
  })
})

describe('an author whom nobody has vouched for yet', () => {
  it('is parked, does not hold up others, and is taken when it is vouched for', async () => {
    // 2 is known to 1 only; 0 meets 1 only.
    const network = new SimulatedNetwork({
      seed: 2,
      devices: 3,
      weather: calm,
      acquainted: (one, other) => !(one === 0 && other === 2),
    })
    const [a, b, c] = network.devices
    // More than a window of it.
    await written(network, 2, many(60, 9_000))
    network.connect(1, 2)
    await network.run(20_000)
    network.isolate(2)
    expect([...b!.commits]).toEqual([...c!.commits])
    network.connect(0, 1)
    await network.run(20_000)
    expect(a!.commits.size).toBe(0)
    expect(a!.sessions()[0]!.complete).toBe(false)
    await written(network, 1, [200])
    await network.run(3_000)
    expect(a!.commits.size).toBe(1)
    a!.authority.known.set(c!.id, stubMember(2).certificate)
    a!.driver.engine.authorityChanged(network.time.nowMs())
    a!.driver.pump()
    await network.run(5_000)
    expect(a!.replica.digest).toBe(b!.replica.digest)
    expect(a!.sessions()[0]!.complete).toBe(true)
  })

  it('that happens amid its feed: little is sent twice, and nobody waits until it is late', async () => {
    const network = new SimulatedNetwork({
      seed: 3,
      devices: 3,
      weather: calm,
      acquainted: (one, other) => !(one === 0 && other === 2),
    })
    const [a, b, c] = network.devices
    await written(network, 2, many(600, 9_000))
    network.connect(1, 2)
    await network.run(20_000)
    network.isolate(2)
    // Of somebody who is known, and sent after it.
    await written(network, 1, many(100, 9_000))
    network.connect(0, 1)
    const sent = () => b!.sessions()[0]?.commits.out ?? 0
    while (sent() < 100) await network.run(5)
    expect(sent()).toBeLessThan(500)
    a!.authority.known.set(c!.id, stubMember(2).certificate)
    a!.driver.engine.authorityChanged(network.time.nowMs())
    a!.driver.pump()
    await network.run(4_000)
    expect(a!.replica.digest).toBe(b!.replica.digest)
    expect(sent()).toBeLessThan(1_100)
  })
})

describe('who has no room for more', () => {
  const held = (device: { commits: ReadonlySet<string> }) => device.commits.size

  async function full(room: number) {
    const network = new SimulatedNetwork({ seed: 5, devices: 2, weather: calm })
    const [a, b] = network.devices
    b!.intake = () => room
    await written(network, 0, many(40, 9_000))
    await written(network, 1, many(3, 100))
    network.connect(0, 1)
    await network.run(20_000)
    return { network, a: a!, b: b! }
  }

  it('says so, gets nothing, and still gives what it has', async () => {
    const { a, b } = await full(0)
    expect(held(b)).toBe(3)
    expect(held(a)).toBe(43)
    const [session] = a.sessions()
    expect(session).toMatchObject({
      state: 'open',
      failure: 'QUOTA_EXCEEDED',
      ahead: 40,
      behind: 0,
    })
    expect(session!.complete).toBe(false)
  })

  it('gets control facts all the same', async () => {
    const { network, a, b } = await full(0)
    void a.write([100], firstCollection, 'routine')
    await network.run(5_000)
    expect(held(b)).toBe(4)
  })

  it('gets the rest as soon as there is room, in the same session', async () => {
    const { network, a, b } = await full(0)
    const [session] = a.sessions()
    b.intake = () => limits.windowMaxBytes
    b.driver.engine.intakeChanged(network.time.nowMs())
    b.driver.pump()
    await network.run(10_000)
    expect(held(b)).toBe(43)
    expect(a.sessions()).toEqual([session])
    expect(session).toMatchObject({ failure: undefined, complete: true })
  })

  it('takes as much as there is room for, and nothing is lost in between', async () => {
    const network = new SimulatedNetwork({ seed: 6, devices: 2, weather: calm })
    const [a, b] = network.devices
    const roomBytes = 100_000
    const storedBytes = () =>
      [...b!.store.disk.commits.values()].reduce(
        (sum, { ciphertext }) => sum + ciphertext.length,
        0,
      )
    b!.intake = () => roomBytes - storedBytes()
    await written(network, 0, many(40, 9_000))
    network.connect(0, 1)
    await network.run(30_000)
    expect(storedBytes()).toBeGreaterThan(roomBytes / 2)
    // What was under way when it had become full may still come.
    expect(storedBytes()).toBeLessThan(2 * roomBytes)
    b!.intake = () => limits.windowMaxBytes
    b!.driver.engine.intakeChanged(network.time.nowMs())
    b!.driver.pump()
    await network.run(20_000)
    expect([...b!.commits].toSorted()).toEqual([...a!.commits].toSorted())
  })

  it('ends the session of a device that sends all the same', async () => {
    const network = new SimulatedNetwork({ seed: 7, devices: 2, weather: calm })
    const [a, b] = network.devices
    b!.intake = () => -1
    // Goes out whatever the window.
    void a!.write([100], firstCollection, 'routine')
    await network.run(500)
    network.connect(0, 1)
    await network.run(5_000)
    expect(held(b!)).toBe(0)
    expect(b!.notifications).toContainEqual(
      expect.objectContaining({ kind: 'refused', code: 'QUOTA_EXCEEDED', by: 'us' }),
    )
    expect(a!.sessions()).toEqual([])
  })
})

describe('being woken', () => {
  it('too early, as timers do by a wall clock, is asked for again', () => {
    const authority = new StubAuthority(stubMember(0), { id: '22'.repeat(16), generation: 0 })
    const engine = new SyncEngine({ authority, random: new Chance(1) })
    const wakes = (): number[] => {
      const asked: number[] = []
      for (let output = engine.poll(); output !== undefined; output = engine.poll())
        if (output.type === 'wakeAt') asked.push(output.ms)
      return asked
    }
    engine.connected('a link', 'listener', new Uint8Array(32), 1_000)
    const [deadlineMs] = wakes()
    engine.tick(deadlineMs! - 1)
    expect(wakes()).toEqual([deadlineMs])
    engine.tick(deadlineMs!)
    expect(wakes()).toEqual([])
  })
})

describe('a disk that fails', () => {
  it('at any batch leaves clock, offers and acknowledgements at what is durable', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(12), fc.integer(), async (after, seed) => {
        const network = new SimulatedNetwork({ seed, devices: 3 })
        const [a, b, c] = network.devices
        await written(network, 0, many(6, 20_000))
        await written(network, 2, many(6, 20_000))
        b!.store.failAfter(after)
        network.connect(0, 1)
        network.connect(2, 1)
        void b!.write([50, 50], firstCollection, 'routine')
        await network.run(15_000)
        expect(network.faultsOf(b!)).toEqual([])
        // There is room again, and nothing was restarted.
        b!.store.recover()
        b!.driver.engine.storeRecovered()
        network.isolate(1)
        await network.run(6_000)
        network.connect(0, 1)
        network.connect(2, 1)
        await network.run(20_000)
        expect(network.differences()).toEqual([])
        expect(b!.commits.size).toBeGreaterThanOrEqual(12)
        expect(a!.replica.digest).toBe(c!.replica.digest)
      }),
      { numRuns: 40 },
    )
  })
})

describe('a reconnect', () => {
  it('with nothing new costs one round trip, and the same bytes for many commits as for few', async () => {
    const costs: { frames: number; bytes: number }[] = []
    for (const commits of [3, 300]) {
      const network = new SimulatedNetwork({ seed: 3, devices: 2, weather: calm })
      await written(network, 0, many(commits, 40))
      network.connect(0, 1)
      await network.run(10_000)
      network.cut(0, 1)
      await network.run(10_000)
      const link = network.connect(0, 1)
      await network.run(60_000)
      expect(network.devices[0]!.sessions()[0]!.complete).toBe(true)
      costs.push({ frames: link.frames, bytes: link.bytes })
    }
    const [few, lots] = costs
    expect(lots!.frames).toBe(2)
    expect(few!.frames).toBe(2)
    // The number of commits is in both hellos, as a varint.
    expect(lots!.bytes - few!.bytes).toBeLessThanOrEqual(2)
    expect(lots!.bytes).toBeLessThan(1_000)
  })

  it('after a few changes sends what is new in the first answer', async () => {
    const network = new SimulatedNetwork({ seed: 4, devices: 2, weather: calm })
    await written(network, 0, many(50, 100))
    network.connect(0, 1)
    await network.run(10_000)
    network.cut(0, 1)
    await network.run(5_000)
    await written(network, 0, [100])
    network.connect(1, 0)
    // Hello, hello and commits, and the disk.
    await network.run(60)
    expect(network.devices[1]!.commits.size).toBe(51)
  })
})

describe('an urgent commit', () => {
  it('overtakes a backlog of routine ones', async () => {
    // 2 Mbit/s: the backlog alone takes more than ten seconds.
    const weather = { delayMs: [20, 20] as const, bytesPerMs: 250, bufferBytes: 512 * 1024 }
    const network = new SimulatedNetwork({ seed: 5, devices: 2, weather })
    await written(network, 0, many(1_500, 2_000))
    network.connect(0, 1)
    await network.run(6_000)
    void network.devices[0]!.write([30], secondCollection, 'urgent')
    await network.run(2_500)
    const [, other] = network.devices
    expect([...other!.replica.descriptors()].map(({ lane }) => lane)).toContain('urgent')
    expect(other!.commits.size).toBeLessThan(1_400)
  })
})

describe('an urgent commit for a peer that has news', () => {
  it('goes with the first frame, and does not wait for the news', async () => {
    const weather = { delayMs: [300, 300] as const }
    const network = new SimulatedNetwork({ seed: 6, devices: 3, weather })
    const [a, b] = network.devices
    await written(network, 0, [100])
    network.connect(0, 1)
    await network.run(5_000)
    network.isolate(0)
    await written(network, 2, many(5, 100))
    network.connect(2, 1)
    await network.run(5_000)
    await written(network, 0, many(200, 500))
    void a!.write([30], secondCollection, 'urgent')
    await network.run(2_000)
    network.connect(0, 1)
    // Hello, its answer, and then at once; the disk takes up to 30 ms.
    await network.run(1_000)
    expect([...b!.replica.descriptors()].map(({ lane }) => lane)).toContain('urgent')
    await network.run(5_000)
    expect(a!.replica.digest).toBe(b!.replica.digest)
  })
})

describe('frames that were changed on their way', () => {
  it('end the session at worst, and leave the replica as it is', async () => {
    const mangles = fc.record({
      seed: fc.integer(),
      /** One frame in so many is changed. */
      rarity: fc.constantFrom(1, 3, 8),
      how: fc.constantFrom(...hows),
    })
    await fc.assert(
      fc.asyncProperty(mangles, async ({ seed, rarity, how }) => {
        const chance = new Chance(seed)
        let broken = true
        const network: SimulatedNetwork = new SimulatedNetwork({
          seed,
          devices: 2,
          weather: {
            mangle: (frame): Uint8Array =>
              broken && frame[0] !== 0x48 && chance.int(1, rarity) === 1
                ? mangled(frame, how, { chance, feeds: network.feeds() })
                : frame,
          },
        })
        await written(network, 0, many(8, 300))
        void network.devices[0]!.write([100], firstCollection, 'urgent')
        await written(network, 1, many(8, 300))
        for (let round = 0; round < 4; round++) {
          network.connect(0, 1)
          await network.run(3_000)
          await written(network, 0, [500])
          for (const device of network.devices) expect(network.faultsOf(device)).toEqual([])
        }
        broken = false
        network.isolate(0)
        await network.run(5_000)
        network.connect(0, 1)
        await network.run(40_000)
        expect(network.differences()).toEqual([])
      }),
      { numRuns: 60 },
    )
  })
})

const hows = ['flip', 'cut', 'extend', 'swap', 'add', 'add'] as const

function mangled(
  frame: Uint8Array,
  how: (typeof hows)[number],
  { chance, feeds }: { chance: Chance; feeds: readonly string[] },
): Uint8Array {
  if (how === 'cut') return frame.slice(0, chance.int(0, frame.length - 1))
  if (how === 'extend') return Uint8Array.of(...frame, ...chance.bytes(chance.int(1, 9)))
  if (how === 'add') return concatBytes(frame, encodeSections([wellFormed(chance, feeds)]))
  const changed = frame.slice()
  if (how === 'flip') {
    for (let rest = chance.int(1, 3); rest > 0; rest--)
      changed[chance.int(0, frame.length - 1)]! ^= 1 << chance.int(0, 7)
    return changed
  }
  const moved = frame.slice(chance.int(0, frame.length - 1)).slice(0, 8)
  changed.set(moved, chance.int(0, frame.length - moved.length))
  return changed
}

/** What a member may say, and no honest one would: lies about real feeds, in the right form. */
function wellFormed(chance: Chance, feeds: readonly string[]): Exclude<Section, { tag: 'run' }> {
  const hex = (count: number): string => bytesToHex(chance.bytes(count))
  const feed = (): string => (chance.int(0, 3) === 0 ? hex(16) : chance.pick(feeds))
  const seq = (): number => chance.pick([1, 2, 7, 8, 9, 30, 2 ** 31, Number.MAX_SAFE_INTEGER])
  const list = <T>(make: () => T): T[] => Array.from({ length: chance.int(0, 3) }, make)
  const entry = () => ({ feed: feed(), floor: 0, seq: seq(), head: hex(8) })
  const base = chance.int(0, 1) === 0 ? undefined : hex(16)
  switch (chance.int(0, 11)) {
    case 0:
      return { tag: 'digest', digest: hex(16), commits: seq() }
    case 1: {
      const clock = { device: hex(32), digest: hex(16), base: undefined, difference: undefined }
      return { tag: 'clock', clock: { ...clock, whole: list(entry) } }
    }
    case 2: {
      const places = () => list(() => ({ seq: chance.pick([0, seq()]), id: hex(8) }))
      return { tag: 'want', wants: list(() => ({ feed: feed(), places: places() })) }
    }
    case 3:
      return { tag: 'window', durableBytes: seq(), moreBytes: chance.pick([0, seq()]) }
    case 4:
      return { tag: 'have', entries: list(entry) }
    case 5:
      return { tag: 'late', feeds: list(feed) }
    case 6:
      return { tag: 'clock-wanted', wanted: { device: hex(32), digest: hex(16), base } }
    case 7:
      return { tag: 'key-wanted', epochs: list(() => hex(16)) }
    case 8:
      return { tag: 'gossip-list', numbers: list(() => ({ device: hex(8), number: seq() })) }
    case 9:
      return { tag: 'pull' }
    case 10:
      return { tag: 'fault', code: 'INTERNAL', sentence: 'So it is said.' }
    default:
      return { tag: 'unknown', number: 999, body: chance.bytes(5) }
  }
}

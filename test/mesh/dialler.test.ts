import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { Dialler } from '../../src/mesh/dialler.ts'

const secondMs = 1_000
const here = '/ip4/10.0.0.1/tcp/1'

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

/** A network in which an address answers if it is listed, with a peer of the same name. */
function dialling(answering: ReadonlySet<string>) {
  const dials: { address: string; atMs: number }[] = []
  const linked = new Set<string>()
  const startMs = performance.now()
  let ended = 0
  const dialler = new Dialler({
    async connect(address) {
      dials.push({ address, atMs: performance.now() - startMs })
      if (!answering.has(address)) throw new Error('nobody there')
      linked.add(address)
      return address
    },
    isLinked: (peer) => linked.has(peer),
    ownLinks: () => linked.size,
    hasRoom: () => linked.size < limits.sessions,
    endIdleLink: () => ended++,
    random: () => 0.5,
  })
  const end = (peer: string, how: Partial<Parameters<Dialler['linkEnded']>[1]> = {}): void => {
    linked.delete(peer)
    dialler.linkEnded(peer, { lifeMs: 60 * secondMs, byOwner: false, rotated: false, ...how })
  }
  return { dialler, dials, linked, end, ended: () => ended }
}

function addressesOf(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `/ip4/10.0.1.${index}/tcp/1`)
}

describe('the dialler', () => {
  test('tries a typed address every few seconds for as long as it takes', async () => {
    const answering = new Set<string>()
    const { dialler, dials, linked } = dialling(answering)
    dialler.add('typed', [here])
    await vi.advanceTimersByTimeAsync(3_600 * secondMs)
    const gaps = dials.slice(1).map(({ atMs }, index) => atMs - dials[index]!.atMs)
    expect(Math.max(...gaps)).toBeLessThanOrEqual(5 * secondMs)
    expect(Math.min(...gaps.slice(4))).toBeGreaterThan(2 * secondMs)
    answering.add(here)
    await vi.advanceTimersByTimeAsync(5 * secondMs)
    expect([...linked]).toEqual([here])
    dialler.stop()
    expect(vi.getTimerCount()).toBe(0)
  })

  test('tries a remembered address less and less often, and at once when the network changes', async () => {
    const { dialler, dials } = dialling(new Set())
    dialler.add('remembered', [here])
    await vi.advanceTimersByTimeAsync(600 * secondMs)
    expect(dials.length).toBeLessThan(30)
    const before = dials.length
    dialler.networkChanged()
    await vi.advanceTimersByTimeAsync(secondMs)
    expect(dials.length).toBeGreaterThan(before)
    dialler.stop()
  })

  test('dials within two seconds of an answer that follows a silence', async () => {
    const answering = new Set([here])
    const { dialler, dials, linked, end } = dialling(answering)
    const answer = { peer: here, addresses: [here] }
    dialler.discovered(answer)
    await vi.advanceTimersByTimeAsync(secondMs)
    expect(linked.size).toBe(1)
    answering.clear()
    end(here)
    await vi.advanceTimersByTimeAsync(600 * secondMs)
    answering.add(here)
    const dialled = dials.length
    dialler.discovered(answer)
    await vi.advanceTimersByTimeAsync(2 * secondMs)
    expect(dials.length).toBe(dialled + 1)
    expect(linked.size).toBe(1)
    dialler.stop()
  })

  test('does not hammer one that answers questions but no calls', async () => {
    const { dialler, dials } = dialling(new Set())
    for (let i = 0; i < 120; i++) {
      dialler.discovered({ peer: 'there', addresses: [here] })
      await vi.advanceTimersByTimeAsync(5 * secondMs)
    }
    expect(dials.length).toBeLessThan(40)
    dialler.stop()
  })

  test('leaves a peer alone for a minute that the owner refused', async () => {
    const { dialler, dials, end } = dialling(new Set([here]))
    dialler.add('typed', [here])
    await vi.advanceTimersByTimeAsync(secondMs)
    end(here, { lifeMs: 500, byOwner: true })
    await vi.advanceTimersByTimeAsync(55 * secondMs)
    expect(dials).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(15 * secondMs)
    expect(dials).toHaveLength(2)
    dialler.stop()
  })

  test('asks ever less often where it is refused itself', async () => {
    const { dialler, dials, end } = dialling(new Set([here]))
    dialler.add('typed', [here])
    for (let i = 0; i < 600; i++) {
      await vi.advanceTimersByTimeAsync(secondMs)
      end(here, { lifeMs: 100 })
    }
    expect(dials.length).toBeLessThan(20)
    dialler.stop()
  })

  test('keeps to its number of neighbours on a large network, and changes one rarely', async () => {
    const addresses = addressesOf(30)
    const { dialler, linked, ended } = dialling(new Set(addresses))
    for (const address of addresses) dialler.discovered({ peer: address, addresses: [address] })
    await vi.advanceTimersByTimeAsync(60 * secondMs)
    expect(linked.size).toBe(limits.activeNeighbours)
    dialler.add('typed', [here])
    await vi.advanceTimersByTimeAsync(60 * secondMs)
    expect(ended()).toBe(0)
    await vi.advanceTimersByTimeAsync(600 * secondMs)
    expect(ended()).toBe(1)
    dialler.stop()
  })

  test('keeps a good address when a forged answer names another', async () => {
    const { dialler, dials, linked, end } = dialling(new Set([here]))
    dialler.discovered({ peer: here, addresses: [here] })
    await vi.advanceTimersByTimeAsync(secondMs)
    end(here)
    dialler.discovered({ peer: here, addresses: ['/ip4/10.9.9.9/tcp/9'] })
    await vi.advanceTimersByTimeAsync(2 * secondMs)
    expect(linked.size).toBe(1)
    expect(dials.at(-1)?.address).toBe(here)
    dialler.stop()
  })
})

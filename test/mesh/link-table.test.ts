import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { MeshLink } from '../../src/mesh/libp2p-link.ts'
import { LinkTable } from '../../src/mesh/link-table.ts'
import type { LinkOffer } from '../../src/mesh/link-table.ts'

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

/** One side of a meeting: which connections became links, were refused, or were ended. */
function side(self: string, maxLinks = 32) {
  const happened: string[] = []
  const expected = new Set<string>()
  const alive = new Set<string>()
  const table = new LinkTable({
    self,
    maxLinks,
    expects: (peer, isDialledHere) => expected.has(`${peer} ${isDialledHere}`),
  })
  const offer = (name: string, peer: string, isDialledHere: boolean): LinkOffer => ({
    peer,
    isDialledHere,
    start() {
      happened.push(`${name} up`)
      alive.add(name)
      const link = {
        peer,
        side: isDialledHere ? 'dialler' : 'listener',
        answers: async (withinMs: number) => {
          if (alive.has(name)) return true
          const { promise, resolve } = Promise.withResolvers<boolean>()
          setTimeout(() => resolve(false), withinMs)
          return promise
        },
        end(reason: string) {
          happened.push(`${name} ${reason}`)
          table.ended(peer, link as MeshLink)
        },
      }
      return link as unknown as MeshLink
    },
    refuse: () => happened.push(`${name} refused`),
  })
  return { table, happened, expected, alive, offer }
}

describe('of two connections that were dialled from both sides', () => {
  test('the one dialled by the lower peer stays, whichever comes first', () => {
    const low = side('a')
    low.table.offer(low.offer('theirs', 'b', false))
    low.table.offer(low.offer('ours', 'b', true))
    expect(low.happened).toEqual(['theirs up', 'ours up', 'theirs REPLACED'])
    const high = side('b')
    high.table.offer(high.offer('ours', 'a', true))
    high.table.offer(high.offer('theirs', 'a', false))
    expect(high.happened).toEqual(['ours up', 'theirs up', 'ours REPLACED'])
    expect([low.table.size, high.table.size]).toEqual([1, 1])
  })

  test('the other one waits for it, and is given up only when it is up', () => {
    const high = side('b')
    high.expected.add('a false')
    high.table.offer(high.offer('ours', 'a', true))
    expect(high.happened).toEqual([])
    high.table.offer(high.offer('theirs', 'a', false))
    expect(high.happened).toEqual(['theirs up', 'ours refused'])
  })

  test('the other one is used when it does not come', async () => {
    const high = side('b')
    high.expected.add('a false')
    high.table.offer(high.offer('ours', 'a', true))
    await vi.advanceTimersByTimeAsync(5_000)
    expect(high.happened).toEqual(['ours up'])
    const other = side('b')
    other.expected.add('a false')
    other.table.offer(other.offer('ours', 'a', true))
    other.expected.clear()
    other.table.ended('a')
    expect(other.happened).toEqual(['ours up'])
  })
})

describe('a peer that is linked and dials again', () => {
  test('has lost its first connection, which is replaced', () => {
    const listener = side('b')
    listener.table.offer(listener.offer('first', 'a', false))
    listener.table.offer(listener.offer('second', 'a', false))
    expect(listener.happened).toEqual(['first up', 'second up', 'first REPLACED'])
    expect(listener.table.size).toBe(1)
  })

  test('gets through when the link that we dialled is dead, and not while it lives', async () => {
    const low = side('a')
    low.table.offer(low.offer('ours', 'b', true))
    low.table.offer(low.offer('theirs', 'b', false))
    await vi.advanceTimersByTimeAsync(3_000)
    expect(low.happened).toEqual(['ours up', 'theirs refused'])
    low.alive.delete('ours')
    low.table.offer(low.offer('again', 'b', false))
    await vi.advanceTimersByTimeAsync(3_000)
    expect(low.happened.slice(2)).toEqual(['again up', 'ours REPLACED'])
    expect(low.table.size).toBe(1)
  })
})

test('no more links are made than there may be', () => {
  const host = side('m', 2)
  for (const peer of ['a', 'b', 'c']) host.table.offer(host.offer(peer, peer, false))
  expect(host.happened).toEqual(['a up', 'b up', 'c refused'])
  host.table.close('STOPPED')
  expect(host.happened.slice(3)).toEqual(['a STOPPED', 'b STOPPED'])
  expect(host.table.size).toBe(0)
})

/** What every store has to do that several processes write to at once. */
import { describe, expect, test } from 'vitest'
import { bytesToHex, utf8ToBytes } from '../../src/core/bytes.ts'
import { FeedChain } from '../../src/feed/chain.ts'
import type { StoreChange, StoredCommit } from '../../src/feed/commit-store.ts'
import { growChain } from '../../src/feed/grow-chain.ts'
import { prevOf } from '../../src/store/commit-row.ts'
import type { SharedStore, StoreNews } from '../../src/store/shared-store.ts'
import { chainOf, feedA, putCommit } from './commit-store-contract.ts'
import { descriptorOf } from './made-descriptor.ts'

/** Stores of one mesh, which is empty at first; the contract opens and does not close them. */
export type OpenShared = () => Promise<SharedStore>

/** @param make - a mesh of its own for each test */
export function sharedStoreContract(storeName: string, make: () => Promise<OpenShared>): void {
  async function two(): Promise<[SharedStore, SharedStore]> {
    const open = await make()
    return [await open(), await open()]
  }

  describe(`${storeName} tells what others have stored`, () => {
    test('by refresh: descriptors, chains and metas; nothing of what is its own', async () => {
      const [one, other] = await two()
      const commits = chainOf(3)
      const descriptor = { feed: feedA, bytes: utf8ToBytes('descriptor') }
      await one.batch([
        { kind: 'descriptor', descriptor },
        ...commits.map(putCommit),
        chainChange(commits),
        { kind: 'meta', name: 'm', value: utf8ToBytes('meta') },
        { kind: 'secret', name: 's', value: utf8ToBytes('secret') },
        { kind: 'record', collection: 'c', id: 'r', value: utf8ToBytes('record') },
      ])
      expect(other.takeNews()).toBeUndefined()
      await Promise.all([one.refresh(), other.refresh()])
      expect(one.takeNews()).toBeUndefined()
      expect(other.takeNews()).toEqual({
        descriptors: [descriptor],
        chains: [{ feed: feedA, value: chainWith(commits).encode() }],
        metas: [{ name: 'm', value: utf8ToBytes('meta') }],
      })
      expect(other.takeNews()).toBeUndefined()
      await other.refresh()
      expect(other.takeNews()).toBeUndefined()
    })

    test('by a batch of its own, the newest of each', async () => {
      const [one, other] = await two()
      await one.batch([meta('a', 'first'), meta('b', 'only')])
      await one.batch([meta('a', 'second')])
      await other.batch([meta('c', 'mine'), meta('b', 'mine too')])
      expect(metasOf(other.takeNews())).toEqual({ a: 'second' })
      await one.refresh()
      expect(metasOf(one.takeNews())).toEqual({ b: 'mine too', c: 'mine' })
    })

    test('what is written over what is not told yet is no news any more', async () => {
      const [one, other] = await two()
      const commits = chainOf(2)
      await one.batch([...commits.map(putCommit), chainChange(commits), meta('a', 'one')])
      await other.refresh()
      await other.batch([...commits.map(putCommit), chainChange(commits), meta('a', 'other')])
      expect(other.takeNews()).toBeUndefined()
    })

    test('what was committed before the call is known after it, of calls at once too', async () => {
      const [one, other] = await two()
      const known: Promise<void>[] = []
      for (let index = 0; index < 20; index++) {
        await one.batch([meta(`m${index}`, 'x')])
        known.push(
          (async () => {
            await other.refresh()
            expect((await other.metas('')).length).toBeGreaterThan(index)
          })(),
        )
      }
      await Promise.all(known)
      expect(Object.keys(metasOf(other.takeNews()))).toHaveLength(20)
    })

    test('an opened store knows what is there', async () => {
      const open = await make()
      const one = await open()
      const commits = chainOf(2)
      await one.batch([...commits.map(putCommit), chainChange(commits)])
      const later = await open()
      await later.refresh()
      expect(later.takeNews()).toBeUndefined()
      const more = [...commits, ...chainOf(1, { after: commits[1]! })]
      await later.batch([putCommit(more[2]!), chainChange(more)])
      expect(later.takeNews()).toBeUndefined()
    })
  })

  describe(`${storeName} merges`, () => {
    test('the same commits from two, at once: they are there once, and counted once', async () => {
      const [one, other] = await two()
      const { descriptor, feed, device } = descriptorOf('author')
      const commits = chainOf(40, { feed })
      const batches = (store: SharedStore) =>
        [10, 20, 30, 40].map((end) =>
          store.batch([
            { kind: 'descriptor', descriptor },
            ...commits.slice(end - 10, end).map(putCommit),
            chainChange(commits.slice(0, end)),
          ]),
        )
      await Promise.all([...batches(one), ...batches(other)])
      await Promise.all([one.refresh(), other.refresh()])
      const bytes = commits.reduce((sum, commit) => sum + sentBytes(commit), 0)
      for (const store of [one, other]) {
        expect(await store.commits({ feed, after: 0 })).toEqual(commits)
        expect(await chainIn(store, feed)).toEqual(chainWith(commits))
        expect(store.usage).toEqual(new Map([[device, { commits: 40, bytes }]]))
        // Whoever came second was told that it had more than it said, and now both have said or heard the same.
        const whole = chainWith(commits).encode()
        expect(store.takeNews()?.chains.at(-1)?.value ?? whole).toEqual(whole)
      }
    })

    test('branches of a fork, of which each knew one', async () => {
      const [one, other] = await two()
      const trunk = chainOf(3)
      await one.batch([...trunk.map(putCommit), chainChange(trunk)])
      await other.refresh()
      other.takeNews()
      const left = chainOf(2, { after: trunk[1]!, ciphertextBytes: 41 })
      const right = chainOf(3, { after: trunk[1]!, ciphertextBytes: 42 })
      await one.batch([...left.map(putCommit), chainChange([...trunk, ...left])])
      await other.batch([...right.map(putCommit), chainChange([...trunk, ...right])])
      const all = chainWith([...trunk, ...left, ...right])
      expect(all.leaves()).toHaveLength(3)
      expect(chainsOf(other.takeNews())).toEqual([all])
      await one.refresh()
      expect(chainsOf(one.takeNews())).toEqual([all])
      expect(await chainIn(one, feedA)).toEqual(all)
    })

    test('a fork inside and at the start of what only the other has', async () => {
      const [one, other] = await two()
      const trunk = chainOf(10)
      await one.batch([...trunk.map(putCommit), chainChange(trunk)])
      const shorter = trunk.slice(0, 4)
      const branch = chainOf(3, { after: trunk[3]!, ciphertextBytes: 41 })
      const root = chainOf(2, { ciphertextBytes: 42 })
      await other.batch([
        ...[...shorter, ...branch, ...root].map(putCommit),
        chainChange([...shorter, ...branch, ...root]),
      ])
      const all = chainWith([...trunk, ...branch, ...root])
      expect(chainsOf(other.takeNews())).toEqual([all])
      expect(await chainIn(other, feedA)).toEqual(all)
    })

    test('an older belief about a chain changes nothing', async () => {
      const [one, other] = await two()
      const commits = chainOf(6)
      await one.batch([...commits.map(putCommit), chainChange(commits)])
      await other.batch([...commits.slice(0, 3).map(putCommit), chainChange(commits.slice(0, 3))])
      expect(chainsOf(other.takeNews())).toEqual([chainWith(commits)])
      // It has not looked at that yet, and goes on as it believes.
      await other.batch([putCommit(commits[3]!), chainChange(commits.slice(0, 4))])
      expect(chainsOf(other.takeNews())).toEqual([chainWith(commits)])
      await one.refresh()
      expect(one.takeNews()).toBeUndefined()
    })

    test('a commit whose predecessor is not there is kept, and comes into the chain later', async () => {
      const [one, other] = await two()
      const commits = chainOf(6)
      await one.batch([...commits.slice(0, 2).map(putCommit), chainChange(commits.slice(0, 2))])
      await other.batch([...commits.slice(3).map(putCommit), chainChange(commits)])
      expect(chainsOf(other.takeNews())).toEqual([chainWith(commits.slice(0, 2))])
      expect(await other.commits({ feed: feedA, after: 3 })).toEqual(commits.slice(3))
      await other.batch([...commits.slice(2).map(putCommit), chainChange(commits)])
      expect(other.takeNews()).toBeUndefined()
      expect(await chainIn(one, feedA)).toEqual(chainWith(commits))
    })

    test('a chain that is taken back by one is shorter for the other', async () => {
      const [one, other] = await two()
      const trunk = chainOf(5)
      const branch = chainOf(4, { after: trunk[1]!, ciphertextBytes: 41 })
      const all = [...trunk, ...branch]
      await one.batch([...all.map(putCommit), chainChange(all)])
      await other.refresh()
      other.takeNews()
      const less = [...trunk.slice(0, 3), ...branch.slice(0, 2)]
      await other.batch([chainChange(less)])
      expect(other.takeNews()).toBeUndefined()
      await one.refresh()
      expect(chainsOf(one.takeNews())).toEqual([chainWith(less)])
      // They are sent again; the rows are there already, beside those of the other branch.
      await one.batch([...trunk.slice(3).map(putCommit), chainChange([...less, ...trunk.slice(3)])])
      expect(await chainIn(one, feedA)).toEqual(chainWith([...less, ...trunk.slice(3)]))
      await one.batch([...branch.map(putCommit), chainChange(all)])
      expect(one.takeNews()).toBeUndefined()
      expect(await chainIn(one, feedA)).toEqual(chainWith(all))
      await one.batch([{ kind: 'chain', feed: feedA, value: undefined }])
      await other.refresh()
      expect(chainsOf(other.takeNews())).toEqual([new FeedChain(feedA)])
      expect(await other.chains()).toEqual([])
    })

    test('a chain that is taken back takes nothing from what others have put in meanwhile', async () => {
      const [one, other] = await two()
      const commits = chainOf(6)
      await one.batch([...commits.slice(0, 4).map(putCommit), chainChange(commits.slice(0, 4))])
      await other.refresh()
      other.takeNews()
      await one.batch([...commits.slice(4).map(putCommit), chainChange(commits)])
      await other.batch([chainChange(commits.slice(0, 2))])
      expect(chainsOf(other.takeNews())).toEqual([chainWith(commits)])
      expect(await chainIn(one, feedA)).toEqual(chainWith(commits))
    })

    test('commits without a word about the chain', async () => {
      const [one, other] = await two()
      const commits = chainOf(4)
      await one.batch(commits.slice(0, 2).map(putCommit))
      expect(chainsOf(one.takeNews())).toEqual([chainWith(commits.slice(0, 2))])
      await other.batch(commits.map(putCommit))
      expect(chainsOf(other.takeNews())).toEqual([chainWith(commits)])
    })

    test('a greater value of a meta with an order stays', async () => {
      const [one, other] = await two()
      const put = (order: number): StoreChange => ({
        kind: 'meta',
        name: 'a',
        value: Uint8Array.of(order),
        order,
      })
      await one.batch([put(5)])
      await other.batch([put(4)])
      expect(await other.meta('a')).toEqual(Uint8Array.of(5))
      expect(other.takeNews()?.metas).toEqual([{ name: 'a', value: Uint8Array.of(5) }])
      await other.batch([put(7), put(6)])
      await one.batch([put(3)])
      expect(await one.meta('a')).toEqual(Uint8Array.of(7))
      expect(one.takeNews()?.metas).toEqual([{ name: 'a', value: Uint8Array.of(7) }])
      await Promise.all(
        [1, 9, 8, 2].map((order, index) => [one, other][index % 2]!.batch([put(order)])),
      )
      expect(await one.meta('a')).toEqual(Uint8Array.of(9))
    })
  })

  describe(`${storeName} counts what each author has`, () => {
    test('by what was written, after a commit was refused and sent again too', async () => {
      const [one, other] = await two()
      const authors = ['anna', 'ben'].map(descriptorOf)
      const all = authors.map(({ feed }) => chainOf(5, { feed }))
      await one.batch(authors.map(({ descriptor }) => ({ kind: 'descriptor', descriptor })))
      await other.batch(all.flat().map(putCommit))
      await one.batch(all[0]!.map(putCommit))
      const expected = new Map(
        authors.map(({ device }, index) => [
          device,
          { commits: 5, bytes: all[index]!.reduce((sum, commit) => sum + sentBytes(commit), 0) },
        ]),
      )
      expect(one.usage).toEqual(expected)
      expect(other.usage).toEqual(expected)
    })
  })

  describe(`${storeName} announces`, () => {
    const announcement = (number: number, by = 0) => ({ number, bytes: Uint8Array.of(number, by) })

    test('numbers of which one has been seen by all before the next', async () => {
      const [one, other] = await two()
      expect(one.announcement).toBeUndefined()
      expect(await one.announce(announcement(1))).toBe(true)
      expect(one.announcement).toEqual(announcement(1))
      expect(await other.announce(announcement(1, 1))).toBe(false)
      expect(other.announcement).toBeUndefined()
      await other.refresh()
      expect(other.announcement).toEqual(announcement(1))
      expect(await other.announce(announcement(2))).toBe(true)
      expect(await one.announce(announcement(2, 1))).toBe(false)
    })

    test('nothing while there is something that it has not looked at', async () => {
      const [one, other] = await two()
      await other.batch([meta('a', 'x')])
      expect(await one.announce(announcement(1))).toBe(false)
      await one.refresh()
      expect(await one.announce(announcement(1))).toBe(false)
      one.takeNews()
      expect(await one.announce(announcement(1))).toBe(true)
      await one.batch([meta('b', 'y')])
      expect(await one.announce(announcement(2))).toBe(true)
    })

    test('one of many at once', async () => {
      const open = await make()
      const stores = await Promise.all(Array.from({ length: 4 }, () => open()))
      const done = await Promise.all(stores.map((store, by) => store.announce(announcement(1, by))))
      expect(done.filter(Boolean)).toHaveLength(1)
    })
  })
}

/** What follows from all of these, whoever knows which. */
export function chainWith(commits: readonly StoredCommit[]): FeedChain {
  const links = commits
    .map((commit) => ({
      seq: commit.seq,
      id: bytesToHex(commit.id),
      prev: bytesToHex(prevOf(commit.header)),
    }))
    .toSorted((a, b) => a.seq - b.seq)
  return growChain(new FeedChain(commits[0]!.feed), links, []).chain
}

export function chainChange(commits: readonly StoredCommit[]): StoreChange {
  return { kind: 'chain', feed: commits[0]!.feed, value: chainWith(commits).encode() }
}

export async function chainIn(store: SharedStore, feed: string): Promise<FeedChain | undefined> {
  const found = (await store.chains()).find((each) => each.feed === feed)
  return found && FeedChain.decode(feed, found.value)
}

export function sentBytes({ header, ciphertext, signature }: StoredCommit): number {
  return header.length + ciphertext.length + (signature?.length ?? 0)
}

function chainsOf(news: StoreNews | undefined): FeedChain[] {
  return (news?.chains ?? []).map(({ feed, value }) => FeedChain.decode(feed, value))
}

function meta(name: string, text: string): StoreChange {
  return { kind: 'meta', name, value: utf8ToBytes(text) }
}

function metasOf(news: StoreNews | undefined): Record<string, string> {
  return Object.fromEntries(
    (news?.metas ?? []).map(({ name, value }) => [name, Buffer.from(value).toString()]),
  )
}

import { readFile, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { MemoryLevel } from 'memory-level'
import { describe, expect, onTestFinished, test } from 'vitest'
import { utf8ToBytes } from '../../src/core/bytes.ts'
import type { StoredCommit } from '../../src/feed/commit-store.ts'
import { encodeChecked } from '../../src/store/checked-row.ts'
import type { Damage } from '../../src/store/damage.ts'
import { formatKey, placeKey } from '../../src/store/layout.ts'
import { openLevelStore } from '../../src/store/level-store.ts'
import type { MeshStore } from '../../src/store/mesh-store.ts'
import {
  chainOf,
  commitOf,
  commitStoreContract,
  feedA,
  feedB,
  putCommit,
} from '../contract/commit-store-contract.ts'
import { scratchDirectory } from './scratch.ts'

const storeKey = new Uint8Array(32).fill(9)
const binary = { keyEncoding: 'view', valueEncoding: 'view' } as const

commitStoreContract('a store in memory', () =>
  openLevelStore({ db: new MemoryLevel<Uint8Array, Uint8Array>(), storeKey }),
)

commitStoreContract('a store on disk', async () =>
  openLevelStore({ location: await scratchDirectory(), storeKey }),
)

interface InMemory {
  readonly db: MemoryLevel<Uint8Array, Uint8Array>
  readonly store: MeshStore
  readonly damage: Damage[]
}

async function inMemory(): Promise<InMemory> {
  const db = new MemoryLevel<Uint8Array, Uint8Array>()
  const damage: Damage[] = []
  const store = await openLevelStore({ db, storeKey, onDamage: (one) => damage.push(one) })
  onTestFinished(() => store.close())
  return { db, store, damage }
}

describe('at rest', () => {
  const secret = 'Amina Diallo, penicillin'

  test('no file contains what derives from plaintext, nor names of records and secrets', async () => {
    const location = await scratchDirectory()
    const store = await openLevelStore({ location, storeKey })
    const [commit] = chainOf(1)
    const value = utf8ToBytes(secret)
    await store.batch([
      { kind: 'record', collection: 'patients-of-a-camp', id: 'patient-4711', value },
      { kind: 'secret', name: 'collection-sum/patients', value },
      { kind: 'context', feed: feedA, seq: 1, id: commit!.id, value },
      { kind: 'meta', name: 'a visible name', value: utf8ToBytes('a visible value') },
    ])
    await store.close()
    // Once more, so that the log becomes a table.
    await (await openLevelStore({ location, storeKey })).close()

    const names = await readdir(location, { recursive: true })
    let content = ''
    for (const name of names) {
      const path = join(location, name)
      if ((await stat(path)).isFile()) content += (await readFile(path)).toString('latin1')
    }
    for (const text of [secret, 'Amina', 'patients', '4711', 'collection-sum']) {
      expect(content).not.toContain(text)
    }
    expect(content).toContain('a visible value')
  })

  test('the same row is sealed differently each time', async () => {
    const { db, store } = await inMemory()
    const seen = new Set<string>()
    for (let round = 0; round < 3; round++) {
      await store.batch([{ kind: 'record', collection: 'c', id: '1', value: utf8ToBytes('same') }])
      for (const row of await db
        .values({ ...binary, gte: Uint8Array.of(6), lt: Uint8Array.of(7) })
        .all()) {
        seen.add(Buffer.from(row).toString('hex'))
      }
    }
    expect(seen.size).toBe(3)
  })

  test('a sealed row in the place of another does not open', async () => {
    const { db, store, damage } = await inMemory()
    await store.batch([
      { kind: 'record', collection: 'c', id: '1', value: utf8ToBytes('one') },
      { kind: 'record', collection: 'c', id: '2', value: utf8ToBytes('two') },
    ])
    const entries = await db
      .iterator({ ...binary, gte: Uint8Array.of(6), lt: Uint8Array.of(7) })
      .all()
    const [[first], [, second]] = entries as [[Uint8Array, Uint8Array], [Uint8Array, Uint8Array]]
    await db.put(first, second, binary)
    const left = await store.records('c', ['1', '2'])
    expect(left.filter((value) => value !== undefined)).toHaveLength(1)
    expect(damage).toEqual([{ row: 'record', collection: 'c' }])
  })

  test('another store key is refused, before anything is changed', async () => {
    const location = await scratchDirectory()
    const store = await openLevelStore({ location, storeKey })
    await store.batch([{ kind: 'secret', name: 'a', value: utf8ToBytes('b') }])
    await store.close()
    const otherKey = new Uint8Array(32).fill(8)
    await expect(openLevelStore({ location, storeKey: otherKey })).rejects.toMatchObject({
      code: 'KEYSTORE_UNREADABLE',
    })
    const again = await openLevelStore({ location, storeKey, lockWaitMs: 0 })
    expect(await again.secret('a')).toEqual(utf8ToBytes('b'))
    await again.close()
  })

  test('10,000 records are sealed in well under a second', async () => {
    const { store } = await inMemory()
    const value = new Uint8Array(300)
    const ids = Array.from({ length: 10_000 }, (_, index) => `record ${index}`)
    const startedMs = performance.now()
    await store.batch(ids.map((id) => ({ kind: 'record', collection: 'c', id, value })))
    expect(performance.now() - startedMs).toBeLessThan(3_000)
  })
})

describe('versions', () => {
  test('a newer format of the rows is refused', async () => {
    const db = new MemoryLevel<Uint8Array, Uint8Array>()
    await db.put(formatKey, encodeChecked(formatKey, Uint8Array.of(0, 0, 0, 2)), binary)
    await expect(openLevelStore({ db, storeKey })).rejects.toMatchObject({
      code: 'STORE_NEWER_VERSION',
    })
  })
})

describe('damaged rows', () => {
  /** Flips one bit in each byte of the value of the row that starts with this kind, one after the other. */
  async function* flips(db: InMemory['db'], kind: number): AsyncGenerator<number> {
    const range = { ...binary, gte: Uint8Array.of(kind), lt: Uint8Array.of(kind + 1) }
    const [[key, value]] = (await db.iterator(range).all()) as [[Uint8Array, Uint8Array]]
    for (let at = 0; at < value.length; at++) {
      const flipped = new Uint8Array(value)
      flipped[at]! ^= 1 << (at % 8)
      await db.put(key, flipped, binary)
      yield at
      await db.put(key, flipped.subarray(0, at), binary)
      yield at
    }
    await db.put(key, value, binary)
  }

  test('a commit is left out and reported, whichever byte is wrong', async () => {
    const { db, store, damage } = await inMemory()
    const [commit] = chainOf(1)
    await store.batch([putCommit(commit!)])
    const expected: Damage = { row: 'commit', feed: feedA, seq: 1 }
    let trials = 0
    for await (const _ of flips(db, 2)) {
      trials++
      expect(await store.commits({ feed: feedA, after: 0 })).toEqual([])
      expect(await store.commit(feedA, 1, commit!.id)).toBeUndefined()
      expect(damage.splice(0)).toEqual([expected, expected])
    }
    expect(trials).toBeGreaterThan(400)
    expect(await store.commits({ feed: feedA, after: 0 })).toEqual([commit])
  })

  test('a commit in the place of another is left out', async () => {
    const { db, store, damage } = await inMemory()
    const [one, two] = chainOf(2)
    await store.batch([putCommit(one!)])
    const row = await db.get(placeKey('commit', one!), binary)
    for (const place of [{ ...two! }, { ...one!, feed: feedB }, { ...one!, seq: 7 }]) {
      await db.put(placeKey('commit', place), row!, binary)
      expect(await store.commit(place.feed, place.seq, place.id)).toBeUndefined()
      expect(damage.splice(0)).toEqual([{ row: 'commit', feed: place.feed, seq: place.seq }])
    }
  })

  test('rows of the device are left out and reported', async () => {
    const { db, store, damage } = await inMemory()
    const value = utf8ToBytes('x')
    const [commit] = chainOf(1)
    await store.batch([
      { kind: 'descriptor', descriptor: { feed: feedA, bytes: value } },
      { kind: 'chain', feed: feedA, value },
      { kind: 'meta', name: 'm', value },
      { kind: 'secret', name: 's', value },
      { kind: 'record', collection: 'c', id: 'r', value },
      { kind: 'context', feed: feedA, seq: 1, id: commit!.id, value },
    ])
    const contexts = async (): Promise<number> => {
      let count = 0
      for await (const _ of store.contexts(feedA)) count++
      return count
    }
    const reads: [number, () => Promise<unknown>, unknown, Damage][] = [
      [1, () => store.descriptors(), [], { row: 'descriptor', feed: feedA }],
      [3, () => store.chains(), [], { row: 'chain', feed: feedA }],
      [4, () => store.meta('m'), undefined, { row: 'meta', name: 'm' }],
      [4, () => store.metas(''), [], { row: 'meta', name: 'm' }],
      [5, () => store.secret('s'), undefined, { row: 'secret' }],
      [5, () => store.secrets(''), [], { row: 'secret' }],
      [6, () => store.record('c', 'r'), undefined, { row: 'record', collection: 'c' }],
      [7, contexts, 0, { row: 'context', feed: feedA, seq: 1 }],
    ]
    for (const [kind, read, nothing, expected] of reads) {
      for await (const _ of flips(db, kind)) {
        expect(await read()).toEqual(nothing)
        expect(damage.splice(0)).toEqual([expected])
      }
      expect(await read()).not.toEqual(nothing)
    }
  })
})

describe('after a write has failed', () => {
  test('all later ones fail with its cause, and reading goes on', async () => {
    const { db, store } = await inMemory()
    const put = (name: string): Promise<void> =>
      store.batch([{ kind: 'meta', name, value: utf8ToBytes(name) }])
    await put('a')
    const batch = db.batch.bind(db)
    Object.assign(db, { batch: () => Promise.reject(new Error('the disk is on fire')) })
    const failing = [put('b'), put('c'), store.clearRecords('x')]
    const results = await Promise.allSettled(failing)
    Object.assign(db, { batch })
    const reasons = results.map((result) => (result.status === 'rejected' ? result.reason : ''))
    expect(reasons[0]).toMatchObject({ code: 'STORE_FAILED' })
    expect(new Set(reasons)).toEqual(new Set([store.failure]))
    await expect(put('d')).rejects.toBe(store.failure)
    expect((await store.metas('')).map(({ name }) => name)).toEqual(['a'])
  })
})

describe('checking feeds', () => {
  async function storeOf(...commits: StoredCommit[]): Promise<InMemory> {
    const memory = await inMemory()
    await memory.store.batch(commits.map(putCommit))
    return memory
  }

  async function holesIn(store: MeshStore): Promise<string[]> {
    const holes: string[] = []
    const { signal } = new AbortController()
    const { isComplete } = await store.verifyInBackground(signal, ({ from, to }) =>
      holes.push(`${from}-${to}`),
    )
    expect(isComplete).toBe(true)
    return holes
  }

  test('the tip is the end of what is whole', async () => {
    const chain = chainOf(50)
    const { store } = await storeOf(...chain.filter(({ seq }) => seq !== 30))
    expect((await store.tipOf(feedA)).seq).toBe(29)
    expect(await store.tipOf(feedA, chain[29])).toMatchObject({ seq: 50, id: chain[49]!.id })
    expect(await store.tipOf(feedA, chain[49])).toMatchObject({ seq: 50 })
    expect(await store.tipOf(feedB)).toEqual({ seq: 0, id: new Uint8Array(32) })
  })

  test('the tip follows the longest branch from the place given', async () => {
    const trunk = chainOf(3)
    const long = chainOf(4, { after: trunk[2]!, ciphertextBytes: 41 })
    const short = chainOf(2, { after: trunk[2]!, ciphertextBytes: 42 })
    const { store } = await storeOf(...trunk, ...long, ...short)
    expect((await store.tipOf(feedA)).id).toEqual(long[3]!.id)
    expect((await store.tipOf(feedA, short[0])).id).toEqual(short[1]!.id)
  })

  test('finds what is missing, and what is missing behind a branch', async () => {
    const chain = chainOf(1_000)
    const gone = new Set([1, 2, 400, 401, 999])
    const branch = chainOf(3, { after: chain[599]!, ciphertextBytes: 41 })
    const { store } = await storeOf(
      ...chain.filter(({ seq }) => !gone.has(seq)),
      branch[0]!,
      branch[2]!,
    )
    expect(await holesIn(store)).toEqual(['1-2', '400-401', '602-602', '999-999'])
  })

  test('goes on from where the last check ended, and notices when that place is gone', async () => {
    const chain = chainOf(600)
    const { db, store } = await storeOf(...chain.slice(0, 500))
    expect(await holesIn(store)).toEqual([])
    await store.batch(chain.slice(500).map(putCommit))
    await db.del(placeKey('commit', chain[3]!), binary)
    // Already checked; reading it would tell.
    expect(await holesIn(store)).toEqual([])
    await db.del(placeKey('commit', chain[599]!), binary)
    expect(await holesIn(store)).toEqual(['600-600'])
    // And then looks at the feed from its start.
    expect(await holesIn(store)).toEqual(['4-4'])
  })

  test('a damaged commit is a hole until it is stored again', async () => {
    const chain = chainOf(20)
    const { db, store, damage } = await storeOf(...chain)
    await db.put(placeKey('commit', chain[9]!), Uint8Array.of(1), binary)
    expect(await holesIn(store)).toEqual(['10-10'])
    expect(damage).toEqual([{ row: 'commit', feed: feedA, seq: 10 }])
    await store.batch([putCommit(chain[9]!)])
    expect(await holesIn(store)).toEqual([])
  })

  test('the start looks at the last commits of each feed only', async () => {
    const chain = chainOf(1_000)
    const other = commitOf({ feed: feedB, seq: 2, prev: new Uint8Array(32).fill(1) })
    const { store } = await storeOf(...chain.filter(({ seq }) => seq !== 300 && seq !== 900), other)
    const holes = await store.verifyTails()
    expect(holes).toEqual([
      { feed: feedA, from: 900, to: 900 },
      { feed: feedB, from: 1, to: 1 },
    ])
  })

  test('can be stopped, and goes on later', async () => {
    const chain = chainOf(3_000)
    const { store } = await storeOf(...chain.filter(({ seq }) => seq !== 2_900))
    const stop = new AbortController()
    setImmediate(() => stop.abort())
    const report = await store.verifyInBackground(stop.signal, () => undefined)
    expect(report.isComplete).toBe(false)
    expect(report.commits).toBeLessThan(3_000)
    expect(await holesIn(store)).toEqual(['2900-2900'])
  })
})

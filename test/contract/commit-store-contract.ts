/** What every CommitStore has to do, whatever it is made of. */
import { describe, expect, onTestFinished, test } from 'vitest'
import { bytesToHex, utf8ToBytes } from '../../src/core/bytes.ts'
import type { CommitStore, StoreChange, StoredCommit } from '../../src/feed/commit-store.ts'
import { commitId, encodeHeader, zeroId } from '../../src/feed/commit.ts'

/** @param make - an empty store; the contract closes it */
export function commitStoreContract(storeName: string, make: () => Promise<CommitStore>): void {
  async function emptyStore(): Promise<CommitStore> {
    const store = await make()
    onTestFinished(() => store.close())
    return store
  }

  describe(`${storeName} keeps commits`, () => {
    test('returns a commit as it was stored, with and without signature', async () => {
      const store = await emptyStore()
      const [signed, unsigned] = chainOf(2, { signedEvery: 2 })
      await store.batch([putCommit(signed!), putCommit(unsigned!)])
      expect(await store.commits({ feed: feedA, after: 0 })).toEqual([signed, unsigned])
      expect(await store.commit(feedA, 1, signed!.id.subarray(0, 8))).toEqual(signed)
      expect(await store.commit(feedA, 2, unsigned!.id)).toEqual(unsigned)
      expect(unsigned!.signature === undefined || signed!.signature === undefined).toBe(true)
    })

    test('finds a commit by any start of its id, and no other', async () => {
      const store = await emptyStore()
      const [commit] = chainOf(1)
      await store.batch([putCommit(commit!)])
      for (const length of [0, 1, 4, 8, 20, 32]) {
        expect(await store.commit(feedA, 1, commit!.id.subarray(0, length))).toEqual(commit)
      }
      for (const at of [0, 3, 7, 31]) {
        const wrong = commit!.id.slice(0, at + 1)
        wrong[at]! ^= 1
        expect(await store.commit(feedA, 1, wrong)).toBeUndefined()
      }
      expect(await store.commit(feedA, 2, commit!.id)).toBeUndefined()
      expect(await store.commit(feedB, 1, commit!.id)).toBeUndefined()
    })

    test('returns ranges in the order of seq, of one feed only', async () => {
      const store = await emptyStore()
      const chain = chainOf(300)
      const other = chainOf(5, { feed: feedB })
      await store.batch([...chain.toReversed(), ...other].map(putCommit))
      const seqs = async (after: number, upTo?: number): Promise<number[]> => {
        const range = upTo === undefined ? { feed: feedA, after } : { feed: feedA, after, upTo }
        return (await store.commits(range)).map(({ seq }) => seq)
      }
      expect(await seqs(0)).toEqual(chain.map(({ seq }) => seq))
      expect(await seqs(254, 258)).toEqual([255, 256, 257, 258])
      expect(await seqs(299)).toEqual([300])
      expect(await seqs(300)).toEqual([])
      expect(await seqs(7, 7)).toEqual([])
      expect(await seqs(9, 3)).toEqual([])
      expect(await seqs(298, Number.MAX_SAFE_INTEGER)).toEqual([299, 300])
      expect(await store.commits({ feed: feedC, after: 0 })).toEqual([])
    })

    test('stops a range at the commit that reaches maxBytes, after one at least', async () => {
      const store = await emptyStore()
      const chain = chainOf(10, { ciphertextBytes: 100 })
      await store.batch(chain.map(putCommit))
      const count = async (maxBytes: number): Promise<number> =>
        (await store.commits({ feed: feedA, after: 2, maxBytes })).length
      expect(await count(0)).toBe(1)
      expect(await count(100)).toBe(1)
      expect(await count(101)).toBe(2)
      expect(await count(1e9)).toBe(8)
    })

    test('keeps all branches of a forked feed', async () => {
      const store = await emptyStore()
      const trunk = chainOf(2)
      const branches = [1, 2, 3].map((branch) =>
        commitOf({ seq: 3, prev: trunk[1]!.id, content: `branch ${branch}` }),
      )
      await store.batch([...trunk, ...branches].map(putCommit))
      const expected = branches.map(({ id }) => bytesToHex(id.subarray(0, 8))).toSorted()
      expect((await store.idsAt(feedA, 3)).map(bytesToHex)).toEqual(expected)
      expect(await store.idsAt(feedA, 2)).toHaveLength(1)
      expect(await store.idsAt(feedA, 4)).toEqual([])
      expect(await store.commits({ feed: feedA, after: 2 })).toHaveLength(3)
      // Whoever reads on behind the last seq would miss the branches beside it.
      expect(await store.commits({ feed: feedA, after: 2, maxBytes: 1 })).toHaveLength(3)
      for (const branch of branches) {
        expect(await store.commit(feedA, 3, branch.id.subarray(0, 4))).toEqual(branch)
      }
    })

    test('holds a largest commit and a highest seq', async () => {
      const store = await emptyStore()
      const commit = commitOf({ seq: 2 ** 47, ciphertextBytes: 256 * 1024 })
      await store.batch([putCommit(commit)])
      expect(await store.commit(feedA, 2 ** 47, commit.id)).toEqual(commit)
      expect(await store.commits({ feed: feedA, after: 2 ** 47 - 1 })).toEqual([commit])
    })

    test('what it returns does not change when it, or the input, is overwritten', async () => {
      const store = await emptyStore()
      const value = utf8ToBytes('before')
      const written = store.batch([{ kind: 'meta', name: 'a', value }])
      value.fill(0)
      await written
      const first = await store.meta('a')
      expect(first).toEqual(utf8ToBytes('before'))
      first!.fill(0)
      expect(await store.meta('a')).toEqual(utf8ToBytes('before'))
    })
  })

  describe(`${storeName} keeps rows`, () => {
    test('descriptors and chains by feed', async () => {
      const store = await emptyStore()
      const bytes = utf8ToBytes('descriptor')
      await store.batch([
        { kind: 'descriptor', descriptor: { feed: feedB, bytes } },
        { kind: 'descriptor', descriptor: { feed: feedA, bytes } },
        { kind: 'chain', feed: feedA, value: utf8ToBytes('chain a') },
        { kind: 'chain', feed: feedB, value: utf8ToBytes('chain b') },
      ])
      await store.batch([{ kind: 'chain', feed: feedB, value: undefined }])
      expect(await store.descriptors()).toEqual([
        { feed: feedA, bytes },
        { feed: feedB, bytes },
      ])
      expect(await store.chains()).toEqual([{ feed: feedA, value: utf8ToBytes('chain a') }])
    })

    test.each(['meta', 'secret'] as const)('%s by name and by prefix', async (kind) => {
      const store = await emptyStore()
      const names = ['', 'a', 'a/1', 'a/2', 'a/2/3', 'ab', 'b/1', 'ÿ\uffff', 'ÿ\uffff/ä']
      await store.batch(names.map((name) => ({ kind, name, value: utf8ToBytes(`is ${name}`) })))
      const one = (name: string): Promise<Uint8Array | undefined> =>
        kind === 'meta' ? store.meta(name) : store.secret(name)
      const many = async (prefix: string): Promise<string[]> => {
        const found = kind === 'meta' ? await store.metas(prefix) : await store.secrets(prefix)
        for (const { name, value } of found) expect(value).toEqual(utf8ToBytes(`is ${name}`))
        return found.map(({ name }) => name)
      }
      for (const name of names) expect(await one(name)).toEqual(utf8ToBytes(`is ${name}`))
      expect(await one('a/')).toBeUndefined()
      expect((await many('')).toSorted()).toEqual(names.toSorted())
      expect(await many('a/')).toEqual(['a/1', 'a/2', 'a/2/3'])
      expect(await many('a/2')).toEqual(['a/2', 'a/2/3'])
      expect(await many('a')).toEqual(['a', 'a/1', 'a/2', 'a/2/3', 'ab'])
      expect(await many('ÿ\uffff')).toEqual(['ÿ\uffff', 'ÿ\uffff/ä'])
      expect(await many('c')).toEqual([])
      await store.batch([
        { kind, name: 'a/2', value: undefined },
        { kind, name: 'a/1', value: new Uint8Array(0) },
        { kind, name: 'not there', value: undefined },
      ])
      expect(await one('a/2')).toBeUndefined()
      expect(await one('a/1')).toEqual(new Uint8Array(0))
    })

    test('clears the secrets of one group', async () => {
      const store = await emptyStore()
      const names = ['a/1', 'a/2/3', 'a', 'ab/1', 'b/1']
      const value = utf8ToBytes('x')
      await store.batch(names.map((name) => ({ kind: 'secret', name, value })))
      await store.clearSecrets('a')
      const left = (await store.secrets('')).map(({ name }) => name)
      expect(left.toSorted()).toEqual(['a', 'ab/1', 'b/1'])
    })

    test('records by collection and id', async () => {
      const store = await emptyStore()
      const put = (collection: string, id: string, text: string): StoreChange => ({
        kind: 'record',
        collection,
        id,
        value: utf8ToBytes(text),
      })
      await store.batch([
        put('patients', '1', 'p1'),
        put('patients', '2', 'p2'),
        put('patient', 's1', 'other'),
        put('records', '1', 'r1'),
      ])
      expect(await store.record('patients', '1')).toEqual(utf8ToBytes('p1'))
      expect(await store.record('patients', 's1')).toBeUndefined()
      expect(await store.records('patients', ['2', '9', '1', '2'])).toEqual([
        utf8ToBytes('p2'),
        undefined,
        utf8ToBytes('p1'),
        utf8ToBytes('p2'),
      ])
      expect(await store.records('patients', [])).toEqual([])
      expect(await texts(store.allRecords('patients'))).toEqual(['p1', 'p2'])
      await store.batch([{ kind: 'record', collection: 'patients', id: '2', value: undefined }])
      expect(await texts(store.allRecords('patients'))).toEqual(['p1'])
      await store.clearRecords('patients')
      expect(await texts(store.allRecords('patients'))).toEqual([])
      expect(await texts(store.allRecords('records'))).toEqual(['r1'])
    })

    test('all records are those of one moment', async () => {
      const store = await emptyStore()
      const ids = Array.from({ length: 2_000 }, (_, index) => `record ${index}`)
      const write = (text: string): Promise<void> =>
        store.batch(
          ids.map((id) => ({ kind: 'record', collection: 'c', id, value: utf8ToBytes(text) })),
        )
      await write('old')
      const seen: Uint8Array[] = []
      for await (const value of store.allRecords('c')) {
        if (seen.length === 0) await write('new')
        seen.push(value)
      }
      expect(seen).toHaveLength(ids.length)
      expect(seen.every((value) => Buffer.from(value).toString() === 'old')).toBe(true)
    })

    test('leaving a list early does no harm', async () => {
      const store = await emptyStore()
      await store.batch([record('1', 'a'), record('2', 'b'), record('3', 'c')])
      let count = 0
      for await (const _ of store.allRecords('c')) if (++count === 2) break
      expect(count).toBe(2)
    })

    test('contexts by place', async () => {
      const store = await emptyStore()
      const [one, two] = chainOf(2)
      const other = commitOf({ feed: feedB, seq: 1 })
      const context = ({ feed, seq, id }: StoredCommit, text?: string): StoreChange => {
        const value = text === undefined ? undefined : utf8ToBytes(text)
        return { kind: 'context', feed, seq, id, value }
      }
      await store.batch([context(two!, 'second'), context(one!, 'first'), context(other, 'other')])
      const found: unknown[] = []
      for await (const entry of store.contexts(feedA)) found.push(entry)
      expect(found).toEqual([
        { seq: 1, id: one!.id, value: utf8ToBytes('first') },
        { seq: 2, id: two!.id, value: utf8ToBytes('second') },
      ])
      await store.batch([context(one!)])
      await store.clearContexts(feedB)
      const left: number[] = []
      for (const feed of [feedA, feedB]) {
        for await (const { seq } of store.contexts(feed)) left.push(seq)
      }
      expect(left).toEqual([2])
    })
  })

  describe(`${storeName} writes in order`, () => {
    test('later batches win, and what was asked for first is there first', async () => {
      const store = await emptyStore()
      const settled: number[] = []
      const batches = Array.from({ length: 100 }, async (_, index) => {
        const sync = index % 3 !== 0
        const value = Uint8Array.of(index)
        await store.batch([{ kind: 'meta', name: 'last', value }], { sync })
        settled.push(index)
        expect((await store.meta('last'))![0]).toBeGreaterThanOrEqual(index)
      })
      await Promise.all(batches)
      expect(settled).toEqual(settled.toSorted((a, b) => a - b))
      expect(await store.meta('last')).toEqual(Uint8Array.of(99))
    })

    test('within a batch the last change of a row wins', async () => {
      const store = await emptyStore()
      await store.batch([record('1', 'a'), record('1', 'b')])
      expect(await texts(store.allRecords('c'))).toEqual(['b'])
      await store.batch([])
    })

    test('clearing takes its turn between batches', async () => {
      const store = await emptyStore()
      await Promise.all([
        store.batch([record('1', 'before')]),
        store.clearRecords('c'),
        store.batch([record('2', 'after')]),
      ])
      expect(await texts(store.allRecords('c'))).toEqual(['after'])
    })

    test('a change that makes no sense fails alone', async () => {
      const store = await emptyStore()
      const [commit] = chainOf(1)
      const wrong = { ...commit!, header: commit!.header.subarray(1) }
      await expect(store.batch([record('1', 'a'), putCommit(wrong)])).rejects.toThrow(TypeError)
      await expect(
        store.batch([{ kind: 'chain', feed: 'no feed', value: undefined }]),
      ).rejects.toThrow(TypeError)
      expect(await store.record('c', '1')).toBeUndefined()
      await store.batch([record('1', 'b')])
      expect(await texts(store.allRecords('c'))).toEqual(['b'])
    })

    test('closing finishes what was asked for, and refuses what comes later', async () => {
      const store = await emptyStore()
      const written = store.batch([record('1', 'a')])
      await store.close()
      await written
      await expect(store.batch([record('2', 'b')])).rejects.toMatchObject({ code: 'STOPPED' })
      await expect(store.record('c', '1')).rejects.toMatchObject({ code: 'STOPPED' })
      await expect(texts(store.allRecords('c'))).rejects.toMatchObject({ code: 'STOPPED' })
    })
  })
}

export const feedA = 'a1'.repeat(16)
export const feedB = 'a2'.repeat(16)
const feedC = 'ff'.repeat(16)

export interface CommitParts {
  readonly feed?: string
  readonly seq: number
  readonly prev?: Uint8Array
  readonly content?: string
  readonly ciphertextBytes?: number
  readonly isSigned?: boolean
}

/** A commit with the id that its bytes make; its signature is of the right length only. */
export function commitOf(parts: CommitParts): StoredCommit {
  const { feed = feedA, seq, prev = zeroId, content = '', ciphertextBytes = 40 } = parts
  const text = utf8ToBytes(`${content} ${seq} ${feed} `)
  const ciphertext = Uint8Array.from(
    { length: ciphertextBytes },
    (_, index) => (text[index % text.length]! + 7 * index) % 256,
  )
  const header = encodeHeader({
    kind: 1,
    continued: false,
    mesh: new Uint8Array(16).fill(1),
    collection: new Uint8Array(16).fill(2),
    feed: new Uint8Array(Buffer.from(feed, 'hex')),
    seq,
    prev,
    epoch: new Uint8Array(16).fill(3),
    salt: new Uint8Array(16).fill(seq % 256),
    day: 20_000,
    ciphertextBytes,
  })
  const signature = parts.isSigned === false ? undefined : new Uint8Array(64).fill(seq % 256)
  return { feed, seq, id: commitId(header, ciphertext), header, ciphertext, signature }
}

export function chainOf(
  count: number,
  options: {
    feed?: string
    ciphertextBytes?: number
    signedEvery?: number
    after?: StoredCommit
  } = {},
): StoredCommit[] {
  const { signedEvery = 1, after, ...parts } = options
  const chain: StoredCommit[] = []
  let last = after
  for (let index = 1; index <= count; index++) {
    const seq = (last?.seq ?? 0) + 1
    last = commitOf({ ...parts, seq, prev: last?.id ?? zeroId, isSigned: seq % signedEvery === 0 })
    chain.push(last)
  }
  return chain
}

export function putCommit(commit: StoredCommit): StoreChange {
  return { kind: 'commit', commit }
}

function record(id: string, text: string): StoreChange {
  return { kind: 'record', collection: 'c', id, value: utf8ToBytes(text) }
}

async function texts(values: AsyncIterable<Uint8Array>): Promise<string[]> {
  const found: string[] = []
  for await (const value of values) found.push(Buffer.from(value).toString())
  return found.toSorted()
}

/** Damage of every kind, with few trials each: never silent, never the end of the process, and the store opens again. */
import { cp, open, readFile, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import type { Damage } from '../../src/store/damage.ts'
import { openLevelStore } from '../../src/store/level-store.ts'
import type { MeshStore } from '../../src/store/mesh-store.ts'
import type { Hole } from '../../src/store/feed-check.ts'
import { chainOf, feedA, putCommit } from '../contract/commit-store-contract.ts'
import { scratchDirectory } from './scratch.ts'

const storeKey = new Uint8Array(32).fill(9)
const commitCount = 2_000
const chain = chainOf(commitCount, { ciphertextBytes: 5_000, signedEvery: 10 })
let original = ''

beforeAll(async () => {
  original = await mkdtemp(join(tmpdir(), 'haven-original-'))
  const store = await openLevelStore({ location: original, storeKey })
  for (let from = 0; from < commitCount; from += 20) {
    await store.batch([
      ...chain.slice(from, from + 20).map(putCommit),
      { kind: 'secret', name: `key/${from}`, value: Uint8Array.of(1) },
      { kind: 'meta', name: `meta/${from}`, value: Uint8Array.of(1) },
    ])
  }
  await store.close()
})

afterAll(() => rm(original, { recursive: true, force: true }))

interface Outcome {
  readonly store: MeshStore
  readonly commits: number
  readonly tip: number
  readonly holes: Hole[]
  readonly damage: Damage[]
}

async function copyOfStore(): Promise<string> {
  const location = await scratchDirectory()
  await cp(original, location, { recursive: true })
  return location
}

async function openAndRead(location: string): Promise<Outcome> {
  const damage: Damage[] = []
  const store = await openLevelStore({ location, storeKey, onDamage: (one) => damage.push(one) })
  onTestFinished(() => store.close())
  const holes: Hole[] = []
  await store.verifyInBackground(new AbortController().signal, (hole) => holes.push(hole))
  const commits = await store.commits({ feed: feedA, after: 0 })
  // Whatever comes out is what was put in.
  expect(commits.every(({ seq, id }) => Buffer.compare(id, chain[seq - 1]!.id) === 0)).toBe(true)
  const { seq: tip } = await store.tipOf(feedA)
  return { store, commits: commits.length, tip, holes, damage }
}

/** What is gone is known to be gone: by a hole, by a report, or because the end is missing. */
function expectNothingSilent({ store, commits, tip, holes, damage }: Outcome): void {
  const missingInside = holes.reduce((sum, { from, to }) => sum + to - from + 1, 0)
  expect(commits === tip || missingInside > 0).toBe(true)
  expect(commits === commitCount || store.opening.salvage !== undefined || damage.length > 0).toBe(
    true,
  )
}

async function expectWritable(store: MeshStore): Promise<void> {
  await store.batch(chain.slice(0, 10).map(putCommit))
  await store.batch(chain.map(putCommit))
  expect((await store.tipOf(feedA)).seq).toBe(commitCount)
}

async function filesOf(location: string, pattern: RegExp): Promise<string[]> {
  const directory = join(location, 'db')
  const names = await readdir(directory)
  return names.filter((name) => pattern.test(name)).map((name) => join(directory, name))
}

async function flipBit(path: string, share: number): Promise<void> {
  const { size } = await stat(path)
  const at = Math.floor(size * share)
  const file = await open(path, 'r+')
  const byte = Buffer.alloc(1)
  await file.read(byte, 0, 1, at)
  byte[0]! ^= 1 << (at % 8)
  await file.write(byte, 0, 1, at)
  await file.close()
}

const shares = [0, 0.13, 0.5, 0.71, 0.9999]

test('an intact store opens with all it has', async () => {
  const outcome = await openAndRead(await copyOfStore())
  expect(outcome).toMatchObject({ commits: commitCount, tip: commitCount, holes: [], damage: [] })
  expect(outcome.store.opening).toEqual({
    firstRun: false,
    salvage: undefined,
    reserveReleased: false,
  })
})

describe.each(shares)('at %f of the file', (share) => {
  test('a flipped bit in the log', async () => {
    const location = await copyOfStore()
    for (const path of await filesOf(location, /\.log$/)) await flipBit(path, share)
    const outcome = await openAndRead(location)
    expect(outcome.store.opening.salvage).toBeDefined()
    // One block of 32 KiB and the batches that touch it.
    expect(outcome.commits).toBeGreaterThan(commitCount - 80)
    expectNothingSilent(outcome)
    await expectWritable(outcome.store)
  })

  test('a flipped bit in a table', async () => {
    const location = await copyOfStore()
    const [table] = await filesOf(location, /\.ldb$/)
    await flipBit(table!, share)
    const outcome = await openAndRead(location)
    expect(outcome.store.opening.salvage?.keptAt).toMatch(/db\.damaged-1$/)
    expectNothingSilent(outcome)
    // One block of 4 KiB, unless it is the index of the table.
    const mostBlocks = share < 0.9 ? 1 : 1_000
    expect(outcome.commits).toBeGreaterThanOrEqual(commitCount - mostBlocks)
    await expectWritable(outcome.store)
  })

  test('a truncated log', async () => {
    const location = await copyOfStore()
    for (const path of await filesOf(location, /\.log$/)) {
      await truncate(path, Math.floor((await stat(path)).size * share))
    }
    const outcome = await openAndRead(location)
    // As after a power cut: a whole number of batches, without holes.
    expect(outcome).toMatchObject({ tip: outcome.commits, holes: [], damage: [] })
    expect(outcome.commits % 20).toBe(0)
    await expectWritable(outcome.store)
  })

  test('a flipped bit in the manifest', async () => {
    const location = await copyOfStore()
    const [manifest] = await filesOf(location, /^MANIFEST/)
    await flipBit(manifest!, share)
    const outcome = await openAndRead(location)
    expect(outcome.commits).toBe(commitCount)
  })

  test('a truncated manifest', async () => {
    const location = await copyOfStore()
    const [manifest] = await filesOf(location, /^MANIFEST/)
    await truncate(manifest!, Math.floor((await stat(manifest!)).size * share))
    const outcome = await openAndRead(location)
    expect(outcome.commits).toBe(commitCount)
  })
})

test.each([
  ['CURRENT', /^CURRENT$/],
  ['the manifest', /^MANIFEST/],
])('deleted: %s', async (_name, pattern) => {
  const location = await copyOfStore()
  for (const path of await filesOf(location, pattern)) await rm(path)
  const outcome = await openAndRead(location)
  expect(outcome.store.opening.salvage).toBeDefined()
  expect(outcome).toMatchObject({ commits: commitCount, holes: [] })
})

test('emptied: CURRENT', async () => {
  const location = await copyOfStore()
  await writeFile(join(location, 'db', 'CURRENT'), '')
  expect((await openAndRead(location)).commits).toBe(commitCount)
})

test('deleted: one table after another', async () => {
  for (const index of [0, 1]) {
    const location = await copyOfStore()
    const tables = await filesOf(location, /\.ldb$/)
    expect(tables.length).toBeGreaterThan(1)
    await rm(tables[index]!)
    const outcome = await openAndRead(location)
    expect(outcome.store.opening.salvage?.reason).toMatch(/is missing/)
    expect(outcome.commits).toBeLessThan(commitCount)
    expectNothingSilent(outcome)
    await expectWritable(outcome.store)
  }
})

test('deleted: the log', async () => {
  const location = await copyOfStore()
  for (const path of await filesOf(location, /\.log$/)) await rm(path)
  const outcome = await openAndRead(location)
  expect(outcome.store.opening.salvage?.reason).toMatch(/log is missing/)
})

test('deleted: the whole database', async () => {
  const location = await copyOfStore()
  await rm(join(location, 'db'), { recursive: true })
  const outcome = await openAndRead(location)
  expect(outcome.store.opening).toMatchObject({ firstRun: false, salvage: { rows: 0 } })
  await expectWritable(outcome.store)
})

test('a repair that was interrupted is done again', async () => {
  const location = await copyOfStore()
  await cp(join(location, 'db'), join(location, 'db.damaged-3'), { recursive: true })
  await rm(join(location, 'db'), { recursive: true })
  await cp(join(location, 'db.damaged-3'), join(location, 'db.new'), { recursive: true })
  const outcome = await openAndRead(location)
  expect(outcome.commits).toBe(commitCount)
  expect((await readdir(location)).filter((name) => name.startsWith('db'))).toEqual([
    'db',
    'db.damaged-3',
  ])
})

test('damage that comes while the store is open is seen, and repaired at the next start', async () => {
  const location = await copyOfStore()
  const damage: Damage[] = []
  const store = await openLevelStore({ location, storeKey, onDamage: (one) => damage.push(one) })
  const tables = await filesOf(location, /\.ldb$/)
  for (const table of tables) for (const share of shares.slice(1, 4)) await flipBit(table, share)
  const commits = await store.commits({ feed: feedA, after: 0 }).catch(() => [])
  await store.close()
  expect(commits.length).toBeLessThan(commitCount)
  expect(damage.length).toBeGreaterThan(0)

  const outcome = await openAndRead(location)
  expect(outcome.store.opening.salvage?.reason).toMatch(/damaged/)
  expectNothingSilent(outcome)
  await expectWritable(outcome.store)
})

test('derived rows and secrets survive, or are reported', async () => {
  const location = await copyOfStore()
  for (const path of await filesOf(location, /\.log$/)) await flipBit(path, 0.5)
  const { store } = await openAndRead(location)
  const secrets = await store.secrets('key/')
  const metas = await store.metas('meta/')
  expect(secrets.length).toBeGreaterThan(commitCount / 20 - 5)
  expect(metas.length).toBe(secrets.length)
})

test('no damaged file is thrown away', async () => {
  const location = await copyOfStore()
  await rm(join(location, 'db', 'CURRENT'))
  const before = await filesOf(location, /\.(?:ldb|log)$/)
  const contents = await Promise.all(before.map((path) => readFile(path)))
  const { store } = await openAndRead(location)
  const kept = before.map((path) => join(store.opening.salvage!.keptAt!, path.split('/').at(-1)!))
  expect(await Promise.all(kept.map((path) => readFile(path)))).toEqual(contents)
})

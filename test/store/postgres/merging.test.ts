/** Several writers of one mesh at once, in schedules that chance makes: the chains are those of all commits, whoever wrote what when. */
import { test } from '@fast-check/vitest'
import * as fc from 'fast-check'
import { MemoryLevel } from 'memory-level'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { bytesToHex } from '../../../src/core/bytes.ts'
import { FeedChain } from '../../../src/feed/chain.ts'
import type { StoreChange, StoredCommit } from '../../../src/feed/commit-store.ts'
import { prevOf } from '../../../src/store/commit-row.ts'
import { openLevelStore } from '../../../src/store/level-store.ts'
import { openPostgres } from '../../../src/store/postgres/database.ts'
import type { PostgresDatabase } from '../../../src/store/postgres/database.ts'
import { openPostgresStore } from '../../../src/store/postgres/postgres-store.ts'
import { ServerTables } from '../../../src/store/postgres/server-tables.ts'
import type { SharedStore } from '../../../src/store/shared-store.ts'
import { commitOf, putCommit } from '../../contract/commit-store-contract.ts'
import { descriptorOf } from '../../contract/made-descriptor.ts'
import { chainIn, chainWith, sentBytes } from '../../contract/shared-store-contract.ts'
import { PostgresServer, noPostgres } from '../../support/postgres.ts'

const storeKey = new Uint8Array(32).fill(7)
const writers = 3
const authors = [descriptorOf('anna'), descriptorOf('ben')] as const

/** Each commit of a feed follows the last one, or an earlier one: a fork. */
const history = fc
  .array(fc.oneof({ weight: 8, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.nat(12) }), {
    minLength: 4,
    maxLength: 24,
  })
  .map((steps) => (feed: string): StoredCommit[] => {
    const commits: StoredCommit[] = []
    for (const [index, back] of steps.entries()) {
      const before = commits[index - back]
      const place = before === undefined ? { seq: 1 } : { seq: before.seq + 1, prev: before.id }
      commits.push(commitOf({ feed, content: `number ${index}`, ...place }))
    }
    return commits
  })

const schedule = fc.array(
  fc.record({
    writer: fc.nat(writers - 1),
    feed: fc.nat(1),
    /** How many commits, and from where on among those that it could write. */
    commits: fc.integer({ min: 1, max: 5 }),
    pick: fc.nat(5),
    /** Whether it looks what the others have done before, and waits for its own writing. */
    looks: fc.boolean(),
    waits: fc.boolean(),
  }),
  { minLength: 6, maxLength: 40 },
)

/** What one process knows, and is told. */
class Writer {
  readonly store: SharedStore
  readonly changes: StoreChange[] = []
  readonly writing: Promise<void>[] = []
  /** The chains as it last heard or said. */
  readonly chains = new Map<string, FeedChain>()
  readonly #held = new Map<string, StoredCommit>()

  constructor(store: SharedStore) {
    this.store = store
  }

  /** Writes commits that follow what it has, and says what it believes the chain is then. */
  write(all: readonly StoredCommit[], count: number, pick: number): void {
    const fresh: StoredCommit[] = []
    const possible = all.filter((commit) => !this.#held.has(bytesToHex(commit.id)))
    for (const commit of [...possible.slice(pick % (possible.length + 1)), ...possible]) {
      const prev = bytesToHex(prevOf(commit.header))
      const isHeld = this.#held.has(bytesToHex(commit.id))
      if (fresh.length === count || isHeld) continue
      if (commit.seq > 1 && !this.#held.has(prev)) continue
      this.#held.set(bytesToHex(commit.id), commit)
      fresh.push(commit)
    }
    const [first] = fresh
    if (first === undefined) return
    const { feed } = first
    const chain = chainWith([...this.#held.values()].filter((commit) => commit.feed === feed))
    const changes: StoreChange[] = [
      ...authors.map(({ descriptor }) => ({ kind: 'descriptor' as const, descriptor })),
      ...fresh.map(putCommit),
      { kind: 'chain', feed, value: chain.encode() },
    ]
    this.changes.push(...changes)
    this.writing.push(
      (async () => {
        await this.store.batch(changes)
        this.chains.set(feed, chain)
      })(),
    )
  }

  async look(): Promise<void> {
    await this.store.refresh()
    for (const { feed, value } of this.store.takeNews()?.chains ?? []) {
      this.chains.set(feed, FeedChain.decode(feed, value))
      for (const commit of await this.store.commits({ feed, after: 0 })) {
        this.#held.set(bytesToHex(commit.id), commit)
      }
    }
  }
}

describe.skipIf(noPostgres !== undefined)('writers of one mesh on PostgreSQL', () => {
  let server: PostgresServer
  const databases: PostgresDatabase[] = []
  let meshes = 0

  beforeAll(async () => {
    server = await PostgresServer.start()
    const url = await server.freshDatabase()
    for (let index = 0; index < writers; index++) databases.push(await openPostgres(url))
  })

  afterAll(async () => {
    for (const database of databases) await database.close()
    await server.stop()
  })

  async function openWriters(): Promise<Writer[]> {
    const mesh = (++meshes).toString(16).padStart(32, '0')
    await new ServerTables(databases[0]!).addMesh(mesh)
    return Promise.all(
      databases.map(
        async (database) => new Writer(await openPostgresStore({ database, mesh, storeKey })),
      ),
    )
  }

  test.prop([history, history, schedule], { numRuns: 25, endOnFailure: true })(
    'end with the chains of all commits, and all of them know',
    async (one, other, steps) => {
      const histories = [one(authors[0].feed), other(authors[1].feed)]
      const all = await openWriters()
      for (const { writer, feed, commits, pick, looks, waits } of steps) {
        const each = all[writer]!
        if (looks) await each.look()
        each.write(histories[feed]!, commits, pick)
        if (waits) await Promise.all(each.writing)
      }
      for (const each of all) await Promise.all(each.writing)
      for (const each of all) await each.look()

      const level = await openLevelStore({ db: new MemoryLevel(), storeKey })
      await level.batch(all.flatMap(({ changes }) => changes))
      const usage = new Map<string, { commits: number; bytes: number }>()
      for (const { feed, device } of authors) {
        const commits = await level.commits({ feed, after: 0 })
        if (commits.length === 0) continue
        const bytes = commits.reduce((sum, commit) => sum + sentBytes(commit), 0)
        usage.set(device, { commits: commits.length, bytes })
        for (const { store, chains } of all) {
          expect(await store.commits({ feed, after: 0 })).toEqual(commits)
          expect(await store.descriptors()).toEqual(await level.descriptors())
          expect(await chainIn(store, feed)).toEqual(chainWith(commits))
          expect(chains.get(feed)).toEqual(chainWith(commits))
        }
      }
      for (const { store } of all) {
        expect(store.usage).toEqual(usage)
        await store.close()
      }
      await level.close()
    },
    60_000,
  )
})

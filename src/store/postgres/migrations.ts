/** The tables, step by step as they have come to be. A step that has been released is never changed: a new one is added. */
import { setTimeout as delay } from 'node:timers/promises'
import { HavenError } from '../../core/errors.ts'
import { errorCodeOf } from '../file-errors.ts'
import { statement } from './statement.ts'
import type { Transaction } from './transaction.ts'

/**
 * Each can be run again after it was run in part: some engines don't take definitions of tables back with a transaction.
 *
 * Keys begin with the mesh, and are natural: no sequences, which are not the same everywhere.
 */
const migrations: readonly string[] = [
  `CREATE TABLE IF NOT EXISTS meshes (
     mesh bytea PRIMARY KEY,
     revision bigint NOT NULL,
     announced_number bigint,
     announcement bytea,
     removing boolean NOT NULL
   );
   CREATE TABLE IF NOT EXISTS commits (
     mesh bytea NOT NULL,
     feed bytea NOT NULL,
     seq bigint NOT NULL,
     id8 bytea NOT NULL,
     value bytea NOT NULL,
     bytes bigint NOT NULL,
     ciphertext_bytes bigint NOT NULL,
     arrived_ms bigint NOT NULL,
     PRIMARY KEY (mesh, feed, seq, id8)
   );
   CREATE TABLE IF NOT EXISTS store_rows (
     mesh bytea NOT NULL,
     key bytea NOT NULL,
     value bytea,
     ord bigint,
     revision bigint NOT NULL,
     PRIMARY KEY (mesh, key)
   );
   CREATE INDEX IF NOT EXISTS store_rows_by_revision ON store_rows (mesh, revision);
   CREATE TABLE IF NOT EXISTS usage (
     mesh bytea NOT NULL,
     device bytea NOT NULL,
     commits bigint NOT NULL,
     bytes bigint NOT NULL,
     PRIMARY KEY (mesh, device)
   );
   CREATE TABLE IF NOT EXISTS server_values (
     name text PRIMARY KEY,
     value bytea NOT NULL
   );
   CREATE TABLE IF NOT EXISTS invitations (
     nonce text PRIMARY KEY,
     mesh bytea NOT NULL
   );
   CREATE TABLE IF NOT EXISTS channel_secrets (
     id text PRIMARY KEY,
     secret bytea NOT NULL,
     created_ms bigint NOT NULL
   );
   CREATE TABLE IF NOT EXISTS seen_requests (
     id bytea PRIMARY KEY,
     expires_ms bigint NOT NULL,
     claim bytea NOT NULL
   );
   CREATE TABLE IF NOT EXISTS sent_bytes (
     mesh bytea NOT NULL,
     device bytea NOT NULL,
     day bigint NOT NULL,
     bytes bigint NOT NULL,
     PRIMARY KEY (mesh, device, day)
   );`,
]

export interface Migrated extends Transaction {
  /** For messages. */
  readonly place: string
  transaction<Result>(work: (transaction: Transaction) => Promise<Result>): Promise<Result>
}

const makeList = `CREATE TABLE IF NOT EXISTS haven_migrations (number bigint PRIMARY KEY)`
const readNewest = statement('SELECT max(number) AS newest FROM haven_migrations')
const addToList = statement('INSERT INTO haven_migrations (number) VALUES ($1)')

/** What one process gets to hear while another one makes the same tables: unique and duplicate names, "tuple concurrently updated". */
const collisions = new Set(['23505', '42P07', '42710', 'XX000'])
const attempts = 40
const longestPauseMs = 100

/**
 * Brings the tables to the state that this version of the program needs; several processes may do it at once.
 *
 * @throws HavenError `STORE_NEWER_VERSION`, `STORE_FAILED`
 */
export async function migrate(database: Migrated): Promise<void> {
  await again(() => database.run(makeList))
  for (let isDone = false; !isDone;) {
    isDone = await again(() => database.transaction((transaction) => step(transaction, database)))
  }
}

/** @returns whether there is nothing left to do */
async function step(transaction: Transaction, { place }: Migrated): Promise<boolean> {
  const { rows } = await transaction.run<{ newest: number | null }>(readNewest)
  const done = rows[0]?.newest ?? 0
  if (done > migrations.length) {
    throw new HavenError(
      'STORE_NEWER_VERSION',
      `The tables in the database ${place} were made by a newer version of haven. Install that version.`,
    )
  }
  const next = migrations[done]
  if (next === undefined) return true
  await transaction.run(next)
  // Last: where definitions are not taken back, nobody may take them for complete before.
  await transaction.run(addToList, [done + 1])
  return false
}

/** Whoever lost a race finds, the next time, that somebody else has done it. */
async function again<Result>(attempt: () => Promise<Result>): Promise<Result> {
  for (let count = 1; ; count++) {
    try {
      return await attempt()
    } catch (error) {
      const cause = error instanceof HavenError ? error.cause : error
      if (count === attempts || !collisions.has(errorCodeOf(cause) ?? '')) throw error
    }
    await delay(longestPauseMs * Math.random())
  }
}

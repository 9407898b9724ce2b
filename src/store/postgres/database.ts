/** A PostgreSQL database, or one of an engine that speaks its protocol: connections, transactions, and what is tried again. */
import { setTimeout as delay } from 'node:timers/promises'
import { Client, Pool } from 'pg'
import type { PoolClient } from 'pg'
import { HavenError } from '../../core/errors.ts'
import {
  connectionError,
  databaseError,
  isBrokenConnection,
  isTransient,
} from './database-error.ts'
import { migrate } from './migrations.ts'
import { resultTypes } from './statement.ts'
import type { Statement, Value } from './statement.ts'
import type { Rows, Snapshot, Transaction } from './transaction.ts'

export interface PostgresOptions {
  /** Connections of this process; default 10. */
  readonly connections?: number
  /** How long what may succeed later is tried again; default 10,000 ms. */
  readonly patienceMs?: number
}

const usualConnections = 10
const usualPatienceMs = 10_000
const connectWaitMs = 5_000
/** One statement: a lock that nobody gives back, or a network that swallows everything. */
const statementWaitMs = 15_000
const firstPauseMs = 2
const longestPauseMs = 250

/**
 * Readers and writers see the database as if they came one after the other. A process that died in the middle of a transaction, and
 * whose connection nobody has closed, holds up the others this long.
 */
const beginWriting =
  "BEGIN ISOLATION LEVEL SERIALIZABLE; SET LOCAL idle_in_transaction_session_timeout = '10s'"
const beginReading = 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY'

export class PostgresDatabase {
  /** Host, port, database and user, for messages. */
  readonly place: string
  readonly #pool: Pool
  readonly #patienceMs: number
  #closing: Promise<void> | undefined

  /** {@link openPostgres} is to be used. */
  constructor(pool: Pool, place: string, patienceMs: number) {
    this.#pool = pool
    this.place = place
    this.#patienceMs = patienceMs
  }

  /**
   * Runs `work` in one SERIALIZABLE transaction, and all of it again when the database says so or the connection breaks, in the moment
   * of the commit too: it must not matter whether it was carried out before.
   *
   * @throws HavenError `STORE_FAILED`, `DISK_FULL`, `STOPPED`; what `work` throws ends it without another attempt
   */
  transaction<Result>(work: (transaction: Transaction) => Promise<Result>): Promise<Result> {
    return this.#persevere(() => this.#attempt(work))
  }

  /** One statement that is a transaction of its own; tried again as above. @throws as above */
  run<Row = never>(statement: Statement | string, values?: readonly Value[]): Promise<Rows<Row>> {
    return this.#persevere(async () => {
      const client = await this.#connect()
      let error: unknown
      try {
        return await query<Row>(client, statement, values)
      } catch (failure) {
        error = failure
        throw failure
      } finally {
        client.release(error !== undefined && isBrokenConnection(error))
      }
    })
  }

  /** @throws HavenError `STORE_FAILED`, `STOPPED` */
  snapshot(): Promise<Snapshot> {
    return this.#persevere(async () => {
      const client = await this.#connect()
      try {
        await query(client, beginReading)
      } catch (error) {
        client.release(true)
        throw error
      }
      let failed = false
      return {
        run: async <Row>(statement: Statement | string, values?: readonly Value[]) => {
          try {
            return await query<Row>(client, statement, values)
          } catch (error) {
            failed = true
            throw databaseError(error, this.place)
          }
        },
        release: async () => {
          if (!failed) failed = await rollback(client)
          client.release(failed)
        },
      }
    })
  }

  /** Lets what runs come to its end. */
  close(): Promise<void> {
    this.#closing ??= this.#pool.end()
    return this.#closing
  }

  async #attempt<Result>(work: (transaction: Transaction) => Promise<Result>): Promise<Result> {
    const client = await this.#connect()
    let isBroken = false
    try {
      await query(client, beginWriting)
      const result = await work({
        run: (statement, values) => query(client, statement, values),
      })
      await query(client, 'COMMIT')
      return result
    } catch (error) {
      isBroken = !(error instanceof HavenError) && isBrokenConnection(error)
      if (!isBroken) isBroken = await rollback(client)
      throw error
    } finally {
      client.release(isBroken)
    }
  }

  async #persevere<Result>(attempt: () => Promise<Result>): Promise<Result> {
    const deadline = performance.now() + this.#patienceMs
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
      try {
        return await attempt()
      } catch (error) {
        if (!isTransient(error) || performance.now() > deadline) {
          throw databaseError(error, this.place)
        }
      }
      // Of several that got into each other's way, one comes first the next time.
      await delay(pauseMs * Math.random())
    }
  }

  #connect(): Promise<PoolClient> {
    if (this.#closing !== undefined) {
      throw new HavenError('STOPPED', 'The database has been closed.')
    }
    return this.#pool.connect()
  }
}

/**
 * Connects, and makes or changes the tables as this version of the program needs them.
 *
 * @param url - `postgres://user:password@host:port/database`
 * @throws HavenError `USAGE` when it is no such URL; `DATABASE_UNREACHABLE`, `DATABASE_REFUSED`; `STORE_NEWER_VERSION`, `STORE_FAILED`
 */
export async function openPostgres(
  url: string,
  options: PostgresOptions = {},
): Promise<PostgresDatabase> {
  const config = {
    connectionString: checkedUrl(url),
    max: options.connections ?? usualConnections,
    connectionTimeoutMillis: connectWaitMs,
    query_timeout: statementWaitMs,
    keepAlive: true,
    application_name: 'haven',
    types: resultTypes,
  }
  const { host, port, database, user } = new Client(config)
  const place = `${host}:${port}/${database} (user ${user})`
  const pool = new Pool(config)
  // A connection that breaks while nothing runs on it is replaced by the next that is needed.
  pool.on('error', ignore)
  pool.on('connect', (client) => client.on('error', ignore))
  try {
    const client = await pool.connect()
    client.release()
    const opened = new PostgresDatabase(pool, place, options.patienceMs ?? usualPatienceMs)
    await migrate(opened)
    return opened
  } catch (error) {
    await pool.end()
    const cause = error instanceof HavenError && error.code === 'STORE_FAILED' ? error.cause : error
    throw connectionError(cause, place)
  }
}

function ignore(): void {
  // Whoever uses the connection learns it from its statement.
}

function checkedUrl(url: string): string {
  // Not shown in the message: there may be a password in it.
  if (/^postgres(?:ql)?:\/\//.test(url) && URL.canParse(url)) return url
  throw new HavenError(
    'USAGE',
    'A database is given as a URL: postgres://USER:PASSWORD@HOST:PORT/DATABASE.',
  )
}

async function query<Row>(
  client: PoolClient,
  statement: Statement | string,
  values: readonly Value[] = [],
): Promise<Rows<Row>> {
  if (typeof statement === 'string') {
    await client.query(statement)
    return { rows: [], count: 0 }
  }
  const { rows, rowCount } = await client.query({ ...statement, values: [...values] })
  return { rows: rows as Row[], count: rowCount ?? 0 }
}

/** @returns whether the connection can't be used any more */
async function rollback(client: PoolClient): Promise<boolean> {
  try {
    await client.query('ROLLBACK')
    return false
  } catch {
    return true
  }
}

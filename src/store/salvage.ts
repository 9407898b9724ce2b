/**
 * Makes a new database of all rows in a damaged one that can still be read. LevelDB's own repair trusts every byte, and
 * ended the process in one of ten trials.
 */
import { readFile, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Level } from 'level'
import type { DataDirectory } from './data-dir.ts'
import { writeOptions } from './database.ts'
import type { BatchOperation } from './database.ts'
import { syncDirectory } from './durable-file.ts'
import { rowKinds } from './layout.ts'
import { readBatch, readLog, readTable } from './level-files.ts'
import type { LiveFiles, RowVersion } from './level-files.ts'

export interface SalvageReport {
  /** For the log. */
  readonly reason: string
  /** The damaged files, for an expert; those of an earlier salvage are removed. `undefined`: there were none. */
  readonly keptAt: string | undefined
  readonly rows: number
  /** Nothing was damaged: the new database has every row that the old one had, and no other. */
  readonly isWhole: boolean
}

const batchBytes = 1024 * 1024
const highestKind = Math.max(...Object.values(rowKinds))

/** The directory to go on from when a salvage was interrupted, or its result got lost. */
export async function newestKept(directory: DataDirectory): Promise<string | undefined> {
  const [newest] = (await keptNumbers(directory)).toSorted((a, b) => b - a)
  return newest === undefined ? undefined : keptPath(directory, newest)
}

/**
 * The database must not be open; afterwards there is one that opens. Can be interrupted and repeated.
 *
 * @param live - of a database that was found intact, the files that are in use: what is left of others says how rows once were
 */
export async function salvage(
  directory: DataDirectory,
  reason: string,
  live?: LiveFiles,
): Promise<SalvageReport> {
  const database = directory.databaseDirectory
  const rebuilt = `${database}.new`
  const isThere = (await readdir(directory.path)).includes('db')
  if (isThere) {
    const next = Math.max(0, ...(await keptNumbers(directory))) + 1
    await rename(database, keptPath(directory, next))
    await syncDirectory(directory.path)
  }
  const keptAt = await newestKept(directory)
  await rm(rebuilt, { recursive: true, force: true })
  const rows = await copyRows(keptAt, rebuilt, live)
  await syncDirectory(rebuilt)
  await rename(rebuilt, database)
  await syncDirectory(directory.path)
  for (const number of await keptNumbers(directory)) {
    const path = keptPath(directory, number)
    if (path !== keptAt) await rm(path, { recursive: true, force: true })
  }
  return { reason, keptAt, rows, isWhole: live !== undefined }
}

async function copyRows(
  from: string | undefined,
  to: string,
  live: LiveFiles | undefined,
): Promise<number> {
  const db = new Level<Uint8Array, Uint8Array>(to, { compression: false, errorIfExists: true })
  await db.open()
  try {
    const newest = new NewestRows()
    let pending: BatchOperation[] = []
    let bytes = 0
    const flush = async (): Promise<void> => {
      await db.batch(pending, writeOptions(true))
      pending = []
      bytes = 0
    }
    for await (const row of from === undefined ? [] : rowsIn(from, live)) {
      if (!newest.isNewest(row)) continue
      const { key, value } = row
      pending.push(value === undefined ? { type: 'del', key } : { type: 'put', key, value })
      bytes += key.length + (value?.length ?? 0)
      if (bytes >= batchBytes) await flush()
    }
    await flush()
    return newest.count
  } finally {
    await db.close()
  }
}

/** Every version of every row in tables and logs, in no order. */
async function* rowsIn(directory: string, live: LiveFiles | undefined): AsyncGenerator<RowVersion> {
  for (const name of (await readdir(directory)).toSorted()) {
    const [, digits, kind] = /^(\d+)\.(ldb|sst|log)$/.exec(name) ?? []
    if (digits === undefined) continue
    const isTable = kind !== 'log'
    if (live !== undefined && !isInUse(Number(digits), isTable, live)) continue
    let file: Uint8Array
    try {
      file = new Uint8Array(await readFile(join(directory, name)))
    } catch {
      // A bad spot of the disk, or a directory of this name: the others may be whole.
      continue
    }
    if (isTable) yield* readTable(file).rows
    else for (const record of readLog(file).records) yield* readBatch(record) ?? []
  }
}

function isInUse(number: number, isTable: boolean, live: LiveFiles): boolean {
  return isTable ? live.tableBytesByNumber.has(number) : number >= live.logNumber
}

/** Commits never change, so that only the other rows have to be remembered. */
class NewestRows {
  readonly #sequences = new Map<string, number>()
  count = 0

  isNewest({ key, sequence }: RowVersion): boolean {
    const kind = key[0]
    if (kind === undefined || kind > highestKind) return false
    if (kind !== rowKinds.commit) {
      const name = Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')
      const known = this.#sequences.get(name)
      if (known !== undefined && known >= sequence) return false
      this.#sequences.set(name, sequence)
    }
    this.count++
    return true
  }
}

async function keptNumbers(directory: DataDirectory): Promise<number[]> {
  const names = await readdir(directory.path)
  return names.flatMap((name) => {
    const [, number] = /^db\.damaged-(\d+)$/.exec(name) ?? []
    return number === undefined ? [] : Number(number)
  })
}

function keptPath(directory: DataDirectory, number: number): string {
  return `${directory.databaseDirectory}.damaged-${number}`
}

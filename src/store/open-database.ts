/** Opens the database of a data directory, whatever state it is in (docs/storage.md, Opening). */
import { readdir } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { Level } from 'level'
import type { HavenError } from '../core/errors.ts'
import { prepareDataDirectory, readStoreFormat, writeStoreFormat } from './data-dir.ts'
import type { DataDirectory } from './data-dir.ts'
import { databaseError, isLocked } from './database.ts'
import type { Database } from './database.ts'
import { diskFullError, errorCodeOf, fileError, isDiskFull } from './file-errors.ts'
import { busyError, lockDirectory } from './process-lock.ts'
import type { ProcessLock } from './process-lock.ts'
import { diskBudget, keepReserve, releaseReserve } from './reserve.ts'
import type { DiskBudget } from './reserve.ts'

export interface OpenReport {
  /** The database was created by this call. */
  readonly firstRun: boolean
  /** The disk was too full to open the database without the reserve. */
  readonly reserveReleased: boolean
}

export interface OpenedDatabase {
  readonly db: Database
  /** For messages. */
  readonly place: string
  readonly report: OpenReport
  /** There is no room to work in: nothing may be written. */
  readonly diskFull: HavenError | undefined
  /** Has the next start look for damage. */
  suspect(): void
  close(): Promise<void>
}

const mib = 1024 * 1024
const lockRetryMs = 50
/** Table files that LevelDB keeps mapped: 2 MiB each. */
const maxOpenFiles = 100

/** @throws HavenError `STORE_BUSY`, `STORE_NOT_WRITABLE`, `STORE_NEWER_VERSION`, `DISK_FULL`, `STORE_FAILED` */
export async function openDatabase(location: string, lockWaitMs: number): Promise<OpenedDatabase> {
  const directory = await prepareDataDirectory(location)
  const deadline = performance.now() + lockWaitMs
  let lock: ProcessLock | undefined
  try {
    lock = await lockDirectory(directory.lockFile, lockWaitMs)
    return await openLocked(directory, lock, deadline)
  } catch (error) {
    lock?.release()
    throw await fileError(error, directory.path)
  }
}

async function openLocked(
  directory: DataDirectory,
  lock: ProcessLock,
  deadline: number,
): Promise<OpenedDatabase> {
  const format = await readStoreFormat(directory)
  const budget = await diskBudget(directory.path)
  const firstRun = format === undefined && !(await hasDatabase(directory))

  const open = (): Promise<Database> => openLevel(directory, { budget, firstRun, deadline })
  let reserveReleased = false
  let db: Database
  try {
    db = await open()
  } catch (error) {
    if (!(await isDiskFull(error, directory.path))) throw error
    reserveReleased = await releaseReserve(directory.reserveFile)
    if (!reserveReleased) throw error
    db = await open()
  }
  try {
    if (format === undefined) await writeStoreFormat(directory)
    const hasReserve = await keepReserve(directory.reserveFile, budget.reserveBytes)
    return {
      db,
      place: directory.path,
      report: { firstRun, reserveReleased },
      diskFull: hasReserve ? undefined : diskFullError(directory.path, undefined),
      suspect: () => undefined,
      close: async () => {
        await db.close()
        lock.release()
      },
    }
  } catch (error) {
    await db.close()
    throw error
  }
}

async function openLevel(
  directory: DataDirectory,
  use: { budget: DiskBudget; firstRun: boolean; deadline: number },
): Promise<Database> {
  for (;;) {
    const db = new Level<Uint8Array, Uint8Array>(directory.databaseDirectory, {
      keyEncoding: 'view',
      valueEncoding: 'view',
      // A lost CURRENT file would otherwise become an empty database, and the tables would be deleted.
      createIfMissing: use.firstRun,
      // What is stored is ciphertext.
      compression: false,
      cacheSize: 8 * mib,
      writeBufferSize: use.budget.writeBufferBytes,
      maxOpenFiles,
    })
    try {
      await db.open()
      return db
    } catch (error) {
      if (!isLocked(error)) throw await databaseError(error, directory.path)
      if (performance.now() >= use.deadline) throw busyError(directory.path, error)
    }
    await delay(lockRetryMs)
  }
}

async function hasDatabase(directory: DataDirectory): Promise<boolean> {
  try {
    const names = await readdir(directory.databaseDirectory)
    return names.some((name) => /^CURRENT$|\.(?:ldb|sst|log)$/.test(name))
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') return false
    throw error
  }
}

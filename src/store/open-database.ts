/** Opens the database of a data directory, whatever state it is in (docs/storage.md, Opening). */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Level } from 'level'
import type { HavenError } from '../core/errors.ts'
import { prepareDataDirectory, readStoreFormat, writeStoreFormat } from './data-dir.ts'
import type { DataDirectory } from './data-dir.ts'
import { databaseError, isDamage, isLocked } from './database.ts'
import type { Database } from './database.ts'
import { checkFiles, checkTables, readLiveFiles } from './file-check.ts'
import { diskFullError, errorCodeOf, fileError, freeBytes, isDiskFull } from './file-errors.ts'
import { busyError, lockDirectory } from './process-lock.ts'
import { diskBudget, keepReserve, releaseReserve } from './reserve.ts'
import type { DiskBudget } from './reserve.ts'
import type { LiveFiles } from './level-files.ts'
import { openRunJournal } from './run-journal.ts'
import type { RunJournal } from './run-journal.ts'
import { newestKept, salvage } from './salvage.ts'
import type { SalvageReport } from './salvage.ts'

export interface OpenReport {
  /** The database was created by this call. */
  readonly firstRun: boolean
  /**
   * The database was damaged and is made anew of what could be read. Unless it is whole, rows of every kind may be missing:
   * what derives from commits should be derived again.
   */
  readonly salvage: SalvageReport | undefined
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
  /** Reads checksums of a few megabytes of tables that nobody has read yet. */
  checkMoreTables(): Promise<'more' | 'done' | 'damaged'>
  /** @param isIntact - no write has failed */
  close(isIntact: boolean): Promise<void>
}

const mib = 1024 * 1024
const lockRetryMs = 50
/** Table files that LevelDB keeps mapped, of 2 MiB each. */
const maxOpenFiles = 100
/** A fifth of a second; more only after a crash. */
const checkedAtOpenBytes = 64 * mib
const checkedAtOnceBytes = 4 * mib
/** From this many crashes within a minute on, files are checked whole; from the other on, they are replaced. */
const crashesToCheck = 2
const crashesToReplace = 4

/** @throws HavenError `STORE_BUSY`, `STORE_NOT_WRITABLE`, `STORE_NEWER_VERSION`, `DISK_FULL`, `STORE_FAILED` */
export async function openDatabase(location: string, lockWaitMs: number): Promise<OpenedDatabase> {
  const directory = await prepareDataDirectory(location)
  const deadline = performance.now() + lockWaitMs
  try {
    const lock = await lockDirectory(directory.lockFile, lockWaitMs)
    try {
      const budget = await diskBudget(directory.path)
      return await openWithReserve({ directory, budget, deadline, release: () => lock.release() })
    } catch (error) {
      lock.release()
      throw error
    }
  } catch (error) {
    throw await databaseError(await fileError(error, directory.path), directory.path)
  }
}

interface Opening {
  readonly directory: DataDirectory
  readonly budget: DiskBudget
  /** When to stop waiting for LevelDB's own lock. */
  readonly deadline: number
  readonly release: () => void
}

async function openWithReserve(opening: Opening): Promise<OpenedDatabase> {
  const { directory } = opening
  try {
    return await openChecked(opening, false)
  } catch (error) {
    if (!(await isDiskFull(error, directory.path))) throw error
    if (!(await releaseReserve(directory.reserveFile))) throw error
    return openChecked(opening, true)
  }
}

async function openChecked(opening: Opening, reserveReleased: boolean): Promise<OpenedDatabase> {
  const { directory, budget } = opening
  const format = await readStoreFormat(directory)
  const journal = await openRunJournal(directory)
  const state = await stateOf(directory)
  const firstRun = state === 'nothing' && format === undefined

  let salvaged: SalvageReport | undefined
  const damage = firstRun ? undefined : await findDamage(directory, state, journal)
  if (damage !== undefined) salvaged = await salvageNow(directory, journal, damage)
  else if (!firstRun && journal.recentCrashes >= crashesToReplace) {
    salvaged = await replaceIntact(directory, journal)
  }
  await journal.start()

  let db: Database
  try {
    db = await openLevel(opening, firstRun)
  } catch (error) {
    if (firstRun || salvaged !== undefined || !isDamage(error)) throw error
    salvaged = await salvageNow(directory, journal, (error as Error).message)
    db = await openLevel(opening, false)
  }

  try {
    if (format === undefined) await writeStoreFormat(directory)
    const hasReserve = await keepReserve(directory.reserveFile, budget.reserveBytes)
    return {
      db,
      place: directory.path,
      report: { firstRun, salvage: salvaged, reserveReleased },
      diskFull: hasReserve ? undefined : diskFullError(directory.path, undefined),
      suspect: () => journal.suspect(),
      checkMoreTables: tableChecker(directory, journal),
      close: async (isIntact) => {
        await db.close()
        await journal.end(isIntact)
        opening.release()
      },
    }
  } catch (error) {
    await db.close()
    throw error
  }
}

type DatabaseState = 'nothing' | 'there' | 'moved-aside'

async function stateOf(directory: DataDirectory): Promise<DatabaseState> {
  let names: string[] = []
  try {
    names = await readdir(directory.databaseDirectory)
  } catch (error) {
    if (errorCodeOf(error) !== 'ENOENT') throw error
    if ((await newestKept(directory)) !== undefined) return 'moved-aside'
  }
  return names.some((name) => /^CURRENT$|\.(?:ldb|sst|log)$/.test(name)) ? 'there' : 'nothing'
}

/** Of a store that is not new. */
async function findDamage(
  directory: DataDirectory,
  state: DatabaseState,
  journal: RunJournal,
): Promise<string | undefined> {
  if (state === 'moved-aside') return 'an earlier repair was interrupted'
  if (state === 'nothing') return 'the files of the database are gone'
  const checkAll = journal.isSuspect || journal.recentCrashes >= crashesToCheck
  const { damage, intactTables } = await checkFiles(directory.databaseDirectory, {
    intactTables: checkAll ? new Set<number>() : journal.intactTables,
    budgetBytes: checkAll ? Number.POSITIVE_INFINITY : checkedAtOpenBytes,
    wasClosed: journal.wasClosed,
  })
  if (damage === undefined) await journal.clear(intactTables)
  return damage
}

/** No damage was found, but something ends one run after the other: LevelDB gets files that it has not seen before. */
async function replaceIntact(
  directory: DataDirectory,
  journal: RunJournal,
): Promise<SalvageReport | undefined> {
  const live = await readLiveFiles(directory.databaseDirectory)
  if (live === undefined || !(await hasRoomForCopy(directory))) return undefined
  const reason = `${journal.recentCrashes} runs within a minute ended without closing the store`
  return salvageNow(directory, journal, reason, live)
}

async function hasRoomForCopy({ databaseDirectory }: DataDirectory): Promise<boolean> {
  let bytes = 0
  for (const name of await readdir(databaseDirectory)) {
    bytes += (await stat(join(databaseDirectory, name))).size
  }
  return (await freeBytes(databaseDirectory)) > 2 * bytes
}

async function salvageNow(
  directory: DataDirectory,
  journal: RunJournal,
  reason: string,
  live?: LiveFiles,
): Promise<SalvageReport> {
  const report = await salvage(directory, reason, live)
  await journal.end(true)
  await journal.clear(new Set())
  return report
}

function tableChecker(
  directory: DataDirectory,
  journal: RunJournal,
): () => Promise<'more' | 'done' | 'damaged'> {
  let { intactTables } = journal
  return async () => {
    const live = await readLiveFiles(directory.databaseDirectory)
    if (live === undefined) return 'damaged'
    const checked = await checkTables(directory.databaseDirectory, live, {
      intactTables,
      budgetBytes: checkedAtOnceBytes,
    })
    if (checked.damaged.length > 0) return 'damaged'
    intactTables = checked.intactTables
    if (intactTables.size < live.tableBytesByNumber.size) return 'more'
    await journal.clear(intactTables)
    return 'done'
  }
}

async function openLevel(
  { directory, budget, deadline }: Opening,
  createIfMissing: boolean,
): Promise<Database> {
  for (;;) {
    const db = new Level<Uint8Array, Uint8Array>(directory.databaseDirectory, {
      keyEncoding: 'view',
      valueEncoding: 'view',
      // A lost CURRENT file would otherwise become an empty database, and the tables would be deleted.
      createIfMissing,
      // What is stored is ciphertext.
      compression: false,
      cacheSize: 8 * mib,
      writeBufferSize: budget.writeBufferBytes,
      maxOpenFiles,
    })
    try {
      await db.open()
      return db
    } catch (error) {
      if (!isLocked(error)) throw error
      if (performance.now() >= deadline) throw busyError(directory.path, error)
    }
    await delay(lockRetryMs)
  }
}

import { rm } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { HavenError } from '../core/errors.ts'
import { errorCodeOf } from './file-errors.ts'

export interface ProcessLock {
  release(): void
}

const retryMs = 50
/** https://sqlite.org/rescode.html: SQLITE_BUSY; SQLITE_CORRUPT, SQLITE_NOTADB */
const busyCode = 5
const damagedCodes = new Set([11, 26])

/**
 * Lets one process at a time into a data directory; the system takes the lock back when the process dies.
 *
 * LevelDB has a lock of its own, but takes it only while it opens the database, and by then files have been checked
 * and perhaps moved aside. Node has no file locks, except those that SQLite takes; on an empty table it takes them
 * without writing anything, also on a full disk.
 *
 * @throws HavenError `STORE_BUSY` when another process has it for longer than `waitMs`
 */
export async function lockDirectory(lockFile: string, waitMs: number): Promise<ProcessLock> {
  // Only here, because Node.js 24 prints a warning for this module.
  const { DatabaseSync } = await import('node:sqlite')
  const deadline = performance.now() + waitMs
  for (;;) {
    const database = new DatabaseSync(lockFile, { timeout: 0 })
    try {
      database.exec(
        'PRAGMA page_size = 512; CREATE TABLE IF NOT EXISTS lock (held); BEGIN EXCLUSIVE',
      )
      return {
        release: () => {
          if (database.isOpen) database.close()
        },
      }
    } catch (error) {
      database.close()
      const code = sqliteCode(error)
      // A damaged file holds nobody's lock.
      if (damagedCodes.has(code)) await rm(lockFile, { force: true })
      else if (code !== busyCode) throw error
      if (performance.now() >= deadline) throw busyError(lockFile, error)
    }
    await delay(retryMs)
  }
}

export function busyError(lockFile: string, cause: unknown): HavenError {
  return new HavenError(
    'STORE_BUSY',
    `Another program is using the data (${lockFile}). Close it, or use it instead.`,
    { cause },
  )
}

/** The primary code: the low byte. */
function sqliteCode(error: unknown): number {
  if (errorCodeOf(error) !== 'ERR_SQLITE_ERROR') return 0
  return ((error as { errcode?: number }).errcode ?? 0) & 0xff
}

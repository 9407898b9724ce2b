import { setTimeout as delay } from 'node:timers/promises'
import { HavenError } from '../core/errors.ts'
import { errorCodeOf } from './file-errors.ts'

export interface ProcessLock {
  release(): void
}

const retryMs = 50

/**
 * Lets one process at a time into a data directory; the system takes the lock back when the process dies.
 *
 * LevelDB has a lock of its own, but takes it only while it opens the database, and by then files have been checked
 * and perhaps moved aside. Node has no file locks, except those that SQLite takes on an empty file without ever
 * writing to it: also on a full disk.
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
      database.exec('PRAGMA journal_mode = OFF; BEGIN EXCLUSIVE')
      return {
        release: () => {
          if (database.isOpen) database.close()
        },
      }
    } catch (error) {
      database.close()
      if (!isBusy(error)) throw error
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

function isBusy(error: unknown): boolean {
  return errorCodeOf(error) === 'ERR_SQLITE_ERROR' && (error as { errcode?: number }).errcode === 5
}

/** What earlier runs of this program left to know about: whether they ended well, and which tables are intact. */
import { existsSync, writeFileSync } from 'node:fs'
import { readFile, rm, truncate, writeFile } from 'node:fs/promises'
import type { DataDirectory } from './data-dir.ts'

export interface RunJournal {
  /** The last run closed the store, with everything written. */
  readonly wasClosed: boolean
  /** Runs within the last minute that did not close the store: the database may be what ended them. */
  readonly recentCrashes: number
  /** Damage was seen while the database was open. */
  readonly isSuspect: boolean
  readonly intactTables: ReadonlySet<number>
  start(): Promise<void>
  suspect(): void
  /** The files were looked at, or replaced. */
  clear(intactTables: ReadonlySet<number>): Promise<void>
  /** @param isIntact - the last write did not end in the middle */
  end(isIntact: boolean): Promise<void>
}

const recentMs = 60_000
const runsKept = 16

/** Nothing here has to be durable: it is about processes that died, not about power cuts. */
export async function openRunJournal(directory: DataDirectory): Promise<RunJournal> {
  const now = Date.now()
  const runs = await readNumbers(directory.runsFile)
  // A clock that stands in 1970 after each power cut makes old runs look recent: that costs one check.
  const recent = runs.filter((startedMs) => Math.abs(now - startedMs) < recentMs)
  let isSuspect = (await readNumbers(directory.suspectFile)).length > 0
  return {
    wasClosed: !existsSync(directory.runsFile),
    recentCrashes: recent.length,
    get isSuspect() {
      return isSuspect
    },
    intactTables: new Set(await readNumbers(directory.intactFile)),
    start: () => writeNumbers(directory.runsFile, [...recent, now].slice(-runsKept)),
    suspect: () => {
      if (isSuspect) return
      isSuspect = true
      try {
        // At once: the next read may end the process.
        writeFileSync(directory.suspectFile, JSON.stringify([Date.now()]))
      } catch {
        // On a full disk the next start finds the damage when it reads it.
      }
    },
    clear: async (intactTables) => {
      isSuspect = false
      await rm(directory.suspectFile, { force: true })
      await writeNumbers(directory.intactFile, [...intactTables])
    },
    end: async (isIntact) => {
      // Emptied: this run ended, but not all of it is in the log. That also works on a full disk.
      if (isIntact) await rm(directory.runsFile, { force: true })
      else await truncate(directory.runsFile).catch(() => undefined)
    },
  }
}

async function readNumbers(path: string): Promise<number[]> {
  try {
    const parsed: unknown = JSON.parse(await readFile(path, 'utf8'))
    return Array.isArray(parsed) ? parsed.filter((item) => Number.isSafeInteger(item)) : []
  } catch {
    // Missing or damaged: then nothing is known.
    return []
  }
}

async function writeNumbers(path: string, numbers: number[]): Promise<void> {
  try {
    await writeFile(path, JSON.stringify(numbers), { mode: 0o600 })
  } catch {
    // A full disk is no reason not to start.
  }
}

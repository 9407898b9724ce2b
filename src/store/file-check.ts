/**
 * Whether LevelDB's files are as it left them. It would open many kinds of damage without a word, lose rows, or end the
 * process; so they are looked at before it is let near them.
 */
import { open, readFile, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCodeOf } from './file-errors.ts'
import { isTableIntact, readBatch, readLog, readManifest, readTable } from './level-files.ts'
import type { LiveFiles, RowVersion } from './level-files.ts'

export interface FileCheck {
  /** What is wrong, for the log; `undefined`: nothing that was looked at. */
  readonly damage: string | undefined
  /** Tables that are known to be intact: those of before and those looked at now. */
  readonly intactTables: ReadonlySet<number>
}

export interface FileCheckOptions {
  /** Tables never change: those that were once intact are not read again. */
  readonly intactTables: ReadonlySet<number>
  /** Of tables, newest first; the others are for {@link checkTables} in the background. */
  readonly budgetBytes: number
}

export interface DatabaseCheckOptions extends FileCheckOptions {
  /** The database was closed, so that not even the end of the log may be torn. */
  readonly wasClosed: boolean
}

/** Of a database that is not open. */
export async function checkFiles(
  directory: string,
  options: DatabaseCheckOptions,
): Promise<FileCheck> {
  try {
    return await checkReadable(directory, options)
  } catch (error) {
    // A bad spot of the disk: the rows of the other files can be saved.
    if (errorCodeOf(error) === 'EIO') return found('a file cannot be read')
    throw error
  }
}

async function checkReadable(
  directory: string,
  { intactTables, budgetBytes, wasClosed }: DatabaseCheckOptions,
): Promise<FileCheck> {
  const names = await readdir(directory)
  const live = await readLiveFiles(directory)
  if (live === undefined) return found('CURRENT or the manifest is missing or damaged')

  const tables = new Map<number, string>()
  const logs = new Map<number, string>()
  for (const name of names) {
    const [, number, kind] = /^(\d+)\.(ldb|sst|log)$/.exec(name) ?? []
    if (kind !== undefined) (kind === 'log' ? logs : tables).set(Number(number), name)
  }
  for (const [number, bytes] of live.tableBytesByNumber) {
    const name = tables.get(number)
    if (name === undefined) return found(`table ${number} is missing`)
    if ((await stat(join(directory, name))).size !== bytes) return found(`${name} has another size`)
  }

  if (live.logNumber > 0 && !logs.has(live.logNumber)) return found('the log is missing')
  const logged = { first: Number.POSITIVE_INFINITY, last: 0 }
  for (const [number, name] of logs) {
    if (number < live.logNumber) continue
    const { records, isDamaged, isTorn } = readLog(await readBytes(join(directory, name)))
    if (isDamaged || (isTorn && wasClosed)) return found(`${name} is damaged`)
    for (const record of records) {
      const batch = readBatch(record)
      if (batch === undefined) return found(`${name} has a batch that makes no sense`)
      logged.first = Math.min(logged.first, batch[0]?.sequence ?? Number.POSITIVE_INFINITY)
      logged.last = Math.max(logged.last, batch.at(-1)?.sequence ?? 0)
    }
  }

  // A manifest that lost its end knows nothing of the newest tables, and LevelDB would delete them.
  for (const [number, name] of tables) {
    if (live.tableBytesByNumber.has(number)) continue
    const { rows, isDamaged } = readTable(await readBytes(join(directory, name)))
    // Otherwise it was not finished: what it was made of is still there.
    if (!isDamaged && rows.some((row) => isForgotten(row, live, logged))) {
      return found(`the manifest does not know ${name}`)
    }
  }

  const checked = await checkTables(directory, live, { intactTables, budgetBytes })
  return checked.damaged.length > 0
    ? found(`${checked.damaged.length} tables are damaged`)
    : { damage: undefined, intactTables: checked.intactTables }
}

/** Reads checksums of the tables in use, newest first, also while the database is open. */
export async function checkTables(
  directory: string,
  live: LiveFiles,
  { intactTables, budgetBytes }: FileCheckOptions,
): Promise<{ damaged: number[]; intactTables: Set<number> }> {
  const damaged: number[] = []
  const intact = new Set<number>()
  let bytes = 0
  const reader = new TableReader(directory)
  const numbers = [...live.tableBytesByNumber.keys()].toSorted((a, b) => b - a)
  for (const number of numbers) {
    if (intactTables.has(number)) {
      intact.add(number)
    } else if (bytes < budgetBytes) {
      const file = await reader.read(number)
      // Gone: no longer in use.
      if (file === undefined) continue
      bytes += file.length
      if (isTableIntact(file)) intact.add(number)
      else damaged.push(number)
    }
  }
  return { damaged, intactTables: intact }
}

/** `undefined` when the files that say which ones are in use are damaged. */
export async function readLiveFiles(directory: string): Promise<LiveFiles | undefined> {
  const current = await readIfThere(join(directory, 'CURRENT'))
  if (current === undefined) return undefined
  const [, manifest] = /^(MANIFEST-\d+)\n$/.exec(Buffer.from(current).toString('latin1')) ?? []
  if (manifest === undefined) return undefined
  const bytes = await readIfThere(join(directory, manifest))
  return bytes === undefined ? undefined : readManifest(bytes)
}

/** Reads one table after another into the same memory: megabytes of garbage would stay with the process for long. */
class TableReader {
  readonly #directory: string
  #buffer = new Uint8Array(0)

  constructor(directory: string) {
    this.#directory = directory
  }

  /** Valid until the next call; `undefined` when there is no such table. */
  async read(number: number): Promise<Uint8Array | undefined> {
    const name = String(number).padStart(6, '0')
    for (const path of [`${name}.ldb`, `${name}.sst`]) {
      try {
        return await this.#readFile(join(this.#directory, path))
      } catch (error) {
        if (errorCodeOf(error) !== 'ENOENT') throw error
      }
    }
    return undefined
  }

  async #readFile(path: string): Promise<Uint8Array> {
    const file = await open(path)
    try {
      const { size } = await file.stat()
      if (size > this.#buffer.length) this.#buffer = new Uint8Array(size)
      const { bytesRead } = await file.read(this.#buffer, 0, size, 0)
      return this.#buffer.subarray(0, bytesRead)
    } finally {
      await file.close()
    }
  }
}

function found(damage: string): FileCheck {
  return { damage, intactTables: new Set() }
}

function isForgotten(
  { sequence }: RowVersion,
  live: LiveFiles,
  logged: { first: number; last: number },
): boolean {
  return sequence > live.lastSequence && (sequence < logged.first || sequence > logged.last)
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readBytes(path)
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

async function readBytes(path: string): Promise<Uint8Array> {
  return new Uint8Array(await readFile(path))
}

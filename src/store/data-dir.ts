/** The directory that holds all of a device's data, and where it is by default (docs/storage.md). */
import { constants } from 'node:fs'
import { access, readFile, stat } from 'node:fs/promises'
import { isAbsolute, join, resolve } from 'node:path'
import { HavenError } from '../core/errors.ts'
import { replaceFile } from './durable-file.ts'
import { makeDirectory } from './make-directory.ts'
import { errorCodeOf, fileError, notWritableError } from './file-errors.ts'

/** Of everything below the data directory. A newer program may read an older format, never the other way around. */
export const storeFormat = 1

export interface DefaultDirectories {
  readonly data: string
  /** Holds the rollback mark, outside the data directory so that a backup of one does not bring back the other. */
  readonly state: string
}

/** @see XDG Base Directory Specification 0.8: relative paths in these variables are to be ignored */
export function defaultDirectories(options: {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly home: string
}): DefaultDirectories {
  const base = (name: string, fallback: string): string => {
    const set = options.env[name]
    return set !== undefined && isAbsolute(set) ? set : join(options.home, fallback)
  }
  return {
    data: join(base('XDG_DATA_HOME', '.local/share'), 'haven'),
    state: join(base('XDG_STATE_HOME', '.local/state'), 'haven'),
  }
}

export interface DataDirectory {
  /** Absolute. */
  readonly path: string
  readonly keysFile: string
  readonly databaseDirectory: string
  /** Says that there is a database, so that a lost one is never mistaken for a first start. */
  readonly versionFile: string
  readonly lockFile: string
  /** Bytes kept back, so that the database can still be opened on a full disk. */
  readonly reserveFile: string
  /** Start times of runs that did not end by closing the store. */
  readonly runsFile: string
  /** Its presence asks the next start to look for damage. */
  readonly suspectFile: string
  /** Numbers of the tables whose checksums were right. */
  readonly intactFile: string
}

export function dataDirectory(path: string): DataDirectory {
  const absolute = resolve(path)
  return {
    path: absolute,
    keysFile: join(absolute, 'keys'),
    databaseDirectory: join(absolute, 'db'),
    versionFile: join(absolute, 'store.json'),
    lockFile: join(absolute, 'lock'),
    reserveFile: join(absolute, 'reserve'),
    runsFile: join(absolute, 'runs'),
    suspectFile: join(absolute, 'suspect'),
    intactFile: join(absolute, 'intact'),
  }
}

/**
 * Creates the directory if needed, for this user alone.
 *
 * @throws HavenError `STORE_NOT_WRITABLE`, `DISK_FULL`, `STORE_FAILED`
 */
export async function prepareDataDirectory(path: string): Promise<DataDirectory> {
  const directory = dataDirectory(path)
  try {
    await makeDirectory(directory.path)
    if (!(await stat(directory.path)).isDirectory()) {
      throw notWritableError(directory.path, undefined)
    }
    await access(directory.path, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (error) {
    // What mkdir says of a disk that can only be read.
    if (errorCodeOf(error) === 'ENOENT') throw notWritableError(directory.path, error)
    throw await fileError(error, directory.path)
  }
  return directory
}

/** True when others than this user can read it: worth a warning, not a refusal (a shared disk may know no modes). */
export async function isReadableByOthers(path: string): Promise<boolean> {
  if (process.platform === 'win32') return false
  const { mode } = await stat(path)
  return (mode & 0o077) !== 0
}

/**
 * The format in `store.json`; `undefined` before the first start, and when the file is damaged (the database has the
 * number too).
 *
 * @throws HavenError `STORE_NEWER_VERSION`
 */
export async function readStoreFormat(directory: DataDirectory): Promise<number | undefined> {
  let text: string
  try {
    text = await readFile(directory.versionFile, 'utf8')
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') return undefined
    throw await fileError(error, directory.path)
  }
  const format = formatIn(text)
  if (format !== undefined) refuseNewerFormat(format)
  return format
}

export async function writeStoreFormat(directory: DataDirectory): Promise<void> {
  const text = `${JSON.stringify({ format: storeFormat })}\n`
  await replaceFile(directory.versionFile, Buffer.from(text))
}

/** @throws HavenError `STORE_NEWER_VERSION` */
export function refuseNewerFormat(format: number): void {
  if (format <= storeFormat) return
  throw new HavenError(
    'STORE_NEWER_VERSION',
    `The data was written by a newer version (format ${format}; this one reads up to ${storeFormat}). Install the newer version.`,
  )
}

function formatIn(text: string): number | undefined {
  try {
    const parsed: unknown = JSON.parse(text)
    if (typeof parsed !== 'object' || parsed === null || !('format' in parsed)) return undefined
    return Number.isSafeInteger(parsed.format) ? (parsed.format as number) : undefined
  } catch {
    return undefined
  }
}

import { statfs } from 'node:fs/promises'
import { HavenError } from '../core/errors.ts'

/** Below this a write that failed is taken to have failed for want of space, whatever the system called it. */
const fullBelowBytes = 256 * 1024

const notWritable = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EEXIST', 'ELOOP', 'EISDIR'])

export function errorCodeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

/** What went wrong with a file of the data directory, in the words of this device's owner. */
export async function fileError(error: unknown, directory: string): Promise<HavenError> {
  if (error instanceof HavenError) return error
  if (await isDiskFull(error, directory)) return diskFullError(directory, error)
  const code = errorCodeOf(error)
  if (code !== undefined && notWritable.has(code)) return notWritableError(directory, error)
  return new HavenError('STORE_FAILED', `The files in ${directory} can't be read or written.`, {
    cause: error,
  })
}

export function diskFullError(directory: string, cause: unknown): HavenError {
  return new HavenError(
    'DISK_FULL',
    `The disk that holds ${directory} is full. Free some space, then start again: nothing that was saved is lost.`,
    { cause },
  )
}

export function notWritableError(directory: string, cause: unknown): HavenError {
  return new HavenError(
    'STORE_NOT_WRITABLE',
    `The directory ${directory} can't be written. Check who owns it, or choose another one.`,
    { cause },
  )
}

/** LevelDB passes the system's words on and not its number. */
export async function isDiskFull(error: unknown, directory: string): Promise<boolean> {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    const code = errorCodeOf(cause)
    if (code === 'ENOSPC' || code === 'EDQUOT') return true
    if (/no space left|quota exceeded|disk is full/i.test(cause.message)) return true
    if (code === 'LEVEL_IO_ERROR' && (await freeBytes(directory)) < fullBelowBytes) return true
  }
  return false
}

/** Space that this process may use; endless where the system doesn't say. */
export async function freeBytes(directory: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(directory)
    return bavail * bsize
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

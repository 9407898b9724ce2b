import type { AbstractLevel } from 'abstract-level'
import { HavenError } from '../core/errors.ts'
import { diskFullError, errorCodeOf, isDiskFull } from './file-errors.ts'

/** LevelDB or whatever behaves like it; keys and values are passed as Uint8Array whatever its own encodings are. */
export type Database = AbstractLevel<string | Buffer | Uint8Array, Uint8Array, Uint8Array>

export type BatchOperation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array }

export const binary = { keyEncoding: 'view', valueEncoding: 'view' } as const

/** LevelDB's `sync` means an fsync before the batch resolves; other databases ignore it. */
export function writeOptions(sync: boolean): typeof binary & { readonly sync: boolean } {
  return { ...binary, sync }
}

/** Read ahead by an iterator: some large commits, or hundreds of small rows. */
export const readAhead = { ...binary, highWaterMarkBytes: 256 * 1024 }

/** What LevelDB said, in the words of this device's owner. */
export async function databaseError(error: unknown, place: string): Promise<HavenError> {
  if (error instanceof HavenError) return error
  if (await isDiskFull(error, place)) return diskFullError(place, error)
  if (isDamage(error)) {
    return new HavenError(
      'STORE_DAMAGED',
      `The database in ${place} is damaged. Start again: it is repaired at the start, and what is missing is fetched from other devices.`,
      { cause: error },
    )
  }
  const code = errorCodeOf(error)
  if (code === 'LEVEL_DATABASE_NOT_OPEN' || code === 'LEVEL_ITERATOR_NOT_OPEN') {
    return new HavenError('STOPPED', 'The store has been closed.', { cause: error })
  }
  return new HavenError('STORE_FAILED', `The database in ${place} can't be read or written.`, {
    cause: error,
  })
}

export function isDamage(error: unknown): boolean {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if (errorCodeOf(cause) === 'LEVEL_CORRUPTION') return true
  }
  return false
}

export function isLocked(error: unknown): boolean {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if (errorCodeOf(cause) === 'LEVEL_LOCKED') return true
  }
  return false
}

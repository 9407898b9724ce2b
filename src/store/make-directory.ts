import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { errorCodeOf } from './file-errors.ts'

/**
 * Creates a directory and those above it, for this user alone.
 *
 * Not by `mkdir` with `recursive`: where a file system makes no directories (`/proc`), Node 26 tries for ever.
 *
 * @throws what `mkdir` throws; a directory that exists is fine
 */
export async function makeDirectory(path: string): Promise<void> {
  const missing: string[] = []
  for (let at = path; !(await exists(at)); at = dirname(at)) missing.push(at)
  for (const directory of missing.toReversed()) {
    try {
      await mkdir(directory, { mode: 0o700 })
    } catch (error) {
      // Somebody else was faster.
      if (errorCodeOf(error) !== 'EEXIST') throw error
    }
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT' && dirname(path) !== path) return false
    throw error
  }
}

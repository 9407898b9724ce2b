import type { Dirent } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { extname, join } from 'node:path'

export interface FoundFile {
  path: string
  /** Undefined for what is no regular file, such as a pipe. */
  bytes: number | undefined
}

/** Standard input, as a path. */
export const stdinPath = '-'

/**
 * The files that a path of `haven import` stands for: itself, or for a directory the `*.json` and `*.ndjson` in it and
 * below, in the order of their paths.
 *
 * @param onUnreadable - told what could not be looked at; the rest goes on
 */
export async function findFiles(
  path: string,
  onUnreadable: (path: string, error: unknown) => void,
): Promise<FoundFile[]> {
  if (path === stdinPath) return [{ path, bytes: undefined }]
  try {
    const found = await stat(path)
    if (!found.isDirectory()) return [{ path, bytes: found.isFile() ? found.size : undefined }]
    const entries = await readdir(path, { withFileTypes: true })
    const files: FoundFile[] = []
    for (const entry of entries.toSorted(byName))
      if (await isWanted(path, entry))
        files.push(...(await findFiles(join(path, entry.name), onUnreadable)))
    return files
  } catch (error) {
    onUnreadable(path, error)
    return []
  }
}

async function isWanted(directory: string, entry: Dirent): Promise<boolean> {
  if (entry.isDirectory()) return true
  if (!['.json', '.ndjson'].includes(extname(entry.name).toLowerCase())) return false
  // A link to a directory is not followed: it may lead in a circle.
  return !entry.isSymbolicLink() || !(await isDirectory(join(directory, entry.name)))
}

async function isDirectory(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined)
  return found?.isDirectory() === true
}

function byName(a: Dirent, b: Dirent): number {
  return a.name < b.name ? -1 : 1
}

import { open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Replaces a whole file: after a power cut there is either the old content or the new one, and once this has resolved
 * it is the new one.
 */
export async function replaceFile(path: string, content: Uint8Array): Promise<void> {
  const temporary = `${path}.tmp`
  const file = await open(temporary, 'w', 0o600)
  try {
    await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
  await syncDirectory(dirname(path))
}

/** Makes durable that files in a directory were created, renamed or removed. */
export async function syncDirectory(path: string): Promise<void> {
  // Windows can't open directories, and its file systems journal their names.
  if (process.platform === 'win32') return
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

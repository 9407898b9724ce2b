import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface SmallDisk {
  readonly path: string
  remount(options: string): Promise<void>
  unmount(): Promise<void>
}

/** A small disk of its own; `undefined` where mounting is not allowed. */
export async function smallDisk(size: string): Promise<SmallDisk | undefined> {
  const path = await mkdtemp(join(tmpdir(), 'haven-disk-'))
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'haven-test', path])
  } catch {
    await rm(path, { recursive: true })
    return undefined
  }
  return {
    path,
    remount: async (options) => {
      await run('mount', ['-o', `remount,${options}`, path])
    },
    unmount: async () => {
      await run('umount', ['-l', path])
      await rm(path, { recursive: true })
    },
  }
}

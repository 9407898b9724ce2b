import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface SmallDisk {
  readonly path: string
  remount(options: string): Promise<void>
  /** Takes all that is left. */
  fill(): Promise<void>
  /** Gives it back. */
  makeRoom(): Promise<void>
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
    fill: () => fill(path),
    makeRoom: async () => {
      const names = await readdir(path)
      await Promise.all(names.filter((n) => n.startsWith('filler')).map((n) => rm(join(path, n))))
    },
    unmount: async () => {
      await run('umount', ['-l', path])
      await rm(path, { recursive: true })
    },
  }
}

async function fill(path: string): Promise<void> {
  for (const bytes of [1024 * 1024, 64 * 1024, 4096]) {
    for (let index = 0; ; index++) {
      try {
        await writeFile(join(path, `filler-${bytes}-${index}`), new Uint8Array(bytes))
      } catch {
        break
      }
    }
  }
}

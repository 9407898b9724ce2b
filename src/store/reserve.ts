/**
 * A file of bytes that are given up when the disk is full: LevelDB can't open a database without writing, and a device
 * that can't start can't show its records either.
 */
import { randomFillSync } from 'node:crypto'
import { open, rm, stat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { freeBytes } from './file-errors.ts'

const mib = 1024 * 1024

export interface DiskBudget {
  /** LevelDB's; two of them may be in memory, and as much in logs. */
  readonly writeBufferBytes: number
  /** Four write buffers: with two, a database could not be opened again on a full disk. */
  readonly reserveBytes: number
}

/** Smaller on a small disk. */
export async function diskBudget(directory: string): Promise<DiskBudget> {
  const { blocks, bsize } = await statfs(directory)
  const share = Math.floor((blocks * bsize) / 32)
  const reserveBytes = Math.min(16 * mib, Math.max(mib, share))
  return { reserveBytes, writeBufferBytes: Math.floor(reserveBytes / 4) }
}

/** Makes sure that the reserve is there; false when there is no room for it and for going on. */
export async function keepReserve(path: string, bytes: number): Promise<boolean> {
  const held = await stat(path).catch(() => undefined)
  if (held !== undefined && held.size >= bytes) return true
  if ((await freeBytes(dirname(path))) < 2 * bytes) return false
  try {
    const file = await open(path, 'w', 0o600)
    try {
      // A file system that compresses or leaves out zeros would keep nothing back.
      const chunk = randomFillSync(new Uint8Array(Math.min(bytes, mib)))
      for (let written = 0; written < bytes; written += chunk.length) await file.write(chunk)
      await file.sync()
    } finally {
      await file.close()
    }
    return true
  } catch {
    await releaseReserve(path)
    return false
  }
}

/** True when there was one. */
export async function releaseReserve(path: string): Promise<boolean> {
  const held = await stat(path).catch(() => undefined)
  await rm(path, { force: true })
  return held !== undefined && held.size > 0
}

import { createReadStream } from 'node:fs'

import type { ImportSource, Rejection } from '../device/api.ts'
import { findFiles, type FoundFile, stdinPath } from './find-files.ts'
import { importFormat } from './import-format.ts'

/** A file is recognised by its first line and the beginning of the second. */
const headBytes = 64 * 1024
const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf])

/** The files behind the paths of one `haven import`. */
export interface ImportFiles {
  sources: AsyncIterable<ImportSource>
  /** Bytes of all files; undefined when a pipe is among them. */
  totalBytes: number | undefined
  /** What could not be read, whole or in part; complete after `sources` have been read. */
  unreadable: Rejection[]
}

/** Finds and opens them; what can't be read is noted, and the rest goes on. */
export async function importFiles(
  paths: readonly string[],
  stdin: AsyncIterable<Uint8Array>,
): Promise<ImportFiles> {
  const unreadable: Rejection[] = []
  const note = (source: string, error: unknown) => {
    unreadable.push({ source, line: 0, code: 'PATH_UNREADABLE', message: unreadableText(error) })
  }
  const found = await Promise.all(paths.map((path) => findFiles(path, note)))
  const files = found.flat()
  return { sources: openFiles(files, { stdin, note }), totalBytes: totalBytes(files), unreadable }
}

interface OpenOptions {
  stdin: AsyncIterable<Uint8Array>
  note: (source: string, error: unknown) => void
}

/** Opens each when its turn comes: an export may have more files than a process may hold open. */
async function* openFiles(
  files: readonly FoundFile[],
  { stdin, note }: OpenOptions,
): AsyncGenerator<ImportSource> {
  for (const { path } of files) {
    const stream = path === stdinPath ? stdin : createReadStream(path)
    const reader = stream[Symbol.asyncIterator]()
    try {
      const head = await readHead(reader)
      yield {
        name: path,
        format: importFormat(path, head.bytes.toString('utf8'), head.isWhole),
        chunks: chunksOf(head.bytes, reader, (error) => note(path, error)),
      }
    } catch (error) {
      note(path, error)
    } finally {
      await reader.return?.()
    }
  }
}

async function readHead(
  reader: AsyncIterator<Uint8Array>,
): Promise<{ bytes: Buffer; isWhole: boolean }> {
  const parts: Uint8Array[] = []
  for (let bytes = 0; bytes < headBytes;) {
    const { value, done } = await reader.next()
    if (done === true) return { bytes: withoutMark(Buffer.concat(parts)), isWhole: true }
    parts.push(value)
    bytes += value.length
  }
  return { bytes: withoutMark(Buffer.concat(parts)), isWhole: false }
}

function withoutMark(bytes: Buffer): Buffer {
  return bytes.subarray(0, 3).equals(byteOrderMark) ? bytes.subarray(3) : bytes
}

/** A file that fails in the middle ends there: its lines so far count, and the failure is noted. */
async function* chunksOf(
  head: Buffer,
  reader: AsyncIterator<Uint8Array>,
  onFailure: (error: unknown) => void,
): AsyncGenerator<Uint8Array> {
  if (head.length > 0) yield head
  try {
    for (;;) {
      const { value, done } = await reader.next()
      if (done === true) return
      yield value
    }
  } catch (error) {
    onFailure(error)
  }
}

function totalBytes(files: readonly FoundFile[]): number | undefined {
  let total = 0
  for (const { bytes } of files) {
    if (bytes === undefined) return undefined
    total += bytes
  }
  return total
}

const reasonByErrno: Record<string, string> = {
  ENOENT: 'there is nothing by this name',
  EACCES: 'this user may not read it',
  EPERM: 'this user may not read it',
  EIO: 'the disk or stick has a fault',
  ELOOP: 'its links lead in a circle',
}

function unreadableText(error: unknown): string {
  const errno = error instanceof Error && 'code' in error ? String(error.code) : ''
  return `It can't be read: ${reasonByErrno[errno] ?? `the system says ${errno || 'no'}`}.`
}

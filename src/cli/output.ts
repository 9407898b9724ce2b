import { fstatSync, writeSync } from 'node:fs'
import type { Writable } from 'node:stream'

import { HavenError } from '../core/errors.ts'

/** Standard output or standard error, with backpressure, and quiet when the reader has gone (`haven export | head`). */
export interface Output {
  readonly isTerminal: boolean
  readonly columns: number
  readonly rows: number
  /** Aborted when the reader has gone; from then on writing does nothing. */
  readonly closed: AbortSignal
  /**
   * Resolves when the text is on its way.
   *
   * @throws HavenError `DISK_FULL`, `INTERNAL` when it could not be written
   */
  write(text: string): Promise<void>
}

type OutputStream = Writable & { fd?: number; isTTY?: boolean; columns?: number; rows?: number }

export function streamOutput(stream: OutputStream): Output {
  const closed = new AbortController()
  // Without a listener, a reader that goes would end the process with a stack trace.
  stream.on('error', (error) => {
    if (isReaderGone(error)) closed.abort()
  })
  const file = regularFile(stream.fd)
  return {
    get isTerminal() {
      return stream.isTTY === true
    },
    get columns() {
      return stream.columns ?? 80
    },
    get rows() {
      return stream.rows ?? 24
    },
    closed: closed.signal,
    async write(text) {
      if (closed.signal.aborted || text === '') return
      try {
        if (file === undefined) await written(stream, text)
        else writeWhole(file, text)
      } catch (error) {
        if (!isReaderGone(error)) throw writeFailure(error)
        closed.abort()
      }
    },
  }
}

function regularFile(fd: number | undefined): number | undefined {
  try {
    return fd !== undefined && fstatSync(fd).isFile() ? fd : undefined
  } catch (error) {
    if (hasErrno(error, 'EBADF')) return undefined
    throw error
  }
}

/** Node writes to a redirected file once and ignores how much was taken: on a disk that is filling up, an export would end early and look whole. */
function writeWhole(fd: number, text: string): void {
  const bytes = Buffer.from(text)
  for (let offset = 0; offset < bytes.length;) offset += writeSync(fd, bytes, offset)
}

function written(stream: Writable, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => (error ? reject(error) : resolve()))
  })
}

function writeFailure(error: unknown): HavenError {
  const isFull = hasErrno(error, 'ENOSPC', 'EDQUOT')
  return new HavenError(
    isFull ? 'DISK_FULL' : 'INTERNAL',
    isFull
      ? 'The output could not be written in full, since the disk is full: make room and run this again.'
      : 'The output could not be written in full.',
    { cause: error },
  )
}

function isReaderGone(error: unknown): boolean {
  return hasErrno(error, 'EPIPE', 'ECONNRESET', 'ERR_STREAM_DESTROYED')
}

function hasErrno(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}

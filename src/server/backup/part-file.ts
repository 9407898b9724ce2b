/**
 * The file of a backup: numbered parts, each with a checksum (docs/storage.md, Backups of a server).
 *
 *     "haven-backup\0" · u8 version = 1
 *     for each part: "\x89HVNPART" · u32 index · u8 kind · u32 length · b32 checksum · payload
 *
 * The checksum is over index, kind, length and payload. A damaged part is stepped over by looking for where the next whole one begins, so that
 * one flipped bit costs one part.
 */
import { open, rename, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { concatBytes, equalBytes, utf8ToBytes } from '../../core/bytes.ts'
import { ByteReader, ByteWriter } from '../../core/codec.ts'
import { assert, HavenError } from '../../core/errors.ts'
import { domainHash } from '../../crypto/hash.ts'
import { syncDirectory } from '../../store/durable-file.ts'
import { errorCodeOf, fileError, notWritableError } from '../../store/file-errors.ts'

/** What a part says, wherever it is. */
export interface PartContent {
  readonly kind: number
  readonly payload: Uint8Array
}

export interface Part extends PartContent {
  /** From 0, without gaps. */
  readonly index: number
}

/** Bytes that are no whole part. */
export interface Damage {
  readonly at: number
  readonly what: string
}

const mib = 1024 * 1024
/** Writers keep to a quarter of a megabyte of commits, and one more; a list of rows may need more. */
export const partBytesMax = 4 * mib
const magic = concatBytes(utf8ToBytes('haven-backup\0'), Uint8Array.of(1))
const marker = concatBytes(Uint8Array.of(0x89), utf8ToBytes('HVNPART'))
const frameBytes = marker.length + 4 + 1 + 4 + 32
const scanBytes = mib

/** Writes beside the path, and takes its place when all is on the disk: what was there before stays until then. */
export class PartWriter {
  readonly #path: string
  readonly #temporary: string
  readonly #file: FileHandle
  #parts = 0
  bytes = 0

  private constructor(path: string, temporary: string, file: FileHandle) {
    this.#path = path
    this.#temporary = temporary
    this.#file = file
  }

  /** @throws HavenError `STORE_NOT_WRITABLE`, `DISK_FULL`, `STORE_FAILED` */
  static async create(path: string): Promise<PartWriter> {
    const temporary = `${path}.tmp`
    try {
      await unlink(temporary).catch(ignoreMissing)
      const writer = new PartWriter(path, temporary, await open(temporary, 'wx', 0o600))
      await writer.#write(magic)
      return writer
    } catch (error) {
      throw await writeError(error, path)
    }
  }

  async write({ kind, payload }: PartContent): Promise<void> {
    assert(payload.length <= partBytesMax, 'a part of a backup keeps within its limit')
    const head = headOf({ index: this.#parts++, kind, length: payload.length })
    const checksum = checksumOf(head, payload)
    await this.#write(concatBytes(marker, head, checksum, payload))
  }

  /** Durable, and under its name, when it resolves. */
  async finish(): Promise<void> {
    try {
      await this.#file.sync()
      await this.#file.close()
      await rename(this.#temporary, this.#path)
      await syncDirectory(dirname(this.#path))
    } catch (error) {
      throw await writeError(error, this.#path)
    }
  }

  /** Leaves nothing behind. */
  async abandon(): Promise<void> {
    await this.#file.close().catch(() => {})
    await unlink(this.#temporary).catch(ignoreMissing)
  }

  async #write(bytes: Uint8Array): Promise<void> {
    try {
      await this.#file.writeFile(bytes)
      this.bytes += bytes.length
    } catch (error) {
      throw await writeError(error, this.#path)
    }
  }
}

/**
 * What is in the file, in its order. One part is in memory at a time.
 *
 * @throws HavenError `PATH_UNREADABLE`; `BACKUP_DAMAGED` for a file that is no backup
 */
export async function* readParts(path: string): AsyncGenerator<Part | Damage> {
  const file = await open(path, 'r').catch((error: unknown) => {
    throw unreadable(path, error)
  })
  try {
    const { size } = await file.stat()
    checkMagic(await bytesAt(file, 0, magic.length), path)
    for (let at = magic.length; at < size;) {
      const found = await partAt(file, at, size)
      if (typeof found !== 'string') {
        yield found.part
        at = found.end
        continue
      }
      yield { at, what: found }
      at = await nextMarker(file, at + 1, size)
    }
  } catch (error) {
    throw errorCodeOf(error) === undefined || error instanceof HavenError
      ? error
      : unreadable(path, error)
  } finally {
    await file.close()
  }
}

function checkMagic(found: Uint8Array, path: string): void {
  if (equalBytes(found, magic)) return
  if (found.length === magic.length && equalBytes(found.subarray(0, -1), magic.subarray(0, -1)))
    throw new HavenError(
      'STORE_NEWER_VERSION',
      `The backup ${path} was written by a newer version. Install that one.`,
    )
  throw new HavenError('BACKUP_DAMAGED', `The file ${path} is not a backup of a server.`)
}

/** The whole part that begins here, or why there is none. */
async function partAt(
  file: FileHandle,
  at: number,
  size: number,
): Promise<{ part: Part; end: number } | string> {
  const frame = await bytesAt(file, at, frameBytes)
  if (frame.length < frameBytes) return 'the file is cut off'
  if (!equalBytes(frame.subarray(0, marker.length), marker)) return 'no part begins here'
  const head = frame.subarray(marker.length, frameBytes - 32)
  const reader = new ByteReader(head, 'part of a backup')
  const [index, kind, length] = [reader.u32(), reader.u8(), reader.u32()]
  const end = at + frameBytes + length
  if (length > partBytesMax) return `part ${index} says a length that none has`
  if (end > size) return `the file is cut off in part ${index}`
  const payload = await bytesAt(file, at + frameBytes, length)
  if (!equalBytes(checksumOf(head, payload), frame.subarray(frameBytes - 32)))
    return `part ${index} does not have its checksum`
  return { part: { index, kind, payload }, end }
}

async function nextMarker(file: FileHandle, from: number, size: number): Promise<number> {
  for (let at = from; at < size; at += scanBytes) {
    const found = Buffer.from(await bytesAt(file, at, scanBytes + marker.length)).indexOf(marker)
    if (found !== -1) return at + found
  }
  return size
}

/** Fewer where the file ends. */
async function bytesAt(file: FileHandle, at: number, count: number): Promise<Uint8Array> {
  const buffer = new Uint8Array(count)
  let filled = 0
  while (filled < count) {
    const { bytesRead } = await file.read(buffer, filled, count - filled, at + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return buffer.subarray(0, filled)
}

function headOf(parts: { index: number; kind: number; length: number }): Uint8Array {
  return new ByteWriter(16).u32(parts.index).u8(parts.kind).u32(parts.length).finish()
}

function checksumOf(head: Uint8Array, payload: Uint8Array): Uint8Array {
  return domainHash('havenmesh/backup-part/v1', head, payload)
}

function ignoreMissing(error: unknown): void {
  if (errorCodeOf(error) !== 'ENOENT') throw error
}

async function writeError(error: unknown, path: string): Promise<HavenError> {
  const directory = dirname(path)
  return errorCodeOf(error) === 'ENOENT'
    ? notWritableError(directory, error)
    : fileError(error, directory)
}

function unreadable(path: string, cause: unknown): HavenError {
  return new HavenError('PATH_UNREADABLE', `The file ${path} can't be read.`, { cause })
}

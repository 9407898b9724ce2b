/**
 * The rollback mark: what this device has offered of its own feeds, kept outside the data directory, so that a data
 * directory that was put back from a backup, or copied to another machine, gives itself away.
 *
 * The order is: store, mark, offer. A mark that is older than the store is therefore normal, and the file may fall back
 * to its older content after a torn write: what the newer content named had not been offered yet.
 *
 * The file has two slots of equal size, written in turn and in place, so that an update costs one fdatasync:
 *
 *     slot = "haven-mark\0" · u64 number · lp content · b32 SHA-256 of everything before
 *     content = u8 version = 1 · b16 machine · b16 incarnation · list(b16 feed · varint seq · b32 id)
 *
 * The valid slot with the greater number stands.
 */
import { open, readFile, realpath, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { bytesToHex, equalBytes, hexToBytes, utf8ToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { HavenError } from '../core/errors.ts'
import { domainHash16, sha256 } from '../crypto/hash.ts'
import { replaceFile, syncDirectory } from './durable-file.ts'
import { makeDirectory } from './make-directory.ts'
import { errorCodeOf } from './file-errors.ts'

export interface MarkContent {
  readonly incarnation: string
  /** The last commit of each own feed that may have been offered. */
  readonly feeds: readonly MarkedFeed[]
}

interface MarkedFeed {
  readonly feed: string
  readonly seq: number
  /** 32 bytes. */
  readonly id: Uint8Array
}

export type MarkState = 'ok' | 'missing' | 'unreadable' | 'foreign-machine'

export interface Mark {
  readonly path: string
  /** As found at the start; writing does not change it. */
  readonly state: MarkState
  /** With `ok`. */
  readonly content: MarkContent | undefined
  /** While this is false every start begins a new incarnation, and whoever shows a status should say so. */
  readonly writable: boolean
  /**
   * Resolves when the content, or a later one, is durable; nothing that it names may be offered before. Where the mark
   * can't be written it resolves too, once no mark is left that a later start could trust.
   *
   * @throws HavenError `STORE_FAILED` when the mark can be neither written nor removed: offer nothing
   */
  write(content: MarkContent): Promise<void>
  close(): Promise<void>
}

export interface MarkOptions {
  readonly stateDirectory: string
  /** The identity key, in hex. */
  readonly deviceId: string
  readonly dataDirectory: string
  /** For tests; otherwise read from the system. */
  readonly machineId?: string
}

const magic = utf8ToBytes('haven-mark\0')
const version = 1
const hashBytes = 32
const feedBytes = 16 + 8 + 32
const slotOverheadBytes = magic.length + 8 + 8 + hashBytes + 1 + 16 + 16 + 8
/** A page: a torn write of one slot can't touch the other. */
const smallestSlotBytes = 4096

const nothingFound = { content: undefined, number: 0, slotBytes: 0 }

/** Never throws: whatever is wrong with the mark is its state. To be closed. */
export async function openMark(options: MarkOptions): Promise<Mark> {
  const machine = machineHash(options.machineId ?? (await readMachineId()))
  const path = join(options.stateDirectory, await markName(options))
  const found = await readMark(path, machine)
  const file = await openForWriting(options.stateDirectory, path)
  return new MarkFile(found, { path, machine, file })
}

class MarkFile implements Mark {
  readonly path: string
  readonly state: MarkState
  readonly content: MarkContent | undefined
  readonly #machine: Uint8Array
  #number: number
  #slotBytes: number
  #file: FileHandle | undefined
  #isClosed = false
  /** A later start could trust what is in the file. */
  #isTrusted: boolean
  #next: { content: MarkContent; done: Promise<void> } | undefined
  #running: Promise<void> = Promise.resolve()

  constructor(
    found: FoundMark,
    use: { path: string; machine: Uint8Array; file: FileHandle | undefined },
  ) {
    this.path = use.path
    this.state = found.state
    this.content = found.content
    this.#isTrusted = found.state === 'ok'
    this.#number = found.number
    this.#slotBytes = found.slotBytes
    this.#machine = use.machine
    this.#file = use.file
  }

  get writable(): boolean {
    return this.#file !== undefined
  }

  async write(content: MarkContent): Promise<void> {
    if (this.#isClosed) throw new HavenError('STOPPED', 'The rollback mark has been closed.')
    if (this.#next !== undefined) {
      this.#next.content = content
      await this.#next.done
      return
    }
    const done = this.#writeAfter(this.#running)
    this.#next = { content, done }
    // A failed write leaves `writable` false; the next one finds out by itself what it may do.
    this.#running = done.catch(() => undefined)
    await done
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#running
    await this.#file?.close()
    this.#file = undefined
  }

  async #writeAfter(running: Promise<void>): Promise<void> {
    await running
    const { content } = this.#next!
    this.#next = undefined
    await this.#writeNow(content)
  }

  async #writeNow(content: MarkContent): Promise<void> {
    if (this.#file === undefined) {
      await this.#withdraw(undefined)
      return
    }
    try {
      const slot = encodeSlot(this.#number + 1, this.#machine, content)
      const slotBytes = slotSize(content.feeds.length)
      if (slotBytes > this.#slotBytes) {
        await this.#grow(slot, slotBytes)
      } else {
        // Odd numbers are in the first slot, even ones in the second.
        const position = this.#number % 2 === 0 ? 0 : this.#slotBytes
        await this.#file.write(slot, 0, slot.length, position)
        await this.#file.datasync()
      }
      this.#number++
      this.#isTrusted = true
    } catch (error) {
      await this.#file?.close().catch(() => undefined)
      this.#file = undefined
      await this.#withdraw(error)
    }
  }

  /** Writes a whole new file, with its space allocated so that later writes change no metadata. */
  async #grow(slot: Uint8Array, slotBytes: number): Promise<void> {
    const content = new Uint8Array(slotBytes * 2)
    content.set(slot, this.#number % 2 === 0 ? 0 : slotBytes)
    await this.#file?.close()
    await replaceFile(this.path, content)
    this.#file = await open(this.path, 'r+')
    this.#slotBytes = slotBytes
  }

  /** A mark that is not kept up any more would call a store that was rolled back contained. */
  async #withdraw(cause: unknown): Promise<void> {
    if (!this.#isTrusted) return
    try {
      await unlink(this.path)
      await syncDirectory(dirname(this.path))
      this.#isTrusted = false
    } catch (error) {
      throw new HavenError(
        'STORE_FAILED',
        `The file ${this.path} can be neither written nor removed. Make it writable, or remove it.`,
        { cause: cause ?? error },
      )
    }
  }
}

interface FoundMark {
  readonly state: MarkState
  readonly content: MarkContent | undefined
  readonly number: number
  /** 0: the file is to be written anew. */
  readonly slotBytes: number
}

async function readMark(path: string, machine: Uint8Array): Promise<FoundMark> {
  let bytes: Uint8Array
  try {
    // Not a Buffer, whose slices would be views.
    bytes = new Uint8Array(await readFile(path))
  } catch (error) {
    const gone = errorCodeOf(error) === 'ENOENT' || errorCodeOf(error) === 'ENOTDIR'
    return { ...nothingFound, state: gone ? 'missing' : 'unreadable' }
  }
  // Created by a start that did not come to write.
  if (bytes.length === 0) return { ...nothingFound, state: 'missing' }
  const half = Math.floor(bytes.length / 2)
  const slots = [decodeSlot(bytes.subarray(0, half)), decodeSlot(bytes.subarray(half))]
  const [newest] = slots
    .filter((slot) => slot !== undefined)
    .toSorted((a, b) => b.number - a.number)
  if (newest === undefined) return { ...nothingFound, state: 'unreadable' }
  const slotBytes = half % smallestSlotBytes === 0 ? half : 0
  const { number, content } = newest
  if (equalBytes(newest.machine, machine)) return { state: 'ok', content, number, slotBytes }
  return { state: 'foreign-machine', content: undefined, number, slotBytes }
}

function encodeSlot(number: number, machine: Uint8Array, content: MarkContent): Uint8Array {
  const inner = new ByteWriter()
    .u8(version)
    .bytes(machine)
    .bytes(hexToBytes(content.incarnation))
    .varint(content.feeds.length)
  for (const { feed, seq, id } of content.feeds) inner.bytes(hexToBytes(feed)).varint(seq).bytes(id)
  const writer = new ByteWriter().bytes(magic).u64(number).lengthPrefixed(inner.finish())
  return writer.bytes(sha256(writer.finish())).finish()
}

function decodeSlot(
  slot: Uint8Array,
): { number: number; machine: Uint8Array; content: MarkContent } | undefined {
  try {
    const reader = new ByteReader(slot, 'rollback mark')
    if (!equalBytes(reader.bytes(magic.length), magic)) return undefined
    const number = reader.u64()
    const inner = new ByteReader(reader.lengthPrefixed(slot.length), 'rollback mark')
    const expected = sha256(slot.subarray(0, reader.offset))
    if (!equalBytes(reader.bytes(hashBytes), expected)) return undefined
    if (inner.u8() !== version) return undefined
    const machine = inner.bytes(16)
    const incarnation = bytesToHex(inner.bytes(16))
    const feeds: MarkedFeed[] = []
    for (let left = inner.count(16 + 1 + 32); left > 0; left--) {
      const feed = bytesToHex(inner.bytes(16))
      feeds.push({ feed, seq: inner.varint(), id: inner.bytes(32).slice() })
    }
    inner.end()
    return { number, machine, content: { incarnation, feeds } }
  } catch {
    // Torn or damaged; the state says so if the other slot is no better.
    return undefined
  }
}

function slotSize(feedCount: number): number {
  let size = smallestSlotBytes
  while (size < slotOverheadBytes + feedCount * feedBytes) size *= 2
  return size
}

async function openForWriting(directory: string, path: string): Promise<FileHandle | undefined> {
  try {
    await makeDirectory(directory)
    return await open(path, 'r+').catch(async (error: unknown) => {
      if (errorCodeOf(error) !== 'ENOENT') throw error
      // Empty for now: an interrupted first start then finds an unreadable mark, which is as good as none.
      return open(path, 'wx', 0o600)
    })
  } catch {
    return undefined
  }
}

/** Named by the place too: a copy of a data directory on the same machine is another device history. */
async function markName({ deviceId, dataDirectory }: MarkOptions): Promise<string> {
  const place = await realpath(dataDirectory).catch(() => dataDirectory)
  const short = (domain: string, text: string): string =>
    bytesToHex(domainHash16(domain, utf8ToBytes(text))).slice(0, 16)
  return `mark-${short('havenmesh/mark-device/v1', deviceId)}-${short('havenmesh/mark-place/v1', place)}`
}

/** Hashed, as systemd asks for whoever uses this id (machine-id(5)). */
function machineHash(machineId: string): Uint8Array {
  return domainHash16('havenmesh/mark-machine/v1', utf8ToBytes(machineId))
}

async function readMachineId(): Promise<string> {
  for (const path of ['/etc/machine-id', '/var/lib/dbus/machine-id']) {
    const id = await readFile(path, 'utf8').catch(() => '')
    if (id.trim() !== '') return id.trim()
  }
  return `host ${hostname()}`
}

/**
 * The file `keys`: the secrets that must be there before the database can be opened, sealed by a passphrase if wanted.
 *
 *     "haven-keys\0" · u8 version = 1 · u8 seal (0 none, 1 passphrase)
 *     · [u32 memory (KiB) · u32 passes · u8 parallelism · b16 salt · b12 nonce] · lp content
 *     · b32 SHA-256 of everything before
 *
 * The content is `list(text name · lp secret)`; under a passphrase it is sealed with ChaCha20-Poly1305 and the key
 * Argon2id(passphrase, salt), with everything before it as associated data. The hash at the end tells a damaged file
 * from a wrong passphrase.
 */
import { randomBytes } from 'node:crypto'
import { open, readFile, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { concatBytes, equalBytes, utf8ToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { HavenError, isHavenError } from '../core/errors.ts'
import { open as openSealed, seal } from '../crypto/cipher.ts'
import { sha256 } from '../crypto/hash.ts'
import { keyFromPassphrase, passphraseParameters } from '../crypto/passphrase.ts'
import type { PassphraseParameters } from '../crypto/passphrase.ts'
import { isReadableByOthers } from './data-dir.ts'
import { replaceFile, syncDirectory } from './durable-file.ts'
import { errorCodeOf, fileError } from './file-errors.ts'

const magic = utf8ToBytes('haven-keys\0')
const version = 1
const sealNone = 0
const sealPassphrase = 1
const saltBytes = 16
const nonceBytes = 12
const hashBytes = 32
const maxFileBytes = 1024 * 1024
const maxNameBytes = 256

export interface Keystore {
  readonly path: string
  readonly hasPassphrase: boolean
  /** Whoever shows warnings should show this one. */
  readonly readableByOthers: boolean
  names(): string[]
  /** A copy. */
  get(name: string): Uint8Array | undefined
  /** `undefined` removes. Durable when it resolves; one after the other. */
  update(changes: Readonly<Record<string, Uint8Array | undefined>>): Promise<void>
  /** Seals the file by another passphrase, or by none. */
  changePassphrase(passphrase: string | undefined): Promise<void>
  /** Overwrites and removes the file, and forgets the secrets: what remains on the disk can't be read any more. */
  destroy(): Promise<void>
}

export interface KeystoreOptions {
  readonly passphrase?: string | undefined
  /** What it costs to try one passphrase, when the file is written next. */
  readonly cost?: PassphraseParameters | undefined
}

/** @throws HavenError `KEYSTORE_UNREADABLE` when there is a file already: keys are never replaced by accident */
export async function createKeystore(
  path: string,
  secrets: Readonly<Record<string, Uint8Array>>,
  options: KeystoreOptions = {},
): Promise<Keystore> {
  if ((await readIfThere(path)) !== undefined) {
    throw unreadable(`There are keys in ${path} already.`)
  }
  const copies = Object.entries(secrets).map(([name, secret]) => [name, secret.slice()] as const)
  const keystore = new KeysFile(path, new Map(copies), options)
  await keystore.update({})
  return keystore
}

/**
 * `undefined` when there is no such file.
 *
 * @throws HavenError `KEYSTORE_UNREADABLE` when the file is damaged, can't be read, or the passphrase is wrong
 */
export async function openKeystore(
  path: string,
  options: KeystoreOptions = {},
): Promise<Keystore | undefined> {
  const bytes = await readIfThere(path)
  if (bytes === undefined) return undefined
  try {
    const { content, hasPassphrase } = unsealFile(bytes, path, options.passphrase)
    const secrets = decodeSecrets(content)
    const used = { ...options, passphrase: hasPassphrase ? options.passphrase : undefined }
    return new KeysFile(path, secrets, used, await isReadableByOthers(path))
  } catch (error) {
    if (isHavenError(error, 'KEYSTORE_UNREADABLE')) throw error
    throw damaged(path, error)
  }
}

/** The bytes of a keystore, for who keeps them elsewhere than in a file. */
export function sealSecrets(
  secrets: ReadonlyMap<string, Uint8Array>,
  { passphrase, cost = passphraseParameters }: KeystoreOptions,
): Uint8Array {
  return sealFile(encodeSecrets(secrets), passphrase, cost)
}

/**
 * @param place - where they come from, for messages
 * @throws HavenError `KEYSTORE_UNREADABLE`
 */
export function unsealSecrets(
  bytes: Uint8Array,
  place: string,
  passphrase: string | undefined,
): Map<string, Uint8Array> {
  try {
    return decodeSecrets(unsealFile(bytes, place, passphrase).content)
  } catch (error) {
    if (isHavenError(error, 'KEYSTORE_UNREADABLE')) throw error
    throw damaged(place, error)
  }
}

class KeysFile implements Keystore {
  readonly path: string
  readonly readableByOthers: boolean
  readonly #secrets: Map<string, Uint8Array>
  readonly #cost: PassphraseParameters
  #passphrase: string | undefined
  #lastWrite: Promise<void> = Promise.resolve()

  constructor(
    path: string,
    secrets: Map<string, Uint8Array>,
    options: KeystoreOptions,
    readableByOthers = false,
  ) {
    this.path = path
    this.readableByOthers = readableByOthers
    this.#secrets = secrets
    this.#cost = options.cost ?? passphraseParameters
    this.#passphrase = options.passphrase
  }

  get hasPassphrase(): boolean {
    return this.#passphrase !== undefined
  }

  names(): string[] {
    return [...this.#secrets.keys()].toSorted()
  }

  get(name: string): Uint8Array | undefined {
    return this.#secrets.get(name)?.slice()
  }

  update(changes: Readonly<Record<string, Uint8Array | undefined>>): Promise<void> {
    return this.#inTurn(async () => {
      const next = new Map(this.#secrets)
      for (const [name, secret] of Object.entries(changes)) {
        if (secret === undefined) next.delete(name)
        else next.set(name, secret.slice())
      }
      await this.#write(next, this.#passphrase)
      this.#secrets.clear()
      for (const [name, secret] of next) this.#secrets.set(name, secret)
    })
  }

  changePassphrase(passphrase: string | undefined): Promise<void> {
    return this.#inTurn(async () => {
      await this.#write(this.#secrets, passphrase)
      this.#passphrase = passphrase
    })
  }

  destroy(): Promise<void> {
    return this.#inTurn(async () => {
      for (const secret of this.#secrets.values()) secret.fill(0)
      this.#secrets.clear()
      this.#passphrase = undefined
      try {
        await overwrite(this.path)
        await unlink(this.path)
        await syncDirectory(dirname(this.path))
      } catch (error) {
        if (errorCodeOf(error) !== 'ENOENT') throw await fileError(error, dirname(this.path))
      }
    })
  }

  async #write(secrets: Map<string, Uint8Array>, passphrase: string | undefined): Promise<void> {
    const bytes = sealFile(encodeSecrets(secrets), passphrase, this.#cost)
    try {
      await replaceFile(this.path, bytes)
    } catch (error) {
      throw await fileError(error, dirname(this.path))
    }
  }

  #inTurn(step: () => Promise<void>): Promise<void> {
    const done = this.#lastWrite.then(step)
    // The next write does not depend on whether this one worked: it writes the whole file.
    this.#lastWrite = done.catch(() => undefined)
    return done
  }
}

function sealFile(
  content: Uint8Array,
  passphrase: string | undefined,
  cost: PassphraseParameters,
): Uint8Array {
  const writer = new ByteWriter().bytes(magic).u8(version)
  if (passphrase === undefined) {
    writer.u8(sealNone).lengthPrefixed(content)
  } else {
    const salt = randomBytes(saltBytes)
    const nonce = randomBytes(nonceBytes)
    writer.u8(sealPassphrase).u32(cost.memoryKib).u32(cost.passes).u8(cost.parallelism)
    writer.bytes(salt).bytes(nonce)
    const key = keyFromPassphrase(passphrase, salt, cost)
    writer.lengthPrefixed(seal(key, nonce, content, writer.finish()))
  }
  const body = writer.finish()
  return concatBytes(body, sha256(body))
}

function unsealFile(
  bytes: Uint8Array,
  path: string,
  passphrase: string | undefined,
): { content: Uint8Array; hasPassphrase: boolean } {
  if (bytes.length < hashBytes) throw damaged(path)
  const body = bytes.subarray(0, bytes.length - hashBytes)
  if (!equalBytes(sha256(body), bytes.subarray(body.length))) throw damaged(path)

  const reader = new ByteReader(body, 'keys file')
  if (!equalBytes(reader.bytes(magic.length), magic)) throw damaged(path)
  if (reader.u8() !== version) {
    throw unreadable(`The keys in ${path} were written by a newer version: install that one.`)
  }
  if (reader.u8() === sealNone) {
    const content = reader.lengthPrefixed(maxFileBytes)
    reader.end()
    return { content, hasPassphrase: false }
  }

  const cost = { memoryKib: reader.u32(), passes: reader.u32(), parallelism: reader.u8() }
  const salt = reader.bytes(saltBytes)
  const nonce = reader.bytes(nonceBytes)
  const header = body.subarray(0, reader.offset)
  const sealed = reader.lengthPrefixed(maxFileBytes)
  reader.end()
  if (passphrase === undefined) throw unreadable(`The keys in ${path} need their passphrase.`)
  const key = keyFromPassphrase(passphrase, salt, cost)
  const content = openSealed(key, nonce, sealed, header)
  if (content === undefined) throw unreadable(`This is not the passphrase of the keys in ${path}.`)
  return { content, hasPassphrase: true }
}

function encodeSecrets(secrets: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const writer = new ByteWriter().varint(secrets.size)
  for (const name of [...secrets.keys()].toSorted()) {
    writer.text(name).lengthPrefixed(secrets.get(name)!)
  }
  return writer.finish()
}

function decodeSecrets(content: Uint8Array): Map<string, Uint8Array> {
  const reader = new ByteReader(content, 'keys file')
  const secrets = new Map<string, Uint8Array>()
  for (let left = reader.count(2); left > 0; left--) {
    const name = reader.text(maxNameBytes)
    secrets.set(name, reader.lengthPrefixed(maxFileBytes).slice())
  }
  reader.end()
  return secrets
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return new Uint8Array(await readFile(path))
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') return undefined
    throw unreadable(`The keys in ${path} can't be read. Check who owns the file.`, error)
  }
}

/** As far as it goes: flash memory and journals may keep copies. */
async function overwrite(path: string): Promise<void> {
  const file = await open(path, 'r+')
  try {
    const { size } = await file.stat()
    await file.write(randomBytes(size), 0, size, 0)
    await file.sync()
  } finally {
    await file.close()
  }
}

function damaged(path: string, cause?: unknown): HavenError {
  return unreadable(
    `The keys in ${path} are damaged. Put back a copy of this file, or set the device up anew.`,
    cause,
  )
}

function unreadable(message: string, cause?: unknown): HavenError {
  return new HavenError('KEYSTORE_UNREADABLE', message, { cause })
}

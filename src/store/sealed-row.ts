/**
 * Rows that derive from plaintext: `b12 nonce · ChaCha20-Poly1305(value)` with the key of the row as associated data,
 * so that rows can't be swapped; and names on the disk that say nothing without the store key.
 */
import { randomFillSync } from 'node:crypto'
import { concatBytes, utf8ToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { assert } from '../core/errors.ts'
import { open, seal } from '../crypto/cipher.ts'
import { domainBytes, hmacSha256, sha256 } from '../crypto/hash.ts'
import { hkdf } from '../crypto/kdf.ts'
import { rowKinds } from './layout.ts'

export type SealedKind = 'store' | 'secret' | 'record' | 'context'

const nonceBytes = 12
const noncesAtOnce = 1024
const groupBytes = 8
const nameBytes = 16
const noSalt = new Uint8Array(0)

/**
 * Seals under one key for each kind, with random nonces.
 *
 * A key per row (HKDF over a salt) would cost 20 µs a row, twice the sealing. With 96 random bits, the chance that two
 * of 2^32 rows ever written under one key share a nonce is 2^-33, and 2^32 writes are 100 a second for a year and
 * more; a counter would have to survive a data directory that was put back from a backup.
 */
export class RowSealer {
  readonly #keys: Readonly<Record<SealedKind, Uint8Array>>
  readonly #nameKey: Uint8Array
  readonly #nonces = new Uint8Array(noncesAtOnce * nonceBytes)
  #noncesUsed = noncesAtOnce
  readonly #collections = new Map<string, { group: Uint8Array; nameKey: Uint8Array }>()
  /** A few for each collection. */
  readonly #secretGroups = new Map<string, Uint8Array>()

  constructor(storeKey: Uint8Array) {
    assert(storeKey.length === 32, 'a store key has 32 bytes')
    const derive = (purpose: string): Uint8Array =>
      hkdf(storeKey, noSalt, domainBytes('havenmesh/store/v1', utf8ToBytes(purpose)), 32)
    this.#keys = {
      store: derive('store rows'),
      secret: derive('secret rows'),
      record: derive('record rows'),
      context: derive('context rows'),
    }
    this.#nameKey = derive('names')
  }

  seal(kind: SealedKind, key: Uint8Array, value: Uint8Array): Uint8Array {
    const nonce = this.#freshNonce()
    return seal(this.#keys[kind], nonce, value, key, nonce)
  }

  /** `undefined` when the row is damaged, or not one of this store key. */
  open(kind: SealedKind, key: Uint8Array, row: Uint8Array): Uint8Array | undefined {
    const nonce = row.subarray(0, nonceBytes)
    if (nonce.length < nonceBytes) return undefined
    return open(this.#keys[kind], nonce, row.subarray(nonceBytes), key)
  }

  /** What the names of all records of a collection start with. */
  recordPrefix(collection: string): Uint8Array {
    return this.#collection(collection).group
  }

  recordKey(collection: string, id: string): Uint8Array {
    const { group, nameKey } = this.#collection(collection)
    // A keyed hash that is cut to half its length needs no HMAC: there is nothing to extend.
    return concatBytes(group, sha256(nameKey, utf8ToBytes(id)).subarray(0, nameBytes))
  }

  /**
   * What the names of all secrets start with whose name starts with `prefix`. Those of one group, up to the first
   * slash, lie together.
   */
  secretPrefix(prefix: string): Uint8Array {
    const slash = prefix.indexOf('/')
    if (slash < 0) return Uint8Array.of(rowKinds.secret)
    const name = prefix.slice(0, slash)
    let group = this.#secretGroups.get(name)
    if (group === undefined) {
      const hash = this.#hashName('group', name, groupBytes)
      group = concatBytes(Uint8Array.of(rowKinds.secret), hash)
      this.#secretGroups.set(name, group)
    }
    return group
  }

  secretKey(name: string): Uint8Array {
    const group = name.includes('/') ? this.secretPrefix(name) : this.secretPrefix('/')
    return concatBytes(group, this.#hashName('secret', name, nameBytes))
  }

  #collection(collection: string): { group: Uint8Array; nameKey: Uint8Array } {
    let names = this.#collections.get(collection)
    if (names === undefined) {
      const kind = Uint8Array.of(rowKinds.record)
      names = {
        group: concatBytes(kind, this.#hashName('collection', collection, groupBytes)),
        nameKey: this.#hashName('records', collection, 32),
      }
      this.#collections.set(collection, names)
    }
    return names
  }

  #hashName(purpose: string, name: string, length: number): Uint8Array {
    return hmacSha256(this.#nameKey, utf8ToBytes(`${purpose}\0${name}`)).subarray(0, length)
  }

  #freshNonce(): Uint8Array {
    if (this.#noncesUsed === noncesAtOnce) {
      randomFillSync(this.#nonces)
      this.#noncesUsed = 0
    }
    const at = this.#noncesUsed++ * nonceBytes
    return this.#nonces.subarray(at, at + nonceBytes)
  }
}

/** A secret's name is in its value: the key of its row only hashes it. */
export function encodeNamed(name: string, value: Uint8Array): Uint8Array {
  return new ByteWriter(value.length + name.length + 8).text(name).bytes(value).finish()
}

export function decodeNamed(bytes: Uint8Array): { name: string; value: Uint8Array } {
  const reader = new ByteReader(bytes, 'secret row')
  return { name: reader.text(bytes.length), value: reader.rest() }
}

/** A commit's id is in the value of its context: the key of the row has only the start of it. */
export function encodeContext(id: Uint8Array, value: Uint8Array): Uint8Array {
  return new ByteWriter(value.length + id.length + 1).u8(id.length).bytes(id).bytes(value).finish()
}

export function decodeContext(bytes: Uint8Array): { id: Uint8Array; value: Uint8Array } {
  const reader = new ByteReader(bytes, 'context row')
  return { id: reader.bytes(reader.u8()), value: reader.rest() }
}

/** Compressing and sealing a commit's payload, and the way back (docs/protocol.md, Commit). */
import { concatBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { HavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { open, seal } from '../crypto/cipher.ts'
import { deflateRaw, inflateRaw } from '../crypto/compress.ts'
import { hkdf } from '../crypto/kdf.ts'
import { utf8ToBytes } from '../core/bytes.ts'
import { dictionary1 } from './dictionary.ts'

const codecs = { stored: 0, deflate: 1, deflateDictionary1: 2 } as const
const tagBytes = 16
/** A preset dictionary helps small commits; a large one has its own repetitions, and deflate looks back 32 KiB only. */
const dictionaryUpToBytes = 32 * 1024
const keyInfo = utf8ToBytes('havenmesh/commit-key/v1\0')

/** Compresses a payload into a commit's plaintext. */
export function packPayload(payload: Uint8Array): Uint8Array {
  const small = payload.length <= dictionaryUpToBytes
  const packed = small
    ? deflateRaw(payload, { level: 9, dictionary: dictionary1 })
    : deflateRaw(payload, { level: 6 })
  const stored = packed.length >= payload.length
  const codec = stored ? codecs.stored : small ? codecs.deflateDictionary1 : codecs.deflate
  return new ByteWriter(packed.length + 8)
    .u8(codec)
    .varint(payload.length)
    .bytes(stored ? payload : packed)
    .finish()
}

/** @throws HavenError `MALFORMED` when it does not inflate to exactly what it declares, within the ceiling */
export function unpackPayload(plaintext: Uint8Array): Uint8Array {
  const reader = new ByteReader(plaintext, 'commit payload')
  const codec = reader.u8()
  const length = reader.varint()
  if (length > limits.commitPlaintextBytes) reader.fail('too long a payload')
  const data = reader.rest()
  const payload = inflate(codec, data, length) ?? reader.fail('an unknown codec')
  if (payload.length !== length) reader.fail('another length than it declares')
  return payload
}

function inflate(codec: number, data: Uint8Array, length: number): Uint8Array | undefined {
  if (codec === codecs.stored) return data
  if (codec === codecs.deflate) return inflateRaw(data, length)
  if (codec === codecs.deflateDictionary1) return inflateRaw(data, length, dictionary1)
  return undefined
}

/** Length of the ciphertext of a plaintext, which the header needs before anything is sealed. */
export function ciphertextLength(plaintext: Uint8Array): number {
  return plaintext.length + tagBytes
}

/** @param header - encoded; it is the associated data */
export function sealPlaintext(
  plaintext: Uint8Array,
  place: { epochKey: Uint8Array; salt: Uint8Array; feed: Uint8Array; seq: number },
  header: Uint8Array,
): Uint8Array {
  const { key, nonce } = commitKey(place)
  return seal(key, nonce, plaintext, header)
}

/** @throws HavenError `BAD_SIGNATURE` when the ciphertext was not sealed under this key for this header */
export function openCiphertext(
  ciphertext: Uint8Array,
  place: { epochKey: Uint8Array; salt: Uint8Array; feed: Uint8Array; seq: number },
  header: Uint8Array,
): Uint8Array {
  const { key, nonce } = commitKey(place)
  const plaintext = open(key, nonce, ciphertext, header)
  if (plaintext === undefined) {
    throw new HavenError('BAD_SIGNATURE', 'A commit is not sealed under the key that it names.')
  }
  return plaintext
}

function commitKey(place: {
  epochKey: Uint8Array
  salt: Uint8Array
  feed: Uint8Array
  seq: number
}): {
  key: Uint8Array
  nonce: Uint8Array
} {
  const seq = new ByteWriter(8).u64(place.seq).finish()
  const bytes = hkdf(place.epochKey, place.salt, concatBytes(keyInfo, place.feed, seq), 44)
  return { key: bytes.subarray(0, 32), nonce: bytes.subarray(32) }
}

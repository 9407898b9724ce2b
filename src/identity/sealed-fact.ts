/** Names and schemas inside control facts, sealed to readers: couriers and servers carry them without learning them. */
import { bytesToHex, concatBytes, emptyBytes, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import type { Random } from '../core/environment.ts'
import { limits } from '../core/limits.ts'
import { open, seal } from '../crypto/cipher.ts'
import { domainBytes } from '../crypto/hash.ts'
import { hkdf } from '../crypto/kdf.ts'

/** Text of a name or a reason, in UTF-8: a long sentence, so that facts stay small. */
const nameMaxBytes = 1_024
/** Epoch id, salt, tag, and the text with its length. */
export const sealedFactMaxBytes = 16 + 16 + 16 + nameMaxBytes + 2
export const sealedSchemaMaxBytes = 16 + 16 + 16 + limits.schemaBytes + 3

interface FactOfText {
  readonly mesh: string
  /** Number of the fact in which the text stands: it opens in no other. */
  readonly type: number
  /** UTF-8 bytes of the text; default: a name's. */
  readonly maxBytes?: number
}

/**
 * @param key.epoch - of `_labels`, in hex
 * @throws TypeError when the text is longer than it may be
 */
export function sealFactText(
  text: string,
  fact: FactOfText,
  key: { readonly epoch: string; readonly epochKey: Uint8Array },
  random: Random,
): Uint8Array {
  if (Buffer.byteLength(text, 'utf8') > (fact.maxBytes ?? nameMaxBytes)) {
    throw new TypeError('too long a text to be sealed')
  }
  const plaintext = new ByteWriter(64).text(text).finish()
  const salt = random.bytes(16)
  const { cipherKey, nonce } = derive(key.epochKey, salt, fact)
  const sealed = seal(cipherKey, nonce, plaintext, emptyBytes)
  return concatBytes(hexToBytes(key.epoch), salt, sealed)
}

/**
 * @param epochKey - looks up an epoch of `_labels` by its id in hex
 * @returns undefined when the key is not here (yet), or what was sealed is not such a text
 */
export function openFactText(
  sealed: Uint8Array,
  fact: FactOfText,
  epochKey: (epoch: string) => Uint8Array | undefined,
): string | undefined {
  if (sealed.length < 32) return undefined
  const key = epochKey(bytesToHex(sealed.subarray(0, 16)))
  if (key === undefined) return undefined
  const { cipherKey, nonce } = derive(key, sealed.subarray(16, 32), fact)
  const plaintext = open(cipherKey, nonce, sealed.subarray(32), emptyBytes)
  if (plaintext === undefined) return undefined
  const reader = new ByteReader(plaintext, 'sealed text')
  try {
    const text = reader.text(fact.maxBytes ?? nameMaxBytes)
    reader.end()
    return text
  } catch {
    // Sealed by a member whose version writes something else here: as good as no name.
    return undefined
  }
}

function derive(
  epochKey: Uint8Array,
  salt: Uint8Array,
  { mesh, type }: { readonly mesh: string; readonly type: number },
) {
  const info = domainBytes('havenmesh/sealed-fact/v1', hexToBytes(mesh), Uint8Array.of(type))
  const bytes = hkdf(epochKey, salt, info, 44)
  return { cipherKey: bytes.subarray(0, 32), nonce: bytes.subarray(32) }
}

/** ChaCha20-Poly1305 (RFC 8439), with its 16 byte tag at the end of the ciphertext. */
import { createCipheriv, createDecipheriv } from 'node:crypto'
import { emptyBytes } from '../core/bytes.ts'

const name = 'chacha20-poly1305'
const authTagLength = 16

/**
 * @param key - 32 bytes; never used twice with the same nonce: everywhere here both come out of HKDF with a fresh salt
 * @param nonce - 12 bytes
 * @param head - what the result begins with, as it is
 * @returns 16 bytes more than the plaintext, behind the head
 */
export function seal(
  key: Uint8Array,
  nonce: Uint8Array,
  plaintext: Uint8Array,
  aad: Uint8Array,
  head = emptyBytes,
): Uint8Array {
  const cipher = createCipheriv(name, key, nonce, { authTagLength })
  cipher.setAAD(aad, { plaintextLength: plaintext.length })
  // Small ones share memory: it takes longer to ask for some than to seal a row.
  const sealed = plain(Buffer.allocUnsafe(head.length + plaintext.length + authTagLength))
  sealed.set(head)
  sealed.set(cipher.update(plaintext), head.length)
  cipher.final()
  sealed.set(cipher.getAuthTag(), head.length + plaintext.length)
  return sealed
}

/** @returns undefined when key, nonce, ciphertext and associated data don't belong together: forged or damaged */
export function open(
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  aad: Uint8Array,
): Uint8Array | undefined {
  const length = sealed.length - authTagLength
  if (length < 0) return undefined
  const decipher = createDecipheriv(name, key, nonce, { authTagLength })
  decipher.setAAD(aad, { plaintextLength: length })
  decipher.setAuthTag(sealed.subarray(length))
  const plaintext = decipher.update(sealed.subarray(0, length))
  try {
    decipher.final()
  } catch {
    return undefined
  }
  return plain(plaintext)
}

/** Without the methods of Buffer, whose `slice` does not copy. */
function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
}

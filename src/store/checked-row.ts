/**
 * Values of rows that are neither sealed nor commits: `b8 check · value`, where check is the start of
 * SHA-256(key length ‖ key ‖ value). LevelDB returns flipped bits as if nothing had happened.
 */
import { concatBytes, equalBytes } from '../core/bytes.ts'
import { sha256 } from '../crypto/hash.ts'

const checkBytes = 8

export function encodeChecked(key: Uint8Array, value: Uint8Array): Uint8Array {
  return concatBytes(checkOf(key, value), value)
}

/** `undefined` when key and value don't belong together. */
export function decodeChecked(key: Uint8Array, row: Uint8Array): Uint8Array | undefined {
  if (row.length < checkBytes) return undefined
  // A copy, which a database in memory needs; a Buffer's `slice` would be none.
  const value = new Uint8Array(row.subarray(checkBytes))
  return equalBytes(row.subarray(0, checkBytes), checkOf(key, value)) ? value : undefined
}

function checkOf(key: Uint8Array, value: Uint8Array): Uint8Array {
  return sha256(Uint8Array.of(key.length >>> 8, key.length & 0xff), key, value).subarray(
    0,
    checkBytes,
  )
}

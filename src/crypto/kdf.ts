import { hkdfSync } from 'node:crypto'

/**
 * HKDF-SHA256 (RFC 5869), extract and expand.
 *
 * @param info - starts with a domain string: `domainBytes` of hash.ts
 * @param length - bytes, at most 8,160
 */
export function hkdf(
  ikm: Uint8Array,
  salt: Uint8Array,
  info: Uint8Array,
  length: number,
): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', ikm, salt, info, length))
}

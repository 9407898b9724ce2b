/** SHA-256, with a domain string before whatever is hashed, so that no hash can stand for another. */
import { hash } from 'node:crypto'
import { concatBytes, utf8ToBytes } from '../core/bytes.ts'
import { assert } from '../core/errors.ts'

/** 32 bytes over the parts, joined. */
export function sha256(...parts: Uint8Array[]): Uint8Array {
  return plain(hash('sha256', parts.length === 1 ? parts[0]! : concatBytes(...parts), 'buffer'))
}

/** `H(domain ‖ 0 ‖ parts)`, 32 bytes. @param domain - without its final zero byte */
export function domainHash(domain: string, ...parts: Uint8Array[]): Uint8Array {
  return sha256(domainBytes(domain, ...parts))
}

/** The first 16 bytes of {@link domainHash}: `H16` of docs/protocol.md. */
export function domainHash16(domain: string, ...parts: Uint8Array[]): Uint8Array {
  return domainHash(domain, ...parts).slice(0, 16)
}

const hmacBlockBytes = 64

/** 32 bytes over the parts, joined. */
export function hmacSha256(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array {
  // By its definition (RFC 2104) on the one-shot hash: three times faster than an Hmac object for short messages.
  const block = key.length > hmacBlockBytes ? sha256(key) : key
  const inner = new Uint8Array(hmacBlockBytes).fill(0x36)
  const outer = new Uint8Array(hmacBlockBytes).fill(0x5c)
  for (const [i, byte] of block.entries()) {
    inner[i]! ^= byte
    outer[i]! ^= byte
  }
  return sha256(outer, sha256(inner, ...parts))
}

/**
 * A domain string, its final zero byte, and the parts: what is hashed, signed or given to HKDF as `info`.
 *
 * @param domain - a constant of the code, without its final zero byte
 */
export function domainBytes(domain: string, ...parts: Uint8Array[]): Uint8Array {
  let prefix = prefixes.get(domain)
  if (prefix === undefined) {
    assert(domain !== '' && !domain.includes('\0'), 'a domain string has no zero byte of its own')
    prefix = utf8ToBytes(`${domain}\0`)
    prefixes.set(domain, prefix)
  }
  return parts.length === 0 ? prefix.slice() : concatBytes(prefix, ...parts)
}

/** Bounded, because domains are constants. */
const prefixes = new Map<string, Uint8Array>()

/** Without the methods of Buffer, whose `slice` does not copy. */
function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
}

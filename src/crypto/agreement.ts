/** X25519 (RFC 7748): two devices agree on a secret, or a key is sealed to one of them (hpke.ts). */
import { createPrivateKey, createPublicKey, diffieHellman, type KeyObject } from 'node:crypto'
import { concatBytes, hexToBytes } from '../core/bytes.ts'
import { assert } from '../core/errors.ts'

/** A key pair whose private half can't be read back. */
export interface AgreementKey {
  /** 32 bytes. */
  readonly publicKey: Uint8Array
  /** For {@link sharedSecret}. */
  readonly privateKey: KeyObject
}

/** @param seed - 32 random bytes (RFC 7748's private key) */
export function agreementKeyFromSeed(seed: Uint8Array): AgreementKey {
  assert(seed.length === 32, 'an agreement seed has 32 bytes')
  const privateKey = createPrivateKey({
    key: Buffer.from(concatBytes(pkcs8Prefix, seed)),
    format: 'der',
    type: 'pkcs8',
  })
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  return { publicKey: new Uint8Array(spki.subarray(spkiPrefix.length)), privateKey }
}

/**
 * 32 bytes that only the owners of the two keys can compute. They are not uniform: a key comes out of them by `hkdf`.
 *
 * @returns undefined when the other's key is of small order, so that the secret would be the same for everybody
 */
export function sharedSecret(own: AgreementKey, publicKey: Uint8Array): Uint8Array | undefined {
  if (publicKey.length !== 32) return undefined
  const other = createPublicKey({
    key: Buffer.from(concatBytes(spkiPrefix, publicKey)),
    format: 'der',
    type: 'spki',
  })
  let secret: Buffer
  try {
    secret = diffieHellman({ privateKey: own.privateKey, publicKey: other })
  } catch {
    // OpenSSL's answer to an all-zero result; a KeyObject that is not X25519 can't get here.
    return undefined
  }
  return secret.every((byte) => byte === 0) ? undefined : new Uint8Array(secret)
}

const pkcs8Prefix = hexToBytes('302e020100300506032b656e04220420')
const spkiPrefix = hexToBytes('302a300506032b656e032100')

/**
 * Ed25519, with one verdict for everybody.
 *
 * RFC 8032 leaves open how keys and signatures of unusual form are to be treated, and verifiers disagree: a member who
 * crafts such a signature could split the replicas. What is open is refused here, byte by byte, before the verifier is
 * asked (Chalkias et al. 2020, "Taming the many EdDSAs").
 */
import {
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign as signRaw,
  verify as verifyRaw,
} from 'node:crypto'
import { bytesToHex, concatBytes, hexToBytes } from '../core/bytes.ts'
import { assert } from '../core/errors.ts'
import { domainBytes } from './hash.ts'

/** A key pair whose private half can't be read back. */
export interface SigningKey {
  /** 32 bytes. */
  readonly publicKey: Uint8Array
  /**
   * 64 bytes over `domain ‖ 0 ‖ message`; the same for the same message.
   *
   * @param domain - without its final zero byte
   */
  sign(domain: string, message: Uint8Array): Uint8Array
}

/** @param seed - 32 random bytes (RFC 8032's private key) */
export function signingKeyFromSeed(seed: Uint8Array): SigningKey {
  assert(seed.length === 32, 'a signing seed has 32 bytes')
  const privateKey = createPrivateKey({
    key: Buffer.from(concatBytes(pkcs8Prefix, seed)),
    format: 'der',
    type: 'pkcs8',
  })
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  return {
    publicKey: new Uint8Array(spki.subarray(spkiPrefix.length)),
    sign: (domain, message) =>
      new Uint8Array(signRaw(null, domainBytes(domain, message), privateKey)),
  }
}

/**
 * Whether the key's owner signed `domain ‖ 0 ‖ message`. False, never an error, for keys and signatures of any other
 * form than docs/protocol.md allows.
 *
 * @param domain - without its final zero byte
 */
export function verify(
  publicKey: Uint8Array,
  domain: string,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (signature.length !== 64 || !isBelow(signature.subarray(32), groupOrder)) return false
  if (isSmallOrder(signature.subarray(0, 32))) return false
  const key = publicKeyObject(publicKey)
  return key !== undefined && verifyRaw(null, domainBytes(domain, message), key, signature)
}

/** Whether signatures of this key can be accepted at all: 32 bytes, canonical, not of small order. */
export function isUsablePublicKey(publicKey: Uint8Array): boolean {
  return publicKey.length === 32 && isCanonical(publicKey) && !isSmallOrder(publicKey)
}

const pkcs8Prefix = hexToBytes('302e020100300506032b657004220420')
const spkiPrefix = hexToBytes('302a300506032b6570032100')

/** 2^252 + 27742317777372353535851937790883648493, little-endian, as all numbers of Ed25519. */
const groupOrder = hexToBytes('edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010')
/** 2^255 - 19 */
const fieldPrime = hexToBytes('edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f')

/** The y coordinates of the eight points of small order, in canonical form and not; the sign bit does not matter. */
const smallOrders = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
])

function isSmallOrder(point: Uint8Array): boolean {
  return smallOrders.has(bytesToHex(withoutSign(point)))
}

function isCanonical(point: Uint8Array): boolean {
  return isBelow(withoutSign(point), fieldPrime)
}

function withoutSign(point: Uint8Array): Uint8Array {
  const y = point.slice()
  y[31]! &= 0x7f
  return y
}

/** Both little-endian and of the same length. */
function isBelow(value: Uint8Array, bound: Uint8Array): boolean {
  for (let i = bound.length - 1; i >= 0; i--) {
    if (value[i] !== bound[i]) return value[i]! < bound[i]!
  }
  return false
}

/** Importing a key costs a tenth of verifying with it: the keys of the largest mesh (1,000 devices) stay imported. */
const cachedKeys = 1_024
const keyObjects = new Map<string, KeyObject>()

function publicKeyObject(publicKey: Uint8Array): KeyObject | undefined {
  const name = bytesToHex(publicKey)
  let key = keyObjects.get(name)
  if (key === undefined) {
    if (!isUsablePublicKey(publicKey)) return undefined
    const der = Buffer.from(concatBytes(spkiPrefix, publicKey))
    key = createPublicKey({ key: der, format: 'der', type: 'spki' })
    // A Map keeps the order of insertion: its first key is the one that was not used for longest.
    if (keyObjects.size >= cachedKeys) keyObjects.delete(keyObjects.keys().next().value!)
  } else {
    keyObjects.delete(name)
  }
  keyObjects.set(name, key)
  return key
}

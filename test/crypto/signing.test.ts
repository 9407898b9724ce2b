import { createHash } from 'node:crypto'
import { fc } from '@fast-check/vitest'
import { expect, test } from 'vitest'
import { concatBytes, hexToBytes, utf8ToBytes } from '../../src/core/bytes.ts'
import { domainBytes } from '../../src/crypto/hash.ts'
import { isUsablePublicKey, signingKeyFromSeed, verify } from '../../src/crypto/signing.ts'
import { damaged } from './damage.ts'

const domain = 'havenmesh/test/v1'
const seed = hexToBytes('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60')
const key = signingKeyFromSeed(seed)
const message = utf8ToBytes('a message')

test('derives the public key of RFC 8032, section 7.1', () => {
  expect(key.publicKey).toEqual(
    hexToBytes('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a'),
  )
})

test('verifies what was signed, and nothing else', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), (signed, other) => {
      const signature = key.sign(domain, signed)
      expect(verify(key.publicKey, domain, signed, signature)).toBe(true)
      expect(verify(key.publicKey, 'havenmesh/other/v1', signed, signature)).toBe(false)
      expect(verify(key.publicKey, domain, other, signature)).toBe(
        Buffer.compare(signed, other) === 0,
      )
    }),
    { numRuns: 50 },
  )
})

test('refuses every damaged signature and public key', () => {
  const signature = key.sign(domain, message)
  for (const { how, bytes } of damaged(signature)) {
    expect(verify(key.publicKey, domain, message, bytes), how).toBe(false)
  }
  for (const { how, bytes } of damaged(key.publicKey)) {
    expect(verify(bytes, domain, message, signature), how).toBe(false)
  }
})

test('refuses a signature whose S is not below the group order', () => {
  const signature = key.sign(domain, message)
  const s = number(signature.subarray(32)) + order
  expect(
    verify(key.publicKey, domain, message, concatBytes(signature.subarray(0, 32), bytes32(s))),
  ).toBe(false)
})

test('refuses an R of small order, though the equation holds', () => {
  const r = bytes32(1n) // the identity
  const k = number(sha512(r, key.publicKey, domainBytes(domain, message)))
  const s = (k * secretScalar()) % order
  expect(verify(key.publicKey, domain, message, concatBytes(r, bytes32(s)))).toBe(false)
})

const p = 2n ** 255n - 19n

test.each([
  ['the identity', 1n],
  ['the identity, not canonical', p + 1n],
  ['order 2', p - 1n],
  ['order 4', 0n],
  ['order 4, not canonical', p],
  [
    'order 8',
    number(hexToBytes('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05')),
  ],
  [
    'the other of order 8',
    number(hexToBytes('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a')),
  ],
])('refuses a public key that is %s, with either sign', (_, y) => {
  expect(isUsablePublicKey(bytes32(y))).toBe(false)
  expect(isUsablePublicKey(bytes32(y | (1n << 255n)))).toBe(false)
  // With A of small order, R = S·B fits every message for one k in eight.
  const forged = concatBytes(key.publicKey, bytes32(secretScalar() % order))
  for (let i = 0; i < 20; i++) {
    expect(verify(bytes32(y), domain, Uint8Array.of(i), forged)).toBe(false)
  }
})

test('refuses a public key that is not canonical', () => {
  expect(isUsablePublicKey(bytes32(p + 3n))).toBe(false)
  expect(isUsablePublicKey(bytes32(2n ** 255n - 1n))).toBe(false)
  expect(isUsablePublicKey(bytes32(3n))).toBe(true)
  expect(isUsablePublicKey(key.publicKey)).toBe(true)
})

test('keeps its verdicts when more keys come by than it remembers', () => {
  const signature = key.sign(domain, message)
  for (let i = 0; i < 1_100; i++) verify(bytes32(BigInt(i) + 2n), domain, message, signature)
  expect(verify(key.publicKey, domain, message, signature)).toBe(true)
})

const order = 2n ** 252n + 27742317777372353535851937790883648493n

function secretScalar(): bigint {
  const scalar = sha512(seed).slice(0, 32)
  scalar[0]! &= 0xf8
  scalar[31] = (scalar[31]! & 0x7f) | 0x40
  return number(scalar)
}

function sha512(...parts: Uint8Array[]): Uint8Array {
  const hash = createHash('sha512')
  for (const part of parts) hash.update(part)
  return new Uint8Array(hash.digest())
}

/** Little-endian. */
function number(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes.toReversed()).toString('hex')}`)
}

function bytes32(value: bigint): Uint8Array {
  return hexToBytes(value.toString(16).padStart(64, '0')).toReversed()
}

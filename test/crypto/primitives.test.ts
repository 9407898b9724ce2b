import { fc } from '@fast-check/vitest'
import { expect, test } from 'vitest'
import { concatBytes, emptyBytes, hexToBytes, utf8ToBytes } from '../../src/core/bytes.ts'
import { agreementKeyFromSeed, sharedSecret } from '../../src/crypto/agreement.ts'
import { open, seal } from '../../src/crypto/cipher.ts'
import { deflateRaw, inflateRaw } from '../../src/crypto/compress.ts'
import { domainHash, domainHash16, hmacSha256, sha256 } from '../../src/crypto/hash.ts'
import { openWith, sealTo } from '../../src/crypto/hpke.ts'
import { hkdf } from '../../src/crypto/kdf.ts'
import { keyFromPassphrase } from '../../src/crypto/passphrase.ts'
import hpke from '../vectors/hpke.json' with { type: 'json' }
import { damaged } from './damage.ts'
import { seededRandom } from './seeded-random.ts'

const hex = hexToBytes
const text = utf8ToBytes

test('hashes the parts as if they were joined, after the domain and a zero byte', () => {
  expect(sha256(text('a'), text('bc'))).toEqual(
    hex('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'),
  )
  expect(domainHash('d', text('a'), text('b'))).toEqual(sha256(text('d\0ab')))
  expect(domainHash16('d')).toEqual(sha256(text('d\0')).slice(0, 16))
  expect(() => domainHash('d\0')).toThrow(TypeError)
  expect(hmacSha256(text('Jefe'), text('what do ya '), text('want for nothing?'))).toEqual(
    hex('5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843'),
  )
})

test('derives the key of RFC 5869, A.1', () => {
  const ikm = new Uint8Array(22).fill(0x0b)
  expect(hkdf(ikm, hex('000102030405060708090a0b0c'), hex('f0f1f2f3f4f5f6f7f8f9'), 42)).toEqual(
    hex('3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865'),
  )
})

test('seals as RFC 8439, 2.8.2', () => {
  const key = hex('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f')
  const nonce = hex('070000004041424344454647')
  const plaintext = text(
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
  )
  const sealed = seal(key, nonce, plaintext, hex('50515253c0c1c2c3c4c5c6c7'))
  expect(sealed.slice(0, 16)).toEqual(hex('d31a8d34648e60db7b86afbc53ef7ec2'))
  expect(sealed.slice(-16)).toEqual(hex('1ae10b594f09e26a7e902ecbd0600691'))
})

const bytesOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })

test('opens what was sealed', () => {
  fc.assert(
    fc.property(
      bytesOf(32),
      bytesOf(12),
      fc.uint8Array(),
      fc.uint8Array(),
      (key, nonce, plaintext, aad) => {
        expect(open(key, nonce, seal(key, nonce, plaintext, aad), aad)).toEqual(plaintext)
      },
    ),
  )
})

test('does not open what was changed, or sealed for something else', () => {
  const key = new Uint8Array(32)
  const nonce = new Uint8Array(12)
  const sealed = seal(key, nonce, text('plain'), text('aad'))
  for (const { how, bytes } of damaged(sealed)) {
    expect(open(key, nonce, bytes, text('aad')), how).toBeUndefined()
  }
  expect(open(key, nonce, sealed, text('other'))).toBeUndefined()
  expect(open(key, new Uint8Array(12).fill(1), sealed, text('aad'))).toBeUndefined()
})

test('agrees on the same secret from both sides, and on none with a key of small order', () => {
  fc.assert(
    fc.property(bytesOf(32), bytesOf(32), (seedA, seedB) => {
      const a = agreementKeyFromSeed(seedA)
      const b = agreementKeyFromSeed(seedB)
      expect(sharedSecret(a, b.publicKey)).toEqual(sharedSecret(b, a.publicKey))
    }),
    { numRuns: 20 },
  )
  const own = agreementKeyFromSeed(new Uint8Array(32))
  for (const point of [
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000000',
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  ]) {
    expect(sharedSecret(own, hex(point)), point).toBeUndefined()
  }
  expect(sharedSecret(own, new Uint8Array(31))).toBeUndefined()
})

test('seals to a key as RFC 9180, A.2.1', () => {
  const message = { info: hex(hpke.info), plaintext: hex(hpke.pt), aad: hex(hpke.aad) }
  const sealed = sealTo(hex(hpke.pkRm), message, { bytes: () => hex(hpke.skEm) })
  expect(sealed).toEqual(concatBytes(hex(hpke.enc), hex(hpke.ct)))
  const own = agreementKeyFromSeed(hex(hpke.skRm))
  expect(own.publicKey).toEqual(hex(hpke.pkRm))
  expect(openWith(own, { info: hex(hpke.info), sealed, aad: hex(hpke.aad) })).toEqual(hex(hpke.pt))
})

test('opens only what was sealed to this key, for this purpose, unchanged', () => {
  const random = seededRandom('hpke')
  const own = agreementKeyFromSeed(random.bytes(32))
  const info = text('purpose')
  const sealed = sealTo(own.publicKey, { info, plaintext: random.bytes(32) }, random)
  expect(sealed).toHaveLength(80)
  expect(openWith(own, { info, sealed })).toHaveLength(32)
  expect(openWith(own, { info: text('another'), sealed })).toBeUndefined()
  expect(openWith(agreementKeyFromSeed(random.bytes(32)), { info, sealed })).toBeUndefined()
  for (const { how, bytes } of damaged(sealed)) {
    expect(openWith(own, { info, sealed: bytes }), how).toBeUndefined()
  }
  expect(() => sealTo(new Uint8Array(32), { info, plaintext: emptyBytes }, random)).toThrow(
    expect.objectContaining({ code: 'MALFORMED' }),
  )
})

test('inflates what was deflated, with and without a dictionary', () => {
  const dictionary = text('the quick brown fox jumps over the lazy dog')
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 500 }), fc.boolean(), (bytes, withDictionary) => {
      const preset = withDictionary ? dictionary : undefined
      const deflated = deflateRaw(bytes, { level: 9, dictionary: preset })
      expect(inflateRaw(deflated, bytes.length, preset)).toEqual(bytes)
    }),
  )
  const repeated = text('the quick brown fox')
  expect(deflateRaw(repeated, { level: 9, dictionary }).length).toBeLessThan(
    deflateRaw(repeated, { level: 9 }).length,
  )
})

test('refuses what inflates beyond the ceiling, is cut short, or has bytes left over', () => {
  const malformed = expect.objectContaining({ code: 'MALFORMED' })
  const bomb = deflateRaw(new Uint8Array(10_000_000), { level: 9 })
  expect(() => inflateRaw(bomb, 1_000)).toThrow(malformed)
  expect(() => inflateRaw(deflateRaw(text('a'), { level: 9 }), 0)).toThrow(malformed)
  const deflated = deflateRaw(text('some text'), { level: 9 })
  expect(() => inflateRaw(concatBytes(deflated, Uint8Array.of(0)), 100)).toThrow(malformed)
  for (let length = 0; length < deflated.length; length++) {
    expect(() => inflateRaw(deflated.slice(0, length), 100), `${length}`).toThrow(malformed)
  }
})

test('derives the same key from a passphrase however its accents were composed', () => {
  const salt = new Uint8Array(16)
  const cheap = { memoryKib: 32 * 1024, passes: 1, parallelism: 1 }
  const key = keyFromPassphrase('caf\u00e9', salt, cheap)
  expect(key).toEqual(keyFromPassphrase('cafe\u0301', salt, cheap))
  expect(key).not.toEqual(keyFromPassphrase('cafe', salt, cheap))
  expect(key).toHaveLength(32)
})

test.each([{ memoryKib: 1_024 }, { memoryKib: 2 ** 31 }, { passes: 0 }, { parallelism: 1.5 }])(
  'refuses passphrase parameters out of bounds: %o',
  (change) => {
    const parameters = { memoryKib: 64 * 1024, passes: 3, parallelism: 1, ...change }
    expect(() => keyFromPassphrase('x', new Uint8Array(16), parameters)).toThrow(
      expect.objectContaining({ code: 'KEYSTORE_UNREADABLE' }),
    )
  },
)

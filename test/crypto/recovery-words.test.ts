import { fc } from '@fast-check/vitest'
import { expect, test } from 'vitest'
import { hexToBytes } from '../../src/core/bytes.ts'
import { recoveryEntropy, recoveryWords, rootSeeds } from '../../src/crypto/recovery-words.ts'

const legal = 'legal winner thank year wave sausage worth useful legal winner thank yellow'

test('writes the words of the BIP-39 vectors', () => {
  expect(recoveryWords(new Uint8Array(16)).join(' ')).toBe(`${'abandon '.repeat(11)}about`)
  expect(recoveryWords(new Uint8Array(16).fill(0x7f)).join(' ')).toBe(legal)
})

test('reads back what it wrote, whatever the capitals and spaces', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (entropy) => {
      const words = recoveryWords(entropy)
      expect(recoveryEntropy(words.join(' '))).toEqual(entropy)
      expect(recoveryEntropy(` ${words.join('\n ').toUpperCase()}\t`)).toEqual(entropy)
    }),
  )
})

test('names the position of an unknown word, and not the word', () => {
  const error = thrownBy(() => recoveryEntropy(legal.replace('year', 'yeer')))
  expect(error).toMatchObject({ code: 'RECOVERY_WORDS_INVALID' })
  expect(error.message).toContain('word 4')
  expect(error.message).not.toContain('yeer')
})

test.each([
  ['two words swapped', legal.replace('thank year', 'year thank')],
  ['a word missing', legal.replace('yellow', '')],
  ['a word too many', `${legal} yellow`],
  ['nothing', ''],
  ['another word of the list at the end', legal.replace('yellow', 'zoo')],
])('refuses %s', (_, words) => {
  expect(thrownBy(() => recoveryEntropy(words))).toMatchObject({ code: 'RECOVERY_WORDS_INVALID' })
})

test('derives different seeds for the two keys of the root', () => {
  const seeds = rootSeeds(hexToBytes('000102030405060708090a0b0c0d0e0f'))
  expect(seeds.signing).toHaveLength(32)
  expect(seeds.agreement).not.toEqual(seeds.signing)
})

function thrownBy(run: () => unknown): Error {
  try {
    run()
  } catch (error) {
    return error as Error
  }
  throw new Error('nothing was thrown')
}

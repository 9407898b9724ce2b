/**
 * Recovery words: the secret of a mesh's root on paper, as twelve English words (BIP-39).
 *
 * The root's keys come out of them and are not kept on any device (docs/protocol.md, Recovery).
 */
import { entropyToMnemonic, mnemonicToEntropy } from '@scure/bip39'
import { wordlist } from '@scure/bip39/wordlists/english.js'
import { emptyBytes } from '../core/bytes.ts'
import type { Random } from '../core/environment.ts'
import { HavenError } from '../core/errors.ts'
import { domainBytes } from './hash.ts'
import { hkdf } from './kdf.ts'

const wordCount = 12

/** 16 bytes. */
export function newRecoveryEntropy(random: Random): Uint8Array {
  return random.bytes(16)
}

/** Twelve lower-case words. @param entropy - 16 bytes */
export function recoveryWords(entropy: Uint8Array): string[] {
  return entropyToMnemonic(entropy, wordlist).split(' ')
}

/**
 * Reads what a person typed; capitals and extra spaces don't matter.
 *
 * @returns 16 bytes
 * @throws HavenError `RECOVERY_WORDS_INVALID`; the message may name the position of a word, never the word
 */
export function recoveryEntropy(text: string): Uint8Array {
  const words = text
    .normalize('NFKC')
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '')
  if (words.length !== wordCount) {
    throw invalid(`There are ${words.length} recovery words, but it takes ${wordCount}.`)
  }
  const unknown = words.findIndex((word) => !known.has(word))
  if (unknown >= 0) {
    throw invalid(`Recovery word ${unknown + 1} is not on the list. Check its spelling.`)
  }
  try {
    return mnemonicToEntropy(words.join(' '), wordlist)
  } catch {
    // Without the cause: its message might name what was typed.
    throw invalid('The recovery words do not belong together. Check each word, and their order.')
  }
}

/** Seeds of the root's two keys: for `signingKeyFromSeed` and `agreementKeyFromSeed`. */
export interface RootSeeds {
  readonly signing: Uint8Array
  readonly agreement: Uint8Array
}

export function rootSeeds(entropy: Uint8Array): RootSeeds {
  return {
    signing: hkdf(entropy, emptyBytes, domainBytes('havenmesh/root-sign/v1'), 32),
    agreement: hkdf(entropy, emptyBytes, domainBytes('havenmesh/root-agreement/v1'), 32),
  }
}

const known = new Set(wordlist)

function invalid(message: string): HavenError {
  return new HavenError('RECOVERY_WORDS_INVALID', message)
}

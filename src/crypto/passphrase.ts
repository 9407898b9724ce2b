/** A key from a passphrase, slow enough to make guessing expensive: Argon2id (RFC 9106). */
import { argon2Sync } from 'node:crypto'
import { utf8ToBytes } from '../core/bytes.ts'
import { HavenError } from '../core/errors.ts'

/** Stored beside what the key seals, so that they can be raised later. */
export interface PassphraseParameters {
  readonly memoryKib: number
  readonly passes: number
  readonly parallelism: number
}

/** RFC 9106, section 4: the second recommended option, for devices with little memory; about half a second. */
export const passphraseParameters: PassphraseParameters = {
  memoryKib: 64 * 1024,
  passes: 3,
  parallelism: 1,
}

/**
 * The same 32 bytes for the same passphrase, whichever keyboard composed its accents.
 *
 * @param salt - 16 random bytes
 * @throws HavenError `KEYSTORE_UNREADABLE` when stored parameters are out of bounds: a changed file must neither make
 *   guessing cheap nor exhaust the device
 */
export function keyFromPassphrase(
  passphrase: string,
  salt: Uint8Array,
  parameters: PassphraseParameters = passphraseParameters,
): Uint8Array {
  const { memoryKib, passes, parallelism } = parameters
  const inBounds =
    isWithin(memoryKib, memoryMinKib, memoryMaxKib) &&
    isWithin(passes, 1, passesMax) &&
    isWithin(parallelism, 1, parallelismMax) &&
    salt.length >= 16
  if (!inBounds) {
    throw new HavenError(
      'KEYSTORE_UNREADABLE',
      'The key file asks for a passphrase in a way that this version does not allow. It may be damaged: restore it from a copy.',
    )
  }
  const key = argon2Sync('argon2id', {
    message: utf8ToBytes(passphrase.normalize('NFKC')),
    nonce: salt,
    memory: memoryKib,
    passes,
    parallelism,
    tagLength: 32,
  })
  return new Uint8Array(key)
}

/** Half of what is recommended: what an operator may choose for a very small device. */
const memoryMinKib = 32 * 1024
const memoryMaxKib = 1024 * 1024
const passesMax = 16
const parallelismMax = 16

function isWithin(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max
}

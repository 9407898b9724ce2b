/** Crockford's base32: for codes that people read aloud and type. */

const digits = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

export function encodeBase32(bytes: Uint8Array): string {
  let text = ''
  let buffer = 0
  let bits = 0
  for (const byte of bytes) {
    buffer = (buffer << 8) | byte
    bits += 8
    while (bits >= 5) {
      bits -= 5
      text += digits[(buffer >> bits) & 31]!
    }
    buffer &= (1 << bits) - 1
  }
  return bits === 0 ? text : text + digits[(buffer << (5 - bits)) & 31]!
}

/**
 * Dashes and white space don't matter, nor do capitals; O is 0, I and L are 1.
 *
 * @returns undefined when it is not base32 of whole bytes
 */
export function decodeBase32(text: string): Uint8Array | undefined {
  const bytes: number[] = []
  let buffer = 0
  let bits = 0
  for (const character of text.replaceAll(/[\s\u2010-\u2015-]/g, '').toUpperCase()) {
    const digit = values.get(character)
    if (digit === undefined) return undefined
    buffer = (buffer << 5) | digit
    bits += 5
    if (bits >= 8) {
      bits -= 8
      bytes.push(buffer >> bits)
      buffer &= (1 << bits) - 1
    }
  }
  // What is left over fills the last digit: less than one digit, and zero.
  return bits >= 5 || buffer !== 0 ? undefined : Uint8Array.from(bytes)
}

const values = new Map(Array.from(digits, (digit, value) => [digit, value] as const))
values.set('O', 0).set('I', 1).set('L', 1)

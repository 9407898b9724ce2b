import { fc, test } from '@fast-check/vitest'
import { expect } from 'vitest'
import { decodeBase32, encodeBase32 } from '../../src/identity/base32.ts'
import {
  decodeInvitation,
  encodeInvitation,
  inviterHash,
  joinKey,
  newInvitation,
} from '../../src/identity/invitation.ts'
import { seededRandom } from '../crypto/seeded-random.ts'

const nowMs = 1_700_000_000_000
const device = 'ab'.repeat(32)
const invitation = newInvitation(
  {
    mesh: 'cd'.repeat(16),
    device,
    expiresAtMs: nowMs + 600_000,
    addresses: ['/ip4/10.77.0.2/tcp/4001', '/dns4/camp.local/tcp/4001'],
  },
  seededRandom('invitation'),
)
const code = encodeInvitation(invitation)
const invalid = expect.objectContaining({ code: 'INVITATION_INVALID' })

test.prop([fc.uint8Array()])('bytes come back from base32', (bytes) => {
  expect(decodeBase32(encodeBase32(bytes))).toEqual(bytes)
})

const digit = fc.constantFrom(...Array.from('0123456789ABCDEFGHJKMNPQRSTVWXYZ'))

test.prop([fc.string({ unit: digit })])('base32 has one form for the same bytes', (text) => {
  const bytes = decodeBase32(text)
  expect(bytes === undefined ? text : encodeBase32(bytes)).toBe(text)
})

test('an invitation comes back from its code', () => {
  expect(code).toMatch(/^(?:[0-9A-HJKMNP-TV-Z]{5}-)+[0-9A-HJKMNP-TV-Z]{1,5}$/)
  expect(decodeInvitation(code, nowMs)).toEqual(invitation)
  expect(invitation.inviter).toBe(inviterHash(device))
  expect(joinKey(decodeInvitation(code, nowMs))).toEqual(joinKey(invitation))
})

test('capitals, dashes, spaces and letters that look like digits do not matter', () => {
  const typed = [
    code.toLowerCase(),
    code.replaceAll('-', ' '),
    code.replaceAll('-', '\n'),
    code.replaceAll('-', '\u2011'),
    code.replaceAll('0', 'O').replaceAll('1', 'l'),
    code.replaceAll('0', 'o').replaceAll('1', 'I'),
  ]
  for (const text of typed) expect(decodeInvitation(text, nowMs)).toEqual(invitation)
})

test('refuses a code with any one character wrong, missing or too many', () => {
  const digits = code.replaceAll('-', '')
  for (let at = 0; at < digits.length; at++) {
    const other = digits[at] === 'Z' ? 'Y' : 'Z'
    const changed = digits.slice(0, at) + other + digits.slice(at + 1)
    expect(() => decodeInvitation(changed, nowMs), `${at}`).toThrow(invalid)
    const missing = digits.slice(0, at) + digits.slice(at + 1)
    expect(() => decodeInvitation(missing, nowMs), `${at}`).toThrow(invalid)
  }
  for (const text of [`${code}0`, `U${code}`, '', 'hello', 'A'.repeat(10_000)]) {
    expect(() => decodeInvitation(text, nowMs)).toThrow(invalid)
  }
})

test('an expired invitation is refused as expired', () => {
  expect(() => decodeInvitation(code, nowMs + 600_000)).toThrow(
    expect.objectContaining({ code: 'INVITATION_EXPIRED' }),
  )
})

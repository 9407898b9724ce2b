import { expect, test } from 'vitest'
import {
  decodeRegistrationAnswer,
  decodeRegistrationRequest,
  encodeRegistrationAnswer,
  encodeRegistrationRequest,
} from '../../src/bridge/registration.ts'
import {
  decodeServerInvitation,
  encodeServerInvitation,
  invitationProof,
  invitationSecret,
  newServerInvitation,
} from '../../src/bridge/server-invitation.ts'
import { DeviceKeys } from '../../src/identity/device-key.ts'
import { seededRandom } from '../crypto/seeded-random.ts'
import { TestMesh } from '../identity/test-mesh.ts'

const random = seededRandom('server invitation')
const keys = DeviceKeys.generate(random)
const key = random.bytes(32)
const invitation = newServerInvitation(
  {
    key,
    server: { device: keys.device, agreementKey: keys.agreement.publicKey },
    address: 'https://haven.example.org:8420/camp',
    expiresAtMs: 1_700_000_000_999,
  },
  random,
)

test('a code can be read as it was typed, and holds all that a device needs', () => {
  const code = encodeServerInvitation(invitation)
  expect(decodeServerInvitation(code)).toEqual(invitation)
  expect(decodeServerInvitation(` ${code.toLowerCase().replaceAll('-', ' ')}\n`)).toEqual(
    invitation,
  )
  expect(invitation.expiresAtS).toBe(1_700_000_000)
})

test.each(['', 'x', 'A'.repeat(5_000)])('"%s" is no code', (code) => {
  expect(() => decodeServerInvitation(code)).toThrow(
    expect.objectContaining({ code: 'INVITATION_INVALID' }),
  )
})

test('a code with one character changed is none', () => {
  const code = encodeServerInvitation(invitation).replaceAll('-', '')
  for (let at = 0; at < code.length; at++) {
    const other = code[at] === '7' ? '8' : '7'
    expect(() => decodeServerInvitation(code.slice(0, at) + other + code.slice(at + 1))).toThrow(
      expect.objectContaining({ code: 'INVITATION_INVALID' }),
    )
  }
})

test('the secret follows from the key of the server and from all that the code says of itself', () => {
  const { nonce, expiresAtS, secret } = invitation
  expect(invitationSecret(key, { nonce, expiresAtS })).toEqual(secret)
  expect(invitationSecret(key, { nonce, expiresAtS: expiresAtS + 1 })).not.toEqual(secret)
  expect(invitationSecret(random.bytes(32), { nonce, expiresAtS })).not.toEqual(secret)
  const binding = random.bytes(32)
  expect(invitationProof(secret, binding)).not.toEqual(invitationProof(secret, random.bytes(32)))
})

test('a registration comes out as it went in, and nothing else is one', () => {
  const mesh = new TestMesh('registration')
  const admin = mesh.founder()
  const server = mesh.certify(admin, mesh.device(), 'server')
  const request = {
    invitation: { nonce: invitation.nonce, expiresAtS: invitation.expiresAtS },
    proof: random.bytes(32),
    chain: [server, server],
    keys: [{ collection: mesh.id, epoch: mesh.id, sealed: random.bytes(80) }],
  }
  const bytes = encodeRegistrationRequest(request)
  expect(decodeRegistrationRequest(bytes)).toEqual(request)
  for (const cut of [0, 1, 20, bytes.length - 1])
    expect(() => decodeRegistrationRequest(bytes.subarray(0, cut))).toThrow(
      expect.objectContaining({ code: 'MALFORMED' }),
    )
  const answer = { code: 'INVITATION_USED', sentence: 'Another mesh has used this code.' }
  expect(decodeRegistrationAnswer(encodeRegistrationAnswer(answer))).toEqual(answer)
})

import { test } from '@fast-check/vitest'
import { expect } from 'vitest'
import { utf8ToBytes } from '../../src/core/bytes.ts'
import {
  type HelloTerms,
  openHello,
  sealHello,
  sealHelloRefusal,
} from '../../src/identity/hello.ts'
import { damaged } from '../crypto/damage.ts'
import { seededRandom } from '../crypto/seeded-random.ts'
import { TestMesh } from './test-mesh.ts'

const mesh = new TestMesh()
const founder = mesh.founder()
const nurse = mesh.device()
const certificate = mesh.certify(founder, nurse, 'clinician')
const random = seededRandom('hello')
const [key, otherKey] = [random.bytes(32), random.bytes(32)]
const [diallerNonce, listenerNonce] = [random.bytes(16), random.bytes(16)]
const binding = utf8ToBytes('this connection')

const fromDialler: HelloTerms = {
  key,
  side: 'dialler',
  mode: 'member',
  keys: nurse.keys,
  certificates: [certificate],
  certificateId: certificate.id,
  ownNonce: diallerNonce,
  peerNonce: undefined,
  binding,
  mesh: mesh.id,
  sections: utf8ToBytes('a clock digest'),
}
const fromListener: HelloTerms = {
  ...fromDialler,
  side: 'listener',
  keys: founder.keys,
  certificates: [],
  ownNonce: listenerNonce,
  peerNonce: diallerNonce,
}
const atListener = {
  keys: [otherKey, key],
  sender: 'dialler',
  diallerNonce: undefined,
  binding,
  mesh: mesh.id,
} as const
const atDialler = { ...atListener, keys: [key], sender: 'listener', diallerNonce } as const

test('each side learns who the other is, under whichever key they share', () => {
  expect(openHello(sealHello(fromDialler, random), atListener)).toEqual({
    kind: 'hello',
    keyIndex: 1,
    minor: 0,
    mode: 'member',
    device: nurse.id,
    certificates: [certificate],
    certificateId: certificate.id,
    nonce: diallerNonce,
    sections: fromDialler.sections,
    signatureValid: true,
  })
  expect(openHello(sealHello(fromListener, random), atDialler)).toMatchObject({
    device: founder.id,
    nonce: listenerNonce,
    signatureValid: true,
  })
})

test('a joining device has no certificate', () => {
  const joining = {
    ...fromDialler,
    mode: 'join',
    certificates: [],
    certificateId: undefined,
  } as const
  expect(openHello(sealHello(joining, random), atListener)).toMatchObject({
    mode: 'join',
    certificateId: undefined,
  })
})

test('two hellos of one device have nothing in common that a stranger could see', () => {
  const [a, b] = [sealHello(fromDialler, random), sealHello(fromDialler, random)]
  expect(a.slice(0, 3)).toEqual(Uint8Array.of(0x48, 1, 0))
  expect(a.slice(3, 19)).not.toEqual(b.slice(3, 19))
  expect(a.slice(19, 27)).not.toEqual(b.slice(19, 27))
})

test('a hello proves nothing on another connection, in another mesh, or to another nonce', () => {
  const hello = sealHello(fromDialler, random)
  const answer = sealHello(fromListener, random)
  const elsewhere = [
    openHello(hello, { ...atListener, binding: utf8ToBytes('another connection') }),
    openHello(hello, { ...atListener, mesh: 'ff'.repeat(16) }),
    openHello(answer, { ...atDialler, diallerNonce: listenerNonce }),
  ]
  for (const opened of elsewhere) expect(opened).toMatchObject({ signatureValid: false })
})

test('a hello sent back to its sender does not open', () => {
  const hello = sealHello(fromDialler, random)
  expect(openHello(hello, atDialler)).toBeUndefined()
})

test('strangers, and frames that were changed, are not told from noise', () => {
  const hello = sealHello(fromDialler, random)
  expect(openHello(hello, { ...atListener, keys: [otherKey] })).toBeUndefined()
  expect(openHello(hello, { ...atListener, keys: [] })).toBeUndefined()
  expect(openHello(new Uint8Array(9_000).fill(0x48), atListener)).toBeUndefined()
  for (const { how, bytes } of damaged(hello)) {
    if (bytes.length > 26 && bytes[0] === 0x48 && bytes[1] !== 1) continue
    expect(openHello(bytes, atListener), how).toBeUndefined()
  }
})

test('another major version is said, before anything is opened', () => {
  const hello = sealHello(fromDialler, random)
  hello[1] = 2
  expect(() => openHello(hello, atListener)).toThrow(
    expect.objectContaining({ code: 'VERSION_MISMATCH' }),
  )
})

test('a listener that lacks the certificate says so under the same key', () => {
  const refusal = sealHelloRefusal({ key, side: 'listener', code: 'CERTIFICATE_NEEDED' }, random)
  expect(openHello(refusal, atDialler)).toEqual({
    kind: 'refusal',
    keyIndex: 0,
    minor: 0,
    code: 'CERTIFICATE_NEEDED',
  })
})

test('no hello is sent that the listener would not read', () => {
  const sections = new Uint8Array(8 * 1024)
  expect(() => sealHello({ ...fromDialler, sections }, random)).toThrow(
    expect.objectContaining({ code: 'LIMIT_EXCEEDED' }),
  )
  expect(openHello(sealHello({ ...fromListener, sections }, random), atDialler)).toMatchObject({
    signatureValid: true,
    sections,
  })
})

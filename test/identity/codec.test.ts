import { fc, test } from '@fast-check/vitest'
import { expect } from 'vitest'
import { bytesToHex, equalBytes, hexToBytes } from '../../src/core/bytes.ts'
import { limits } from '../../src/core/limits.ts'
import { isHavenError } from '../../src/core/errors.ts'
import {
  carriesOnly,
  decodeCertificate,
  defaultRights,
  issueCertificate,
  mayRead,
  mayWrite,
  roles,
  verifyCertificate,
} from '../../src/identity/certificate.ts'
import { verifyChain } from '../../src/identity/certificate-chain.ts'
import {
  decodeControlPayload,
  decodeFactBody,
  encodeControlPayload,
  encodeFactBody,
  type Fact,
  factTypes,
  rootKeysFact,
  verifyFact,
} from '../../src/identity/control-fact.ts'
import { DeviceKeys } from '../../src/identity/device-key.ts'
import {
  decodeKeyGrant,
  encodeKeyGrant,
  epochIdOf,
  newEpochKey,
  openEpochKey,
  sealEpochKey,
} from '../../src/identity/epoch.ts'
import {
  decodeJoinConfirm,
  decodeJoinOffer,
  decodeJoinRequest,
  encodeJoinConfirm,
  encodeJoinOffer,
  encodeJoinRequest,
} from '../../src/identity/joining.ts'
import { labelsCollectionId, meshCollectionId } from '../../src/identity/names.ts'
import { decodeRevocation, verifyRevocation } from '../../src/identity/revocation.ts'
import { openFactText, sealFactText } from '../../src/identity/sealed-fact.ts'
import { damaged } from '../crypto/damage.ts'
import { seededRandom } from '../crypto/seeded-random.ts'
import vectors from '../vectors/identity.json' with { type: 'json' }
import { TestMesh } from './test-mesh.ts'

const malformed = expect.objectContaining({ code: 'MALFORMED' })
const hexOf = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map(bytesToHex)
const bytesOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const number = fc.maxSafeNat()
const place = fc.record({ feed: hexOf(16), seq: number, head: hexOf(8) })
const name = fc.uint8Array({ maxLength: 80 })

const anyFact: fc.Arbitrary<Fact> = fc.oneof(
  fc.record({ kind: fc.constant('held'), revocation: hexOf(16), feeds: fc.array(place) }),
  fc.record({ kind: fc.constant('collection'), id: hexOf(16), priority: fc.nat(255), name }),
  fc.record({
    kind: fc.constant('epoch'),
    collection: hexOf(16),
    epoch: hexOf(16),
    depth: number,
    parents: fc.array(hexOf(16), { maxLength: 3 }),
    excluded: fc.array(hexOf(16), { maxLength: 3 }),
    grants: fc.array(fc.record({ device: hexOf(32), sealed: bytesOf(80) }), { maxLength: 3 }),
    rootGrant: bytesOf(80),
  }),
  fc.record({ kind: fc.constant('void'), feed: hexOf(16), seq: number, id: hexOf(32) }),
  fc.record({ kind: fc.constant('deviceName'), device: hexOf(32), name }),
  fc.record({ kind: fc.constant('meshName'), name }),
  fc.record({
    kind: fc.constant('schema'),
    collection: hexOf(16),
    version: fc.integer({ min: 1, max: 2 ** 31 }),
    schema: fc.uint8Array({ maxLength: 2_000, size: 'max' }),
  }),
  fc.record({
    kind: fc.constant('server'),
    device: hexOf(32),
    addresses: fc.array(fc.string({ maxLength: 80 }), { maxLength: 8 }),
  }),
  fc.record({ kind: fc.constant('retiring'), cancelled: fc.boolean() }),
  fc.record({
    kind: fc.constant('rootKeys'),
    publicKey: hexOf(32),
    agreementKey: bytesOf(32),
    signature: bytesOf(64),
  }),
  fc.record({ kind: fc.constant('site'), device: hexOf(32), site: name }),
  fc.record({ kind: fc.constant('unknown'), type: fc.integer({ min: 15 }), body: fc.uint8Array() }),
)

const typeOf = (fact: Fact) => (fact.kind === 'unknown' ? fact.type : factTypes[fact.kind])

test.prop([anyFact])('reads back each fact', (fact) => {
  expect(decodeFactBody(typeOf(fact), encodeFactBody(fact))).toEqual(fact)
})

test.prop([anyFact, fc.nat()])(
  'refuses a fact that is cut short or has bytes left over',
  (fact, at) => {
    fc.pre(fact.kind !== 'unknown')
    const body = encodeFactBody(fact)
    expect(() => decodeFactBody(typeOf(fact), body.slice(0, at % body.length))).toThrow(malformed)
    expect(() => decodeFactBody(typeOf(fact), Uint8Array.of(...body, 0))).toThrow(malformed)
  },
)

test.prop([
  fc.record({ ms: fc.nat({ max: 2 ** 48 - 1 }), counter: fc.nat(0xffff) }),
  fc.array(anyFact, { maxLength: 5 }),
])('reads back a control payload, and only the same bytes', (time, facts) => {
  const payload = { time, facts }
  const bytes = encodeControlPayload(payload)
  expect(decodeControlPayload(bytes)).toEqual(payload)
  expect(() => decodeControlPayload(Uint8Array.of(...bytes, 0))).toThrow(malformed)
  expect(() => decodeControlPayload(bytes.slice(0, -1))).toThrow(malformed)
})

test('no damaged payload is taken for another than it is', () => {
  const bytes = hexToBytes(vectors.controlPayload)
  const reencoded: { how: string; same: boolean }[] = []
  for (const { how, bytes: changed } of damaged(bytes)) {
    const payload = unlessMalformed(() => decodeControlPayload(changed))
    if (payload !== undefined)
      reencoded.push({ how, same: equalBytes(encodeControlPayload(payload), changed) })
  }
  expect(reencoded.length).toBeGreaterThan(0)
  expect(reencoded.filter(({ same }) => !same)).toEqual([])
})

test('a fact that this version cannot read does not hide its neighbours', () => {
  const body = Uint8Array.of(2, 3, 4)
  const facts: Fact[] = [
    { kind: 'unknown', type: factTypes.certificate, body },
    { kind: 'meshName', name: body },
  ]
  const time = { ms: 1, counter: 0 }
  expect(decodeControlPayload(encodeControlPayload({ time, facts })).facts).toEqual(facts)
})

const mesh = new TestMesh()
const founder = mesh.founder()
const nurse = mesh.device()
const certificate = mesh.certify(founder, nurse, 'clinician', { collections: ['aa'.repeat(16)] })
const revocation = mesh.revoke(founder, nurse, [
  { feed: 'bb'.repeat(16), seq: 3, head: 'cc'.repeat(8) },
])

test('reads back a certificate, and refuses every damaged one', () => {
  expect(decodeCertificate(certificate.bytes)).toEqual(certificate)
  expect(verifyCertificate(certificate)).toBe(true)
  expect(certificate.rights).toEqual(defaultRights.clinician)
  for (const { how, bytes } of damaged(certificate.bytes)) {
    expect(
      isAccepted(() => verifyCertificate(decodeCertificate(bytes))),
      how,
    ).toBe(false)
  }
})

test('reads back a revocation, and refuses every damaged one', () => {
  expect(decodeRevocation(revocation.bytes)).toEqual(revocation)
  expect(verifyRevocation(revocation)).toBe(true)
  for (const { how, bytes } of damaged(revocation.bytes)) {
    expect(
      isAccepted(() => verifyRevocation(decodeRevocation(bytes))),
      how,
    ).toBe(false)
  }
})

test('an unusable identity key gets no valid certificate', () => {
  const weak = { ...nurse, id: `01${'00'.repeat(31)}` }
  expect(verifyCertificate(mesh.certify(founder, weak, 'viewer'))).toBe(false)
})

test('a fact is of this mesh, and signed by who it says', () => {
  const from = { mesh: mesh.id, author: founder.id }
  const elsewhere = { mesh: 'ff'.repeat(16), author: founder.id }
  const rootKeys = rootKeysFact({ signing: mesh.root, agreementKey: new Uint8Array(32).fill(9) })
  const facts: Fact[] = [
    { kind: 'certificate', certificate },
    { kind: 'revocation', revocation },
    rootKeys,
  ]
  for (const fact of facts) {
    expect(verifyFact(fact, from), fact.kind).toBe(true)
    expect(verifyFact(fact, elsewhere), fact.kind).toBe(false)
  }
  expect(verifyFact({ ...rootKeys, agreementKey: new Uint8Array(32) }, from)).toBe(false)
})

test('rights follow role and collections; everybody has _mesh, only readers _labels', () => {
  const table = roles.map((role) => {
    const device = mesh.device()
    const issued = mesh.certify(founder, device, role, { collections: ['aa'.repeat(16)] })
    const all = [
      'aa'.repeat(16),
      'bb'.repeat(16),
      meshCollectionId(mesh.id),
      labelsCollectionId(mesh.id),
    ]
    const letters = (may: typeof mayRead) => all.map((c) => (may(issued, c) ? 'x' : '-')).join('')
    return [role, letters(mayRead), letters(mayWrite), carriesOnly(issued)]
  })
  expect(table).toEqual([
    ['admin', 'x-xx', 'x-x-', false],
    ['clinician', 'x-xx', 'x-x-', false],
    ['viewer', 'x-xx', '--x-', false],
    ['courier', '--x-', '--x-', true],
    ['server', '--x-', '--x-', true],
  ])
})

test('a courier reads and writes nothing, whatever rights its certificate names', () => {
  const rights = { read: true, write: true, bridge: true }
  const issued = mesh.certify(founder, mesh.device(), 'courier', { rights })
  expect(mayRead(issued, 'aa'.repeat(16))).toBe(false)
  expect(mayWrite(issued, 'aa'.repeat(16))).toBe(false)
})

test('a chain leads to the root by admins, link by link', () => {
  const other = new TestMesh('another')
  const chainMesh = new TestMesh('chain')
  const top = chainMesh.founder()
  const admin = chainMesh.device()
  const user = chainMesh.device()
  const byRoot = chainMesh.certify('root', top, 'admin', { carrier: top })
  const middle = chainMesh.certify(top, admin, 'admin')
  const own = chainMesh.certify(admin, user, 'viewer')
  const byViewer = chainMesh.certify(user, admin, 'admin')
  expect(verifyChain(chainMesh.id, [own, middle, byRoot])).toEqual(own)
  expect(verifyChain(chainMesh.id, [byRoot])).toEqual(byRoot)
  const code = (chain: Parameters<typeof verifyChain>[1], id = chainMesh.id) => {
    try {
      verifyChain(id, chain)
    } catch (error) {
      return (error as { code: string }).code
    }
    return 'accepted'
  }
  expect(code([])).toBe('NOT_A_MEMBER')
  expect(code([own, middle])).toBe('NOT_A_MEMBER')
  expect(code([own, byRoot])).toBe('NOT_A_MEMBER')
  expect(code([byViewer, own, middle, byRoot])).toBe('NOT_A_MEMBER')
  expect(code([own, middle, byRoot], other.id)).toBe('WRONG_MESH')
  expect(code([...Array.from({ length: 16 }, () => byRoot), byRoot])).toBe('LIMIT_EXCEEDED')
  const forged = middle.bytes.slice()
  forged[forged.length - 1]! ^= 1
  expect(code([own, decodeCertificate(forged), byRoot])).toBe('BAD_SIGNATURE')
})

test('device keys come back from their secret form, which logging does not show', () => {
  const keys = DeviceKeys.generate(seededRandom('keys'))
  const again = DeviceKeys.decode(keys.encode())
  expect(again.device).toBe(keys.device)
  expect(again.agreement.publicKey).toEqual(keys.agreement.publicKey)
  expect(JSON.stringify(keys)).not.toContain(bytesToHex(keys.encode().slice(1, 33)))
  expect(() => DeviceKeys.decode(keys.encode().slice(1))).toThrow(malformed)
})

test.prop([fc.string({ maxLength: 100 })])(
  'opens sealed names where they were put, with the key',
  (text) => {
    const random = seededRandom(text)
    const epochKey = newEpochKey(random)
    const epoch = epochIdOf(epochKey)
    const fact = { mesh: mesh.id, type: 7 }
    const sealed = sealFactText(text, fact, { epoch, epochKey }, random)
    const keyOf = (id: string) => (id === epoch ? epochKey : undefined)
    expect(openFactText(sealed, fact, keyOf)).toBe(text.toWellFormed())
    expect(openFactText(sealed, { ...fact, type: 8 }, keyOf)).toBeUndefined()
    expect(openFactText(sealed, { ...fact, mesh: 'ff'.repeat(16) }, keyOf)).toBeUndefined()
    expect(openFactText(sealed, fact, () => undefined)).toBeUndefined()
  },
)

test('a schema has more room than a name, and not more than it may have', () => {
  const random = seededRandom('schema')
  const epochKey = newEpochKey(random)
  const epoch = epochIdOf(epochKey)
  const fact = { mesh: mesh.id, type: factTypes.schema, maxBytes: limits.schemaBytes }
  const longest = 'é'.repeat(limits.schemaBytes / 2)
  const sealed = sealFactText(longest, fact, { epoch, epochKey }, random)
  expect(openFactText(sealed, fact, () => epochKey)).toBe(longest)
  const schema = { kind: 'schema', collection: mesh.id, version: 1, schema: sealed } as const
  expect(decodeFactBody(factTypes.schema, encodeFactBody(schema))).toEqual(schema)
  // As a name it is too long, to be sealed and to be opened.
  const asName = { mesh: mesh.id, type: factTypes.schema }
  expect(openFactText(sealed, asName, () => epochKey)).toBeUndefined()
  expect(() => sealFactText(longest, asName, { epoch, epochKey }, random)).toThrow(TypeError)
  expect(() => sealFactText(`${longest}x`, fact, { epoch, epochKey }, random)).toThrow(TypeError)
})

test('there is no fact of the built-in schema', () => {
  const fact = {
    kind: 'schema',
    collection: mesh.id,
    version: 0,
    schema: new Uint8Array(9),
  } as const
  const body = encodeFactBody(fact)
  expect(() => decodeFactBody(factTypes.schema, body)).toThrow(malformed)
})

test('no damaged sealed name opens', () => {
  const random = seededRandom('name')
  const epochKey = newEpochKey(random)
  const fact = { mesh: mesh.id, type: 7 }
  const key = { epoch: epochIdOf(epochKey), epochKey }
  for (const { how, bytes } of damaged(sealFactText('Ward', fact, key, random))) {
    expect(
      openFactText(bytes, fact, () => epochKey),
      how,
    ).toBe(
      // A changed epoch id only looks up another key: here there is one for all.
      how.startsWith('bit') && Number(how.split(' ')[1]) < 128 ? 'Ward' : undefined,
    )
  }
})

test('an epoch key opens for its reader, in its collection and epoch only', () => {
  const random = seededRandom('epoch')
  const epochKey = newEpochKey(random)
  const epochName = { mesh: mesh.id, collection: 'aa'.repeat(16), epoch: epochIdOf(epochKey) }
  const { agreement } = nurse.keys
  const sealed = sealEpochKey(epochKey, { ...epochName, agreementKey: agreement.publicKey }, random)
  expect(sealed).toHaveLength(80)
  expect(openEpochKey(sealed, epochName, agreement)).toEqual(epochKey)
  expect(openEpochKey(sealed, epochName, founder.keys.agreement)).toBeUndefined()
  for (const change of [
    { mesh: 'ff'.repeat(16) },
    { collection: 'ff'.repeat(16) },
    { epoch: 'ff'.repeat(16) },
  ]) {
    expect(openEpochKey(sealed, { ...epochName, ...change }, agreement)).toBeUndefined()
  }
  const grant = { collection: epochName.collection, epoch: epochName.epoch, sealed }
  expect(decodeKeyGrant(encodeKeyGrant(grant))).toEqual(grant)
  expect(() => decodeKeyGrant(encodeKeyGrant(grant).slice(1))).toThrow(malformed)
})

test('reads back what is said while joining, and nothing longer or shorter', () => {
  const request = { agreementKey: nurse.keys.agreement.publicKey, deviceName: 'Tablet 7' }
  const keys = [{ collection: 'aa'.repeat(16), epoch: 'bb'.repeat(16), sealed: new Uint8Array(80) }]
  const offer = { certificate, meshName: 'Camp', keys }
  expect(decodeJoinRequest(encodeJoinRequest(request))).toEqual(request)
  expect(decodeJoinOffer(encodeJoinOffer(offer))).toEqual(offer)
  expect(decodeJoinConfirm(encodeJoinConfirm(certificate.id))).toBe(certificate.id)
  for (const [encoded, decode] of [
    [encodeJoinRequest(request), decodeJoinRequest],
    [encodeJoinOffer(offer), decodeJoinOffer],
    [encodeJoinConfirm(certificate.id), decodeJoinConfirm],
  ] as const) {
    for (let length = 0; length < encoded.length; length++) {
      expect(() => decode(encoded.slice(0, length))).toThrow(malformed)
    }
    expect(() => decode(Uint8Array.of(...encoded, 0))).toThrow(malformed)
  }
})

test('two certificates that say the same are different ones', () => {
  const random = seededRandom('twice')
  const terms = {
    mesh: mesh.id,
    device: nurse.id,
    agreementKey: nurse.keys.agreement.publicKey,
    role: 'viewer',
    issuedAtMs: 1,
  } as const
  const issue = () => issueCertificate(terms, founder.keys.signing, random)
  expect(issue().id).not.toBe(issue().id)
})

function isAccepted(run: () => boolean): boolean {
  return unlessMalformed(run) ?? false
}

function unlessMalformed<T>(run: () => T): T | undefined {
  try {
    return run()
  } catch (error) {
    if (!isHavenError(error, 'MALFORMED')) throw error
    return undefined
  }
}

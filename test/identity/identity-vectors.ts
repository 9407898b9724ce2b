import { bytesToHex, hexToBytes, utf8ToBytes } from '../../src/core/bytes.ts'
import { agreementKeyFromSeed } from '../../src/crypto/agreement.ts'
import { domainHash, hmacSha256, sha256 } from '../../src/crypto/hash.ts'
import { recoveryWords, rootSeeds } from '../../src/crypto/recovery-words.ts'
import { signingKeyFromSeed } from '../../src/crypto/signing.ts'
import { issueCertificate } from '../../src/identity/certificate.ts'
import { encodeControlPayload, type Fact, rootKeysFact } from '../../src/identity/control-fact.ts'
import { DeviceKeys } from '../../src/identity/device-key.ts'
import { discoveryKey, epochIdOf, sealEpochKey } from '../../src/identity/epoch.ts'
import { recoveryKey, sealHello, sealHelloRefusal } from '../../src/identity/hello.ts'
import { encodeInvitation, joinKey, newInvitation } from '../../src/identity/invitation.ts'
import { encodeJoinOffer, encodeJoinRequest } from '../../src/identity/joining.ts'
import { labelsCollectionId, meshCollectionId, meshIdOf } from '../../src/identity/names.ts'
import { issueRevocation } from '../../src/identity/revocation.ts'
import { sealFactText } from '../../src/identity/sealed-fact.ts'

/** Counts up from a first byte: easy to make in any language. */
function sequence(first: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (first + i) & 0xff)
}

const counting = (first: number) => ({ bytes: (count: number) => sequence(first, count) })

/** One of everything that identity/ hashes, signs, seals or encodes, from fixed inputs. */
export function identityVectors() {
  const entropy = sequence(0, 16)
  const seeds = rootSeeds(entropy)
  const root = signingKeyFromSeed(seeds.signing)
  const rootAgreement = agreementKeyFromSeed(seeds.agreement)
  const mesh = meshIdOf(root.publicKey)
  const device = new DeviceKeys({ signing: sequence(32, 32), agreement: sequence(64, 32) })
  const other = new DeviceKeys({ signing: sequence(96, 32), agreement: sequence(128, 32) })
  const agreementKey = device.agreement.publicKey
  const certificate = issueCertificate(
    { mesh, device: device.device, agreementKey, role: 'admin', issuedAtMs: 1_700_000_000_000 },
    root,
    counting(1),
  )
  const feed = bytesToHex(sequence(160, 16))
  const head = bytesToHex(sequence(176, 8))
  const revocation = issueRevocation(
    { mesh, device: other.device, timeMs: 1_700_000_001_000, heads: [{ feed, seq: 300, head }] },
    device.signing,
    counting(2),
  )
  const otherCertificate = issueCertificate(
    {
      mesh,
      device: other.device,
      agreementKey: other.agreement.publicKey,
      role: 'clinician',
      rights: { read: true, write: true, bridge: true },
      collections: [bytesToHex(sequence(184, 16))],
      issuedAtMs: 1_700_000_002_000,
      setsAside: [revocation.id],
    },
    device.signing,
    counting(3),
  )
  const epochKey = sequence(200, 32)
  const epoch = epochIdOf(epochKey)
  const collection = meshCollectionId(mesh)
  const sealed = (to: Uint8Array, first: number) =>
    sealEpochKey(epochKey, { mesh, collection, agreementKey: to }, counting(first))
  const name = sealFactText('Clinic North', { mesh, type: 7 }, { epoch, epochKey }, counting(4))
  const site = sealFactText('Camp North', { mesh, type: 14 }, { epoch, epochKey }, counting(13))
  const schema = sealFactText(
    '{"collection":"patients","version":2}',
    { mesh, type: 9, maxBytes: 65_536 },
    { epoch, epochKey },
    counting(12),
  )
  const facts: Fact[] = [
    { kind: 'certificate', certificate: otherCertificate },
    { kind: 'revocation', revocation },
    { kind: 'held', revocation: revocation.id, feeds: [{ feed, seq: 301, head }] },
    { kind: 'collection', id: collection, priority: 1, name },
    {
      kind: 'epoch',
      collection,
      epoch,
      depth: 2,
      parents: [bytesToHex(sequence(7, 16))],
      excluded: [revocation.id],
      grants: [{ device: device.device, sealed: sealed(agreementKey, 5) }],
      rootGrant: sealed(rootAgreement.publicKey, 6),
    },
    { kind: 'void', feed, seq: 12, id: bytesToHex(sequence(8, 32)) },
    { kind: 'deviceName', device: device.device, name },
    { kind: 'meshName', name },
    rootKeysFact({ signing: root, agreementKey: rootAgreement.publicKey }),
    { kind: 'retiring', cancelled: false },
    { kind: 'retiring', cancelled: true },
    { kind: 'schema', collection, version: 2, schema },
    {
      kind: 'server',
      device: other.device,
      addresses: ['https://haven.example.org', 'http://10.0.0.5:8420'],
    },
    { kind: 'site', device: device.device, site },
    { kind: 'site', device: device.device, site: new Uint8Array(0) },
    { kind: 'unknown', type: 99, body: sequence(9, 5) },
  ]
  const invitation = newInvitation(
    {
      mesh,
      device: device.device,
      expiresAtMs: 1_700_000_600_000,
      addresses: ['/ip4/192.168.1.7/tcp/4001'],
    },
    counting(10),
  )
  const key = discoveryKey(epochKey, mesh)
  const binding = domainHash('havenmesh/libp2p/v1', utf8ToBytes('any'))
  const diallerNonce = sequence(11, 16)
  const hello = { key, binding, mesh, mode: 'member', sections: utf8ToBytes('sections') } as const
  return {
    root: {
      entropy: bytesToHex(entropy),
      words: recoveryWords(entropy).join(' '),
      signingSeed: bytesToHex(seeds.signing),
      agreementSeed: bytesToHex(seeds.agreement),
      publicKey: bytesToHex(root.publicKey),
      agreementKey: bytesToHex(rootAgreement.publicKey),
      recoveryKey: bytesToHex(recoveryKey(root.publicKey, mesh)),
    },
    names: {
      mesh,
      meshCollection: collection,
      labelsCollection: labelsCollectionId(mesh),
    },
    devices: [device, other].map((keys) => ({
      secret: bytesToHex(keys.encode()),
      device: keys.device,
      agreementKey: bytesToHex(keys.agreement.publicKey),
    })),
    certificates: [certificate, otherCertificate].map(({ id, bytes }) => ({
      id,
      bytes: bytesToHex(bytes),
    })),
    revocation: { id: revocation.id, bytes: bytesToHex(revocation.bytes) },
    epoch: { key: bytesToHex(epochKey), id: epoch, discoveryKey: bytesToHex(key) },
    controlPayload: bytesToHex(
      encodeControlPayload({ time: { ms: 1_700_000_000_000, counter: 3 }, facts }),
    ),
    invitation: {
      code: encodeInvitation(invitation),
      secret: bytesToHex(invitation.secret),
      inviter: invitation.inviter,
      expiresAtS: invitation.expiresAtS,
      addresses: invitation.addresses,
      joinKey: bytesToHex(joinKey(invitation)),
    },
    joining: {
      request: bytesToHex(encodeJoinRequest({ agreementKey, deviceName: 'Tablet' })),
      offer: bytesToHex(
        encodeJoinOffer({
          certificate: otherCertificate,
          meshName: 'Camp',
          keys: [{ collection, epoch, sealed: sealed(agreementKey, 5) }],
        }),
      ),
    },
    hello: {
      binding: bytesToHex(binding),
      diallerNonce: bytesToHex(diallerNonce),
      dialler: bytesToHex(
        sealHello(
          {
            ...hello,
            side: 'dialler',
            keys: device,
            certificates: [],
            certificateId: certificate.id,
            ownNonce: diallerNonce,
            peerNonce: undefined,
          },
          counting(12),
        ),
      ),
      listener: bytesToHex(
        sealHello(
          {
            ...hello,
            side: 'listener',
            keys: other,
            certificates: [otherCertificate, certificate],
            certificateId: otherCertificate.id,
            ownNonce: sequence(13, 16),
            peerNonce: diallerNonce,
          },
          counting(14),
        ),
      ),
      refusal: bytesToHex(
        sealHelloRefusal({ key, side: 'listener', code: 'CERTIFICATE_NEEDED' }, counting(15)),
      ),
    },
    hashes: {
      sha256: bytesToHex(sha256(hexToBytes('616263'))),
      hmac: bytesToHex(hmacSha256(sequence(0, 32), hexToBytes('616263'))),
    },
  }
}

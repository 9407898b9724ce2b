/** Founding a mesh: its root, its first admin, its collections and their keys. */
import { bytesToHex } from '../core/bytes.ts'
import type { Random } from '../core/environment.ts'
import { agreementKeyFromSeed } from '../crypto/agreement.ts'
import { newRecoveryEntropy, recoveryWords, rootSeeds } from '../crypto/recovery-words.ts'
import { signingKeyFromSeed } from '../crypto/signing.ts'
import { issueCertificate } from '../identity/certificate.ts'
import type { Certificate } from '../identity/certificate.ts'
import { factTypes, rootKeysFact } from '../identity/control-fact.ts'
import type { Fact } from '../identity/control-fact.ts'
import type { DeviceKeys } from '../identity/device-key.ts'
import { epochIdOf, newEpochKey, sealEpochKey } from '../identity/epoch.ts'
import { labelsCollectionId, meshCollectionId, meshIdOf } from '../identity/names.ts'
import { sealFactText } from '../identity/sealed-fact.ts'

export interface FoundedMesh {
  readonly mesh: string
  readonly certificate: Certificate
  /** The recovery words: shown once, kept nowhere. */
  readonly words: string
  readonly facts: readonly Fact[]
  readonly keys: readonly { readonly collection: string; readonly key: Uint8Array }[]
}

/** The collections that every mesh begins with, those that are transferred first at the top. */
const firstCollections = ['patients', 'records', 'documents']

export function foundMesh(
  names: { readonly meshName: string; readonly deviceName: string },
  device: DeviceKeys,
  { nowMs, random }: { readonly nowMs: number; readonly random: Random },
): FoundedMesh {
  const entropy = newRecoveryEntropy(random)
  const seeds = rootSeeds(entropy)
  const root = {
    signing: signingKeyFromSeed(seeds.signing),
    agreement: agreementKeyFromSeed(seeds.agreement),
  }
  const mesh = meshIdOf(root.signing.publicKey)
  const certificate = issueCertificate(
    {
      mesh,
      device: device.device,
      agreementKey: device.agreement.publicKey,
      role: 'admin',
      issuedAtMs: nowMs,
    },
    root.signing,
    random,
  )
  const collections = firstCollections.map((name) => ({ name, id: bytesToHex(random.bytes(16)) }))
  const keys = [
    meshCollectionId(mesh),
    labelsCollectionId(mesh),
    ...collections.map(({ id }) => id),
  ].map((collection) => ({
    collection,
    key: newEpochKey(random),
  }))
  const labels = keys[1]!
  const label = (text: string, type: number): Uint8Array =>
    sealFactText(
      text,
      { mesh, type },
      { epoch: epochIdOf(labels.key), epochKey: labels.key },
      random,
    )
  const facts: Fact[] = [
    rootKeysFact({ signing: root.signing, agreementKey: root.agreement.publicKey }),
    { kind: 'certificate', certificate },
    { kind: 'meshName', name: label(names.meshName, factTypes.meshName) },
    {
      kind: 'deviceName',
      device: device.device,
      name: label(names.deviceName, factTypes.deviceName),
    },
    ...collections.map(({ id, name }, priority): Fact => ({
      kind: 'collection',
      id,
      priority,
      name: label(name, factTypes.collection),
    })),
    ...keys.map(({ collection, key }): Fact => ({
      kind: 'epoch',
      collection,
      epoch: epochIdOf(key),
      depth: 0,
      parents: [],
      excluded: [],
      grants: [],
      rootGrant: sealEpochKey(
        key,
        { mesh, collection, agreementKey: root.agreement.publicKey },
        random,
      ),
    })),
  ]
  return { mesh, certificate, words: recoveryWords(entropy).join(' '), facts, keys }
}

/** Epochs: the keys of a collection, one after the other, each handed to its readers sealed. */
import { bytesToHex, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import type { Random } from '../core/environment.ts'
import type { AgreementKey } from '../crypto/agreement.ts'
import { domainBytes, domainHash16 } from '../crypto/hash.ts'
import { hpkeOverheadBytes, openWith, sealTo } from '../crypto/hpke.ts'
import { hkdf } from '../crypto/kdf.ts'

/** A sealed epoch key: 32 bytes of encapsulated key, 48 of ciphertext. */
export const sealedEpochKeyBytes = 32 + hpkeOverheadBytes

/** 32 bytes. */
export function newEpochKey(random: Random): Uint8Array {
  return random.bytes(32)
}

/** In hex. It commits to the key: nobody can hand different keys of one epoch to different readers. */
export function epochIdOf(epochKey: Uint8Array): string {
  return bytesToHex(domainHash16('havenmesh/epoch/v1', epochKey))
}

/** What an epoch key is for; ids in hex. */
export interface EpochName {
  readonly mesh: string
  readonly collection: string
  readonly epoch: string
}

/**
 * Seals an epoch key to a reader, or to the root.
 *
 * @param agreementKey - the receiver's X25519 key, from its certificate
 * @returns 80 bytes
 * @throws HavenError `MALFORMED` when the receiver's key is unusable
 */
export function sealEpochKey(
  epochKey: Uint8Array,
  to: { readonly mesh: string; readonly collection: string; readonly agreementKey: Uint8Array },
  random: Random,
): Uint8Array {
  const info = grantInfo({ ...to, epoch: epochIdOf(epochKey) })
  return sealTo(to.agreementKey, { info, plaintext: epochKey }, random)
}

/** @returns undefined when it was not sealed to this key for this epoch, or holds another key than the epoch's */
export function openEpochKey(
  sealed: Uint8Array,
  name: EpochName,
  own: AgreementKey,
): Uint8Array | undefined {
  const key = openWith(own, { info: grantInfo(name), sealed })
  return key !== undefined && epochIdOf(key) === name.epoch ? key : undefined
}

/** A key on its way to one receiver: the section `key`, and an entry of the joining offer. Ids in hex. */
export interface KeyGrant {
  readonly collection: string
  readonly epoch: string
  /** 80 bytes. */
  readonly sealed: Uint8Array
}

export const keyGrantBytes = 16 + 16 + sealedEpochKeyBytes

/** `b16 collection · b16 epoch · b80 key` */
export function encodeKeyGrant(grant: KeyGrant): Uint8Array {
  return new ByteWriter(keyGrantBytes)
    .bytes(hexToBytes(grant.collection))
    .bytes(hexToBytes(grant.epoch))
    .bytes(grant.sealed)
    .finish()
}

/** @throws HavenError `MALFORMED` */
export function decodeKeyGrant(bytes: Uint8Array): KeyGrant {
  const reader = new ByteReader(bytes, 'key')
  const grant = readKeyGrant(reader)
  reader.end()
  return grant
}

/** @throws HavenError `MALFORMED` */
export function readKeyGrant(reader: ByteReader): KeyGrant {
  return {
    collection: bytesToHex(reader.bytes(16)),
    epoch: bytesToHex(reader.bytes(16)),
    sealed: reader.bytes(sealedEpochKeyBytes).slice(),
  }
}

/** What members recognise each other by: from an epoch key of `_mesh`. 32 bytes. */
export function discoveryKey(epochKey: Uint8Array, mesh: string): Uint8Array {
  return hkdf(epochKey, hexToBytes(mesh), domainBytes('havenmesh/discovery/v1'), 32)
}

function grantInfo({ mesh, collection, epoch }: EpochName): Uint8Array {
  return domainBytes(
    'havenmesh/epoch-grant/v1',
    hexToBytes(mesh),
    hexToBytes(collection),
    hexToBytes(epoch),
  )
}

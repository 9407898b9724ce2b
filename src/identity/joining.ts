/** Bodies of the sections with which a device joins a mesh (docs/protocol.md, Joining). */
import { bytesToHex, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { limits } from '../core/limits.ts'
import { type Certificate, decodeCertificate } from './certificate.ts'
import { encodeKeyGrant, type KeyGrant, keyGrantBytes, readKeyGrant } from './epoch.ts'

/** Section 16, from the joining device. */
export interface JoinRequest {
  /** X25519, 32 bytes: the certificate will name it, and the keys of the offer are sealed to it. */
  readonly agreementKey: Uint8Array
  readonly deviceName: string
}

/** Section 17, from the inviter. */
export interface JoinOffer {
  readonly certificate: Certificate
  readonly meshName: string
  readonly keys: readonly KeyGrant[]
}

export function encodeJoinRequest(request: JoinRequest): Uint8Array {
  return new ByteWriter().bytes(request.agreementKey).text(request.deviceName).finish()
}

/** @throws HavenError `MALFORMED` */
export function decodeJoinRequest(bytes: Uint8Array): JoinRequest {
  const reader = new ByteReader(bytes, 'join request')
  const request = {
    agreementKey: reader.bytes(32).slice(),
    deviceName: reader.text(limits.deviceNameBytes),
  }
  reader.end()
  return request
}

export function encodeJoinOffer(offer: JoinOffer): Uint8Array {
  const writer = new ByteWriter()
    .lengthPrefixed(offer.certificate.bytes)
    .text(offer.meshName)
    .varint(offer.keys.length)
  for (const grant of offer.keys) writer.bytes(encodeKeyGrant(grant))
  return writer.finish()
}

/** The certificate's signature is the receiver's to check. @throws HavenError `MALFORMED` */
export function decodeJoinOffer(bytes: Uint8Array): JoinOffer {
  const reader = new ByteReader(bytes, 'join offer')
  const offer = {
    certificate: decodeCertificate(reader.lengthPrefixed(limits.helloBytes)),
    meshName: reader.text(limits.meshNameBytes),
    keys: Array.from({ length: reader.count(keyGrantBytes) }, () => readKeyGrant(reader)),
  }
  reader.end()
  return offer
}

/** Section 18, from the joining device: it has stored this certificate, and its keys, durably. @param id - in hex */
export function encodeJoinConfirm(id: string): Uint8Array {
  return hexToBytes(id)
}

/** @returns the certificate's id in hex. @throws HavenError `MALFORMED` */
export function decodeJoinConfirm(bytes: Uint8Array): string {
  const reader = new ByteReader(bytes, 'join confirmation')
  const id = bytesToHex(reader.bytes(16))
  reader.end()
  return id
}

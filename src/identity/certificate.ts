/**
 * Certificates: who may do what in a mesh, signed by an admin or by the root, and complete in themselves, so that they
 * can be shown to a device that has no control facts (docs/protocol.md, Control facts).
 */
import { bytesToHex, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import type { Random } from '../core/environment.ts'
import { domainHash16 } from '../crypto/hash.ts'
import { isUsablePublicKey, type SigningKey, verify } from '../crypto/signing.ts'
import { labelsCollectionId, meshCollectionId } from './names.ts'

/** In the order of their numbers, from 1. */
export const roles = ['admin', 'clinician', 'viewer', 'courier', 'server'] as const
export type Role = (typeof roles)[number]

export interface Rights {
  readonly read: boolean
  readonly write: boolean
  /** May hand the mesh's commits to a server on the internet. */
  readonly bridge: boolean
}

const none: Rights = { read: false, write: false, bridge: false }

/** What a role may do unless its certificate says otherwise. Couriers and servers carry what they can't read. */
export const defaultRights: Readonly<Record<Role, Rights>> = {
  admin: { read: true, write: true, bridge: true },
  clinician: { read: true, write: true, bridge: false },
  viewer: { read: true, write: false, bridge: false },
  courier: none,
  server: none,
}

/** Ids and public identity keys are lower-case hex. */
export interface Certificate {
  /** Hash of what is signed; 16 bytes. */
  readonly id: string
  readonly mesh: string
  /** 16 random bytes: two certificates that say the same are different ones. */
  readonly serial: string
  readonly device: string
  /** X25519, 32 bytes. */
  readonly agreementKey: Uint8Array
  readonly role: Role
  readonly rights: Rights
  /** Which collections the rights are for; empty: all. */
  readonly collections: readonly string[]
  /** Milliseconds since 1970 by the issuer's clock: orders several certificates of one device, and ends nothing. */
  readonly issuedAtMs: number
  /** An admin, or the root's public key. */
  readonly issuer: string
  /** Revocations of this device that the issuer knew, and overrules. */
  readonly setsAside: readonly string[]
  /** Signed form; what is stored and sent. */
  readonly bytes: Uint8Array
}

export interface CertificateTerms {
  readonly mesh: string
  readonly device: string
  readonly agreementKey: Uint8Array
  readonly role: Role
  /** Those of the role by default. */
  readonly rights?: Rights
  readonly collections?: readonly string[]
  readonly issuedAtMs: number
  readonly setsAside?: readonly string[]
}

/** Whether the issuer may say this is for the control facts to decide, not for this function. */
export function issueCertificate(
  terms: CertificateTerms,
  issuer: SigningKey,
  random: Random,
): Certificate {
  const body = new ByteWriter(192)
    .u8(version)
    .bytes(hexToBytes(terms.mesh))
    .bytes(random.bytes(16))
    .bytes(hexToBytes(terms.device))
    .bytes(terms.agreementKey)
    .u8(roles.indexOf(terms.role) + 1)
    .u8(rightsToBits(terms.rights ?? defaultRights[terms.role]))
  writeIds(body, terms.collections ?? [])
  body.u64(terms.issuedAtMs).bytes(issuer.publicKey)
  writeIds(body, terms.setsAside ?? [])
  const signed = body.finish()
  return decodeCertificate(
    new ByteWriter(signed.length + signatureBytes)
      .bytes(signed)
      .bytes(issuer.sign(signDomain, signed))
      .finish(),
  )
}

/**
 * Reads the signed form; the signature is for {@link verifyCertificate}. The result does not share memory with `bytes`.
 *
 * @throws HavenError `MALFORMED`
 */
export function decodeCertificate(bytes: Uint8Array): Certificate {
  const own = bytes.slice()
  const reader = new ByteReader(own, 'certificate')
  if (reader.u8() !== version) reader.fail('an unknown version')
  const mesh = bytesToHex(reader.bytes(16))
  const serial = bytesToHex(reader.bytes(16))
  const device = bytesToHex(reader.bytes(32))
  const agreementKey = reader.bytes(32)
  const role = roles[reader.u8() - 1] ?? reader.fail('an unknown role')
  const rights = rightsFromBits(reader)
  const collections = readIds(reader)
  const issuedAtMs = reader.u64()
  const issuer = bytesToHex(reader.bytes(32))
  const setsAside = readIds(reader)
  const id = bytesToHex(domainHash16('havenmesh/certificate-id/v1', own.subarray(0, reader.offset)))
  reader.bytes(signatureBytes)
  reader.end()
  return {
    id,
    mesh,
    serial,
    device,
    agreementKey,
    role,
    rights,
    collections,
    issuedAtMs,
    issuer,
    setsAside,
    bytes: own,
  }
}

/** Whether the issuer signed it, and the device's key is one whose signatures can be accepted. */
export function verifyCertificate(certificate: Certificate): boolean {
  const { bytes } = certificate
  const signed = bytes.subarray(0, -signatureBytes)
  return (
    isUsablePublicKey(hexToBytes(certificate.device)) &&
    verify(hexToBytes(certificate.issuer), signDomain, signed, bytes.subarray(-signatureBytes))
  )
}

/** Couriers and servers: they hold commits and the clear part of the facts, and no key of a collection. */
export function carriesOnly(certificate: Certificate): boolean {
  return certificate.role === 'courier' || certificate.role === 'server'
}

/**
 * Whether the device gets the epoch keys of a collection. Everybody reads `_mesh`; `_labels` belongs to everybody who
 * reads anything else.
 */
export function mayRead(certificate: Certificate, collection: string): boolean {
  if (collection === meshCollectionId(certificate.mesh)) return true
  if (carriesOnly(certificate) || !certificate.rights.read) return false
  return covers(certificate, collection) || collection === labelsCollectionId(certificate.mesh)
}

/** Whether the device's commits in a collection are legitimate. Everybody writes `_mesh`, nobody writes `_labels`. */
export function mayWrite(certificate: Certificate, collection: string): boolean {
  if (collection === meshCollectionId(certificate.mesh)) return true
  if (collection === labelsCollectionId(certificate.mesh)) return false
  return !carriesOnly(certificate) && certificate.rights.write && covers(certificate, collection)
}

const version = 1
const signatureBytes = 64
const signDomain = 'havenmesh/certificate/v1'

function covers(certificate: Certificate, collection: string): boolean {
  return certificate.collections.length === 0 || certificate.collections.includes(collection)
}

function rightsToBits(rights: Rights): number {
  return (rights.read ? 1 : 0) | (rights.write ? 2 : 0) | (rights.bridge ? 4 : 0)
}

function rightsFromBits(reader: ByteReader): Rights {
  const bits = reader.u8()
  if (bits > 7) reader.fail('unknown rights')
  return { read: (bits & 1) !== 0, write: (bits & 2) !== 0, bridge: (bits & 4) !== 0 }
}

function writeIds(writer: ByteWriter, ids: readonly string[]): void {
  writer.varint(ids.length)
  for (const id of ids) writer.bytes(hexToBytes(id))
}

function readIds(reader: ByteReader): string[] {
  return Array.from({ length: reader.count(16) }, () => bytesToHex(reader.bytes(16)))
}

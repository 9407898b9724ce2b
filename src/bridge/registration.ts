/** What a device says over an inner channel so that a server takes its mesh in, and what the server answers: one frame each. */
import { bytesToHex, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { limits } from '../core/limits.ts'
import { type Certificate, decodeCertificate } from '../identity/certificate.ts'
import { encodeKeyGrant, type KeyGrant, keyGrantBytes, readKeyGrant } from '../identity/epoch.ts'
import type { InvitationName } from './server-invitation.ts'

export interface RegistrationRequest {
  readonly invitation: InvitationName
  /** `invitationProof` for this connection. */
  readonly proof: Uint8Array
  /** From the server's own certificate by the device that registers it up to the root's. */
  readonly chain: readonly Certificate[]
  /** Of `_mesh`, sealed to the server. */
  readonly keys: readonly KeyGrant[]
}

export interface RegistrationAnswer {
  /** Why not, as an error code; empty: the mesh is taken in, durably. */
  readonly code: string
  readonly sentence: string
}

export function encodeRegistrationRequest(request: RegistrationRequest): Uint8Array {
  const writer = new ByteWriter(2048)
    .u8(version)
    .bytes(hexToBytes(request.invitation.nonce))
    .u32(request.invitation.expiresAtS)
    .bytes(request.proof)
    .varint(request.chain.length)
  for (const certificate of request.chain) writer.lengthPrefixed(certificate.bytes)
  writer.varint(request.keys.length)
  for (const grant of request.keys) writer.bytes(encodeKeyGrant(grant))
  return writer.finish()
}

/** Signatures are for the receiver to check. @throws HavenError `MALFORMED` */
export function decodeRegistrationRequest(bytes: Uint8Array): RegistrationRequest {
  const reader = new ByteReader(bytes, 'registration')
  if (reader.u8() !== version) reader.fail('an unknown version')
  const nonce = bytesToHex(reader.bytes(16))
  const expiresAtS = reader.u32()
  const request = {
    invitation: { nonce, expiresAtS },
    proof: reader.bytes(32).slice(),
    chain: Array.from({ length: reader.count(2, limits.certificateChain) }, () =>
      decodeCertificate(reader.lengthPrefixed(limits.helloBytes)),
    ),
    keys: Array.from({ length: reader.count(keyGrantBytes) }, () => readKeyGrant(reader)),
  }
  reader.end()
  return request
}

export function encodeRegistrationAnswer({ code, sentence }: RegistrationAnswer): Uint8Array {
  return new ByteWriter().u8(version).text(code).text(sentence).finish()
}

/** @throws HavenError `MALFORMED` */
export function decodeRegistrationAnswer(bytes: Uint8Array): RegistrationAnswer {
  const reader = new ByteReader(bytes, 'answer to a registration')
  if (reader.u8() !== version) reader.fail('an unknown version')
  const answer = { code: reader.text(64), sentence: reader.text(512) }
  reader.end()
  return answer
}

const version = 1

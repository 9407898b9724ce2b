/**
 * The code with which a server takes one mesh in (docs/protocol.md, Registration). It names the server's keys, so that nobody else can stand
 * for it, and a secret that follows from the server's own: so a server has nothing to remember until the code is used.
 */
import { bytesToHex, equalBytes, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import type { Random } from '../core/environment.ts'
import { HavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { domainBytes, domainHash, hmacSha256 } from '../crypto/hash.ts'
import { hkdf } from '../crypto/kdf.ts'
import { decodeBase32, encodeBase32 } from '../identity/base32.ts'
import type { ServerKeys } from './inner-channel.ts'

/** Which code it is: what a device shows of it. */
export interface InvitationName {
  /** 16 random bytes, hex. */
  readonly nonce: string
  /** Seconds since 1970, by the server's clock. */
  readonly expiresAtS: number
}

export interface ServerInvitation extends InvitationName {
  readonly server: ServerKeys
  /** 16 bytes. */
  readonly secret: Uint8Array
  /** `http(s)://host[:port][/path]` */
  readonly address: string
}

/** @param key - 32 bytes of the server, for its invitations only */
export function newServerInvitation(
  terms: {
    readonly key: Uint8Array
    readonly server: ServerKeys
    readonly address: string
    readonly expiresAtMs: number
  },
  random: Random,
): ServerInvitation {
  const { key, server, address } = terms
  const name = {
    nonce: bytesToHex(random.bytes(16)),
    expiresAtS: Math.floor(terms.expiresAtMs / 1000),
  }
  return { ...name, server, address, secret: invitationSecret(key, name) }
}

export function invitationSecret(key: Uint8Array, name: InvitationName): Uint8Array {
  const expiry = new ByteWriter(4).u32(name.expiresAtS).finish()
  const info = domainBytes('havenmesh/server-invitation/v1', expiry)
  return hkdf(key, hexToBytes(name.nonce), info, 16)
}

/** Proves the secret on one connection, without telling it. 32 bytes. */
export function invitationProof(secret: Uint8Array, binding: Uint8Array): Uint8Array {
  return hmacSha256(secret, domainBytes('havenmesh/registration/v1', binding))
}

/** Crockford's base32 in groups of five. */
export function encodeServerInvitation(invitation: ServerInvitation): string {
  const writer = new ByteWriter()
    .u8(version)
    .bytes(hexToBytes(invitation.server.device))
    .bytes(invitation.server.agreementKey)
    .bytes(hexToBytes(invitation.nonce))
    .u32(invitation.expiresAtS)
    .bytes(invitation.secret)
    .text(invitation.address)
  const body = writer.finish()
  return encodeBase32(writer.bytes(checksum(body)).finish())
    .match(/.{1,5}/g)!
    .join('-')
}

/**
 * Reads a code as it was typed or pasted: capitals, dashes and white space don't matter. Whether its time is over is the server's to say.
 *
 * @throws HavenError `INVITATION_INVALID`
 */
export function decodeServerInvitation(code: string): ServerInvitation {
  const bytes = code.length > maxCodeLength ? undefined : decodeBase32(code)
  if (bytes === undefined || bytes.length <= checksumBytes) throw invalid()
  const body = bytes.subarray(0, -checksumBytes)
  if (!equalBytes(bytes.subarray(-checksumBytes), checksum(body))) throw invalid()
  const reader = new ByteReader(body, 'invitation')
  try {
    if (reader.u8() !== version) reader.fail('an unknown version')
    const device = bytesToHex(reader.bytes(32))
    const agreementKey = reader.bytes(32).slice()
    const nonce = bytesToHex(reader.bytes(16))
    const expiresAtS = reader.u32()
    const secret = reader.bytes(16).slice()
    const address = reader.text(limits.serverAddressBytes)
    reader.end()
    return { server: { device, agreementKey }, nonce, expiresAtS, secret, address }
  } catch (cause) {
    throw new HavenError(
      'INVITATION_INVALID',
      'This code is from another version of Havenmesh. Update the server and this device.',
      { cause },
    )
  }
}

const version = 1
const checksumBytes = 4
const maxCodeLength = 4_096

function checksum(body: Uint8Array): Uint8Array {
  return domainHash('havenmesh/server-invitation-code/v1', body).subarray(0, checksumBytes)
}

function invalid(): HavenError {
  return new HavenError(
    'INVITATION_INVALID',
    'This is not the whole code of a server. Copy what `haven server invite` printed there again.',
  )
}

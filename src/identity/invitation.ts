/**
 * Invitations: a code that an admin shows or reads aloud, and with which one new device proves itself
 * (docs/protocol.md, Joining).
 */
import { bytesToHex, equalBytes, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import type { Random } from '../core/environment.ts'
import { HavenError } from '../core/errors.ts'
import { domainBytes, domainHash, domainHash16 } from '../crypto/hash.ts'
import { hkdf } from '../crypto/kdf.ts'
import { decodeBase32, encodeBase32 } from './base32.ts'

export interface Invitation {
  /** 16 random bytes; whoever has them may join. */
  readonly secret: Uint8Array
  /** Ids in hex. */
  readonly mesh: string
  /** {@link inviterHash} of the admin's device. */
  readonly inviter: string
  /** Seconds since 1970, by the inviter's clock. */
  readonly expiresAtS: number
  /** Where the inviter can be reached, best first; addresses have no peer id. */
  readonly addresses: readonly string[]
}

/** @param terms.expiresAtMs - rounded down to seconds */
export function newInvitation(
  terms: {
    readonly mesh: string
    readonly device: string
    readonly expiresAtMs: number
    readonly addresses: readonly string[]
  },
  random: Random,
): Invitation {
  return {
    secret: random.bytes(16),
    mesh: terms.mesh,
    inviter: inviterHash(terms.device),
    expiresAtS: Math.floor(terms.expiresAtMs / 1000),
    addresses: terms.addresses.slice(0, maxAddresses),
  }
}

/** 16 bytes in hex that name the inviting device in the code. */
export function inviterHash(device: string): string {
  return bytesToHex(domainHash16('havenmesh/inviter/v1', hexToBytes(device)))
}

/** Crockford's base32 in groups of five, e.g. `04R0M-…`. */
export function encodeInvitation(invitation: Invitation): string {
  const writer = new ByteWriter()
    .u8(version)
    .bytes(invitation.secret)
    .bytes(hexToBytes(invitation.mesh))
    .bytes(hexToBytes(invitation.inviter))
    .u32(invitation.expiresAtS)
    .varint(invitation.addresses.length)
  for (const address of invitation.addresses) writer.text(address)
  const body = writer.finish()
  const code = encodeBase32(writer.bytes(checksum(body)).finish())
  return code.match(/.{1,5}/g)!.join('-')
}

/**
 * Reads a code as it was typed or scanned: capitals, dashes and white space don't matter, and O, I and L are taken for
 * the digits that they look like.
 *
 * @throws HavenError `INVITATION_INVALID`; `INVITATION_EXPIRED`
 */
export function decodeInvitation(code: string, nowMs: number): Invitation {
  const invitation = readInvitation(code)
  if (nowMs >= invitation.expiresAtS * 1000) {
    throw new HavenError(
      'INVITATION_EXPIRED',
      'This invitation has expired, or the clock of this device is wrong. Check the clock, or ask for a new invitation.',
    )
  }
  return invitation
}

/** What the first message of a joining device is sealed under: 32 bytes. */
export function joinKey(invitation: Pick<Invitation, 'secret' | 'mesh'>): Uint8Array {
  const info = domainBytes('havenmesh/invitation/v1')
  return hkdf(invitation.secret, hexToBytes(invitation.mesh), info, 32)
}

const version = 1
const checksumBytes = 4
/** A code is to fit in a QR code that an old camera reads, and may have to be typed. */
const maxAddresses = 8
const addressMaxBytes = 255
const maxCodeLength = 4_096

function readInvitation(code: string): Invitation {
  const bytes = code.length > maxCodeLength ? undefined : decodeBase32(code)
  if (bytes === undefined || bytes.length <= checksumBytes) throw invalid()
  const body = bytes.subarray(0, -checksumBytes)
  if (!equalBytes(bytes.subarray(-checksumBytes), checksum(body))) throw invalid()
  const reader = new ByteReader(body, 'invitation')
  try {
    if (reader.u8() !== version) reader.fail('an unknown version')
    const invitation = {
      secret: reader.bytes(16),
      mesh: bytesToHex(reader.bytes(16)),
      inviter: bytesToHex(reader.bytes(16)),
      expiresAtS: reader.u32(),
      addresses: Array.from({ length: reader.count(1, maxAddresses) }, () =>
        reader.text(addressMaxBytes),
      ),
    }
    reader.end()
    return invitation
  } catch (cause) {
    throw new HavenError(
      'INVITATION_INVALID',
      'This invitation is from another version of Havenmesh. Update both devices.',
      { cause },
    )
  }
}

function checksum(body: Uint8Array): Uint8Array {
  return domainHash('havenmesh/invitation-code/v1', body).subarray(0, checksumBytes)
}

function invalid(): HavenError {
  return new HavenError(
    'INVITATION_INVALID',
    'This is not a whole invitation code. Scan it again, or check what was typed.',
  )
}

/**
 * The value of a commit's row: `u8 flags (bit 0: signature) · [b64 signature · u32 its CRC-32] · header · ciphertext`.
 *
 * Header and ciphertext are what the id in the key is made of, so reading is checking. The signature is not, hence its
 * own checksum: sent on damaged it would look like an attack.
 */
import { crc32 } from 'node:zlib'
import { bytesToHex, equalBytes } from '../core/bytes.ts'
import { assert } from '../core/errors.ts'
import { commitId, headerBytes } from '../feed/commit.ts'
import type { StoredCommit } from '../feed/commit-store.ts'
import { placeOfKey, shortIdBytes } from './layout.ts'

const signatureBytes = 64
const signedFlag = 1
/** In a header: version, suite, kind, flags, mesh and collection come before. */
const feedAt = 36
const seqAt = 52
const lengthAt = 126

export function encodeCommitRow({ header, ciphertext, signature }: StoredCommit): Uint8Array {
  assert(header.length === headerBytes, 'a commit header has 130 bytes')
  assert(signature === undefined || signature.length === signatureBytes, 'a signature has 64 bytes')
  const before = signature === undefined ? 1 : 1 + signatureBytes + 4
  const row = new Uint8Array(before + header.length + ciphertext.length)
  if (signature !== undefined) {
    row[0] = signedFlag
    row.set(signature, 1)
    new DataView(row.buffer).setUint32(1 + signatureBytes, crc32(signature))
  }
  row.set(header, before)
  row.set(ciphertext, before + header.length)
  return row
}

/** `undefined` unless every byte is as it was written. The parts are views of the row. */
export function decodeCommitRow(key: Uint8Array, row: Uint8Array): StoredCommit | undefined {
  const place = placeOfKey(key)
  const flags = row[0]
  if (place === undefined || flags === undefined || flags > signedFlag) return undefined
  const before = flags === signedFlag ? 1 + signatureBytes + 4 : 1
  if (row.length < before + headerBytes) return undefined

  const header = part(row, before, headerBytes)
  const ciphertext = part(row, before + headerBytes, row.length - before - headerBytes)
  const id = commitId(header, ciphertext)
  if (!equalBytes(id.subarray(0, shortIdBytes), place.shortId)) return undefined
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength)
  const seq = view.getUint32(seqAt) * 0x1_0000_0000 + view.getUint32(seqAt + 4)
  if (seq !== place.seq || view.getUint32(lengthAt) !== ciphertext.length) return undefined
  if (bytesToHex(header.subarray(feedAt, seqAt)) !== place.feed) return undefined

  if (flags !== signedFlag)
    return { ...placeParts(place), id, header, ciphertext, signature: undefined }
  const signature = part(row, 1, signatureBytes)
  const stored = new DataView(row.buffer, row.byteOffset).getUint32(1 + signatureBytes)
  if (stored !== crc32(signature)) return undefined
  return { ...placeParts(place), id, header, ciphertext, signature }
}

/** The id of the commit before, from a header. */
export function prevOf(header: Uint8Array): Uint8Array {
  return header.subarray(60, 92)
}

function placeParts({ feed, seq }: { feed: string; seq: number }): { feed: string; seq: number } {
  return { feed, seq }
}

/** Without the methods of Buffer, whose `slice` does not copy. */
function part(row: Uint8Array, offset: number, length: number): Uint8Array {
  return new Uint8Array(row.buffer, row.byteOffset + offset, length)
}

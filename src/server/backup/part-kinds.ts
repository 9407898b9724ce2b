/** What the parts of a backup say (docs/storage.md, Backups of a server). */
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from '../../core/bytes.ts'
import { ByteReader, ByteWriter } from '../../core/codec.ts'
import type { Random } from '../../core/environment.ts'
import { HavenError } from '../../core/errors.ts'
import { limits } from '../../core/limits.ts'
import { open, seal } from '../../crypto/cipher.ts'
import { domainBytes } from '../../crypto/hash.ts'
import { hkdf } from '../../crypto/kdf.ts'
import { commitId, decodeHeader, headerBytes } from '../../feed/commit.ts'
import type { StoredCommit } from '../../feed/commit-store.ts'
import type { PartContent } from './part-file.ts'
import { partBytesMax } from './part-file.ts'

export const partKinds = {
  about: 1,
  /** The file `keys` of the server, as the keystore writes it. */
  keys: 2,
  invitations: 3,
  /** A mesh begins; all until its end is of it. */
  mesh: 4,
  /** A feed begins; the commits until the next one are in it. */
  feed: 5,
  commits: 6,
  meshEnd: 7,
  /** A file without this one was cut. */
  end: 8,
} as const

export interface About {
  readonly madeMs: number
  /** The server's device id. */
  readonly device: string
}

export function aboutPart({ madeMs, device }: About): PartContent {
  const payload = new ByteWriter(64).u64(madeMs).bytes(hexToBytes(device)).finish()
  return { kind: partKinds.about, payload }
}

export function readAbout(payload: Uint8Array): About {
  const reader = new ByteReader(payload, 'first part of a backup')
  const about = { madeMs: reader.u64(), device: bytesToHex(reader.bytes(32)) }
  reader.end()
  return about
}

export interface UsedInvitation {
  readonly nonce: string
  readonly mesh: string
}

export function invitationsPart(used: readonly UsedInvitation[]): PartContent {
  const writer = new ByteWriter(64 * used.length + 8).varint(used.length)
  for (const { nonce, mesh } of used) writer.text(nonce).text(mesh)
  return { kind: partKinds.invitations, payload: writer.finish() }
}

export function readInvitations(payload: Uint8Array): UsedInvitation[] {
  const reader = new ByteReader(payload, 'list of used codes')
  const used = Array.from({ length: reader.count(2) }, () => ({
    nonce: reader.text(64),
    mesh: reader.text(64),
  }))
  reader.end()
  for (const { nonce } of used)
    if (!/^[0-9a-f]{1,64}$/.test(nonce)) reader.fail('a code that is none')
  return used
}

export interface NamedValue {
  readonly name: string
  readonly value: Uint8Array
}

/** What makes the server a member of a mesh. */
export interface MeshRows {
  readonly mesh: string
  /** By which it is a member, and its keys. */
  readonly secrets: readonly NamedValue[]
  readonly metas: readonly NamedValue[]
}

/** @param storeKey - secrets are sealed under it, so that only who can open the keys can open them */
export function meshPart(rows: MeshRows, storeKey: Uint8Array, random: Random): PartContent {
  const nonce = random.bytes(nonceBytes)
  const mesh = hexToBytes(rows.mesh)
  const secrets = seal(secretsKey(storeKey), nonce, encodeNamed(rows.secrets), mesh)
  const payload = new ByteWriter(4096)
    .bytes(mesh)
    .lengthPrefixed(concatBytes(nonce, secrets))
    .lengthPrefixed(encodeNamed(rows.metas))
    .finish()
  return { kind: partKinds.mesh, payload }
}

export interface SealedMeshRows {
  readonly mesh: string
  readonly sealed: Uint8Array
  readonly metas: readonly NamedValue[]
}

export function readMesh(payload: Uint8Array): SealedMeshRows {
  const reader = new ByteReader(payload, 'mesh of a backup')
  const rows = {
    mesh: bytesToHex(reader.bytes(16)),
    sealed: reader.lengthPrefixed(partBytesMax),
    metas: decodeNamed(reader.lengthPrefixed(partBytesMax)),
  }
  reader.end()
  return rows
}

/** @throws HavenError `BACKUP_DAMAGED` when the key is not that of this backup */
export function openSecrets(rows: SealedMeshRows, storeKey: Uint8Array): NamedValue[] {
  const nonce = rows.sealed.subarray(0, nonceBytes)
  const sealed = rows.sealed.subarray(nonceBytes)
  const opened =
    nonce.length === nonceBytes
      ? open(secretsKey(storeKey), nonce, sealed, hexToBytes(rows.mesh))
      : undefined
  if (opened === undefined)
    throw new HavenError(
      'BACKUP_DAMAGED',
      `The keys of mesh ${rows.mesh} in the backup do not belong to the keys of its server.`,
    )
  return decodeNamed(opened)
}

export function feedPart(descriptor: Uint8Array): PartContent {
  return { kind: partKinds.feed, payload: descriptor }
}

/** Commits of one feed, in the order of seq. */
export function commitsPart(commits: readonly StoredCommit[]): PartContent {
  const bytes = commits.reduce((sum, { ciphertext }) => sum + ciphertext.length + 220, 16)
  const writer = new ByteWriter(bytes).varint(commits.length)
  for (const { header, ciphertext, signature } of commits) {
    writer.u8(signature === undefined ? 0 : 1)
    if (signature !== undefined) writer.bytes(signature)
    writer.bytes(header).lengthPrefixed(ciphertext)
  }
  return { kind: partKinds.commits, payload: writer.finish() }
}

/** With the ids that follow from what is there. */
export function readCommits(payload: Uint8Array): StoredCommit[] {
  const reader = new ByteReader(payload, 'list of commits')
  const commits = Array.from({ length: reader.count(1 + headerBytes + 1) }, (): StoredCommit => {
    const isSigned = reader.u8() === 1
    const signature = isSigned ? reader.bytes(64) : undefined
    const header = reader.bytes(headerBytes)
    const ciphertext = reader.lengthPrefixed(limits.commitCiphertextBytes)
    const { feed, seq, ciphertextBytes } = decodeHeader(header)
    if (ciphertextBytes !== ciphertext.length) reader.fail('a commit of another length')
    const id = commitId(header, ciphertext)
    return { feed: bytesToHex(feed), seq, id, header, ciphertext, signature }
  })
  reader.end()
  return commits
}

export interface MeshCounts {
  readonly feeds: number
  readonly commits: number
}

export function meshEndPart({ feeds, commits }: MeshCounts): PartContent {
  const payload = new ByteWriter(16).varint(feeds).varint(commits).finish()
  return { kind: partKinds.meshEnd, payload }
}

export function readMeshEnd(payload: Uint8Array): MeshCounts {
  const reader = new ByteReader(payload, 'end of a mesh in a backup')
  const counts = { feeds: reader.varint(), commits: reader.varint() }
  reader.end()
  return counts
}

export function endPart(meshes: number): PartContent {
  return { kind: partKinds.end, payload: new ByteWriter(8).varint(meshes).finish() }
}

export function readEnd(payload: Uint8Array): number {
  const reader = new ByteReader(payload, 'end of a backup')
  const meshes = reader.varint()
  reader.end()
  return meshes
}

const nonceBytes = 12
const noSalt = new Uint8Array(0)

function secretsKey(storeKey: Uint8Array): Uint8Array {
  return hkdf(storeKey, noSalt, domainBytes('havenmesh/backup/v1', utf8ToBytes('secrets')), 32)
}

function encodeNamed(rows: readonly NamedValue[]): Uint8Array {
  const writer = new ByteWriter(1024).varint(rows.length)
  for (const { name, value } of rows) writer.text(name).lengthPrefixed(value)
  return writer.finish()
}

function decodeNamed(bytes: Uint8Array): NamedValue[] {
  const reader = new ByteReader(bytes, 'list of rows')
  const rows = Array.from({ length: reader.count(2) }, () => ({
    name: reader.text(1024),
    value: reader.lengthPrefixed(partBytesMax).slice(),
  }))
  reader.end()
  return rows
}

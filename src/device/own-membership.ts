/** What makes this store a member of a mesh: the mesh, and the certificates that prove it. Kept beside the control facts, since it comes first. */
import { bytesToHex, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { limits } from '../core/limits.ts'
import { epochIdOf } from '../identity/epoch.ts'
import type { CommitStore, StoreChange } from '../feed/commit-store.ts'
import { decodeCertificate } from '../identity/certificate.ts'
import type { Certificate } from '../identity/certificate.ts'

export interface OwnMembership {
  readonly mesh: string
  readonly meshName: string
  /** As it was asked for. */
  readonly deviceName: string
  /** From the own certificate up to the root's. */
  readonly chain: readonly Certificate[]
  /** False while a join has not been confirmed by the inviter. */
  readonly complete: boolean
  /** The code of the join. */
  readonly code: string
}

export function membershipChange(membership: OwnMembership): StoreChange {
  const out = new ByteWriter(1024)
    .bytes(hexToBytes(membership.mesh))
    .text(membership.meshName)
    .text(membership.deviceName)
    .varint(membership.chain.length)
  for (const certificate of membership.chain) out.lengthPrefixed(certificate.bytes)
  const value = out
    .u8(membership.complete ? 1 : 0)
    .text(membership.code)
    .finish()
  return { kind: 'secret', name: 'member/self', value }
}

export async function loadMembership(store: CommitStore): Promise<OwnMembership | undefined> {
  const bytes = await store.secret('member/self')
  if (bytes === undefined) return undefined
  const reader = new ByteReader(bytes, 'membership')
  const mesh = bytesToHex(reader.bytes(16))
  const meshName = reader.text(limits.meshNameBytes)
  const deviceName = reader.text(limits.deviceNameBytes)
  const chain = Array.from({ length: reader.count(2, limits.certificateChain) }, () =>
    decodeCertificate(reader.lengthPrefixed(limits.helloBytes)),
  )
  return { mesh, meshName, deviceName, chain, complete: reader.u8() === 1, code: reader.text(8192) }
}

/** The row that keeps an epoch key; `ControlPlane.restore` reads it. */
export function epochChange(collection: string, key: Uint8Array): StoreChange {
  const value = new Uint8Array(48)
  value.set(hexToBytes(collection))
  value.set(key, 16)
  return { kind: 'secret', name: `epoch/${epochIdOf(key)}`, value }
}

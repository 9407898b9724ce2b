/** Names that follow from other names (docs/protocol.md, Names). All ids are lower-case hex. */
import { bytesToHex, hexToBytes } from '../core/bytes.ts'
import { domainHash16 } from '../crypto/hash.ts'

/** @param rootPublicKey - 32 bytes */
export function meshIdOf(rootPublicKey: Uint8Array): string {
  return bytesToHex(domainHash16('havenmesh/mesh/v1', rootPublicKey))
}

/** The collection `_mesh`, which holds the control facts; every member reads and writes it. */
export function meshCollectionId(mesh: string): string {
  return bytesToHex(domainHash16('havenmesh/mesh-collection/v1', hexToBytes(mesh)))
}

/** The collection `_labels`: it has no feeds; its epoch keys seal the names inside control facts. */
export function labelsCollectionId(mesh: string): string {
  return bytesToHex(domainHash16('havenmesh/labels-collection/v1', hexToBytes(mesh)))
}

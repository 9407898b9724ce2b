import { domainHash } from '../crypto/hash.ts'

/** Ties the proof of membership to a libp2p stream: docs/protocol.md, handshake. */
export function hashBinding(parts: readonly Uint8Array[]): Uint8Array {
  return domainHash('havenmesh/libp2p/v1', ...parts)
}

/** Descriptors of feeds whose authors have names. */
import { bytesToHex, utf8ToBytes } from '../../src/core/bytes.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import { signingKeyFromSeed } from '../../src/crypto/signing.ts'
import type { StoredDescriptor } from '../../src/feed/commit-store.ts'
import { createDescriptor } from '../../src/feed/descriptor.ts'

export interface MadeDescriptor {
  readonly descriptor: StoredDescriptor
  readonly feed: string
  /** Hex. */
  readonly device: string
}

export function descriptorOf(author: string): MadeDescriptor {
  const key = signingKeyFromSeed(sha256(utf8ToBytes(author)))
  const { feed, bytes } = createDescriptor(
    {
      mesh: new Uint8Array(16).fill(1),
      collection: new Uint8Array(16).fill(2),
      lane: 'routine',
      incarnation: new Uint8Array(16).fill(3),
      previousIncarnation: new Uint8Array(0),
      salt: new Uint8Array(8).fill(4),
    },
    key,
  )
  return { descriptor: { feed, bytes }, feed, device: bytesToHex(key.publicKey) }
}

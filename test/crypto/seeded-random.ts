import { concatBytes, utf8ToBytes } from '../../src/core/bytes.ts'
import type { Random } from '../../src/core/environment.ts'
import { sha256 } from '../../src/crypto/hash.ts'

/** The same bytes in each run for the same seed. */
export function seededRandom(seed: string): Random {
  let counter = 0
  return {
    bytes(count) {
      const blocks: Uint8Array[] = []
      for (let length = 0; length < count; length += 32) {
        blocks.push(sha256(utf8ToBytes(`${seed} ${counter++}`)))
      }
      return concatBytes(...blocks).slice(0, count)
    },
  }
}

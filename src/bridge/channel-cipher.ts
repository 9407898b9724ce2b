/** One direction of a connection: each message is sealed under its number, so that none can be left out, repeated or moved. */
import { emptyBytes } from '../core/bytes.ts'
import { open, seal } from '../crypto/cipher.ts'

export class ChannelCipher {
  readonly #key: Uint8Array
  #count = 0

  /** @param key - 32 bytes, of this direction of this connection only */
  constructor(key: Uint8Array) {
    this.#key = key
  }

  seal(message: Uint8Array): Uint8Array {
    return seal(this.#key, nonceOf(this.#count++), message, emptyBytes)
  }

  /** @returns undefined when it is not the next message of the other side */
  open(sealed: Uint8Array): Uint8Array | undefined {
    const message = open(this.#key, nonceOf(this.#count), sealed, emptyBytes)
    if (message !== undefined) this.#count += 1
    return message
  }
}

function nonceOf(count: number): Uint8Array {
  const nonce = new Uint8Array(12)
  const view = new DataView(nonce.buffer)
  view.setUint32(4, Math.floor(count / 0x1_0000_0000))
  view.setUint32(8, count >>> 0)
  return nonce
}

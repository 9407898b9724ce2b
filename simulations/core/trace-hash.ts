/** What a run did, in one hash: two runs that did the same have the same. */
import { createHash } from 'node:crypto'

export class TraceHash {
  readonly #hash = createHash('sha256')
  #pending: string[] = []

  /** @param parts - what happened; numbers are whole */
  add(atUs: number, ...parts: readonly (string | number)[]): void {
    this.#pending.push(`${atUs} ${parts.join(' ')}\n`)
    if (this.#pending.length >= 256) this.#flush()
  }

  /** Hex. Nothing can be added after it. */
  finish(): string {
    this.#flush()
    return this.#hash.digest('hex')
  }

  #flush(): void {
    this.#hash.update(this.#pending.join(''))
    this.#pending = []
  }
}

/** Which questions a server has heard: what is recorded on the way and said again is not answered a second time. */
import { HavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'

export interface RequestBook {
  /**
   * Takes it down.
   *
   * @param expiresMs - from then on it would not be answered anyway
   * @returns false when it was here before
   * @throws HavenError `LIMIT_EXCEEDED` when no more can be remembered: then none may be answered
   */
  isNew(id: string, expiresMs: number): boolean | Promise<boolean>
}

const sweepEveryMs = 60_000

/** Of a server of one process, whose tokens end with it. */
export class MemoryRequestBook implements RequestBook {
  readonly #nowMs: () => number
  readonly #expiries = new Map<string, number>()
  #sweptMs = 0

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  isNew(id: string, expiresMs: number): boolean {
    this.#sweep()
    if (this.#expiries.has(id)) return false
    if (this.#expiries.size >= limits.serverQuestionsKept) {
      throw new HavenError(
        'LIMIT_EXCEEDED',
        'The server is asked more than it can answer now. It is asked again later.',
      )
    }
    this.#expiries.set(id, expiresMs)
    return true
  }

  #sweep(): void {
    const nowMs = this.#nowMs()
    if (nowMs - this.#sweptMs < sweepEveryMs) return
    this.#sweptMs = nowMs
    for (const [id, expiresMs] of this.#expiries) if (expiresMs <= nowMs) this.#expiries.delete(id)
  }
}

/** Which commits of a feed have all that goes before them: those that follow one that does, read in the order of seq, all branches at once. */
import { startPlace } from '../../feed/chain.ts'
import type { Link } from '../../feed/chain.ts'

export class PrefixWalk {
  #seq = 0
  /** Ids of the commits that follow, at the place before and at the one that is read. */
  #before: ReadonlySet<string> = new Set()
  #here = new Set([startPlace.id])

  /** In the order of seq. */
  follows({ seq, id, prev }: Link): boolean {
    if (seq !== this.#seq) {
      this.#before = seq === this.#seq + 1 ? this.#here : new Set()
      this.#here = new Set()
      this.#seq = seq
    }
    if (!this.#before.has(prev)) return false
    this.#here.add(id)
    return true
  }
}

/**
 * Which commits of a collection lie in the causal past of which: docs/data-model.md, "What is visible", rule 2.
 *
 * It knows nothing but the contexts that it was given, and the caller gives only those that hold: of commits that are
 * not hidden, with entries whose id is that of the commit held at that place. So nothing here has to be undone when
 * more arrives; when a verdict changes or a fork appears, the caller builds a new index.
 */
import { assert } from '../core/errors.ts'
import type { WriterId } from './writes.ts'

export interface Place {
  readonly writer: WriterId
  readonly seq: number
}

/** The causal past of one commit, itself included: the highest seq by index of the writer. */
interface Past {
  readonly writer: number
  readonly seq: number
  readonly reached: Float64Array
  /** When it was last of use, by counting queries. */
  usedAt: number
}

/** Pasts that are kept, since each new context entry is held against all of them; and their numbers, 8 bytes each. */
const keptPasts = 1024
const keptNumbers = 2 ** 20

export class CausalIndex {
  readonly #indexes = new Map<WriterId, number>()
  readonly #contexts: Contexts[] = []
  readonly #parents: ({ readonly writer: number; readonly seq: number } | undefined)[] = []
  /** Of each writer, by seq ascending. */
  readonly #pasts: Past[][] = []
  #pastCount = 0
  /** The highest seq by index of the writer that any past has reached: most entries are beyond. */
  #furthest: Float64Array = new Float64Array(0)
  #queries = 0

  /**
   * Has to be called before anything else names the writer; a second time does nothing.
   *
   * @param parent - for a branch: the commit that it branched off, which has been added
   */
  addWriter(writer: WriterId, parent?: Place): void {
    if (this.#indexes.has(writer)) return
    this.#indexes.set(writer, this.#contexts.length)
    this.#contexts.push(new Contexts())
    this.#parents.push(parent && { writer: this.#indexOf(parent.writer), seq: parent.seq })
    this.#pasts.push([])
  }

  has(writer: WriterId): boolean {
    return this.#indexes.has(writer)
  }

  /**
   * The commit at this place had these in its context. May be called late, in any order, and with a part of the
   * entries at a time.
   */
  addSeen(writer: WriterId, seq: number, entries: readonly Place[]): void {
    const author = this.#indexOf(writer)
    for (const entry of entries) {
      const seen = this.#indexOf(entry.writer)
      this.#contexts[author]!.add(seq, seen, entry.seq)
      this.#extendPasts(author, seq, { writer: seen, seq: entry.seq })
    }
  }

  /** Whether a writer is a branch of a forked feed, and goes on from what the other one had written. */
  isBranchOf(writer: WriterId, ancestor: WriterId): boolean {
    const wanted = this.#indexOf(ancestor)
    let at = this.#parents[this.#indexOf(writer)]
    while (at !== undefined && at.writer !== wanted) at = this.#parents[at.writer]
    return at !== undefined
  }

  /** Whether commit `a` lies in the causal past of commit `b`; not of itself. */
  isInPast(a: Place, b: Place): boolean {
    const writerOfA = this.#indexOf(a.writer)
    const writerOfB = this.#indexOf(b.writer)
    if (writerOfA === writerOfB) return a.seq < b.seq
    return (this.#pastOf(writerOfB, b.seq).reached[writerOfA] ?? 0) >= a.seq
  }

  /** Seq of a writer's last commit that lies in the causal past of a commit; not of itself. 0: none. */
  lastInPast(writer: WriterId, of: Place): number {
    if (writer === of.writer) return of.seq - 1
    return this.#pastOf(this.#indexOf(of.writer), of.seq).reached[this.#indexOf(writer)] ?? 0
  }

  /** Of each of these writers, the seq up to which its commits lie in the causal past of a commit; 0 for none. */
  reachOf({ writer, seq }: Place, writers: readonly WriterId[]): readonly number[] {
    const { reached } = this.#pastOf(this.#indexOf(writer), seq)
    return writers.map((each) => reached[this.#indexOf(each)] ?? 0)
  }

  #indexOf(writer: WriterId): number {
    const index = this.#indexes.get(writer)
    assert(index !== undefined, 'the writer has been added')
    return index
  }

  /** A past that was computed stays whole when a context becomes known late: what that brings is added to it. */
  #extendPasts(author: number, seq: number, entry: { writer: number; seq: number }): void {
    if (!((this.#furthest[author] ?? 0) >= seq)) return
    for (const pasts of this.#pasts) {
      for (let i = 0; i < pasts.length; i++) {
        const past = pasts[i]!
        if ((past.reached[author] ?? 0) < seq || (past.reached[entry.writer] ?? 0) >= entry.seq) {
          continue
        }
        const grown = this.#room(past)
        this.#reach(grown.reached, entry.writer, entry.seq)
        this.#reachedBy(grown)
        pasts[i] = grown
      }
    }
  }

  #room(past: Past): Past {
    if (past.reached.length >= this.#contexts.length) return past
    return { ...past, reached: this.#vector(past.reached) }
  }

  #vector(from?: Float64Array): Float64Array {
    // With some room, since writers appear one by one.
    const vector = new Float64Array(this.#contexts.length + 16)
    if (from !== undefined) vector.set(from)
    return vector
  }

  #pastOf(writer: number, seq: number): Past {
    const pasts = this.#pasts[writer]!
    const at = firstAbove(pasts, seq)
    const nearest = pasts[at - 1]
    this.#queries++
    if (nearest !== undefined) nearest.usedAt = this.#queries
    if (nearest?.seq === seq) return nearest
    const reached = this.#vector(nearest?.reached)
    this.#reach(reached, writer, seq)
    const past = { writer, seq, reached, usedAt: this.#queries }
    pasts.splice(at, 0, past)
    this.#reachedBy(past)
    this.#pastCount++
    const room = Math.min(keptPasts, Math.max(16, keptNumbers / reached.length))
    if (this.#pastCount > room) this.#forgetHalf()
    return past
  }

  #reachedBy({ reached }: Past): void {
    if (this.#furthest.length < reached.length) this.#furthest = this.#vector(this.#furthest)
    join(this.#furthest, reached)
  }

  /**
   * Adds the commit at this place and its past. What `reached` holds before must be a whole past, so that the places up
   * to `reached[writer]` need no second look.
   */
  #reach(reached: Float64Array, writer: number, seq: number): void {
    const open: { writer: number; from: number; to: number }[] = []
    const add = (added: number, to: number): void => {
      const from = reached[added] ?? 0
      if (to <= from) return
      reached[added] = to
      open.push({ writer: added, from, to })
    }
    add(writer, seq)
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      let { from } = next
      const known = this.#nearestPast(next.writer, next.to)
      if (known !== undefined && known.seq > from) {
        join(reached, known.reached)
        from = known.seq
      }
      const parent = this.#parents[next.writer]
      if (from === 0 && parent !== undefined) add(parent.writer, parent.seq)
      this.#contexts[next.writer]!.each(from, next.to, add)
    }
  }

  #nearestPast(writer: number, seq: number): Past | undefined {
    const pasts = this.#pasts[writer]!
    return pasts[firstAbove(pasts, seq) - 1]
  }

  #forgetHalf(): void {
    const uses = this.#pasts.flatMap((pasts) => pasts.map((past) => past.usedAt))
    const middle = uses.toSorted((a, b) => a - b)[uses.length >> 1]!
    this.#pastCount = 0
    for (const [writer, pasts] of this.#pasts.entries()) {
      const kept = pasts.filter((past) => past.usedAt >= middle)
      this.#pasts[writer] = kept
      this.#pastCount += kept.length
    }
  }
}

function join(into: Float64Array, from: Float64Array): void {
  const length = Math.min(into.length, from.length)
  for (let i = 0; i < length; i++) if (from[i]! > into[i]!) into[i] = from[i]!
}

function firstAbove(pasts: readonly Past[], seq: number): number {
  let low = 0
  let high = pasts.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (pasts[middle]!.seq <= seq) low = middle + 1
    else high = middle
  }
  return low
}

/** So many entries that came late are looked through one by one before they are sorted in. */
const lateEntries = 1024

/** The context entries of one writer's commits, in 20 bytes each. */
class Contexts {
  #seqs = new Float64Array(4)
  #seenWriters = new Uint32Array(4)
  #seenSeqs = new Float64Array(4)
  #count = 0
  /** Behind this, entries came in no order. */
  #sorted = 0

  add(seq: number, seenWriter: number, seenSeq: number): void {
    if (this.#count === this.#seqs.length) this.#resize(Math.ceil(this.#count * 1.5))
    const inOrder = this.#sorted === this.#count && !(this.#seqs[this.#count - 1]! > seq)
    this.#seqs[this.#count] = seq
    this.#seenWriters[this.#count] = seenWriter
    this.#seenSeqs[this.#count] = seenSeq
    this.#count++
    if (inOrder) this.#sorted = this.#count
  }

  /** Those of the commits after < seq ≤ upTo. */
  each(after: number, upTo: number, entry: (seenWriter: number, seenSeq: number) => void): void {
    if (this.#count - this.#sorted > lateEntries) this.#sort()
    for (let i = this.#firstAfter(after); i < this.#sorted && this.#seqs[i]! <= upTo; i++) {
      entry(this.#seenWriters[i]!, this.#seenSeqs[i]!)
    }
    for (let i = this.#sorted; i < this.#count; i++) {
      const seq = this.#seqs[i]!
      if (seq > after && seq <= upTo) entry(this.#seenWriters[i]!, this.#seenSeqs[i]!)
    }
  }

  #firstAfter(seq: number): number {
    let low = 0
    let high = this.#sorted
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#seqs[middle]! <= seq) low = middle + 1
      else high = middle
    }
    return low
  }

  #sort(): void {
    const order = new Uint32Array(this.#count)
    for (let i = 0; i < order.length; i++) order[i] = i
    const late = order.subarray(this.#sorted)
    late.sort((a, b) => this.#seqs[a]! - this.#seqs[b]!)
    const merged = new Uint32Array(this.#count)
    for (let left = 0, right = this.#sorted, at = 0; at < merged.length; at++) {
      const takeLeft =
        right === this.#count ||
        (left < this.#sorted && this.#seqs[left]! <= this.#seqs[order[right]!]!)
      merged[at] = takeLeft ? left++ : order[right++]!
    }
    const capacity = this.#seqs.length
    const seqs = new Float64Array(capacity)
    const seenWriters = new Uint32Array(capacity)
    const seenSeqs = new Float64Array(capacity)
    for (const [at, from] of merged.entries()) {
      seqs[at] = this.#seqs[from]!
      seenWriters[at] = this.#seenWriters[from]!
      seenSeqs[at] = this.#seenSeqs[from]!
    }
    this.#seqs = seqs
    this.#seenWriters = seenWriters
    this.#seenSeqs = seenSeqs
    this.#sorted = this.#count
  }

  #resize(capacity: number): void {
    const seqs = new Float64Array(capacity)
    const seenWriters = new Uint32Array(capacity)
    const seenSeqs = new Float64Array(capacity)
    seqs.set(this.#seqs)
    seenWriters.set(this.#seenWriters)
    seenSeqs.set(this.#seenSeqs)
    this.#seqs = seqs
    this.#seenWriters = seenWriters
    this.#seenSeqs = seenSeqs
  }
}

/**
 * Who had seen what among the commits of one record: so much of its collection's causal index that the record can be
 * read without it. Kept with the record, in a bit or two for each commit and each other writer.
 */
import { assert } from '../core/errors.ts'
import type { Causality } from './candidates.ts'
import type { CausalIndex, Place } from './causality.ts'
import { acceptedWrites, type RecordState, type WriterState } from './record-state.ts'
import type { WriterId } from './writes.ts'

/** Beyond that many bytes the index is asked: they grow with the square of the writers. */
const mostBytes = 2048

/**
 * Undefined where there is nothing to know, and where the index has to be asked: for branches of a forked feed, and where
 * too many have written.
 *
 * For each pair of writers, one bit after the other: a 1 for each commit of the other that the next commit was the first
 * to have seen, and a 0 for the next commit.
 */
export function encodeRecordCausality(
  state: RecordState,
  index: Pick<CausalIndex, 'reachOf'>,
): Uint8Array | undefined {
  if (state.writers.size < 2) return undefined
  const all = writersOf(state)
  if (all === undefined) return undefined
  const commits = all.reduce((sum, { seqs }) => sum + seqs.length, 0)
  if ((2 * commits * (all.length - 1)) / 8 > mostBytes) return undefined
  const names = all.map(({ writer }) => writer)
  const bits = new BitWriter((2 * commits * (all.length - 1)) >> 3)
  for (const { writer, seqs } of all) {
    const reaches = seqs.map((seq) => index.reachOf({ writer, seq }, names))
    for (const [at, other] of all.entries()) {
      if (other.writer === writer) continue
      let seen = 0
      for (const reach of reaches) {
        while (seen < other.seqs.length && other.seqs[seen]! <= reach[at]!) {
          bits.write(1)
          seen++
        }
        bits.write(0)
      }
    }
  }
  return bits.finish()
}

/** Answers as the index did when the record was stored: about the commits of candidates and the last edits of free types. */
export class RecordCausality implements Causality {
  readonly #state: RecordState
  readonly #bytes: Uint8Array
  /** By writer. */
  #seen: ReadonlyMap<WriterId, SeenByWriter> | undefined

  /** @param bytes - of {@link encodeRecordCausality}, for the same state */
  constructor(state: RecordState, bytes: Uint8Array) {
    this.#state = state
    this.#bytes = bytes
  }

  isInPast(a: Place, b: Place): boolean {
    if (a.writer === b.writer) return a.seq < b.seq
    this.#seen ??= seenByWriters(this.#state, this.#bytes)
    const { seqs, upTo } = this.#seen.get(b.writer) ?? noSeen
    const at = seqs.indexOf(b.seq)
    assert(at !== -1, 'who looks at a record asks about the commits in its state')
    return a.seq <= (upTo.get(a.writer)?.[at] ?? 0)
  }

  /** None of the record's writers is one. */
  isBranchOf(): boolean {
    return false
  }
}

interface SeenByWriter {
  readonly seqs: readonly number[]
  /** Of each other writer, by commit: the last of the record's commits that it had seen. */
  readonly upTo: ReadonlyMap<WriterId, readonly number[]>
}

const noSeen: SeenByWriter = { seqs: [], upTo: new Map() }

function seenByWriters(state: RecordState, bytes: Uint8Array): Map<WriterId, SeenByWriter> {
  const all = writersOf(state)
  assert(all !== undefined, 'nothing is stored for a record with branches')
  const bits = new BitReader(bytes)
  const seenBy = new Map<WriterId, SeenByWriter>()
  for (const { writer, seqs } of all) {
    const upTo = new Map<WriterId, readonly number[]>()
    for (const other of all) {
      if (other.writer === writer) continue
      let seen = 0
      const lasts = seqs.map(() => {
        while (bits.read() === 1) seen++
        return other.seqs[seen - 1] ?? 0
      })
      upTo.set(other.writer, lasts)
    }
    seenBy.set(writer, { seqs, upTo })
  }
  return seenBy
}

interface WriterSeqs {
  readonly writer: WriterId
  /** Of the commits of its candidates, and of the last one that edited free types; ascending. */
  readonly seqs: readonly number[]
}

/** Undefined when one is a branch. */
function writersOf(state: RecordState): WriterSeqs[] | undefined {
  const all: WriterSeqs[] = []
  for (const by of state.writers.values()) {
    if (by.writer !== by.feed) return undefined
    const seqs = seqsOf(by)
    if (seqs.length > 0) all.push({ writer: by.writer, seqs })
  }
  return all
}

function seqsOf(by: WriterState): number[] {
  const seqs = new Set<number>()
  for (const { commit } of acceptedWrites(by)) seqs.add(commit.seq)
  if (by.free !== undefined && by.free.shownSeq > 0) seqs.add(by.free.shownSeq)
  return [...seqs].toSorted((a, b) => a - b)
}

class BitWriter {
  #bytes: Uint8Array
  #count = 0

  constructor(capacity: number) {
    this.#bytes = new Uint8Array(capacity + 1)
  }

  write(bit: 0 | 1): void {
    const at = this.#count >> 3
    this.#bytes[at]! |= bit << (this.#count & 7)
    this.#count++
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, (this.#count + 7) >> 3)
  }
}

/** Behind the end there are zeros. */
class BitReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  read(): number {
    const byte = this.#bytes[this.#at >> 3] ?? 0
    return (byte >> (this.#at++ & 7)) & 1
  }
}

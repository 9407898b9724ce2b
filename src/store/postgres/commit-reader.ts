/** Reading commits of a feed in pieces that memory can hold. */
import { bytesToHex, hexToBytes } from '../../core/bytes.ts'
import type { CommitRange, StoredCommit } from '../../feed/commit-store.ts'
import type { Link } from '../../feed/chain.ts'
import { decodeCommitRow, prevOf } from '../commit-row.ts'
import { placeKey } from '../layout.ts'
import type { Transaction } from './transaction.ts'
import { sql } from './store-sql.ts'

export interface CommitRow {
  readonly seq: number
  readonly id8: Uint8Array
  readonly value: Uint8Array
}

/** Greater than every seq. */
const endOfFeed = 2 ** 48
const sizesAtOnce = 1_000
/** A page, where the caller sets no bound. */
const pageBytes = 4 * 1024 * 1024

export interface Page {
  readonly rows: readonly CommitRow[]
  /** Where to go on; undefined: there is no more. */
  readonly next: number | undefined
}

/**
 * The rows of a range in the order of seq, up to the seq that reaches `maxBytes` of ciphertext: all that is held there, as branches
 * lie beside each other.
 */
export async function readPage(
  transaction: Transaction,
  mesh: Uint8Array,
  { feed, after, upTo = endOfFeed, maxBytes = pageBytes }: CommitRange,
): Promise<Page> {
  const id = hexToBytes(feed)
  const end = await endOfPage(transaction, [mesh, id, after, Math.min(upTo, endOfFeed)], maxBytes)
  if (end === undefined) return { rows: [], next: undefined }
  const { rows } = await transaction.run<CommitRow>(sql.commitsIn, [mesh, id, after, end])
  return { rows, next: end }
}

/** The last seq of a page that begins after a place; undefined: there is nothing. */
async function endOfPage(
  transaction: Transaction,
  range: readonly [Uint8Array, Uint8Array, number, number],
  maxBytes: number,
): Promise<number | undefined> {
  const { rows } = await transaction.run<{ seq: number; bytes: number }>(sql.sizesAfter, [
    ...range,
    sizesAtOnce,
  ])
  let sum = 0
  for (const { seq, bytes } of rows) {
    sum += bytes
    if (sum >= maxBytes) return seq
  }
  return rows.at(-1)?.seq
}

/** undefined when the row is damaged. */
export function commitOfRow(
  feed: string,
  { seq, id8, value }: CommitRow,
): StoredCommit | undefined {
  return decodeCommitRow(placeKey('commit', { feed, seq, id: id8 }), value)
}

export function linkOf(commit: StoredCommit): Link {
  return {
    seq: commit.seq,
    id: bytesToHex(commit.id),
    prev: bytesToHex(prevOf(commit.header)),
  }
}

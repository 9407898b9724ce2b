/** The chain of a feed after commits have come in, from this process and from others. */
import { bytesToHex } from '../../core/bytes.ts'
import { FeedChain } from '../../feed/chain.ts'
import type { Link } from '../../feed/chain.ts'
import { growChain, linksAround } from '../../feed/grow-chain.ts'
import { commitOfRow, linkOf, readPage } from './commit-reader.ts'
import type { CommitRow } from './commit-reader.ts'
import type { Transaction } from './transaction.ts'

export interface Incoming {
  readonly link: Link
  /** It was not in the store before. */
  readonly isNew: boolean
}

export interface FeedRows {
  readonly feed: string
  /** Commits of the feed with from ≤ seq ≤ to, those that have come in too. */
  pages(from: number, to: number): AsyncIterable<readonly CommitRow[]>
  /** How many commits were in the store at the place of one that was there already. */
  countAt(seq: number): number
}

export function feedRows(
  transaction: Transaction,
  mesh: Uint8Array,
  feed: string,
  countAt: (seq: number) => number,
): FeedRows {
  return {
    feed,
    countAt,
    async *pages(from, to) {
      for (let after: number | undefined = from - 1; after !== undefined && after < to;) {
        const { rows, next } = await readPage(transaction, mesh, { feed, after, upTo: to })
        yield rows
        after = next
      }
    },
  }
}

/**
 * The chain of all commits that hang together with the first. One that does not is in the store and not in the chain: what
 * is between has not come, or was found damaged; it comes into it when it is sent again behind that.
 *
 * @param chain - before; undefined: not known
 * @param incoming - in the order of seq
 */
export async function mergeChain(
  chain: FeedChain | undefined,
  incoming: readonly Incoming[],
  rows: FeedRows,
): Promise<FeedChain> {
  if (chain === undefined) return chainOfAll(rows)
  const open = incoming.filter(({ link }) => !isNamedIn(chain, link))
  const tips = growChain(
    chain,
    open.map(({ link }) => link),
    [],
  )
  const isNew = new Map(open.map(({ link, isNew: value }) => [link.id, value]))
  const left = withinReach(tips.chain, tips.left)
  for (const { seq, id } of left) {
    // Where as many commits were held as there are branches, all of them are in the chain.
    if (isNew.get(id) !== true && rows.countAt(seq) !== chain.segmentsAt(seq).length) {
      return chainOfAll(rows)
    }
  }
  const fresh = left.filter(({ id }) => isNew.get(id) === true)
  if (fresh.length === 0) return tips.chain
  const range = linksAround(tips.chain, fresh[0]!.seq - 1, fresh.at(-1)!.seq)
  const held = await heldIn(range, chain, incoming, rows)
  if (held === undefined) return chainOfAll(rows)
  const wasLeft = new Set(tips.left)
  const placed = open.map(({ link }) => link).filter((link) => !wasLeft.has(link))
  return growChain(tips.chain, fresh, [...held, ...placed]).chain
}

/** The links of what the chain had in a range; undefined when the store had others there, or not all. */
async function heldIn(
  { from, to }: { readonly from: number; readonly to: number },
  chain: FeedChain,
  incoming: readonly Incoming[],
  rows: FeedRows,
): Promise<Link[] | undefined> {
  const cameNow = new Set(incoming.flatMap(({ link, isNew }) => (isNew ? [shortIdOf(link)] : [])))
  const links: Link[] = []
  const counts = new Map<number, number>()
  for await (const page of rows.pages(from, to)) {
    for (const row of page) {
      if (cameNow.has(bytesToHex(row.id8))) continue
      counts.set(row.seq, (counts.get(row.seq) ?? 0) + 1)
      const commit = commitOfRow(rows.feed, row)
      if (commit !== undefined) links.push(linkOf(commit))
    }
  }
  for (let seq = from; seq <= to; seq++) {
    if ((counts.get(seq) ?? 0) !== chain.segmentsAt(seq).length) return undefined
  }
  return links
}

/** From nothing. */
export async function chainOfAll(rows: FeedRows): Promise<FeedChain> {
  let chain = new FeedChain(rows.feed)
  let known: Link[] = []
  for await (const page of rows.pages(1, Number.MAX_SAFE_INTEGER)) {
    const links = page.flatMap((row) => {
      const commit = commitOfRow(rows.feed, row)
      return commit === undefined ? [] : [linkOf(commit)]
    })
    const grown = growChain(chain, links, known)
    const left = new Set(grown.left)
    chain = grown.chain
    const last = page.at(-1)?.seq ?? 0
    const { from } = linksAround(chain, last - 1, last + 1)
    known = [...known, ...links].filter((link) => link.seq >= from && !left.has(link))
  }
  return chain
}

/** Those that may follow a commit of the chain, and those behind them. */
function withinReach(chain: FeedChain, links: readonly Link[]): Link[] {
  const ids = new Set<string>()
  return links.filter(({ seq, id, prev }) => {
    const isNear = chain.segmentsAt(seq - 1).length > 0 || ids.has(prev)
    if (isNear) ids.add(id)
    return isNear
  })
}

/** First and last commits of segments are named in the chain. */
function isNamedIn(chain: FeedChain, { seq, id }: Link): boolean {
  return chain.segments.some(
    (segment) =>
      (segment.from === seq && segment.first === id) || (segment.to === seq && segment.head === id),
  )
}

function shortIdOf({ id }: Link): string {
  return id.slice(0, 16)
}

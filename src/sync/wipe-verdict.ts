/**
 * Whether a device can be wiped without a loss: a pure function of what it holds, and of what others are known to hold.
 *
 * Safe is what a server holds, or as many other devices as were asked for; and a key that somebody else has. Only who knows that this device
 * goes counts: of two devices that ask at once, and know of each other, none then relies on the other (docs/data-model.md, "Safe to wipe").
 */
import type { FeedChain } from '../feed/chain.ts'
import { beyondReach } from '../feed/coverage.ts'

/** Another device that is not to be wiped itself, as far as is known. */
export interface Witness {
  readonly device: string
  readonly isServer: boolean
  /** Its claim says that it knows that this device goes, and can be checked as to whether it goes itself. */
  readonly counts: boolean
  /** By feed, how far its claim covers each segment that is held here. Absent: nothing. */
  readonly reach: ReadonlyMap<string, readonly number[]>
  /** Epochs that it can read. */
  readonly epochs: ReadonlySet<string>
}

export interface WipeQuestion {
  /** What is held here. */
  readonly chains: readonly FeedChain[]
  readonly witnesses: readonly Witness[]
  /** So many devices have to hold what no server holds. */
  readonly holders: number
  /** Epochs that can be read here. */
  readonly epochs: readonly string[]
}

export interface WipeVerdict {
  readonly safe: boolean
  /** Those that count and hold all that is here. */
  readonly holders: readonly string[]
  /** How far each feed is safe by what was heard, also from those that do not count. */
  readonly safeReach: ReadonlyMap<string, readonly number[]>
  /** Those whose word this depends on. */
  readonly witnesses: readonly string[]
  /** Epochs that nobody else is known to be able to read. */
  readonly lostEpochs: readonly string[]
}

export function wipeVerdict(question: WipeQuestion): WipeVerdict {
  const { chains, epochs } = question
  const counting = question.witnesses.filter(({ counts }) => counts)
  const proven = safeReachBy(counting, question)
  const heard = safeReachBy(question.witnesses, question)
  const isReadable = (epoch: string): boolean => counting.some((each) => each.epochs.has(epoch))
  const isSafe = isAll(chains, proven.reach) && epochs.every(isReadable)
  return {
    safe: isSafe,
    holders: counting.filter(({ reach }) => isAll(chains, reach)).map(({ device }) => device),
    safeReach: heard.reach,
    witnesses: isSafe ? proven.by : heard.by,
    lostEpochs: epochs.filter(
      (epoch) => !question.witnesses.some((each) => each.epochs.has(epoch)),
    ),
  }
}

/** What servers hold, and what all of the best others hold, if there are enough. */
function safeReachBy(
  witnesses: readonly Witness[],
  { chains, holders }: WipeQuestion,
): { reach: Map<string, number[]>; by: string[] } {
  const servers = witnesses.filter(({ isServer }) => isServer)
  const onServers = new Map(
    chains.map((chain) => [
      chain.feed,
      union(
        chain,
        servers.map((server) => reachIn(chain, server)),
      ),
    ]),
  )
  if (isAll(chains, onServers)) return { reach: onServers, by: servers.map(({ device }) => device) }
  const best = witnesses
    .map((witness) => ({ witness, lacks: lackingBeyond(chains, onServers, witness) }))
    .toSorted((a, b) => a.lacks - b.lacks || (a.witness.device < b.witness.device ? -1 : 1))
    .slice(0, holders)
    .map(({ witness }) => witness)
  const by = [...new Set([...servers, ...best])].map(({ device }) => device)
  if (best.length < holders) return { reach: onServers, by }
  const reach = chains.map((chain): [string, number[]] => {
    const common = best
      .map((witness) => reachIn(chain, witness))
      .reduce((a, b) => a.map((seq, at) => Math.min(seq, b[at]!)))
    return [chain.feed, union(chain, [onServers.get(chain.feed)!, common])]
  })
  return { reach: new Map(reach), by }
}

/** Commits that neither the servers nor the witness hold. */
function lackingBeyond(
  chains: readonly FeedChain[],
  onServers: ReadonlyMap<string, readonly number[]>,
  witness: Witness,
): number {
  let lacks = 0
  for (const chain of chains)
    lacks += beyondReach(chain, union(chain, [onServers.get(chain.feed)!, reachIn(chain, witness)]))
  return lacks
}

function isAll(
  chains: readonly FeedChain[],
  reach: ReadonlyMap<string, readonly number[]>,
): boolean {
  return chains.every((chain) => {
    const ofFeed = reach.get(chain.feed)
    return ofFeed !== undefined && beyondReach(chain, ofFeed) === 0
  })
}

function union(chain: FeedChain, reaches: readonly (readonly number[])[]): number[] {
  return chain.segments.map(({ from }, at) =>
    Math.max(from - 1, ...reaches.map((reach) => reach[at]!)),
  )
}

function reachIn(chain: FeedChain, { reach }: Witness): readonly number[] {
  return reach.get(chain.feed) ?? chain.segments.map(({ from }) => from - 1)
}

/**
 * What a device was heard to hold, by all its claims that are known, checked against what is held here: how far each reaches, and what it says
 * beyond that. A claim counts for a commit only where the commit that it names is held here and leads back to it.
 */
import type { ChainPlace } from '../feed/coverage.ts'
import { reachOf } from '../feed/coverage.ts'
import type { ClockEntry } from '../feed/vector-clock.ts'
import type { Claim, Said } from './clock-book.ts'
import type { HeldFeed, Stretches } from './stretches.ts'

interface Word {
  /** When it first said so, and when last. */
  readonly first: Said
  readonly last: Said
  /** By stretch: the seq up to which it holds it; one less than the stretch's first where it holds nothing of it. */
  readonly reach: Float64Array
  /** Feeds in which it names commits that are not held here: how much of the rest of the feed it holds can't be checked. */
  readonly beyond: ReadonlySet<string>
}

interface OlderWord {
  readonly first: Said
  /** Stretches of which it held less than by the newest word. */
  readonly less: readonly number[]
}

/** All that it had written itself by then, where all of that is held here. */
interface WrittenWord {
  readonly last: Said
  /** For each of its own stretches, in their order. */
  readonly reach: readonly number[]
}

/** A commit that it says it holds, and that is not held here. */
interface NamedCommit {
  readonly feed: string
  readonly seq: number
  readonly head: string
  /** Its words that go beyond what is held here of the feed, the newest first: how far, and when it first said so. */
  readonly steps: readonly { readonly seq: number; readonly first: Said }[]
}

/** Of one device; words newest first. */
export interface Words {
  /** Undefined: it was not heard. */
  readonly newest: Word | undefined
  readonly older: readonly OlderWord[]
  readonly written: readonly WrittenWord[]
  /** By the newest word. */
  readonly named: readonly NamedCommit[]
  /** Stretches that the device wrote. */
  readonly ownStretches: readonly number[]
}

/** The place that an entry names; undefined: it is not held here. */
export type PlaceOf = (entry: ClockEntry) => ChainPlace | undefined

/** @param claims - of the device, the newest first */
export function wordsOf(
  device: string,
  claims: Iterable<Claim>,
  stretches: Stretches,
  placeOf: PlaceOf,
): Words {
  const reading = new Reading(device, stretches, placeOf)
  for (const { claim, feeds } of withDifferences(claims)) reading.take(claim, feeds)
  return reading.words()
}

/** Each claim with the feeds in which it may differ from the one before it in the list; the first with all of its own. */
function* withDifferences(
  claims: Iterable<Claim>,
): Iterable<{ claim: Claim; feeds: Iterable<string> }> {
  let newer: Claim | undefined
  for (const claim of claims) {
    const feeds =
      newer === undefined
        ? claim.feeds()
        : (claim.differsIn ?? new Set([...claim.feeds(), ...newer.feeds()]))
    yield { claim, feeds }
    newer = claim
  }
}

/** Takes the claims of one device in, from the newest on. */
class Reading {
  readonly #device: string
  readonly #stretches: Stretches
  readonly #placeOf: PlaceOf
  readonly #own: readonly number[]
  readonly #ownReach: number[]
  /** Feeds that the claim taken last names, and that may be the device's own: nobody has shown here whose they are. */
  readonly #unknown = new Set<string>()
  /** Own feeds in which it names commits that are not held here. */
  readonly #unchecked = new Set<string>()
  readonly #older: OlderWord[] = []
  readonly #written: WrittenWord[] = []
  #newest: Word | undefined
  #named: (ClockEntry & { steps: { seq: number; first: Said }[] })[] = []
  /** Feeds whose steps have not ended. */
  #ongoing = new Map<string, number>()

  constructor(device: string, stretches: Stretches, placeOf: PlaceOf) {
    this.#device = device
    this.#stretches = stretches
    this.#placeOf = placeOf
    this.#own = stretches.by(device)
    this.#ownReach = this.#own.map((index) => stretches.all[index]!.from - 1)
  }

  take(claim: Claim, feeds: Iterable<string>): void {
    const isNewest = this.#newest === undefined
    const reach = this.#newest?.reach ?? this.#stretches.nothing()
    const beyond = new Set<string>()
    const less: number[] = []
    for (const feed of feeds) {
      const entries = claim.entries(feed)
      const held = this.#stretches.feed(feed)
      if (isNewest && held !== undefined && this.#isAllOf(held, entries)) {
        reach[held.at] = held.chain.segments[0]!.to
        continue
      }
      const named = this.#takeFeed(feed, entries, (index, seq) => {
        if (isNewest) reach[index] = seq
        else if (seq < reach[index]!) less.push(index)
      })
      if (named.length > 0) beyond.add(feed)
      const furthest = Math.max(0, ...named.map(({ seq }) => seq))
      if (isNewest) {
        for (const entry of named) this.#named.push({ ...entry, steps: [] })
        if (furthest > 0) this.#ongoing.set(feed, furthest)
      } else if (this.#ongoing.has(feed)) {
        if (furthest > 0) this.#ongoing.set(feed, furthest)
        else this.#ongoing.delete(feed)
      }
    }
    const { first, last } = claim
    if (isNewest) this.#newest = { first, last, reach, beyond }
    else this.#older.push({ first, less })
    for (const { feed, steps } of this.#named) {
      const seq = this.#ongoing.get(feed)
      if (seq !== undefined) steps.push({ seq, first })
    }
    if (this.#unknown.size === 0 && this.#unchecked.size === 0)
      this.#written.push({ last, reach: this.#ownReach.slice() })
  }

  /** Nearly all feeds are of others, have no fork, and end with the same commit as here. */
  #isAllOf({ author, end }: HeldFeed, entries: readonly ClockEntry[]): boolean {
    const [entry] = entries
    return (
      entries.length === 1 &&
      author !== this.#device &&
      entry!.seq === end?.seq &&
      entry!.head === end.head &&
      entry!.floor === 0
    )
  }

  /** Returns what the entries name that is not held here. */
  #takeFeed(
    feed: string,
    entries: readonly ClockEntry[],
    reaches: (index: number, seq: number) => void,
  ): readonly ClockEntry[] {
    const author = this.#stretches.authorOf(feed)
    toggle(this.#unknown, feed, author === undefined && entries.length > 0)
    const held = this.#stretches.feed(feed)
    const places: ChainPlace[] = []
    const named: ClockEntry[] = []
    for (const entry of entries) {
      const place =
        held === undefined
          ? undefined
          : (this.#stretches.endNamed(held, entry) ?? this.#placeOf(entry))
      if (place === undefined) named.push(entry)
      else places.push(place)
    }
    if (author === this.#device) toggle(this.#unchecked, feed, named.length > 0)
    if (held === undefined) return named
    for (const [segment, seq] of reachOf(held.chain, places).entries()) {
      const index = held.at + segment
      reaches(index, seq)
      if (author === this.#device) this.#ownReach[this.#own.indexOf(index)] = seq
    }
    return named
  }

  words(): Words {
    return {
      newest: this.#newest,
      older: this.#older,
      written: this.#written,
      named: this.#named.map(({ feed, seq, head, steps }) => ({ feed, seq, head, steps })),
      ownStretches: this.#own,
    }
  }
}

function toggle(set: Set<string>, item: string, isIn: boolean): void {
  if (isIn) set.add(item)
  else set.delete(item)
}

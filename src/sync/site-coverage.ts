/**
 * Which site knew what of which other site, and since when: a pure function of what is held here, and of what devices were heard to hold.
 * Never more than their words prove (docs/data-model.md, "Coverage").
 */
import type { Said } from './clock-book.ts'
import type { Stretches } from './stretches.ts'
import type { Words } from './words.ts'

export interface CoverageDevice {
  readonly device: string
  /** Devices of one site have the same. */
  readonly site: string
  /** A member that is not to be wiped: what another one holds counts for nothing. What it wrote counts all the same. */
  readonly counts: boolean
  readonly words: Words
}

export interface CoverageInput {
  readonly stretches: Stretches
  /** All members, this device among them, with a word of now that covers all that is held here; and whoever wrote any of it. */
  readonly devices: readonly CoverageDevice[]
}

/** A commit that is held here. */
export interface HeldPlace {
  /** Index of its stretch. */
  readonly stretch: number
  readonly seq: number
}

/** What a site was last known to hold of what another site wrote. */
export interface SitePair {
  readonly site: string
  /** The site that wrote. */
  readonly of: string
  /** The device of `site` that is known to hold most of it; undefined: none was heard. What follows is of this device. */
  readonly device: string | undefined
  /** Of the other site's commits that are held here: those that it holds, */
  readonly held: number
  /** those that it had not said to hold, */
  readonly lacks: number
  /** and those of which it can't be told, since it knows the feed further than this device. All are 0 where none was heard. */
  readonly unchecked: number
  /** All that the other site's devices had written by then is held by it; undefined: that is not known of one of them. */
  readonly until: Said | undefined
  /** When it was first heard to hold what it holds now. */
  readonly since: Said | undefined
  /** When it was last heard. */
  readonly asOf: Said | undefined
  /** In each stretch that it does not hold to the end, the first commit that it is not known to hold. */
  readonly missing: readonly HeldPlace[]
}

/** In the order of the sites, for those that wrote something that is held here. */
export function sitePairs({ stretches, devices }: CoverageInput): SitePair[] {
  const sites = [...Map.groupBy(devices, ({ site }) => site)]
  const numberOf = new Map(sites.map(([site], number) => [site, number]))
  const siteOf = new Map(devices.map(({ device, site }) => [device, numberOf.get(site)!]))
  const writtenIn = stretches.all.map(({ author }) => siteOf.get(author) ?? -1)
  const stretchesOf = sites.map((): number[] => [])
  for (const [index, site] of writtenIn.entries()) stretchesOf[site]?.push(index)

  const pairs: SitePair[] = []
  for (const [number, [site, members]] of sites.entries()) {
    const best = bestInformed(members, writtenIn, sites.length, stretches)
    for (const [other, [of, authors]] of sites.entries()) {
      const indexes = stretchesOf[other]!
      if (other === number || indexes.length === 0) continue
      const known = best[other]
      pairs.push({ site, of, ...pairOf(known, indexes, authors, stretches) })
    }
  }
  return pairs
}

/** By site, who of these devices holds most of what that site wrote. */
function bestInformed(
  devices: readonly CoverageDevice[],
  writtenIn: readonly number[],
  sites: number,
  { all }: Stretches,
): (CoverageDevice | undefined)[] {
  const best = Array.from({ length: sites }, (): CoverageDevice | undefined => undefined)
  const most = new Float64Array(sites).fill(-1)
  for (const each of devices) {
    const { newest } = each.words
    if (!each.counts || newest === undefined) continue
    const held = new Float64Array(sites)
    for (const [index, site] of writtenIn.entries())
      if (site !== -1) held[site]! += newest.reach[index]! - all[index]!.from + 1
    for (let site = 0; site < sites; site++) {
      const isBetter =
        held[site]! > most[site]! ||
        (held[site] === most[site] && isLater(newest.last, best[site]?.words.newest?.last))
      if (!isBetter) continue
      best[site] = each
      most[site] = held[site]!
    }
  }
  return best
}

function pairOf(
  knower: CoverageDevice | undefined,
  indexes: readonly number[],
  authors: readonly CoverageDevice[],
  { all }: Stretches,
): Omit<SitePair, 'site' | 'of'> {
  const newest = knower?.words.newest
  if (knower === undefined || newest === undefined) {
    const unknown = { until: undefined, since: undefined, asOf: undefined }
    return { device: undefined, held: 0, lacks: 0, unchecked: 0, ...unknown, missing: [] }
  }
  let held = 0
  let lacks = 0
  let unchecked = 0
  const missing: HeldPlace[] = []
  for (const index of indexes) {
    const { feed, from, to } = all[index]!
    const reach = newest.reach[index]!
    held += reach - from + 1
    if (reach === to) continue
    if (newest.beyond.has(feed)) unchecked += to - reach
    else lacks += to - reach
    missing.push({ stretch: index, seq: reach + 1 })
  }
  return {
    device: knower.device,
    held,
    lacks,
    unchecked,
    until: earliest(
      authors.filter(({ counts }) => counts).map((author) => knownUntil(knower, author)),
    ),
    since: held === 0 ? undefined : sinceWhen(knower.words, new Set(indexes)),
    asOf: newest.last,
    missing,
  }
}

/** All that the author had written by then is held by the knower; undefined: nothing is known of that. */
export function knownUntil(knower: CoverageDevice, author: CoverageDevice): Said | undefined {
  const { newest } = knower.words
  if (newest === undefined) return undefined
  const own = author.words.ownStretches
  const word = author.words.written.find(({ reach }) =>
    own.every((stretch, at) => newest.reach[stretch]! >= reach[at]!),
  )
  if (word === undefined) return undefined
  // What it had when it was last heard was written before, whatever the author's clock said.
  return word.last.timeMs <= newest.last.timeMs ? word.last : newest.last
}

function sinceWhen(words: Words, indexes: ReadonlySet<number>): Said {
  let { first } = words.newest!
  for (const { first: earlier, less } of words.older) {
    if (less.some((index) => indexes.has(index))) break
    first = earlier
  }
  return first
}

function isLater(a: Said, b: Said | undefined): boolean {
  return b === undefined || a.timeMs > b.timeMs
}

/** Undefined where one of them is. */
function earliest(times: readonly (Said | undefined)[]): Said | undefined {
  let least: Said | undefined
  for (const time of times) {
    if (time === undefined) return undefined
    if (least === undefined || time.timeMs < least.timeMs) least = time
  }
  return least
}

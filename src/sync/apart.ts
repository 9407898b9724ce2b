/**
 * Groups of sites that have not heard of each other for a while, as far as is known here (docs/data-model.md, "Coverage").
 */
import { loneCommits } from './lone-commits.ts'
import type { CoverageDevice, CoverageInput } from './site-coverage.ts'
import { knownUntil } from './site-coverage.ts'

export interface Group {
  readonly sites: readonly string[]
  /** Nothing that was written later on one side is known to have reached the other; undefined: nothing ever. */
  readonly untilMs: number | undefined
  /** This device is part of it. */
  readonly isOurs: boolean
  /** Commits that nobody outside it is known to hold: at least so many. */
  readonly onlyHere: number
}

/**
 * One group where all sites have heard of each other.
 *
 * @param here - this device
 * @param when.sinceMs - two sites belong together if one has heard what the other wrote until then, or later, directly or through others
 * @param when.untilMs - a word that is from later than this is by a clock that is off, and says nothing
 */
export function groupsApart(
  input: CoverageInput,
  here: string,
  when: { readonly sinceMs: number; readonly untilMs: number },
): Group[] {
  const active = input.devices.filter(({ counts }) => counts)
  const groups = new Groups(new Set(active.map(({ site }) => site)))
  eachCrossing(active, groups, (knower, author) => {
    const untilMs = credibleUntil(knower, author, when.untilMs)
    if (untilMs !== undefined && untilMs >= when.sinceMs) groups.join(knower.site, author.site)
  })
  const last = new Map<string, number>()
  eachCrossing(active, groups, (knower, author) => {
    const untilMs = credibleUntil(knower, author, when.untilMs)
    if (untilMs === undefined) return
    for (const group of [groups.of(knower.site), groups.of(author.site)])
      last.set(group, Math.max(last.get(group) ?? -Infinity, untilMs))
  })
  const own = active.find(({ device }) => device === here)?.site
  const groupOf = ({ site }: CoverageDevice): string => groups.of(site)
  const holders = new Map(active.map((each) => [each.device, groupOf(each)]))
  const only = new Map<string, number>()
  for (const { holder, commits } of loneCommits(input, here, groupOf)) {
    const group = holders.get(holder)
    if (group !== undefined) only.set(group, (only.get(group) ?? 0) + commits)
  }
  return [...groups.all()].map(([group, sites]) => ({
    sites,
    untilMs: last.get(group),
    isOurs: own !== undefined && sites.includes(own),
    onlyHere: only.get(group) ?? 0,
  }))
}

/** Pairs of devices of two groups, as they are when the pair is come to. */
function eachCrossing(
  devices: readonly CoverageDevice[],
  groups: Groups,
  take: (knower: CoverageDevice, author: CoverageDevice) => void,
): void {
  for (const knower of devices) {
    if (knower.words.newest === undefined) continue
    for (const author of devices)
      if (!groups.areJoined(knower.site, author.site)) take(knower, author)
  }
}

function credibleUntil(
  knower: CoverageDevice,
  author: CoverageDevice,
  latestMs: number,
): number | undefined {
  const until = knownUntil(knower, author)
  return until === undefined || until.timeMs > latestMs ? undefined : until.timeMs
}

/** Sites, joined step by step. */
class Groups {
  /** By site; replaced in all its members when two are joined. */
  readonly #groups = new Map<string, { sites: string[] }>()

  constructor(sites: Iterable<string>) {
    for (const site of sites) this.#groups.set(site, { sites: [site] })
  }

  /** Its name: that of one of its sites. */
  of(site: string): string {
    return this.#groups.get(site)!.sites[0]!
  }

  areJoined(a: string, b: string): boolean {
    return a === b || this.#groups.get(a) === this.#groups.get(b)
  }

  join(a: string, b: string): void {
    const joined = { sites: [...this.#groups.get(a)!.sites, ...this.#groups.get(b)!.sites] }
    for (const site of joined.sites) this.#groups.set(site, joined)
  }

  all(): Map<string, string[]> {
    return new Map([...new Set(this.#groups.values())].map(({ sites }) => [sites[0]!, sites]))
  }
}

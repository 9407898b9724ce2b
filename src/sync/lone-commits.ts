/**
 * Which commits only one device, or only one site, is known to hold: what would be lost with it (docs/data-model.md, "Coverage").
 *
 * What is held here is held by this device, so that of these it can only be this one, or its site. Of other devices' it is what they say
 * to hold and nobody else does.
 */
import type { CoverageDevice, CoverageInput, HeldPlace } from './site-coverage.ts'

/** Commits of one feed, one after the other. */
export interface LoneCommits {
  readonly feed: string
  /** Who wrote them; undefined: nobody has shown here. */
  readonly author: string | undefined
  /** At least so many. */
  readonly commits: number
  /** Who holds the oldest of them; of a site, one of those that do. */
  readonly holder: string
  /** The oldest of them; undefined: it is not held here. */
  readonly oldest: HeldPlace | undefined
  /** Of what is not held here: when its holder first said that it has it. It may be older. */
  readonly namedMs: number | undefined
}

type GroupOf = (device: CoverageDevice) => string

/** What only one device is known to hold. */
export function onOneDevice(input: CoverageInput, here: string): LoneCommits[] {
  return loneCommits(input, here, ({ device }) => device)
}

/** What only the devices of one site are known to hold. */
export function atOneSite(input: CoverageInput, here: string): LoneCommits[] {
  return loneCommits(input, here, ({ site }) => site)
}

/** What only the devices of one group are known to hold. */
export function loneCommits(input: CoverageInput, here: string, groupOf: GroupOf): LoneCommits[] {
  return [...heldAlone(input, here, groupOf), ...namedAlone(input, groupOf)]
}

function heldAlone(
  { stretches, devices }: CoverageInput,
  here: string,
  groupOf: GroupOf,
): LoneCommits[] {
  const active = devices.filter(({ counts }) => counts)
  const groups = [...new Set(active.map(groupOf))]
  const groupNumbers = new Map(groups.map((group, number) => [group, number]))
  const numbers = active.map((each) => groupNumbers.get(groupOf(each))!)
  const alone: LoneCommits[] = []
  for (const [stretch, { feed, author, from, to }] of stretches.all.entries()) {
    const reach = active.map(({ words }) => words.newest?.reach[stretch] ?? from - 1)
    const ofGroups = new Float64Array(groups.length).fill(from - 1)
    for (const [index, group] of numbers.entries())
      ofGroups[group] = Math.max(ofGroups[group]!, reach[index]!)
    const [first, second] = twoGreatest(ofGroups, from - 1)
    const add = (seq: number, end: number, holder: string): void => {
      const oldest = { stretch, seq }
      alone.push({ feed, author, commits: end - seq + 1, holder, oldest, namedMs: undefined })
    }
    if (first > second) {
      const holders = active.filter((_, index) => reach[index]! > second)
      // Of several, this device: a person can go to it.
      const holder = holders.find(({ device }) => device === here) ?? holders[0]!
      add(second + 1, first, holder.device)
    }
    // Held by this device, which is about to be wiped.
    if (first < to) add(first + 1, to, here)
  }
  return alone
}

function twoGreatest(numbers: Iterable<number>, least: number): [number, number] {
  let first = least
  let second = least
  for (const number of numbers) {
    if (number > first) [first, second] = [number, first]
    else if (number > second) second = number
  }
  return [first, second]
}

interface Naming {
  readonly by: CoverageDevice
  readonly seq: number
  readonly head: string
  readonly steps: CoverageDevice['words']['named'][number]['steps']
}

function namedAlone({ stretches, devices }: CoverageInput, groupOf: GroupOf): LoneCommits[] {
  const namings = new Map<string, Naming[]>()
  for (const by of devices) {
    if (!by.counts) continue
    for (const { feed, seq, head, steps } of by.words.named) {
      const ofFeed = namings.get(feed) ?? []
      namings.set(feed, ofFeed)
      ofFeed.push({ by, seq, head, steps })
    }
  }
  const alone: LoneCommits[] = []
  for (const [feed, ofFeed] of namings) {
    const held = stretches.feed(feed)?.chain.seq ?? 0
    for (const naming of ofFeed) {
      const group = groupOf(naming.by)
      const others = ofFeed.filter(({ by }) => groupOf(by) !== group)
      // Who has the same, or knows the feed further, may hold it as well.
      if (others.some(({ seq, head }) => seq > naming.seq || isSame({ seq, head }, naming)))
        continue
      if (isRepeated(naming, ofFeed, groupOf)) continue
      const shared = Math.max(held, ...others.map(({ seq }) => seq))
      const first = naming.steps.findLast(({ seq }) => seq > shared) ?? naming.steps[0]
      alone.push({
        feed,
        author: stretches.authorOf(feed),
        commits: Math.max(1, naming.seq - shared),
        holder: naming.by.device,
        oldest: undefined,
        namedMs: first?.first.timeMs,
      })
    }
  }
  return alone
}

function isSame(a: { seq: number; head: string }, b: { seq: number; head: string }): boolean {
  return a.seq === b.seq && a.head === b.head
}

/** Another device of the group says the same, or more, of the feed: it is counted with that one. */
function isRepeated(naming: Naming, ofFeed: readonly Naming[], groupOf: GroupOf): boolean {
  return ofFeed.some(
    (other) =>
      other !== naming &&
      groupOf(other.by) === groupOf(naming.by) &&
      (other.seq > naming.seq || (isSame(other, naming) && other.by.device < naming.by.device)),
  )
}

/** Coverage against the same, worked out with sets of commits. */
import { fc, test } from '@fast-check/vitest'
import { describe, expect } from 'vitest'

import { clockDigest, clockOf } from '../../src/feed/vector-clock.ts'
import { groupsApart } from '../../src/sync/apart.ts'
import type { Claim, Said } from '../../src/sync/clock-book.ts'
import { atOneSite, onOneDevice } from '../../src/sync/lone-commits.ts'
import { sitePairs } from '../../src/sync/site-coverage.ts'
import { ancestors, CoverageWorld } from './support/coverage-world.ts'
import type { Act, WorldCommit } from './support/coverage-world.ts'

const index = fc.nat(7)
const anyAct: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('write'), device: index, lane: fc.nat(1) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('meet'),
      one: index,
      other: index,
      share: fc.nat(5),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('announce'), device: index }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('restore'), device: index, keep: fc.nat(30) }),
  },
)
const anyWorld = fc
  .record({
    sites: fc.array(fc.constantFrom('north', 'south', 'east', 'server'), {
      minLength: 2,
      maxLength: 6,
      size: 'max',
    }),
    gone: fc.oneof(
      { weight: 3, arbitrary: fc.constant([]) },
      { weight: 1, arbitrary: fc.array(index, { maxLength: 2 }) },
    ),
    acts: fc.array(anyAct, { minLength: 4, maxLength: 60, size: 'max' }),
  })
  .map(({ sites, gone, acts }) => {
    const world = new CoverageWorld(sites, gone)
    for (const act of acts) world.perform(act)
    return world
  })

/** The same knowledge, as sets. */
class Oracle {
  readonly world: CoverageWorld
  readonly here: ReadonlySet<WorldCommit>
  readonly active: readonly string[]
  readonly #siteOf: ReadonlyMap<string, string>

  constructor(world: CoverageWorld) {
    this.world = world
    this.here = world.held.get(world.here)!
    this.active = world.names.filter((name) => !world.gone.has(name))
    this.#siteOf = new Map(world.names.map((name, at) => [name, world.sites[at]!]))
  }

  site(device: string): string {
    return this.#siteOf.get(device)!
  }

  entries(claim: Claim) {
    return [...claim.feeds()].flatMap((feed) => claim.entries(feed))
  }

  tip({ feed, seq, head }: { feed: string; seq: number; head: string }): WorldCommit | undefined {
    return [...this.here].find(
      (commit) => commit.feed === feed && commit.seq === seq && commit.id.startsWith(head),
    )
  }

  covers(claim: Claim | undefined): Set<WorldCommit> {
    if (claim === undefined) return new Set()
    return new Set(
      this.entries(claim).flatMap((entry) => {
        const tip = this.tip(entry)
        return tip === undefined ? [] : ancestors(tip)
      }),
    )
  }

  newest(device: string): Claim | undefined {
    return this.world.claimsOf(device)[0]
  }

  /** Entries of a device that are not held here. */
  named(device: string) {
    const claim = this.newest(device)
    return claim === undefined ? [] : this.entries(claim).filter((entry) => !this.tip(entry))
  }

  until(knower: string, author: string): Said | undefined {
    const known = this.newest(knower)
    if (known === undefined) return undefined
    const covered = this.covers(known)
    const authors = new Map([...this.here].map((commit) => [commit.feed, commit.author]))
    for (const claim of this.world.claimsOf(author)) {
      const own = this.entries(claim).filter((e) => (authors.get(e.feed) ?? author) === author)
      const tips = own.map((entry) => this.tip(entry))
      if (tips.every((tip) => tip !== undefined && covered.has(tip)))
        return claim.last.timeMs <= known.last.timeMs ? claim.last : known.last
    }
    return undefined
  }

  holders(commit: WorldCommit): string[] {
    return this.active.filter((device) => this.covers(this.newest(device)).has(commit))
  }
}

const timesOf = (said: readonly (Said | undefined)[]) => said.map((each) => each?.timeMs)

describe('what sites know of each other', () => {
  test.prop([anyWorld], { numRuns: 400 })('is what sets of commits say', (world) => {
    const oracle = new Oracle(world)
    const pairs = sitePairs(world.input())
    const sites = [...new Set(world.sites)]
    const expected: unknown[] = []
    for (const site of sites)
      for (const of of sites) {
        const written = [...oracle.here].filter(({ author }) => oracle.site(author) === of)
        if (site === of || written.length === 0) continue
        const known = oracle.active
          .filter((device) => oracle.site(device) === site && oracle.newest(device) !== undefined)
          .map((device) => {
            const claim = oracle.newest(device)!
            const covered = oracle.covers(claim)
            return { device, claim, held: written.filter((commit) => covered.has(commit)) }
          })
        // The first of those that hold most and were heard last.
        const [best] = known.toSorted(
          (a, b) => b.held.length - a.held.length || b.claim.last.timeMs - a.claim.last.timeMs,
        )
        if (best === undefined) {
          expected.push([site, of, undefined, 0, 0, 0, undefined, undefined, undefined, 0])
          continue
        }
        const beyond = new Set(oracle.named(best.device).map(({ feed }) => feed))
        const rest = written.filter((commit) => !best.held.includes(commit))
        const unchecked = rest.filter(({ feed }) => beyond.has(feed)).length
        const untils = oracle.active
          .filter((device) => oracle.site(device) === of)
          .map((author) => oracle.until(best.device, author))
        const until = untils.includes(undefined)
          ? undefined
          : untils.toSorted((a, b) => a!.timeMs - b!.timeMs)[0]
        let since: Said | undefined
        for (const claim of world.claimsOf(best.device)) {
          const covered = oracle.covers(claim)
          if (best.held.length === 0 || !best.held.every((commit) => covered.has(commit))) break
          since = claim.first
        }
        const lacks = rest.length - unchecked
        const times = timesOf([until, since, best.claim.last])
        expected.push([
          site,
          of,
          best.device,
          best.held.length,
          lacks,
          unchecked,
          ...times,
          rest.length,
        ])
      }
    expect(
      pairs.map(({ site, of, device, held, lacks, unchecked, until, since, asOf, missing }) => [
        site,
        of,
        device,
        held,
        lacks,
        unchecked,
        ...timesOf([until, since, asOf]),
        new Set(missing.flatMap((place) => world.commitsFrom(world.input(), place))).size,
      ]),
    ).toEqual(expected)
  })

  test.prop([anyWorld], { numRuns: 400 })('is never more than is true', (world) => {
    const input = world.input()
    for (const { device, words } of input.devices) {
      if (words.newest === undefined || device === world.here) continue
      const [claim] = world.claimsOf(device)
      const clock = clockOf([...claim!.feeds()].flatMap((feed) => claim!.entries(feed)))
      const truth = world.truth.get(`${device}/${clockDigest(clock)}`)!
      for (const [stretch, { from }] of input.stretches.all.entries()) {
        const reach = words.newest.reach[stretch]!
        const covered = world
          .commitsFrom(input, { stretch, seq: from })
          .filter(({ seq }) => seq <= reach)
        for (const commit of covered) expect(truth.has(commit)).toBe(true)
      }
    }
    for (const { site, of, device, until, asOf } of sitePairs(input)) {
      expect(site).not.toBe(of)
      if (device === undefined || until === undefined) continue
      expect(until.timeMs).toBeLessThanOrEqual(asOf!.timeMs)
      const authors = world.names.filter(
        (name, at) => world.sites[at] === of && !world.gone.has(name) && !world.restored.has(name),
      )
      if (device === world.here || world.restored.has(device)) continue
      const [claim] = world.claimsOf(device)
      const clock = clockOf([...claim!.feeds()].flatMap((feed) => claim!.entries(feed)))
      const truth = world.truth.get(`${device}/${clockDigest(clock)}`)!
      for (const author of authors)
        for (const commit of world.held.get(author)!)
          if (commit.author === author && commit.madeMs <= until.timeMs)
            expect(truth.has(commit)).toBe(true)
    }
  })
})

describe('what only one is known to hold', () => {
  const kinds = [
    { name: 'device', lone: onOneDevice, groupOf: (_: Oracle, device: string) => device },
    { name: 'site', lone: atOneSite, groupOf: (o: Oracle, device: string) => o.site(device) },
  ]
  for (const { name, lone, groupOf } of kinds)
    test.prop([anyWorld], { numRuns: 300 })(`of what is held here: by ${name}`, (world) => {
      const oracle = new Oracle(world)
      const input = world.input()
      const found = lone(input, world.here)
        .flatMap(({ oldest, holder, author, commits }) =>
          oldest === undefined
            ? []
            : world
                .commitsFrom(input, oldest)
                .filter(({ seq }) => seq < oldest.seq + commits)
                .map((commit) => ({ commit, holder, author, oldest })),
        )
        .toSorted((a, b) => (a.commit.id < b.commit.id ? -1 : 1))
      const expected = [...oracle.here]
        .filter((commit) => {
          const groups = new Set(oracle.holders(commit).map((each) => groupOf(oracle, each)))
          return groups.size <= 1
        })
        .toSorted((a, b) => (a.id < b.id ? -1 : 1))
      expect(found.map(({ commit }) => commit)).toEqual(expected)
      for (const { commit, holder, author, oldest } of found) {
        expect(author).toBe(commit.author)
        if (commit.seq !== oldest.seq) continue
        const holders = oracle.holders(commit)
        expect(holders.length === 0 ? [world.here] : holders).toContain(holder)
      }
    })

  for (const { name, lone, groupOf } of kinds)
    test.prop([anyWorld], { numRuns: 400 })(`of what is not here: by ${name}`, (world) => {
      const oracle = new Oracle(world)
      const found = lone(world.input(), world.here).filter(({ oldest }) => oldest === undefined)
      const namings = oracle.active.flatMap((device) =>
        oracle.named(device).map((entry) => ({ device, group: groupOf(oracle, device), ...entry })),
      )
      const expected = namings.filter(
        ({ feed, seq, head, group }) =>
          !namings.some(
            (other) =>
              other.feed === feed &&
              (other.seq > seq ||
                (other.seq === seq && other.head === head && other.group !== group)),
          ),
      )
      const tips = new Set(
        expected.map(({ feed, seq, head, group }) => [feed, seq, head, group].join()),
      )
      expect(
        found.map(({ feed, holder }) => `${feed} ${groupOf(oracle, holder)}`).toSorted(),
      ).toEqual(
        [...tips]
          .map((tip) => tip.split(','))
          .map(([feed, , , group]) => `${feed} ${group}`)
          .toSorted(),
      )
      for (const { feed, holder, commits, namedMs } of found) {
        const here = Math.max(
          0,
          ...[...oracle.here].filter((c) => c.feed === feed).map((c) => c.seq),
        )
        const inFeed = namings.filter((entry) => entry.feed === feed)
        const top = Math.max(...inFeed.map(({ seq }) => seq))
        const others = inFeed
          .filter(({ group }) => group !== groupOf(oracle, holder))
          .map(({ seq }) => seq)
        expect(commits).toBe(Math.max(1, top - Math.max(here, ...others)))
        // When it was first heard that the holder has one of them.
        const said = world.claimsOf(holder).map((claim) => ({
          ms: claim.first.timeMs,
          seq: Math.max(
            0,
            ...claim
              .entries(feed)
              .filter((entry) => !oracle.tip(entry))
              .map(({ seq }) => seq),
          ),
        }))
        const ended = said.findIndex(({ seq }) => seq === 0)
        const going = said.slice(0, ended === -1 ? undefined : ended)
        const first = going.findLast(({ seq }) => seq > Math.max(here, ...others)) ?? going[0]
        expect(namedMs).toBe(first!.ms)
      }
    })
})

describe('groups that have not heard of each other', () => {
  test.prop([anyWorld, fc.integer({ min: 900, max: 2_000 })], { numRuns: 300 })(
    'are what is left when all pairs that have are joined',
    (world, sinceMs) => {
      const oracle = new Oracle(world)
      const when = { sinceMs, untilMs: world.nowMs }
      const groups = groupsApart(world.input(), world.here, when)
      const sites = [...new Set(oracle.active.map((device) => oracle.site(device)))]
      const times = new Map<string, number>()
      const linked = new Set(sites.map((site) => `${site}/${site}`))
      for (const a of oracle.active)
        for (const b of oracle.active) {
          const pair = `${oracle.site(a)}/${oracle.site(b)}`
          const back = `${oracle.site(b)}/${oracle.site(a)}`
          const until = oracle.until(a, b)?.timeMs
          if (until === undefined) continue
          for (const each of [pair, back]) {
            times.set(each, Math.max(times.get(each) ?? -Infinity, until))
            if (until >= sinceMs) linked.add(each)
          }
        }
      for (const via of sites)
        for (const a of sites)
          for (const b of sites)
            if (linked.has(`${a}/${via}`) && linked.has(`${via}/${b}`)) linked.add(`${a}/${b}`)
      const expected = sites.map((site) => sites.filter((other) => linked.has(`${site}/${other}`)))
      expect(groups.map((group) => group.sites.toSorted().join()).toSorted()).toEqual(
        [...new Set(expected.map((group) => group.toSorted().join()))].toSorted(),
      )
      for (const { sites: inside, untilMs, isOurs, onlyHere } of groups) {
        const across = inside.flatMap((a) =>
          sites.filter((b) => !inside.includes(b)).flatMap((b) => times.get(`${a}/${b}`) ?? []),
        )
        expect(untilMs).toBe(across.length === 0 ? undefined : Math.max(...across))
        expect(isOurs).toBe(
          oracle.active.includes(world.here) && inside.includes(oracle.site(world.here)),
        )
        const ours = [...oracle.here].filter((commit) => {
          const holders = oracle.holders(commit).map((device) => oracle.site(device))
          return holders.length > 0 && holders.every((site) => inside.includes(site))
        })
        expect(onlyHere).toBeGreaterThanOrEqual(ours.length)
        const isNaming = (isInside: boolean) =>
          oracle.active.some(
            (each) =>
              inside.includes(oracle.site(each)) === isInside && oracle.named(each).length > 0,
          )
        if (!isNaming(true)) expect(onlyHere).toBe(ours.length)
        else if (!isOurs && !isNaming(false)) expect(onlyHere).toBeGreaterThan(0)
      }
    },
  )
})

/**
 * The coordinator's view: which site knew what of which other site, and since when; what only one device, or one site, is known to hold; and
 * which sites are cut off. From clocks alone, without reading a record (docs/data-model.md, "Coverage").
 */
import { setImmediate as nextTurn } from 'node:timers/promises'

import { bytesToHex } from '../core/bytes.ts'
import { HavenError } from '../core/errors.ts'
import { visiblyOffMs } from '../core/hybrid-time.ts'
import type { ChainPlace } from '../feed/coverage.ts'
import type { ClockEntry } from '../feed/vector-clock.ts'
import { groupsApart } from '../sync/apart.ts'
import type { Claim, Said } from '../sync/clock-book.ts'
import { atOneSite, onOneDevice } from '../sync/lone-commits.ts'
import { sitePairs } from '../sync/site-coverage.ts'
import type { CoverageDevice, CoverageInput, SitePair } from '../sync/site-coverage.ts'
import { Stretches } from '../sync/stretches.ts'
import { wordsOf } from '../sync/words.ts'
import type { Coverage, CoverageOptions, CoveragePair, CoverageSite, DeviceInfo } from './api.ts'
import { ClaimCheck } from './claim-check.ts'
import { CommitDays, oldestOf } from './commit-days.ts'
import type { MeshRuntime } from './mesh-runtime.ts'
import { rfc3339 } from './system.ts'

const dayMs = 24 * 60 * 60 * 1000
/** All pairs of 50 sites. Of more, the worst. */
const pairsMax = 2_500
/** Devices whose words are checked before others get a turn. */
const devicesInATurn = 16

/** @throws HavenError `USAGE`, `NOT_FOUND` where there is no such site */
export async function coverage(
  runtime: MeshRuntime,
  { from, apartMs = dayMs }: CoverageOptions = {},
): Promise<Coverage> {
  if (!Number.isFinite(apartMs) || apartMs < 0)
    throw new HavenError('USAGE', 'Say how long sites may be without news of each other: 1d.')
  const moment = await runtime.atRest(() => momentOf(runtime))
  const of = from === undefined ? undefined : siteCalled(moment, from)
  const input = await inputOf(runtime, moment)
  return new CoverageAnswer(runtime, moment, input).answer(of, apartMs)
}

interface Participant {
  readonly info: DeviceInfo
  /** Of {@link CoverageSite}. */
  readonly site: string
  readonly siteName: string | null
  readonly state: 'member' | 'retiring' | 'removed'
  readonly claims: readonly Claim[]
}

/** What is held, heard and known, all of one moment. */
interface Moment {
  readonly nowMs: number
  readonly here: string
  readonly stretches: Stretches
  readonly participants: ReadonlyMap<string, Participant>
}

function momentOf(runtime: MeshRuntime): Moment {
  const { control, replica, clock } = runtime
  const nowMs = clock.nowMs()
  const authorOf = (feed: string): string | undefined => {
    const descriptor = replica.descriptor(feed)
    return descriptor === undefined ? undefined : bytesToHex(descriptor.device)
  }
  const stretches = new Stretches([...replica.chains()], authorOf)
  const members = control.membership.members().map(({ device }) => device)
  const authors = stretches.all.map(({ author }) => author)
  const participants = new Map<string, Participant>()
  for (const device of new Set([...members, ...authors]))
    participants.set(device, participantOf(runtime, device, nowMs))
  return { nowMs, here: control.device, stretches, participants }
}

function participantOf(runtime: MeshRuntime, device: string, nowMs: number): Participant {
  const { control, peers } = runtime
  const info = peers.info(device)
  const name = info.role === 'server' ? null : control.siteOf(device)
  const isMember = control.membership.member(device) !== undefined
  const active = control.membership.isRetiring(device) ? 'retiring' : 'member'
  return {
    info,
    site: name === null ? `device/${device}` : `site/${name}`,
    siteName: name,
    state: isMember ? active : 'removed',
    claims: isMember ? claimsOf(runtime, device, nowMs) : [],
  }
}

function claimsOf(runtime: MeshRuntime, device: string, nowMs: number): Claim[] {
  const { control, driver, replica } = runtime
  const claims = [...driver.engine.claims(device)]
  const now: Said = { timeMs: nowMs, direct: true }
  if (device === control.device) {
    const clock = new Map(replica.clock)
    const entries = (feed: string): readonly ClockEntry[] => clock.get(feed) ?? []
    return [{ first: now, last: now, feeds: () => clock.keys(), entries }, ...claims]
  }
  const [newest] = claims
  // While we talk, it says at once what it takes in.
  if (newest !== undefined && driver.engine.sessionWith(device)?.theirs !== undefined)
    claims[0] = { ...newest, last: now }
  return claims
}

function siteCalled({ participants }: Moment, called: string): string {
  for (const { site, siteName, info } of participants.values())
    if (siteName === called || (siteName === null && info.name === called)) return site
  const found = [...participants.values()].find(({ info }) => info.id.startsWith(called))
  if (called !== '' && found !== undefined) return found.site
  throw new HavenError(
    'NOT_FOUND',
    'This device knows of no such site. haven coverage lists those that it has heard of.',
  )
}

async function inputOf(runtime: MeshRuntime, moment: Moment): Promise<CoverageInput> {
  const { stretches, participants } = moment
  const check = new ClaimCheck(runtime)
  const places = new Map<string, ChainPlace | undefined>()
  const devices: CoverageDevice[] = []
  for (const [device, { claims, site, state }] of participants) {
    const unknown = new Map<string, ClockEntry>()
    const read = () =>
      wordsOf(device, claims, stretches, (entry) => {
        const key = keyOf(entry)
        if (!places.has(key)) unknown.set(key, entry)
        return places.get(key)
      })
    let words = read()
    if (unknown.size > 0) {
      for (const [key, entry] of unknown) places.set(key, await check.place(entry))
      words = read()
    }
    devices.push({ device, site, counts: state === 'member', words })
    if (devices.length % devicesInATurn === 0) await nextTurn()
  }
  return { stretches, devices }
}

function keyOf({ feed, seq, head }: ClockEntry): string {
  return `${feed}/${seq}/${head}`
}

class CoverageAnswer {
  readonly #runtime: MeshRuntime
  readonly #moment: Moment
  readonly #input: CoverageInput
  readonly #days: CommitDays

  constructor(runtime: MeshRuntime, moment: Moment, input: CoverageInput) {
    this.#runtime = runtime
    this.#moment = moment
    this.#input = input
    this.#days = new CommitDays(runtime.store, moment.stretches)
  }

  async answer(of: string | undefined, apartMs: number): Promise<Coverage> {
    const { nowMs, here } = this.#moment
    const all = sitePairs(this.#input).filter((pair) => of === undefined || pair.of === of)
    await nextTurn()
    const untilMs = nowMs + visiblyOffMs
    const groups = groupsApart(this.#input, here, { sinceMs: nowMs - apartMs, untilMs })
    await nextTurn()
    const sites = await this.#sites()
    const commits = new Map(sites.map((site) => [site.id, site.commits]))
    const shown = all.toSorted(worstFirst).slice(0, pairsMax)
    const pairs: CoveragePair[] = []
    for (const pair of shown) pairs.push(await this.#pair(pair, commits.get(pair.of)!))
    return {
      version: 1,
      time: rfc3339(nowMs),
      device: this.#participant(here).info,
      site: this.#participant(here).site,
      apartMs,
      sites,
      pairs,
      pairsLeftOut: all.length - pairs.length,
      groups:
        groups.length < 2
          ? []
          : groups.map((group) => ({
              sites: [...group.sites],
              ours: group.isOurs,
              until: group.untilMs === undefined ? null : rfc3339(group.untilMs),
              onlyHere: group.onlyHere,
            })),
    }
  }

  async #sites(): Promise<CoverageSite[]> {
    const { here } = this.#moment
    const oneDevice = this.#bySite(onOneDevice(this.#input, here))
    const oneSite = this.#bySite(atOneSite(this.#input, here))
    const commits = this.#commitsBySite()
    const notHere = this.#notHereBySite()
    const bySite = Map.groupBy(this.#input.devices, ({ site }) => site)
    const sites: CoverageSite[] = []
    for (const [id, ofSite] of bySite) {
      const first = this.#participant(ofSite[0]!.device)
      const isNamed = first.siteName !== null
      const heard = ofSite.flatMap(({ words }) => words.newest?.last.timeMs ?? [])
      sites.push({
        id,
        kind: isNamed ? 'site' : first.info.role === 'server' ? 'server' : 'device',
        name: isNamed ? first.siteName : first.info.name,
        devices: ofSite.map(({ device, words }) => ({
          device: this.#participant(device).info,
          state: this.#participant(device).state,
          heard: timeOf(words.newest?.last),
        })),
        heard: heard.length === 0 ? null : rfc3339(Math.max(...heard)),
        commits: commits.get(id) ?? 0,
        notHere: notHere.get(id) ?? 0,
        oneDevice: await this.#risk(oneDevice.get(id)),
        oneSite: await this.#risk(oneSite.get(id)),
      })
    }
    return sites.toSorted(bySiteName)
  }

  /** By the site that wrote it; where nobody has shown who did, by that of who has it. */
  #bySite(alone: ReturnType<typeof onOneDevice>): Map<string, ReturnType<typeof onOneDevice>> {
    return Map.groupBy(alone, ({ author, holder }) => this.#participant(author ?? holder).site)
  }

  async #risk(
    alone: ReturnType<typeof onOneDevice> | undefined,
  ): Promise<CoverageSite['oneDevice']> {
    if (alone === undefined) return null
    const oldest = await oldestOf(alone, this.#days)
    const holder = this.#participant(oldest.holder)
    return {
      commits: alone.reduce((sum, { commits }) => sum + commits, 0),
      holder: holder.info,
      site: holder.site,
      day: oldest.day ?? null,
      named: oldest.namedMs === undefined ? null : rfc3339(oldest.namedMs),
    }
  }

  #commitsBySite(): Map<string, number> {
    const commits = new Map<string, number>()
    for (const { author, from, to } of this.#moment.stretches.all) {
      const { site } = this.#participant(author)
      commits.set(site, (commits.get(site) ?? 0) + to - from + 1)
    }
    return commits
  }

  #notHereBySite(): Map<string, number> {
    const { stretches } = this.#moment
    const furthest = new Map<string, number>()
    for (const { words } of this.#input.devices)
      for (const { feed, seq } of words.named)
        furthest.set(feed, Math.max(furthest.get(feed) ?? 0, seq))
    const bySite = new Map<string, number>()
    for (const [feed, seq] of furthest) {
      const author = this.#moment.participants.get(stretches.authorOf(feed) ?? '')
      if (author === undefined) continue
      const lacking = Math.max(1, seq - (stretches.feed(feed)?.chain.seq ?? 0))
      bySite.set(author.site, (bySite.get(author.site) ?? 0) + lacking)
    }
    return bySite
  }

  async #pair(pair: SitePair, commits: number): Promise<CoveragePair> {
    const { site, of, device, held, lacks, unchecked, until, since, asOf, missing } = pair
    if (device === undefined) {
      const unknown = { held: null, lacks: null, unchecked: null, missingDay: null }
      const times = { until: null, since: null, asOf: null, direct: false, clockOff: false }
      return { site, of, state: 'unheard', device: null, commits, ...unknown, ...times }
    }
    const days = await Promise.all(missing.map((place) => this.#days.dayOf(place)))
    const known = days.filter((day) => day !== undefined).toSorted()
    return {
      site,
      of,
      state: stateOf(pair),
      device: this.#participant(device).info,
      commits,
      held,
      lacks,
      unchecked,
      missingDay: known[0] ?? null,
      until: timeOf(until),
      since: timeOf(since),
      asOf: timeOf(asOf),
      direct: asOf?.direct === true,
      clockOff: [until, since, asOf].some((said) => this.#isOff(said)),
    }
  }

  #isOff(said: Said | undefined): boolean {
    if (said === undefined || said.direct) return false
    return said.timeMs > this.#moment.nowMs + visiblyOffMs
  }

  #participant(device: string): Participant {
    const { participants, nowMs } = this.#moment
    return participants.get(device) ?? participantOf(this.#runtime, device, nowMs)
  }
}

function stateOf({ lacks, unchecked }: SitePair): CoveragePair['state'] {
  if (lacks > 0) return 'lacks'
  return unchecked > 0 ? 'unchecked' : 'all'
}

/** First who is known to lack most and longest; then who was not heard; then who holds all, the oldest word first. */
function worstFirst(a: SitePair, b: SitePair): number {
  const [rankA, rankB] = [rankOf(a), rankOf(b)]
  if (rankA !== rankB) return rankA - rankB
  if (rankA === 0)
    return (
      (a.until?.timeMs ?? 0) - (b.until?.timeMs ?? 0) ||
      b.lacks + b.unchecked - a.lacks - a.unchecked
    )
  return (a.asOf?.timeMs ?? 0) - (b.asOf?.timeMs ?? 0)
}

function rankOf({ device, lacks, unchecked }: SitePair): number {
  if (device === undefined) return 1
  return lacks + unchecked > 0 ? 0 : 2
}

/** Sites by name, then devices, then servers; what has no name comes last. */
function bySiteName(a: CoverageSite, b: CoverageSite): number {
  const order = ['site', 'device', 'server']
  const kinds = order.indexOf(a.kind) - order.indexOf(b.kind)
  if (kinds !== 0) return kinds
  if ((a.name === null) !== (b.name === null)) return a.name === null ? 1 : -1
  const [one, other] = [a.name ?? a.id, b.name ?? b.id]
  return one < other ? -1 : Number(one > other)
}

function timeOf(said: Said | undefined): string | null {
  return said === undefined ? null : rfc3339(said.timeMs)
}

import type { Coverage, CoveragePair, CoverageRisk, CoverageSite } from '../device/api.ts'
import { countText, durationText } from './amounts.ts'
import { table, truncated, widthOf } from './cells.ts'
import { nameOf } from './event-text.ts'
import { momentText, timeText } from './moment-text.ts'
import { printable } from './printable.ts'

/** Of those that lack something, so many are named. */
const namedPairs = 12
/** A taller matrix is no overview. */
const matrixRows = 40
const nameWidth = 20

/**
 * `haven coverage` for people: as a matrix where that fits into the terminal; then who lacks what, what would be lost with one device or one
 * site, and who is cut off.
 */
export function coverageText(coverage: Coverage, nowMs: number, columns: number): string {
  const { device, sites, pairs } = coverage
  const names = new Map(sites.map((site) => [site.id, siteName(site)]))
  const name = (site: string): string => names.get(site) ?? site
  return [
    `What each site is known to hold of what the others wrote, as heard by ${nameOf(device)} (${name(coverage.site)})`,
    ...matrixLines(coverage, name, nowMs, columns),
    '',
    ...behindLines(pairs, name, nowMs),
    ...riskLines('Known on one device only', sites, 'oneDevice', name, nowMs),
    ...riskLines('Known at one site only', sites, 'oneSite', name, nowMs),
    ...groupLines(coverage, name, nowMs),
    ...unknownLines(sites),
  ]
    .slice(0, -1)
    .join('\n')
}

type NameOf = (site: string) => string

function siteName({ kind, name, devices }: CoverageSite): string {
  if (kind === 'site') return printable(name ?? '')
  const called = nameOf({ name, id: devices[0]!.device.id })
  return kind === 'server' ? `server ${called}` : called
}

/** Nothing where it does not fit. */
function matrixLines(
  { sites, pairs, pairsLeftOut }: Coverage,
  name: NameOf,
  nowMs: number,
  columns: number,
): string[] {
  const writers = sites.filter(({ id }) => pairs.some(({ of }) => of === id))
  const knowers = sites.filter(({ id }) => pairs.some(({ site }) => site === id))
  if (pairsLeftOut > 0 || writers.length === 0 || knowers.length > matrixRows) return []
  const short = (site: CoverageSite): string => truncated(name(site.id), nameWidth)
  const byPlace = new Map(pairs.map((pair) => [`${pair.site}\n${pair.of}`, pair]))
  const rows = knowers.map((knower) => [
    short(knower),
    ...writers.map((writer) => cellText(byPlace.get(`${knower.id}\n${writer.id}`), nowMs)),
  ])
  const lines = table([['holds of:', ...writers.map(short)], ...rows]).split('\n')
  return lines.some((line) => widthOf(line) > columns) ? [] : ['', ...lines]
}

function cellText(pair: CoveragePair | undefined, nowMs: number): string {
  if (pair === undefined) return '-'
  const { state, lacks, unchecked, asOf } = pair
  if (asOf === null) return 'not heard'
  const amount = { all: 'all', lacks: `lacks ${lacks}`, unchecked: `? ${unchecked}`, unheard: '' }
  return `${amount[state]}, ${ageText(asOf, nowMs)}`
}

/** `now`, `5 min`, `3 h`, `12 d`. */
function ageText(time: string, nowMs: number): string {
  const minutes = Math.floor(Math.max(0, nowMs - Date.parse(time)) / 60_000)
  if (minutes === 0) return 'now'
  if (minutes < 60) return `${minutes} min`
  return minutes < 24 * 60 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 1_440)} d`
}

function behindLines(pairs: readonly CoveragePair[], name: NameOf, nowMs: number): string[] {
  const behind = pairs.filter(({ state }) => state === 'lacks' || state === 'unchecked')
  if (behind.length === 0) {
    const heard = pairs.filter(({ state }) => state === 'all')
    if (heard.length === 0) return ['No other site has said yet what it holds.', '']
    return ['Every site that was heard holds all that is here of the others.', '']
  }
  const rows = behind
    .slice(0, namedPairs)
    .map((pair) => [
      name(pair.site),
      `${pair.state === 'lacks' ? 'lacks' : 'can not be checked for'} ${countText(pair.state === 'lacks' ? pair.lacks! : pair.unchecked!, 'commit')} of ${name(pair.of)}`,
      pair.until === null ? '' : `complete until ${timeText(pair.until, nowMs)}`,
      `as of ${momentText(pair.asOf!, nowMs)}${pair.clockOff ? ' by a clock that is off' : ''}`,
    ])
  const more = behind.length - rows.length
  return ['Behind', table(rows), ...(more > 0 ? [`  and ${more} more: see --json`] : []), '']
}

function riskLines(
  title: string,
  sites: readonly CoverageSite[],
  kind: 'oneDevice' | 'oneSite',
  name: NameOf,
  nowMs: number,
): string[] {
  const rows = sites.flatMap((site) => {
    const risk = site[kind]
    if (risk === null) return []
    const place = kind === 'oneDevice' ? `on ${nameOf(risk.holder)}` : `at ${name(risk.site)}`
    const amount = `${countText(risk.commits, 'commit')}, the oldest ${oldestText(risk, nowMs)}`
    return [[name(site.id), amount, place]]
  })
  return rows.length === 0 ? [] : [title, table(rows), '']
}

function oldestText({ day, named }: CoverageRisk, nowMs: number): string {
  if (day !== null) {
    const days = Math.floor((nowMs - Date.parse(day)) / 86_400_000)
    const age = days > 0 ? ` (${countText(days, 'day')} ago)` : ''
    return `of ${day}${age}`
  }
  return named === null ? 'not here' : `not here, heard of ${momentText(named, nowMs)}`
}

function groupLines({ groups, sites, apartMs }: Coverage, name: NameOf, nowMs: number): string[] {
  const heard = new Set(sites.filter((site) => site.heard !== null).map(({ id }) => id))
  const rows = groups
    .filter((group) => group.sites.some((site) => heard.has(site)))
    .map((group) => [
      `${group.sites.map(name).join(', ')}${group.ours ? ' (here)' : ''}`,
      group.until === null ? 'no news ever' : `no news since ${timeText(group.until, nowMs)}`,
      group.onlyHere === 0
        ? 'nothing that is known there only'
        : `${countText(group.onlyHere, 'commit')} known there only`,
    ])
  if (rows.length < 2) return []
  return [`Apart for more than ${durationText(apartMs)}`, table(rows), '']
}

function unknownLines(sites: readonly CoverageSite[]): string[] {
  const unheard = sites
    .filter(
      ({ heard, devices }) => heard === null && devices.some((each) => each.state === 'member'),
    )
    .map(siteName)
  const lacking = sites.filter(({ notHere }) => notHere > 0)
  const alone = sites.filter(({ kind }) => kind === 'device').length
  return [
    ...(unheard.length === 0 ? [] : [`Never heard what it holds: ${unheard.join(', ')}`, '']),
    ...lacking.map(
      (site) =>
        `${countText(site.notHere, 'commit')} of ${siteName(site)} ${site.notHere === 1 ? 'is' : 'are'} not here yet.`,
    ),
    ...(lacking.length === 0 ? [] : ['']),
    ...(alone === 0
      ? []
      : [
          `${countText(alone, 'device')} ${alone === 1 ? 'has' : 'have'} said no site, and ${alone === 1 ? 'stands' : 'stand'} alone: haven site NAME says it.`,
          '',
        ]),
  ]
}

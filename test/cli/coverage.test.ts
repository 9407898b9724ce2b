import { expect, test } from 'vitest'

import { coverageText } from '../../src/cli/coverage-text.ts'
import type { Coverage, CoveragePair, CoverageSite } from '../../src/device/api.ts'
import { fakeDevice } from './support/fake-device.ts'
import { runCli } from './support/run-cli.ts'

const nowMs = Date.UTC(2026, 10, 22, 10, 32)
const hourMs = 3_600_000
const ago = (ms: number) => new Date(nowMs - ms).toISOString()
const info = (name: string) => ({ id: name.repeat(8), name, role: 'clinician' as const })

function site(name: string, parts: Partial<CoverageSite> = {}): CoverageSite {
  return {
    id: `site/${name}`,
    kind: 'site',
    name,
    devices: [{ device: info(name), state: 'member', heard: ago(0) }],
    heard: ago(0),
    commits: 40,
    notHere: 0,
    oneDevice: null,
    oneSite: null,
    ...parts,
  }
}

function pair(at: string, of: string, parts: Partial<CoveragePair> = {}): CoveragePair {
  return {
    site: `site/${at}`,
    of: `site/${of}`,
    state: 'all',
    device: info(at),
    commits: 40,
    held: 40,
    lacks: 0,
    unchecked: 0,
    missingDay: null,
    until: ago(hourMs),
    since: ago(hourMs),
    asOf: ago(hourMs),
    direct: true,
    clockOff: false,
    ...parts,
  }
}

function view(parts: Partial<Coverage>): Coverage {
  return {
    version: 1,
    time: ago(0),
    device: info('coordinator'),
    site: 'site/North',
    apartMs: 24 * hourMs,
    sites: [site('North'), site('South'), site('East')],
    pairs: [],
    pairsLeftOut: 0,
    groups: [],
    ...parts,
  }
}

const lacking = { state: 'lacks', held: 28, lacks: 12, asOf: ago(3 * 24 * hourMs) } as const
const unheard = {
  state: 'unheard',
  device: null,
  held: null,
  lacks: null,
  unchecked: null,
  until: null,
  since: null,
  asOf: null,
} as const

test('three sites are a matrix; then who is behind, what would be lost, and who is cut off', () => {
  const text = coverageText(
    view({
      sites: [
        site('North', {
          oneDevice: {
            commits: 1,
            holder: info('tablet'),
            site: 'site/North',
            day: '2026-11-19',
            named: null,
          },
        }),
        site('South', {
          notHere: 3,
          oneSite: {
            commits: 4,
            holder: info('car'),
            site: 'site/South',
            day: null,
            named: ago(2 * 24 * hourMs),
          },
        }),
        site('East', { heard: null }),
        site('phone', { id: 'device/1', kind: 'device' }),
      ],
      pairs: [
        pair('South', 'North', lacking),
        pair('North', 'South', { asOf: ago(0) }),
        pair('East', 'North', unheard),
        pair('East', 'South', unheard),
      ],
      groups: [
        { sites: ['site/North'], ours: true, until: ago(72 * hourMs), onlyHere: 12 },
        { sites: ['site/South', 'device/1'], ours: false, until: ago(72 * hourMs), onlyHere: 0 },
        { sites: ['site/East'], ours: false, until: null, onlyHere: 0 },
      ],
    }),
    nowMs,
    80,
  )
  const lines = text.split('\n')
  expect(lines.slice(0, 7)).toEqual([
    'What each site is known to hold of what the others wrote, as heard by coordinator (North)',
    '',
    '  holds of:   North           South',
    '  North       -               all, now',
    '  South       lacks 12, 3 d   -',
    '  East        not heard       not heard',
    '',
  ])
  expect(text).toMatch(
    /\nBehind\n {2}South +lacks 12 commits of North +complete until \d\d:\d\d +as of 3 days ago\n/,
  )
  expect(text).toContain(
    'Known on one device only\n  North   1 commit, the oldest of 2026-11-19 (3 days ago)   on tablet\n',
  )
  expect(text).toContain('4 commits, the oldest not here, heard of 2 days ago   at South\n')
  expect(text).toMatch(
    /\nApart for more than 1 day\n {2}North \(here\) +no news since \S+ \S+ +12 commits known there only\n {2}South, phone +no news since \S+ \S+ +nothing that is known there only\n/,
  )
  expect(text).toContain('\nNever heard what it holds: East\n')
  expect(text).toContain('\n3 commits of South are not here yet.\n')
  expect(
    text.endsWith('1 device has said no site, and stands alone: haven site NAME says it.'),
  ).toBe(true)
})

test('thirty sites are a list of the worst', () => {
  const names = Array.from({ length: 30 }, (_, number) => `Camp ${number}`)
  const sites = names.map((name) => site(name))
  const [first] = names
  const pairs = names.flatMap((of) =>
    names.filter((name) => name !== of).map((name) => pair(name, of, of === first ? lacking : {})),
  )
  const text = coverageText(view({ sites, pairs }), nowMs, 80)
  expect(text).not.toContain('holds of:')
  expect(text.split('\n').filter((line) => line.includes('lacks 12 commits'))).toHaveLength(12)
  expect(text).toContain('  and 17 more: see --json')
  // A column for each was too wide; a row for each is not.
  const fromOne = pairs.filter(({ of }) => of === `site/${first}`)
  const one = coverageText(view({ sites, pairs: fromOne }), nowMs, 80)
  expect(one).toContain('holds of:')
})

test('says when all is well, and when nothing is known', () => {
  const well = view({ pairs: [pair('North', 'South'), pair('South', 'North')] })
  expect(coverageText(well, nowMs, 80)).toContain(
    'Every site that was heard holds all that is here of the others.',
  )
  expect(coverageText(view({ pairs: [pair('South', 'North', unheard)] }), nowMs, 80)).toContain(
    'No other site has said yet what it holds.',
  )
  const evil = view({ sites: [site('\u001b[2Jevil')], pairs: [] })
  expect(coverageText(evil, nowMs, 80)).not.toContain('\u001b')
})

test('coverage and site hand over what was typed', async () => {
  const asked: unknown[] = []
  const device = fakeDevice({
    coverage: async (options) => {
      asked.push(options)
      return view({})
    },
    setSite: async (name, of) => {
      asked.push([name, of])
      return { device: info('triage'), site: name }
    },
    site: async () => ({ device: info('triage'), site: 'South' }),
  })
  await runCli(['coverage', '--from', 'South', '--apart', '2h'], { device })
  const { stdout } = await runCli(['coverage', '--json'], { device })
  expect(JSON.parse(stdout)).toEqual(view({}))
  expect((await runCli(['site'], { device })).stdout).toBe('triage is used at South.\n')
  await runCli(['site', 'Camp North'], { device })
  await runCli(['site', '--clear'], { device })
  await runCli(['site', 'Car', '--of', 'phone'], { device })
  expect(asked).toEqual([
    { from: 'South', apartMs: 2 * hourMs },
    { from: undefined, apartMs: 24 * hourMs },
    ['Camp North', undefined],
    [null, undefined],
    ['Car', 'phone'],
  ])
  expect((await runCli(['site', 'North', '--clear'], { device })).exitCode).toBe(2)
  expect((await runCli(['coverage', '--apart', 'soon'], { device })).exitCode).toBe(2)
})

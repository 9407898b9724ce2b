/** The coordinator's view on devices that meet step by step. */
import { Ajv2020 } from 'ajv/dist/2020.js'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

import type { Coverage, CoverageOptions, CoveragePair, CoverageSite } from '../../src/device/api.ts'
import { coverage } from '../../src/device/coverage.ts'
import { saySite, siteOf } from '../../src/device/site-operations.ts'
import { clockDigest, clockOf } from '../../src/feed/vector-clock.ts'
import { issueRevocation } from '../../src/identity/revocation.ts'
import { exchange, exchangeAnnouncements, meet } from './support/meeting.ts'
import { TestMesh, until } from './support/test-device.ts'
import type { TestDevice } from './support/test-device.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs

const form = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../docs/schemas/coverage.json'), 'utf8'),
) as object
const isOfForm = new Ajv2020({ allErrors: true, validateFormats: false }).compile(form)

async function coverageOf(device: TestDevice, options?: CoverageOptions): Promise<Coverage> {
  const answer = await coverage(device.runtime, options)
  isOfForm(JSON.parse(JSON.stringify(answer)))
  expect(isOfForm.errors ?? []).toEqual([])
  return answer
}

function pair({ pairs }: Coverage, site: string, of: string): CoveragePair | undefined {
  return pairs.find((each) => each.site === `site/${site}` && each.of === `site/${of}`)
}

function siteCalled({ sites }: Coverage, name: string): CoverageSite {
  return sites.find((site) => site.name === name)!
}

function timeOf(text: string | null | undefined): number {
  return text === null || text === undefined ? Number.NaN : Date.parse(text)
}

/** North: the founder and a; South: b and c; a courier between them. All know all that is written so far. */
async function twoCamps() {
  const mesh = await TestMesh.found()
  const [a, b, c, courier] = await mesh.enrolAll(['clinician', 'clinician', 'clinician', 'courier'])
  const { founder } = mesh
  await saySite(founder.runtime, 'North')
  await saySite(a!.runtime, ' North ')
  await saySite(b!.runtime, 'South')
  await saySite(c!.runtime, 'South')
  for (let round = 0; round < 2; round++)
    for (const device of [a!, b!, c!, courier!]) await exchangeAnnouncements(founder, device)
  mesh.nowMs += dayMs
  return { mesh, founder, a: a!, b: b!, c: c!, courier: courier! }
}

describe('what a site knows of another', () => {
  it('is known by who carried it, and only as of then', async () => {
    const { mesh, founder, a, b, courier } = await twoCamps()
    const before = pair(await coverageOf(founder), 'South', 'North')!
    expect(before).toMatchObject({ state: 'all', lacks: 0, unchecked: 0, missingDay: null })

    await a.set('r', { n: '1' })
    await exchangeAnnouncements(founder, a)
    const wroteMs = mesh.nowMs
    const lacking = pair(await coverageOf(founder), 'South', 'North')!
    expect(lacking).toMatchObject({
      state: 'lacks',
      lacks: 1,
      held: before.held,
      commits: before.held! + 1,
      missingDay: new Date(wroteMs).toISOString().slice(0, 10),
      asOf: before.asOf,
    })
    expect(timeOf(lacking.until)).toBeLessThan(wroteMs - dayMs + hourMs)

    // A courier takes it south; nobody in the north knows that yet.
    await exchangeAnnouncements(a, courier)
    mesh.nowMs += hourMs
    await exchangeAnnouncements(courier, b)
    const arrivedMs = mesh.nowMs
    expect(pair(await coverageOf(founder), 'South', 'North')).toEqual(lacking)
    const there = pair(await coverageOf(b), 'South', 'North')!
    expect(there).toMatchObject({ state: 'all', lacks: 0, direct: true, device: { id: b.id } })

    // The courier comes back with what b announced.
    mesh.nowMs += 5 * hourMs
    await passOn(b, courier, a)
    await passOn(b, a, founder)
    const known = pair(await coverageOf(founder), 'South', 'North')!
    expect(known).toMatchObject({ state: 'all', lacks: 0, direct: false, device: { id: b.id } })
    expect(timeOf(known.asOf)).toBeGreaterThan(wroteMs)
    expect(timeOf(known.asOf)).toBeLessThan(arrivedMs + hourMs)
    expect(timeOf(known.since)).toBeLessThanOrEqual(timeOf(known.asOf))
    expect(timeOf(known.until)).toBeGreaterThan(timeOf(lacking.until))
    expect(timeOf(known.until)).toBeLessThanOrEqual(timeOf(known.asOf))
    expect(known.clockOff).toBe(false)
    // All the same after a restart.
    await founder.restart()
    expect(pair(await coverageOf(founder), 'South', 'North')).toEqual(known)
  })

  it('is not told where it can not be checked', async () => {
    const { founder, a, b } = await twoCamps()
    await a.set('r', { n: '1' })
    await exchangeAnnouncements(founder, a)
    const chain = founder.runtime.replica.chain(a.feeds().find((f) => deviceOf(a, f) === a.id)!)
    const { book } = founder.runtime.driver.engine
    const clock = new Map(book.entries.get(b.id)!.known!.clock)
    // White-box: b knows the feed further than anybody here.
    const further = { feed: chain.feed, floor: 0, seq: chain.seq + 4, head: 'ab'.repeat(8) }
    clock.set(chain.feed, [further])
    const claimed = clockOf([...clock.values()].flat())
    book.learned(b.id, clockDigest(claimed), claimed, { timeMs: founder.mesh.nowMs, direct: false })
    const view = await coverageOf(founder)
    expect(pair(view, 'South', 'North')).toMatchObject({
      state: 'unchecked',
      lacks: 0,
      unchecked: 1,
    })
    expect(siteCalled(view, 'North')).toMatchObject({
      notHere: 4,
      oneDevice: { commits: expect.any(Number) as number },
    })
  })

  it('can be asked of one site, and says where there is none', async () => {
    const { founder, b } = await twoCamps()
    const all = await coverageOf(founder)
    const from = await coverageOf(founder, { from: 'South' })
    const places = ({ pairs }: Coverage) => pairs.map(({ site, of, held }) => ({ site, of, held }))
    expect(places(from)).toEqual(places(all).filter(({ of }) => of === 'site/South'))
    expect(from.pairs.length).toBeGreaterThan(0)
    expect(await coverageOf(founder, { from: b.id.slice(0, 8) })).toMatchObject({
      pairs: from.pairs.map(({ of }) => ({ of })),
    })
    await expect(coverage(founder.runtime, { from: 'West' })).rejects.toMatchObject({
      code: 'NOT_FOUND',
    })
    await expect(coverage(founder.runtime, { apartMs: -1 })).rejects.toMatchObject({
      code: 'USAGE',
    })
  })

  it('is seen by a courier as well, device by device, since it can not read sites', async () => {
    const { founder, a, courier } = await twoCamps()
    await a.set('r', { n: '1' })
    await exchangeAnnouncements(a, courier)
    const view = await coverageOf(courier)
    expect(view.sites.map(({ kind, name }) => ({ kind, name }))).toEqual(
      view.sites.map(() => ({ kind: 'device', name: null })),
    )
    const ofFounder = view.pairs.find(
      ({ site, of }) => site === `device/${founder.id}` && of === `device/${a.id}`,
    )
    expect(ofFounder).toMatchObject({ state: 'lacks', lacks: 1 })
  })
})

describe('what would be lost', () => {
  it('with one device, or one site', async () => {
    const { mesh, founder, a, b } = await twoCamps()
    const quiet = siteCalled(await coverageOf(founder), 'South')
    expect(quiet).toMatchObject({ oneDevice: null, oneSite: null, notHere: 0 })
    await b.set('r', { n: '1' })
    const day = new Date(mesh.nowMs).toISOString().slice(0, 10)
    await exchangeAnnouncements(b, founder)
    mesh.nowMs += 2 * dayMs
    // Both have it: of each site one.
    expect(siteCalled(await coverageOf(founder), 'South')).toMatchObject({ oneDevice: null })
    await founder.set('r', { m: '1' })
    await founder.set('r', { m: '2' })
    const own = siteCalled(await coverageOf(founder), 'North')
    expect(own.oneDevice).toMatchObject({ commits: 2, holder: { id: founder.id }, named: null })
    expect(own.oneDevice!.day! > day).toBe(true)
    await exchangeAnnouncements(founder, a)
    expect(siteCalled(await coverageOf(founder), 'North')).toMatchObject({
      oneDevice: null,
      oneSite: { commits: 2, site: 'site/North', day: own.oneDevice!.day },
    })
    await exchangeAnnouncements(founder, b)
    expect(siteCalled(await coverageOf(founder), 'North')).toMatchObject({ oneSite: null })
    mesh.nowMs += 3 * dayMs
    const later = new Date(mesh.nowMs).toISOString().slice(0, 10)
    await founder.set('r', { m: '3' })
    const last = await coverageOf(founder)
    expect(siteCalled(last, 'North').oneDevice).toMatchObject({ commits: 1, day: later })
    expect(pair(last, 'South', 'North')).toMatchObject({ lacks: 1, missingDay: later })
  })

  it('does not count a device that is to be wiped, or was removed', async () => {
    const { mesh, founder, a, b } = await twoCamps()
    await founder.set('r', { m: '1' })
    await exchangeAnnouncements(founder, a)
    expect(siteCalled(await coverageOf(founder), 'North').oneDevice).toBeNull()
    await a.facts([{ kind: 'retiring', cancelled: false }])
    await exchangeAnnouncements(founder, a)
    const retiring = await coverageOf(founder)
    expect(siteCalled(retiring, 'North').oneDevice).toMatchObject({ holder: { id: founder.id } })
    expect(siteCalled(retiring, 'North').devices).toContainEqual(
      expect.objectContaining({ state: 'retiring' }),
    )
    const revocation = issueRevocation(
      { mesh: mesh.mesh, device: b.id, timeMs: mesh.nowMs, heads: [] },
      founder.keys.signing,
      mesh.chance,
    )
    await founder.facts([{ kind: 'revocation', revocation }])
    const removed = siteCalled(await coverageOf(founder), 'South')
    expect(removed.devices).toContainEqual({
      device: expect.objectContaining({ id: b.id }) as object,
      state: 'removed',
      heard: null,
    })
    expect(removed.commits).toBeGreaterThan(0)
  })

  it('counts a server as a site of its own, whatever is said of it', async () => {
    const { mesh, founder, a } = await twoCamps()
    const [server] = await mesh.enrolAll(['server'])
    await saySite(founder.runtime, 'North', server!.id.slice(0, 12))
    await founder.set('r', { m: '1' })
    await exchangeAnnouncements(founder, a)
    expect(siteCalled(await coverageOf(founder), 'North').oneSite).toMatchObject({ commits: 2 })
    await exchangeAnnouncements(founder, server!)
    const view = await coverageOf(founder)
    expect(siteCalled(view, 'North').oneSite).toBeNull()
    expect(view.sites.find(({ kind }) => kind === 'server')).toMatchObject({
      id: `device/${server!.id}`,
    })
    const onServer = view.pairs.find(
      ({ site, of }) => site === `device/${server!.id}` && of === 'site/North',
    )
    expect(onServer).toMatchObject({ state: 'all', direct: true })
  })
})

describe('sites that are cut off', () => {
  it('are told, with what is known there only', async () => {
    const { mesh, founder, a, b, c } = await twoCamps()
    for (const device of [a, b, c]) await exchangeAnnouncements(founder, device)
    expect((await coverageOf(founder)).groups.length).toBeLessThan(3)
    const lastMs = mesh.nowMs
    mesh.nowMs += 5 * dayMs
    await a.set('r', { n: '1' })
    await b.set('r', { k: '1' })
    await exchangeAnnouncements(founder, a)
    await exchangeAnnouncements(b, c)
    const view = await coverageOf(founder)
    const ours = view.groups.find((group) => group.ours)!
    expect(ours.sites).toContain('site/North')
    expect(ours.sites).not.toContain('site/South')
    expect(ours.onlyHere).toBe(1)
    const south = view.groups.find(({ sites }) => sites.includes('site/South'))!
    expect(timeOf(south.until)).toBeLessThanOrEqual(lastMs)
    expect(timeOf(south.until)).toBeGreaterThan(lastMs - dayMs)
    expect((await coverageOf(founder, { apartMs: 30 * dayMs })).groups).toEqual([])
    await exchangeAnnouncements(founder, c)
    const joined = await coverageOf(founder)
    expect(joined.groups.find((group) => group.ours)?.sites ?? []).toContain('site/South')
  })
})

describe('the site of a device', () => {
  it('is said by itself, or by an admin where it can not', async () => {
    const { founder, a, courier } = await twoCamps()
    expect(siteOf(a.runtime)).toMatchObject({ device: { id: a.id }, site: 'North' })
    const commits = a.runtime.replica.commits
    await saySite(a.runtime, 'North')
    expect(a.runtime.replica.commits).toBe(commits)
    await expect(saySite(courier.runtime, 'Car')).rejects.toMatchObject({ code: 'NOT_ALLOWED' })
    await expect(saySite(a.runtime, 'Car', courier.id)).rejects.toMatchObject({
      code: 'NOT_ALLOWED',
    })
    await expect(saySite(founder.runtime, ' ')).rejects.toMatchObject({ code: 'USAGE' })
    await expect(saySite(founder.runtime, 'x'.repeat(65))).rejects.toMatchObject({ code: 'USAGE' })
    await expect(saySite(founder.runtime, 'Car', 'nobody')).rejects.toMatchObject({
      code: 'NOT_FOUND',
    })
    expect(await saySite(founder.runtime, 'Car', courier.id.slice(0, 10))).toMatchObject({
      device: { id: courier.id },
      site: 'Car',
    })
    await exchange(founder, a)
    expect(siteOf(a.runtime, courier.id)).toMatchObject({ site: 'Car' })
    await saySite(a.runtime, 'East  Wing')
    await exchange(founder, a)
    expect(founder.runtime.peers.status(a.id).site).toBe('East Wing')
    expect(await saySite(a.runtime, null)).toMatchObject({ site: null })
    await exchange(founder, courier)
    expect(siteOf(courier.runtime, a.id).site).toBeNull()
  })
})

/** A meeting in which `to` hears what `via` has heard of a device. */
async function passOn(of: TestDevice, via: TestDevice, to: TestDevice): Promise<void> {
  const heardBy = (device: TestDevice) => device.runtime.driver.engine.book.entries.get(of.id)
  const part = await meet(via, to)
  await until(() => heardBy(to)?.known?.digest === heardBy(via)?.known?.digest)
  await part()
}

function deviceOf(holding: TestDevice, feed: string): string {
  return Buffer.from(holding.runtime.replica.descriptor(feed)!.device).toString('hex')
}

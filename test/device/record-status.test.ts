import { describe, expect, it } from 'vitest'

import { bytesToHex } from '../../src/core/bytes.ts'
import type { KnownAuthor, RecordHolder, RecordStatus } from '../../src/device/api.ts'
import { recordStatus } from '../../src/device/record-status.ts'
import type { ClockEntry } from '../../src/feed/vector-clock.ts'
import { clockDigest, clockOf } from '../../src/feed/vector-clock.ts'
import { announced, exchange, meet } from './support/meeting.ts'
import { TestMesh, until } from './support/test-device.ts'
import type { TestDevice } from './support/test-device.ts'

const hourMs = 3_600_000

async function statusOf(device: TestDevice, id = 'r'): Promise<RecordStatus> {
  return recordStatus(device.runtime, 'records', id)
}

async function holder(of: TestDevice, other: TestDevice, id?: string): Promise<RecordHolder> {
  return (await statusOf(of, id)).holders.find(({ device }) => device.id === other.id)!
}

async function author(of: TestDevice, other: TestDevice): Promise<KnownAuthor> {
  return (await statusOf(of)).authors.find(({ device }) => device.id === other.id)!
}

async function three(): Promise<{ mesh: TestMesh; a: TestDevice; b: TestDevice; c: TestDevice }> {
  const mesh = await TestMesh.found()
  const [a, b, c] = await mesh.enrolAll(['clinician', 'clinician', 'clinician'])
  return { mesh, a: a!, b: b!, c: c! }
}

function timeOf(text: string | null): number {
  return text === null ? Number.NaN : Date.parse(text)
}

describe('which devices hold a record', () => {
  it('follows from what they said, and is known without them', async () => {
    const { mesh, a, b, c } = await three()
    await a.set('r', { dose: '1' })
    expect(await holder(a, mesh.founder)).toMatchObject({ holds: false, since: null })
    expect(await holder(a, b)).toMatchObject({ holds: null, since: null, heard: null })
    const beforeMs = mesh.nowMs
    const cut = await meet(a, b)
    expect(await holder(a, b)).toMatchObject({ holds: true, clockOff: false, retiring: false })
    await cut()
    mesh.nowMs += hourMs
    const held = await holder(a, b)
    expect(held).toMatchObject({ device: { id: b.id, role: 'clinician' }, holds: true })
    expect(timeOf(held.since)).toBeGreaterThanOrEqual(beforeMs)
    expect(timeOf(held.since)).toBeLessThan(mesh.nowMs - hourMs)
    expect(await holder(a, c)).toMatchObject({ holds: null, since: null })
    await a.set('r', { dose: '2' })
    expect(await holder(a, b)).toMatchObject({ holds: false, since: null })
    // What somebody wrote elsewhere makes no difference.
    await a.set('other', { dose: '2' })
    await exchange(a, b)
    await a.set('other', { dose: '3' })
    expect(await holder(a, b)).toMatchObject({ holds: true })
    expect(await holder(a, b, 'other')).toMatchObject({ holds: false })
  })

  it('is heard from others as well, and of all writers of the record', async () => {
    const { a, b, c } = await three()
    await a.set('r', { dose: '1' })
    await b.set('r', { note: '1' }, true)
    await exchange(a, b)
    const part = await meet(b, c)
    await announced(c, b)
    await part()
    // A has never met C.
    expect(await holder(a, c)).toMatchObject({ holds: null })
    const end = await meet(a, b)
    const heard = () => a.runtime.driver.engine.book.entries.get(c.id)?.known
    await until(() => heard()?.digest === c.runtime.replica.digest)
    await end()
    expect(await holder(a, b)).toMatchObject({ holds: true })
    expect(await holder(a, c)).toMatchObject({ holds: true })
    await b.set('r', { note: '2' }, true)
    await exchange(a, b)
    expect(await holder(a, c)).toMatchObject({ holds: false })
  })

  it('keeps the time since when, whatever is written later, also over a restart', async () => {
    const { mesh, a, b } = await three()
    await a.set('r', { dose: '1' })
    await exchange(a, b)
    const { since } = await holder(a, b)
    const said = new Set([since])
    for (let day = 1; day <= 40; day++) {
      mesh.nowMs += 24 * hourMs
      await b.set('other', { n: String(day) })
      await exchange(a, b)
      const held = await holder(a, b)
      said.add(held.since)
      const late = timeOf(held.since) - timeOf(since)
      expect(late).toBeLessThan((mesh.nowMs - timeOf(since)) / 3)
    }
    // There is room for some; then the older ones are further apart.
    expect(said.size).toBeLessThan(8)
    const before = await holder(a, b)
    await a.restart()
    expect(await holder(a, b)).toEqual(before)
    expect(timeOf((await holder(a, b, 'other')).since)).toBeGreaterThan(mesh.nowMs - 24 * hourMs)
  })

  it('is not known of who is further than this device, or on another branch', async () => {
    const { a, b } = await three()
    await a.set('r', { dose: '1' })
    await a.set('r', { dose: '2' })
    const [feed] = a.feeds()
    const place = (seq: number, head: string): ClockEntry => ({ feed: feed!, floor: 0, seq, head })
    const says = (entry: ClockEntry, timeMs = 1) => {
      const clock = clockOf([entry])
      const said = { timeMs, direct: false }
      // White-box: what no honest device would say.
      a.runtime.driver.engine.book.learned(b.id, clockDigest(clock), clock, said)
    }
    const tip = a.runtime.replica.chain(feed!).tips()[0]!
    says(place(120, 'ab'.repeat(8)))
    expect(await holder(a, b)).toMatchObject({ holds: null, since: null })
    says(place(2, 'ab'.repeat(8)))
    expect(await holder(a, b)).toMatchObject({ holds: null, since: null })
    const [first] = await a.store.commits({ feed: feed!, after: 0, upTo: 1 })
    says(place(1, bytesToHex(first!.id).slice(0, 16)))
    expect(await holder(a, b)).toMatchObject({ holds: false, since: null })
    says(place(2, tip.id.slice(0, 16)))
    expect(await holder(a, b)).toMatchObject({ holds: true, clockOff: true })
    says({ ...place(2, tip.id.slice(0, 16)), floor: 1 })
    expect(await holder(a, b)).toMatchObject({ holds: null })
    // The newest counts, also when it is less.
    says(place(1, bytesToHex(first!.id).slice(0, 16)))
    expect(await holder(a, b)).toMatchObject({ holds: false })
  })

  it('says when a time can not be right, and who is about to go', async () => {
    const { mesh, a, b } = await three()
    await a.set('r', { dose: '1' })
    await exchange(a, b)
    const { clock, digest } = a.runtime.driver.engine.book.entries.get(b.id)!.known!
    const { book } = a.runtime.driver.engine
    const restated = (timeMs: number) => {
      book.entries.get(b.id)!.known = undefined
      book.learned(b.id, digest, clock, { timeMs, direct: false })
    }
    restated(mesh.nowMs + 2 * hourMs)
    expect(await holder(a, b)).toMatchObject({ holds: true, clockOff: true })
    restated(Date.UTC(1970, 0, 2))
    expect(await holder(a, b)).toMatchObject({ since: '1970-01-02T00:00:00.000Z', clockOff: true })
    restated(mesh.nowMs - hourMs)
    expect(await holder(a, b)).toMatchObject({ clockOff: false })
    await b.facts([{ kind: 'retiring', cancelled: false }])
    await exchange(a, b)
    expect(await holder(a, b)).toMatchObject({ holds: true, retiring: true })
  })
})

describe('up to when the writes of another device are known', () => {
  it('is now while both talk, and then the last time that it said so', async () => {
    const { mesh, a, b, c } = await three()
    await a.set('r', { dose: '1' })
    expect(await author(a, c)).toMatchObject({ until: null, clockOff: false })
    const cut = await meet(a, b)
    mesh.nowMs += hourMs
    expect(timeOf((await author(a, b)).until)).toBeGreaterThanOrEqual(mesh.nowMs - 1000)
    await cut()
    const metMs = mesh.nowMs
    mesh.nowMs += 48 * hourMs
    const known = await author(a, b)
    expect(timeOf(known.until)).toBeLessThanOrEqual(metMs)
    expect(timeOf(known.until)).toBeGreaterThan(metMs - hourMs)
    // What it writes meanwhile is not known, and does not change that.
    await b.set('r', { dose: '2' })
    expect(await author(a, b)).toEqual(known)
  })

  it('goes no further than its commits, where it claims more', async () => {
    const { mesh, a, b, c } = await three()
    await a.set('r', { dose: '1' })
    await exchange(a, b)
    const knownMs = timeOf((await author(a, b)).until)
    mesh.nowMs += hourMs
    await b.set('r', { dose: '2' })
    const writtenMs = mesh.nowMs
    mesh.nowMs += hourMs
    await b.set('other', { dose: '3' })
    await exchange(b, c)
    // A hears of B's claim, and has the first of its two commits.
    const [feed] = b.feeds().filter((each) => deviceOf(b, each) === b.id)
    const { clock, digest } = c.runtime.driver.engine.book.entries.get(b.id)!.known!
    const said = { timeMs: mesh.nowMs, direct: false }
    a.runtime.driver.engine.book.learned(b.id, digest, clock, said)
    expect(timeOf((await author(a, b)).until)).toBe(knownMs)
    await a.take(b, feed!, 1)
    const untilMs = timeOf((await author(a, b)).until)
    expect(untilMs).toBeGreaterThan(writtenMs - hourMs / 2)
    expect(untilMs).toBeLessThanOrEqual(writtenMs)
    await a.take(b, feed!)
    expect(timeOf((await author(a, b)).until)).toBeGreaterThan(mesh.nowMs - hourMs / 2)
  })

  it('goes no further than the lane that is known to go on', async () => {
    const { mesh, a, b } = await three()
    await b.set('r', { dose: '1' })
    const routine = b.feeds().find((each) => deviceOf(b, each) === b.id)!
    const firstMs = mesh.nowMs
    mesh.nowMs += hourMs
    await b.set('r', { dose: '2' })
    mesh.nowMs += hourMs
    await b.set('r', { dose: '3' }, true)
    const urgent = b.feeds().find((each) => deviceOf(b, each) === b.id && each !== routine)!
    a.runtime.driver.engine.book.entries.delete(b.id)
    await a.take(b, urgent)
    // Its urgent commit names a feed that A has never seen.
    expect((await author(a, b)).until).toBeNull()
    await a.take(b, routine, 1)
    expect(timeOf((await author(a, b)).until)).toBeLessThanOrEqual(firstMs)
    await a.take(b, routine)
    expect(timeOf((await author(a, b)).until)).toBeGreaterThan(firstMs + hourMs)
  })

  it('is told of those who may write only', async () => {
    const { mesh, a } = await three()
    const [viewer, courier] = await mesh.enrolAll(['viewer', 'courier'])
    await a.set('r', { dose: '1' })
    await exchange(a, mesh.founder)
    const { authors, holders, unread } = await statusOf(a)
    expect(authors.map(({ device }) => device.role).toSorted()).toEqual([
      'admin',
      'clinician',
      'clinician',
    ])
    expect(holders.map(({ device }) => device.id)).toEqual(
      expect.arrayContaining([viewer!.id, courier!.id]),
    )
    expect(unread).toBe(0)
    expect((await statusOf(a)).onServer).toBeNull()
    const [server] = await mesh.enrolAll(['server'])
    await exchange(a, mesh.founder)
    expect((await statusOf(a)).onServer).toBe(false)
    await exchange(a, server!)
    expect((await statusOf(a)).onServer).toBe(true)
    await expect(statusOf(a, 'nobody')).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })
})

function deviceOf(holding: TestDevice, feed: string): string {
  return bytesToHex(holding.runtime.replica.descriptor(feed)!.device)
}

import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Camp, enrol, untilAgreed } from '../support/camp.ts'
import type { CampDevice } from '../support/camp.ts'
import { until } from '../support/until.ts'

const killRounds = 10
const seed = Number(process.env.HAVEN_TEST_SEED ?? Date.now() % 2 ** 31)
let snapshots = 0

describe('a data directory that was brought back', () => {
  test('goes on in a new incarnation: nothing is lost, and all agree', async () => {
    const camp = await Camp.pitch()
    const [a, b] = [camp.device('A'), camp.device('B')]
    await a.init()
    const address = await a.upOnLoopback()
    await enrol(b, a)
    await b.upOnLoopback(address)
    await write(a, 0, 20)
    await untilAgreed([a, b])

    // Copied while it runs, and writes.
    const [backup] = await Promise.all([snapshot(camp, a.dataDir), write(a, 20, 60)])
    await write(a, 60, 80)
    await untilAgreed([a, b], { also: async () => (await count(b)) === 80 })
    await b.down()
    await write(a, 80, 81)
    await a.down()
    await bringBack(backup, a.dataDir)

    const again = await a.upOnLoopback()
    expect(await a.noticeCodes()).toEqual(['NEW_INCARNATION'])
    await write(a, 100, 120)
    await a.running.set('patients', 'Patient/p0', [['gender', '"unknown"']])
    await b.upOnLoopback(again)
    await b.running.set('patients', 'Patient/p1', [['gender', '"unknown"']])
    // What only the lost disk had is lost: p80.
    await untilAgreed([a, b], { also: async () => (await count(b)) === 100 })
    expect(await count(a)).toBe(100)
    for (const device of [a, b]) {
      expect((await device.get('patients', 'Patient/p0')).fields).toMatchObject({
        gender: 'unknown',
      })
      expect((await device.get('patients', 'Patient/p1')).fields).toMatchObject({
        gender: 'unknown',
      })
      expect((await device.get('patients', 'Patient/p79')).fields).toMatchObject({
        gender: 'female',
      })
    }
    expect(await b.noticeCodes()).toEqual([])
    await Promise.all([a.down(), b.down()])
    // The next start is an ordinary one again.
    await a.upOnLoopback()
    expect(await a.noticeCodes()).toEqual([])
    await a.down()
  })
})

describe('a whole machine that was brought back', () => {
  test('forks its feed: every replica keeps both branches and says so', async () => {
    const camp = await Camp.pitch()
    const [a, b, c, d] = ['A', 'B', 'C', 'D'].map((name) => camp.device(name)) as [
      CampDevice,
      CampDevice,
      CampDevice,
      CampDevice,
    ]
    await a.init()
    const address = await a.upOnLoopback()
    for (const device of [b, c, d]) await enrol(device, a)
    const peerAddresses = [await b.upOnLoopback(address), await c.upOnLoopback(address)]
    await write(a, 0, 10)
    await untilAgreed([a, b, c])
    await c.down()
    await a.down()
    const backups = [await snapshot(camp, a.dataDir), await snapshot(camp, a.stateHome)]

    // One branch: B has it, and D by B.
    await a.upOnLoopback(peerAddresses[0]!)
    await write(a, 10, 15)
    await a.running.set('patients', 'Patient/p0', [['gender', '"male"']])
    await untilAgreed([a, b], { also: async () => (await count(b)) === 15 })
    await a.kill()
    await d.upOnLoopback(peerAddresses[0]!)
    await untilAgreed([b, d])
    await d.down()

    // The other: written before it learns.
    await bringBack(backups[0]!, a.dataDir)
    await bringBack(backups[1]!, a.stateHome)
    await a.upOnLoopback()
    expect(await a.noticeCodes(), 'nothing gives it away').toEqual([])
    await write(a, 20, 23)
    await a.running.set('patients', 'Patient/p0', [['gender', '"other"']])
    await a.down()
    await a.upOnLoopback(peerAddresses[0]!)
    const both = async (device: CampDevice): Promise<boolean> => (await count(device)) === 18
    await untilAgreed([a, b], { also: () => both(a) })
    await a.running.set('patients', 'Patient/after', [['gender', '"female"']])
    await untilAgreed([a, b], { also: async () => (await count(b)) === 19 })
    const content = await b.content()
    await a.down()

    // C had neither branch, D one of them. Neither ever meets A again.
    await c.upOnLoopback(peerAddresses[0]!)
    await d.upOnLoopback(peerAddresses[0]!)
    await untilAgreed([b, c, d], { also: async () => (await count(c)) === 19 })
    await a.upOnLoopback()
    expect(await b.content()).toEqual(content)

    for (const device of [a, b, c, d]) {
      expect(await device.content(), device.name).toEqual(content)
      expect(await device.noticeCodes(), device.name).toContain('FEED_FORKED')
      const { conflicts } = await device.get('patients', 'Patient/p0')
      expect(conflicts.gender?.map(({ value }) => value).toSorted(), device.name).toEqual([
        'male',
        'other',
      ])
      for (const id of ['p14', 'p22', 'after']) {
        expect((await device.get('patients', `Patient/${id}`)).fields).toMatchObject({
          gender: 'female',
        })
      }
      expect(
        (await device.status()).peers.map(({ behind, ahead }) => [behind, ahead]),
      ).not.toContainEqual([null, null])
    }
    await Promise.all([a, b, c, d].map((device) => device.down()))
  })
})

describe('the mark', () => {
  test('kill -9 around it never makes a new incarnation', async () => {
    const camp = await Camp.pitch()
    const a = camp.device('A')
    await a.init()
    const random = randomFrom(seed)
    let written = 0
    for (let round = 0; round < killRounds; round++) {
      await a.upOnLoopback()
      expect(await a.noticeCodes(), `seed ${seed}, round ${round}`).not.toContain('NEW_INCARNATION')
      expect(await count(a), `seed ${seed}, round ${round}`).toBeGreaterThanOrEqual(written)
      const killedAfter = 1 + Math.floor(random() * 12)
      const writing = (async () => {
        for (;;) {
          await write(a, written, written + 1)
          written++
        }
      })().catch(() => undefined)
      const target = written + killedAfter
      await until('writes', () => written >= target)
      await Promise.all([a.kill(), writing])
    }
    await a.upOnLoopback()
    expect(await a.noticeCodes()).not.toContain('NEW_INCARNATION')
    expect(await count(a)).toBeGreaterThanOrEqual(written)
    await a.down()
  })

  test('a missing, copied or older one always does', async () => {
    const camp = await Camp.pitch()
    const a = camp.device('A')
    await a.init()
    await a.upOnLoopback()
    await write(a, 0, 3)
    await a.down()
    const firstMark = await snapshot(camp, a.stateHome)

    await rm(a.stateHome, { recursive: true })
    await a.upOnLoopback()
    expect(await a.noticeCodes(), 'missing').toEqual(['NEW_INCARNATION'])
    await write(a, 3, 6)
    await a.down()

    await bringBack(firstMark, a.stateHome)
    await a.upOnLoopback()
    expect(await a.noticeCodes(), 'of an earlier incarnation').toEqual(['NEW_INCARNATION'])
    await write(a, 6, 9)
    await a.down()

    // A copy beside it, with the same keys and the same mark.
    const copy = camp.device('copy of A')
    await cp(a.dataDir, copy.dataDir, { recursive: true })
    await cp(a.stateHome, copy.stateHome, { recursive: true })
    await copy.upOnLoopback()
    expect(await copy.noticeCodes(), 'copied').toEqual(['NEW_INCARNATION'])
    await copy.down()
    await a.upOnLoopback()
    expect(await a.noticeCodes(), 'the original goes on').toEqual([])
    await a.down()
  })
})

/** Patients p`from` to p`to` - 1, one commit each. */
async function write(device: CampDevice, from: number, to: number): Promise<void> {
  for (let number = from; number < to; number++)
    await device.running.set('patients', `Patient/p${number}`, [['gender', '"female"']])
}

async function count(device: CampDevice): Promise<number> {
  return (await device.status()).collections.patients?.records ?? 0
}

async function snapshot(camp: Camp, directory: string): Promise<string> {
  const to = join(camp.directory, `backup-${++snapshots}`)
  await cp(directory, to, { recursive: true })
  return to
}

async function bringBack(backup: string, directory: string): Promise<void> {
  await rm(directory, { recursive: true })
  await cp(backup, directory, { recursive: true })
}

/** Where to kill: numbers from 0 to 1, the same for the same seed. */
function randomFrom(start: number): () => number {
  let state = start
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

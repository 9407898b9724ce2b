import { describe, expect, it } from 'vitest'

import { utf8ToBytes } from '../../src/core/bytes.ts'
import { compareTimes } from '../../src/core/hybrid-time.ts'
import type { ImportSource, WipeAnswer, WipeHolder, WipeOptions } from '../../src/device/api.ts'
import { CommitOpener } from '../../src/device/commit-opener.ts'
import { safeToWipe } from '../../src/device/safe-to-wipe.ts'
import { systemRandom } from '../../src/device/system.ts'
import { issueRevocation } from '../../src/identity/revocation.ts'
import { announced, exchange, exchangeAnnouncements, meet } from './support/meeting.ts'
import { connect, TestMesh } from './support/test-device.ts'
import type { TestDevice } from './support/test-device.ts'

const one = { holders: 1 }

async function ask(device: TestDevice, options: WipeOptions = {}): Promise<WipeAnswer> {
  return safeToWipe(device.runtime, options)
}

function stateOf(answer: WipeAnswer, device: TestDevice): WipeHolder['state'] | undefined {
  return answer.devices.find(({ device: { id } }) => id === device.id)?.state
}

/** Clinicians that have met; the founder is none of them, and holds no record. */
async function clinic(count: number): Promise<{ mesh: TestMesh; devices: TestDevice[] }> {
  const mesh = await TestMesh.found()
  const devices = await mesh.enrolAll(Array.from({ length: count }, () => 'clinician'))
  return { mesh, devices }
}

describe('a device that is asked whether it can be wiped', () => {
  it('takes no writes from then on, and goes on reading and exchanging', async () => {
    const { mesh, devices } = await clinic(2)
    const [a, b] = devices
    await a!.set('r', { dose: '1' })
    const doc = await a!.docs.open('records', 'note')
    await ask(a!)
    const retiring = expect.objectContaining({ code: 'RETIRING' }) as unknown
    const commits = a!.runtime.replica.commits
    await expect(a!.set('r', { dose: '2' })).rejects.toEqual(retiring)
    await expect(a!.operations.delete('records', 'r')).rejects.toEqual(retiring)
    const source: ImportSource = {
      name: 'x',
      format: 'ndjson',
      chunks: (async function* () {
        yield utf8ToBytes('{"resourceType":"Patient","id":"p"}\n')
      })(),
    }
    await expect(a!.operations.import([source])).rejects.toEqual(retiring)
    await expect(a!.facts([{ kind: 'meshName', name: new Uint8Array(40) }])).rejects.toEqual(
      retiring,
    )
    doc.getText('body').insert(0, 'too late')
    await a!.docs.settled()
    expect(a!.problems).toEqual([{ error: retiring, refused: false }])
    expect(a!.runtime.replica.commits).toBe(commits)

    expect((await a!.operations.get('records', 'r')).fields.get('dose')).toBe('1')
    await b!.set('r', { note: '"x"' })
    await exchange(a!, b!)
    expect((await a!.operations.get('records', 'r')).fields.get('note')).toBe('"x"')
    expect((await b!.operations.get('records', 'r')).fields.get('dose')).toBe('1')
    expect(b!.runtime.control.membership.isRetiring(a!.id)).toBe(true)
    // Whom it would have to say something about, it does not.
    const heads = [...mesh.founder.runtime.replica.clock.values()].flat()
    const revocation = issueRevocation(
      { mesh: mesh.mesh, device: b!.id, timeMs: 1, heads },
      mesh.founder.keys.signing,
      systemRandom,
    )
    await mesh.founder.facts([{ kind: 'revocation', revocation }])
    await exchange(a!, mesh.founder)
    const { membership } = a!.runtime.control
    expect([membership.isRevoked(b!.id), membership.hasStated(revocation.id, a!.id)]).toEqual([
      true,
      false,
    ])

    await a!.restart()
    expect(a!.runtime.notices.map(({ code }) => code)).toContain('RETIRING')
    await expect(a!.set('r', { dose: '2' })).rejects.toEqual(retiring)
    expect(await a!.runtime.goOn()).toBe(true)
    expect(await a!.runtime.goOn()).toBe(false)
    await a!.set('r', { dose: '2' })
    expect(a!.runtime.notices.map(({ code }) => code)).not.toContain('RETIRING')
    // What it had to say is said now.
    const said = a!.runtime.control.membership
    expect(said.hasStated(revocation.id, a!.id)).toBe(true)
  })

  it('lets no write in behind the commit by which it says so', async () => {
    const { devices } = await clinic(1)
    const [a] = devices
    // In turns, so that each is a commit of its own.
    const write = (_: unknown, n: number) => a!.set('r', { n: String(n) }, n % 2 === 0)
    const before = Array.from({ length: 20 }, write)
    await before[0]
    const asked = ask(a!)
    const after = Array.from({ length: 20 }, write)
    const results = await Promise.allSettled([...before, ...after])
    await asked
    expect(new Set(results.map(({ status }) => status))).toEqual(new Set(['fulfilled', 'rejected']))
    const { time } = a!.runtime.control.membership.retirementOf(a!.id)!
    const opener = new CommitOpener(a!.runtime)
    for (const feed of a!.feeds()) {
      const { seq, table } = a!.runtime.integrator.position(feed, feed)!
      const last = await opener.openAt(feed, seq, table)
      expect(compareTimes(last!.payload.time, time)).toBeLessThan(0)
    }
  })

  it('can take that back after it was put back from a backup, whatever its clock had said', async () => {
    const { mesh, devices } = await clinic(2)
    const [a, b] = devices
    await a!.set('r', { dose: '1' })
    const image = await a!.image()
    const yearMs = 365 * 24 * 3_600_000
    mesh.nowMs += yearMs
    await ask(a!)
    await exchange(a!, b!)
    mesh.nowMs -= yearMs
    await a!.putBack(image)
    expect(a!.runtime.control.isRetiring).toBe(false)
    await exchange(a!, b!)
    // It hears from B what it had said.
    await a!.runtime.atRest(() => undefined)
    await expect(a!.set('r', { dose: '2' })).rejects.toMatchObject({ code: 'RETIRING' })
    await a!.runtime.goOn()
    await a!.set('r', { dose: '2' })
    await exchange(a!, b!)
    expect(b!.runtime.control.membership.isRetiring(a!.id)).toBe(false)
  })

  it('keeps what was typed meanwhile, for when that is taken back', async () => {
    const { devices } = await clinic(1)
    const [a] = devices
    const doc = await a!.docs.open('records', 'note')
    await ask(a!)
    doc.getText('body').insert(0, 'later')
    await a!.docs.settled()
    await a!.runtime.goOn()
    a!.docs.tryAgain()
    await a!.docs.settled()
    await a!.docs.close()
    await a!.restart()
    expect((await a!.docs.open('records', 'note')).getText('body').toJSON()).toBe('later')
  })

  it('says no while nobody else is known to hold what it holds, and what would be lost', async () => {
    const { devices } = await clinic(1)
    const [a] = devices
    await a!.set('r', { dose: '1' })
    await a!.set('r', { dose: '2' })
    await a!.set('s', { dose: '3' }, true)
    await a!.operations.set('patients', 'Patient/p', [['active', 'true']])
    const answer = await ask(a!)
    expect(answer).toMatchObject({ safe: false, needed: 2 })
    expect(answer.lost).toEqual([
      expect.objectContaining({ collection: 'patients', commits: 1, records: 1 }),
      expect.objectContaining({ collection: 'records', commits: 3, records: 2, heldBy: [] }),
      expect.objectContaining({ collection: null, records: null }),
    ])
    expect(answer.lost.at(-1)!.commits).toBeGreaterThan(0)
  })

  it('says yes when enough others hold it all, and know that it goes', async () => {
    const { mesh, devices } = await clinic(3)
    const [a, b, c] = devices
    await a!.set('r', { dose: '1' })
    await exchange(a!, b!)
    await exchangeAnnouncements(a!, c!)
    await exchangeAnnouncements(a!, b!)
    // Both hold everything, and have not heard that A goes.
    const before = await ask(a!)
    expect([stateOf(before, b!), stateOf(before, c!)]).toEqual(['unaware', 'unaware'])
    expect(before).toMatchObject({ safe: false, lost: [], lostEpochs: [] })
    expect(Date.parse(before.asOf!)).toBeLessThan(mesh.nowMs)
    await exchange(a!, b!)
    const half = await ask(a!)
    expect([stateOf(half, b!), stateOf(half, c!)]).toEqual(['holds', 'unaware'])
    expect(half.safe).toBe(false)
    expect((await ask(a!, one)).safe).toBe(true)
    await exchange(a!, c!)
    const yes = await ask(a!)
    expect(yes).toMatchObject({ safe: true, lost: [], lostEpochs: [] })
    // What comes later has to be held as well.
    await mesh.founder.set('other', { n: '1' })
    await exchange(a!, mesh.founder)
    const later = await ask(a!)
    expect(later.safe).toBe(false)
    expect(later.lost).toEqual([
      {
        collection: 'records',
        commits: 1,
        records: 1,
        heldBy: [{ device: a!.runtime.peers.info(mesh.founder.id), commits: 1 }],
      },
    ])
    // That it goes was said once.
    const { feed } = a!.runtime.control.membership.retirementOf(a!.id)!
    expect(a!.runtime.replica.chain(feed).seq).toBe(
      a!.runtime.control.membership.retirementOf(a!.id)!.seq,
    )
  })

  it('waits for others, where it is asked to', async () => {
    const { devices } = await clinic(2)
    const [a, b] = devices
    await a!.set('r', { dose: '1' })
    await exchangeAnnouncements(a!, b!)
    const asked = ask(a!, { holders: 1, waitMs: 20_000 })
    const cut = connect(a!, b!)
    expect((await asked).safe).toBe(true)
    cut()
    for (const holders of [0, 1.5, -1])
      await expect(ask(a!, { holders })).rejects.toMatchObject({ code: 'USAGE' })
  })

  it('relies on no ciphertext whose key goes with it', async () => {
    const mesh = await TestMesh.found()
    const [a, courier, viewer] = await mesh.enrolAll(['clinician', 'courier', 'viewer'])
    await a!.set('r', { dose: '1' })
    await ask(a!)
    await exchangeAnnouncements(a!, courier!)
    const answer = await ask(a!, one)
    expect(stateOf(answer, courier!)).toBe('holds')
    // The founder has them, and has not said that it knows that A goes.
    expect(answer).toMatchObject({ safe: false, lost: [], lostEpochs: [] })
    const reads = ({ devices }: WipeAnswer) =>
      devices.filter((each) => each.reads).map(({ device: { id } }) => id)
    expect(reads(answer)).toEqual([mesh.founder.id])
    a!.runtime.driver.engine.book.entries.delete(mesh.founder.id)
    const alone = await ask(a!, one)
    expect(alone).toMatchObject({ safe: false, lost: [] })
    expect(alone.lostEpochs.map(({ collection }) => String(collection)).toSorted()).toEqual([
      'documents',
      'null',
      'patients',
      'records',
    ])
    await exchangeAnnouncements(a!, viewer!)
    const yes = await ask(a!, one)
    expect(yes).toMatchObject({ safe: true, lostEpochs: [] })
    expect(reads(yes)).toContain(viewer!.id)
  })

  it('needs no second device where a server holds it all', async () => {
    const mesh = await TestMesh.found()
    const [a, server, viewer] = await mesh.enrolAll(['clinician', 'server', 'viewer'])
    await a!.set('r', { dose: '1' })
    await ask(a!)
    await exchangeAnnouncements(a!, server!)
    expect((await ask(a!)).safe).toBe(false)
    await exchangeAnnouncements(a!, viewer!)
    // The viewer brought nothing that the server lacks, so that its receipt stands.
    expect(await ask(a!)).toMatchObject({ safe: true, needed: 2 })
  })
})

describe('two devices that are asked at once', () => {
  /** Both hold the same, and each has heard so of the other before it was asked. */
  async function twins(): Promise<{ a: TestDevice; b: TestDevice; mesh: TestMesh }> {
    const { mesh, devices } = await clinic(2)
    const [a, b] = devices
    await a!.set('r', { dose: '1' })
    await b!.set('r', { dose: '2' })
    await exchange(a!, b!)
    await exchangeAnnouncements(a!, b!)
    return { a: a!, b: b!, mesh }
  }

  it('do not both say yes because of each other', async () => {
    const { a, b } = await twins()
    // Apart: each has the old word of the other.
    const apart = [await ask(a, one), await ask(b, one)]
    expect(apart.map(({ safe }) => safe)).toEqual([false, false])
    expect([stateOf(apart[0]!, b), stateOf(apart[1]!, a)]).toEqual(['unaware', 'unaware'])
    await exchangeAnnouncements(a, b)
    const met = [await ask(a, one), await ask(b, one)]
    expect(met.map(({ safe }) => safe)).toEqual([false, false])
    expect([stateOf(met[0]!, b), stateOf(met[1]!, a)]).toEqual(['retiring', 'retiring'])
    expect(met[0]!.lost.find(({ collection }) => collection === 'records')).toMatchObject({
      commits: 2,
      heldBy: [{ device: { id: b.id }, commits: 2 }],
    })
    // One of them goes on, and then the other can go.
    await b.runtime.goOn()
    await exchangeAnnouncements(a, b)
    expect((await ask(a, one)).safe).toBe(true)
  })

  it('one after the other: the second does not rely on the first', async () => {
    const { a, b } = await twins()
    await ask(a, one)
    await exchangeAnnouncements(a, b)
    expect((await ask(a, one)).safe).toBe(true)
    const second = await ask(b, one)
    expect(second.safe).toBe(false)
    expect(stateOf(second, a)).toBe('retiring')
  })

  it('nor where the word of one comes without its control facts', async () => {
    const { a, b } = await twins()
    await ask(a, one)
    await ask(b, one)
    const own = a.runtime.control.membership.retirementOf(a.id)!.feed
    // B has heard that A goes, and says so; that B goes as well has not come to A.
    await b.take(a, own)
    b.runtime.control.stored(await b.store.commits({ feed: own, after: 0 }))
    const { digest, clock } = b.runtime.replica
    const said = { timeMs: 1, direct: false }
    a.runtime.driver.engine.book.learned(b.id, digest, new Map(clock), said)
    const answer = await ask(a, one)
    expect(stateOf(answer, b)).toBe('unsure')
    expect(answer).toMatchObject({ safe: false, lost: [] })
  })

  it('in a round of three, each with the word of the next: not all of them', async () => {
    const { devices } = await clinic(3)
    await devices[0]!.set('r', { dose: '1' })
    for (const [x, y] of [
      [0, 1],
      [1, 2],
      [2, 0],
      [0, 1],
      [1, 2],
    ] as const)
      await exchangeAnnouncements(devices[x]!, devices[y]!)
    for (const device of devices) await ask(device, one)
    const said: boolean[] = []
    for (let round = 0; round < 2; round++) {
      for (const [index, device] of devices.entries()) {
        const next = devices[(index + 1) % 3]!
        const part = await meet(device, next)
        await announced(next, device)
        await part()
        said.push((await ask(device, one)).safe)
      }
    }
    expect(said).toEqual([false, false, false, false, false, false])
  })
})

import { expect, it } from 'vitest'

import { bytesToHex } from '../../src/core/bytes.ts'
import type { HistoryEntry, RecordHistory } from '../../src/device/api.ts'
import { recordHistory } from '../../src/device/record-history.ts'
import { systemRandom } from '../../src/device/system.ts'
import { epochIdOf, newEpochKey, sealEpochKey } from '../../src/identity/epoch.ts'
import { issueRevocation } from '../../src/identity/revocation.ts'
import { arrayName } from '../../src/records/fields-update.ts'
import type { PlannedWrite } from '../../src/records/writes.ts'
import { Insider, payload, pushed } from './support/insider.ts'
import { connect, sameClock, TestMesh, until } from './support/test-device.ts'
import type { TestDevice } from './support/test-device.ts'

async function historyOf(device: TestDevice, limit?: number): Promise<RecordHistory> {
  return recordHistory(device.runtime, 'records', 'r', { limit })
}

/** In one line for each entry: who wrote what, and in place of what. */
function lines({ entries }: RecordHistory, ...devices: TestDevice[]): string[] {
  const letter = (id: string) => 'abcdef'[devices.findIndex((device) => device.id === id)] ?? '?'
  return entries.map(({ device, field, op, value, before, text, hidden, refused }) =>
    [
      letter(device.id),
      op,
      field ?? 'record',
      ...(value === undefined ? [] : [value]),
      ...(text === null ? [] : [`+${text.inserted.join('|')}`, `-${text.deleted}`]),
      ...(before.length === 0 ? [] : ['for', before.map((each) => each.value ?? each.op).join()]),
      ...(hidden ? ['hidden'] : []),
      ...(refused === null ? [] : ['refused']),
    ].join(' '),
  )
}

async function exchange(one: TestDevice, other: TestDevice): Promise<void> {
  const cut = connect(one, other)
  await until(() => sameClock(one, other))
  await Promise.all([one.idle(), other.idle()])
  cut()
}

/** Two clinicians that have met. */
async function pair(): Promise<{ mesh: TestMesh; a: TestDevice; b: TestDevice }> {
  const mesh = await TestMesh.found()
  const [a, b] = await mesh.enrolAll(['clinician', 'clinician'])
  return { mesh, a: a!, b: b! }
}

it('tells every write, the newest first, and what each took the place of', async () => {
  const { a, b } = await pair()
  await a.set('r', { dose: '1', note: '"x"' })
  await a.set('r', { dose: '2' })
  await exchange(a, b)
  await b.set('r', { dose: '3' })
  await a.set('r', { dose: '4' }, true)
  await exchange(a, b)
  await a.set('r', { dose: '5', note: undefined })
  await exchange(a, b)
  const told = [
    'a put note for "x"',
    'a put dose 5 for 4,3',
    'a put dose 4 for 2',
    'b put dose 3 for 2',
    'a put dose 2 for 1',
    'a put note "x"',
    'a put dose 1',
  ]
  for (const device of [a, b]) {
    const history = await historyOf(device)
    expect(lines(history, a, b)).toEqual(told)
    expect(history).toMatchObject({ id: 'r', collection: 'records', more: false, unread: [] })
  }
  const { entries } = await historyOf(b)
  const [last] = entries
  expect(last).toMatchObject({
    actor: null,
    clockOff: false,
    commit: { seq: 3 },
    device: { id: a.id },
    time: expect.stringMatching(/^2026-06-01T00:00:00\.\d{3}Z$/),
  })
  const overruled = entries
    .find(({ value }) => value === '5')!
    .before.find(({ value }) => value === '3')
  expect(overruled).toMatchObject({ op: 'put', device: { id: b.id }, commit: { seq: 1 } })
})

it('says how far each author knew the others', async () => {
  const { a, b } = await pair()
  await a.set('r', { dose: '1' })
  await a.set('other', { dose: '9' })
  await b.set('r', { dose: '2' })
  await exchange(a, b)
  await b.set('r', { dose: '3' })
  const [feed] = a.feeds().filter((each) => deviceOf(a, each) === a.id)
  const seen = (await historyOf(b)).entries.map(({ value, seen: places }) => [value, places])
  expect(seen).toEqual([
    ['3', [{ device: { id: a.id, name: null }, feed, seq: 2 }]],
    ['2', []],
    ['1', []],
  ])
})

function deviceOf(holder: TestDevice, feed: string): string {
  return bytesToHex(holder.runtime.replica.descriptor(feed)!.device)
}

it('stops where it is told to, and says that there is more', async () => {
  const { a } = await pair()
  for (let n = 1; n <= 30; n++) await a.set('r', { [`f${n % 3}`]: String(n) })
  const some = await historyOf(a, 4)
  expect(lines(some, a)).toEqual([
    'a put f0 30 for 27',
    'a put f2 29 for 26',
    'a put f1 28 for 25',
    'a put f0 27 for 24',
  ])
  expect(some.more).toBe(true)
  const all = await historyOf(a, 30)
  expect(all.entries).toHaveLength(30)
  expect(all.more).toBe(false)
  await expect(historyOf(a, 0)).rejects.toMatchObject({ code: 'USAGE' })
})

it('tells deletions, elements, counts and large values', async () => {
  const { a, b } = await pair()
  const large = JSON.stringify(Array.from({ length: 90_000 }, (_, n) => n * 7919))
  // White-box: whatever the schema makes of these fields.
  const write = (planned: PlannedWrite) =>
    a.runtime.writer.write(a.runtime.collectionId('records'), 'routine', [
      { id: 'r', plan: () => [planned] },
    ])
  await a.set('r', { large })
  await write({ op: 'add', field: 'allergies', value: '"latex"' })
  await write({ op: 'add', field: 'allergies', value: '"penicillin"' })
  await write({ op: 'remove', field: 'allergies', value: '"latex"' })
  await write({ op: 'count', field: 'doses', value: '5' })
  await write({ op: 'count', field: 'doses', value: '-2' })
  await write({ op: 'delete', field: '', value: undefined })
  await a.set('r', { large: '[]' })
  await exchange(a, b)
  expect(lines(await historyOf(b), a).map((line) => line.replace(large, 'LARGE'))).toEqual([
    'a put large [] for LARGE',
    'a delete record',
    'a count doses -2 for 5',
    'a count doses 5',
    'a remove allergies "latex" for "latex"',
    'a add allergies "penicillin"',
    'a add allergies "latex"',
    'a put large LARGE',
  ])
})

it('tells what was typed into texts, and taken away', async () => {
  const { a, b } = await pair()
  const here = await a.docs.open('records', 'r')
  here.getText('note').insert(0, 'fever since monday')
  await a.docs.close()
  await exchange(a, b)
  const there = await b.docs.open('records', 'r')
  there.transact(() => {
    there.getText('note').delete(6, 12)
    there.getText('note').insert(6, '39.5')
    there.getMap('free').set('k', 1)
  })
  await b.docs.close()
  await exchange(a, b)
  for (const device of [a, b]) {
    expect(lines(await historyOf(device), a, b)).toEqual([
      'b text note +39.5 -12',
      'b edit free + -0',
      'a text note +fever since monday -0',
    ])
  }
})

it('marks what a removed device wrote beyond the cut', async () => {
  const { mesh, a, b } = await pair()
  const { founder } = mesh
  await a.set('r', { dose: '1' })
  await exchange(a, founder)
  const heads = [...founder.runtime.replica.descriptors()]
    .filter(({ device }) => bytesToHex(device) === a.id)
    .flatMap(({ feed }) => founder.runtime.replica.chain(feed).entries())
  await a.set('r', { dose: '2' })
  const revocation = issueRevocation(
    { mesh: mesh.mesh, device: a.id, timeMs: 1, heads },
    founder.keys.signing,
    systemRandom,
  )
  await founder.facts([{ kind: 'revocation', revocation }])
  const [feed] = a.feeds()
  await founder.take(a, feed!)
  await founder.set('r', { dose: '3' })
  expect(lines(await historyOf(founder), a, b, founder)).toEqual([
    'c put dose 3 for 1',
    'a put dose 2 for 1 hidden',
    'a put dose 1',
  ])
})

it('tells both branches of a feed that has forked', async () => {
  const { a, b } = await pair()
  await a.set('r', { dose: '1' })
  const image = await a.image()
  await a.set('r', { dose: '2' })
  const [feed] = a.feeds()
  await b.take(a, feed!)
  await a.putBack(image)
  await a.set('r', { dose: '3' })
  await b.take(a, feed!)
  await b.set('r', { dose: '4' })
  const told = lines(await historyOf(b), a, b)
  expect(told).toEqual([
    'b put dose 4 for 3,2',
    'a put dose 3 for 1',
    'a put dose 2 for 1',
    'a put dose 1',
  ])
})

/** One who has certificate and keys, and says what nobody should. */
async function liar(mesh: TestMesh, honest: TestDevice) {
  const [bad] = await mesh.enrolAll(['clinician'])
  await exchange(mesh.founder, honest)
  const insider = new Insider(bad!)
  return { bad: bad!, insider, array: arrayName(insider.client) }
}

it('finds what an author leads away from, and marks what was not accepted', async () => {
  const { mesh, a } = await pair()
  await a.set('r', { dose: '1' })
  const { bad, insider, array } = await liar(mesh, a)
  const good = pushed(insider.client, array, [['dose', 'put', '7']])
  await insider.sendTo(a, [
    payload([{ id: 'r', back: 0, fields: good }]),
    // The same again is refused, and pretends to be the first.
    payload([{ id: 'r', back: 0, fields: good }]),
  ])
  expect(lines(await historyOf(a), a, bad)).toEqual([
    'b refused record refused',
    'b put dose 7',
    'a put dose 1',
  ])
  await a.restart()
  expect(lines(await historyOf(a), a, bad)).toHaveLength(3)
})

it('says that the clock of a device was off', async () => {
  const { mesh, a } = await pair()
  const { insider, array } = await liar(mesh, a)
  const late = pushed(insider.client, array, [['dose', 'put', '7']])
  await insider.sendTo(a, [payload([{ id: 'r', back: 0, fields: late }])])
  await a.set('r', { dose: '1' })
  // The insider's commits are of the year 6429: nobody follows that, and a write that has seen it says so by its place.
  const flags = (await historyOf(a)).entries.map(({ value, clockOff }) => [value, clockOff])
  expect(flags).toEqual([
    ['1', false],
    ['7', true],
  ])
})

it('says what it holds and can not read', async () => {
  const { mesh, a } = await pair()
  const { founder } = mesh
  await founder.set('r', { dose: '1' })
  await exchange(founder, a)
  const collection = founder.runtime.collectionId('records')
  const key = newEpochKey(systemRandom)
  const epoch = epochIdOf(key)
  const root = founder.runtime.control.membership.root!
  await founder.store.batch([founder.runtime.control.addKey(collection, key)])
  const rootGrant = sealEpochKey(
    key,
    { mesh: mesh.mesh, collection, agreementKey: root.agreementKey! },
    systemRandom,
  )
  const fact = { kind: 'epoch', collection, epoch, depth: 1, parents: [], excluded: [] } as const
  await founder.facts([{ ...fact, grants: [], rootGrant }])
  await founder.set('r', { dose: '2' })
  const [feed] = founder.feeds()
  await a.take(founder, feed!)
  const history = await historyOf(a)
  expect(lines(history, founder)).toEqual(['a put dose 1'])
  expect(history.unread).toEqual([
    { device: { id: founder.id, name: expect.anything() }, feed, commits: 1, reason: 'key' },
  ])
})

it('knows no record that was never written', async () => {
  const { a } = await pair()
  await expect(historyOf(a)).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

it('is the same on all devices, in the same order', async () => {
  const { mesh, a, b } = await pair()
  for (let n = 0; n < 6; n++) {
    await a.set('r', { [`f${n % 2}`]: `${n}` })
    if (n % 2 === 0) await b.set('r', { f1: `${10 + n}` }, n === 2)
    if (n % 3 === 0) await exchange(a, b)
  }
  await exchange(a, b)
  await exchange(a, mesh.founder)
  const plain = async (device: TestDevice): Promise<HistoryEntry[]> => {
    const { entries } = await historyOf(device)
    return entries.map((entry) => ({ ...entry, seen: entry.seen.toSorted(byFeed) }))
  }
  const expected = await plain(a)
  expect(expected).toHaveLength(9)
  expect(await plain(b)).toEqual(expected)
  expect(await plain(mesh.founder)).toEqual(expected)
})

function byFeed(x: { feed: string }, y: { feed: string }): number {
  return x.feed < y.feed ? -1 : 1
}

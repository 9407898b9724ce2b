import { describe, expect, test } from 'vitest'

import { bytesToHex, utf8ToBytes } from '../../src/core/bytes.ts'
import type { Conflict, Resolution, ResolveOptions } from '../../src/device/api.ts'
import { ConflictOperations } from '../../src/device/conflict-operations.ts'
import { TestMesh } from './support/test-device.ts'
import type { TestDevice } from './support/test-device.ts'

let mesh: TestMesh
let a: TestDevice
let b: TestDevice

async function enrolTwo(): Promise<void> {
  mesh = await TestMesh.found()
  const [first, second] = await mesh.enrolAll(['clinician', 'clinician'])
  a = first!
  b = second!
}

/** Each gets what the other has written. */
async function exchange(): Promise<void> {
  for (const [to, from] of [
    [a, b],
    [b, a],
  ] as const) {
    for (const name of ['records', 'patients']) {
      for (const feed of from.feeds(name)) {
        const { device } = from.runtime.replica.descriptor(feed)!
        if (bytesToHex(device) !== to.id) await to.take(from, feed)
      }
    }
  }
}

function set(device: TestDevice, id: string, fields: Record<string, string | undefined>) {
  return device.operations.set('records', id, Object.entries(fields))
}

function remove(device: TestDevice, id: string) {
  return device.operations.delete('records', id)
}

function list(device: TestDevice, options = {}): Promise<Conflict[]> {
  return new ConflictOperations(device.runtime).list(options)
}

function resolve(
  device: TestDevice,
  [id, field]: [id: string, field: string | null],
  resolution: Resolution,
  options: ResolveOptions = {},
) {
  const operations = new ConflictOperations(device.runtime)
  return operations.resolve('records', id, field, resolution, options)
}

async function fieldOf(device: TestDevice, id: string, name: string): Promise<string | undefined> {
  return (await device.operations.get('records', id)).fields.get(name)
}

const observation = 'Observation/1'
const allergy = 'AllergyIntolerance/1'
const note = 'note'

/** Both have the record, and each has changed it without seeing the other. */
async function disputed(
  id: string,
  { before, ofA, ofB }: Record<'before' | 'ofA' | 'ofB', Record<string, string | undefined>>,
): Promise<void> {
  await set(a, id, before)
  await exchange()
  await set(a, id, ofA)
  await set(b, id, ofB)
  await exchange()
}

const code = (text: string) => ({ code: JSON.stringify({ text }) })

test('what all values replaced is the last that all of their authors had seen', async () => {
  await enrolTwo()
  await set(a, allergy, code('first'))
  await set(a, allergy, code('before'))
  await exchange()
  await set(a, allergy, code('unseen by the other'))
  await set(a, allergy, code('x'))
  await set(b, allergy, code('y'))
  await exchange()
  for (const device of [a, b])
    expect(await list(device, { bases: true })).toMatchObject([{ base: '{"text":"before"}' }])
  await set(a, 'new', { x: '1' })
  await set(b, 'new', { x: '2' })
  await exchange()
  expect(await list(a, { bases: true })).toMatchObject([{ field: 'code' }, { base: null }])
})

test('what all values replaced is not what somebody else wrote long before, whatever its clock said', async () => {
  mesh = await TestMesh.found()
  const [first, second, third] = await mesh.enrolAll(['clinician', 'clinician', 'clinician'])
  a = first!
  b = second!
  const c = third!
  const hearsAll = async (to: TestDevice, ...others: TestDevice[]) => {
    for (const from of others) {
      for (const feed of from.feeds('records')) {
        const { device } = from.runtime.replica.descriptor(feed)!
        if (bytesToHex(device) === from.id) await to.take(from, feed)
      }
    }
  }
  const born = (date: string) => ({ birthDate: JSON.stringify(date) })
  const { nowMs } = mesh
  mesh.nowMs += 365 * 86_400_000
  await set(c, allergy, born('1990-01-01'))
  mesh.nowMs = nowMs + 60_000
  await hearsAll(a, c)
  await hearsAll(b, c)
  await set(a, allergy, born('1994-05-10'))
  await hearsAll(b, a)
  await set(a, allergy, born('1994-05-01'))
  await set(b, allergy, born('1994-01-05'))
  await hearsAll(a, b)
  await hearsAll(b, a)
  await hearsAll(c, a, b)
  for (const device of [a, b, c]) {
    const [conflict, ...more] = await list(device, { bases: true })
    expect(more).toEqual([])
    expect(conflict).toMatchObject({ field: 'birthDate', base: '"1994-05-10"' })
    // Nothing is said that is not certain.
    expect(await list(device)).toMatchObject([{ base: null }])
  }
})

test('what all values replaced may be several that somebody kept', async () => {
  await oneConflict()
  await resolve(b, [allergy, 'code'], { keepBoth: true })
  await exchange()
  await set(a, allergy, code('x'))
  await set(a, allergy, code('y'))
  await set(b, allergy, code('z'))
  await exchange()
  for (const device of [a, b]) {
    const [conflict] = await list(device, { bases: true })
    expect(JSON.parse(conflict!.base!)).toEqual([{ text: 'peanut' }, { text: 'penicillin' }])
  }
})

async function oneConflict(): Promise<void> {
  await enrolTwo()
  await disputed(allergy, { before: code('?'), ofA: code('penicillin'), ofB: code('peanut') })
}

describe('the list', () => {
  test('is the same on both devices, with who wrote what and when', async () => {
    await oneConflict()
    const [conflict, ...more] = await list(a)
    expect(more).toEqual([])
    const value = (n: number, text: string, device: TestDevice) => ({
      n,
      value: JSON.stringify({ text }),
      together: false,
      device: { id: device.id, name: null },
      actor: null,
      time: expect.stringMatching(/^2026-06-01T.*Z$/) as string,
      clockOff: false,
    })
    expect(conflict).toEqual({
      collection: 'records',
      id: allergy,
      field: 'code',
      title: null,
      kind: 'update-update',
      state: 'open',
      rank: 'critical',
      values: [value(1, 'peanut', b), value(2, 'penicillin', a)],
      base: null,
      seen: expect.stringMatching(/^[0-9a-f]{8}$/) as string,
    })
    expect(await list(b)).toEqual([conflict])
    // What both replaced is not in the record any more, but in its history.
    expect(await list(b, { bases: true })).toEqual([{ ...conflict, base: '{"text":"?"}' }])
  })

  test('begins with what is gravest, has what was decided by rule, and keeps to a collection', async () => {
    await enrolTwo()
    await disputed('plain', { before: { x: '0' }, ofA: { x: '1' }, ofB: { x: '2' } })
    await disputed(allergy, { before: code('?'), ofA: code('a'), ofB: code('b') })
    await disputed(observation, {
      before: { issued: '"?"', status: '"?"' },
      ofA: { issued: '"a"', status: '"final"' },
      ofB: { issued: '"b"', status: '"amended"' },
    })
    const found = await list(a)
    expect(found.map(({ id, field: name, state }) => [id, name, state])).toEqual([
      [allergy, 'code', 'open'],
      [observation, 'status', 'open'],
      [observation, 'issued', 'review'],
      ['plain', 'x', 'review'],
    ])
    expect(await list(a, { collection: 'records' })).toEqual(found)
    expect(await list(a, { collection: 'patients' })).toEqual([])
    await expect(list(a, { collection: 'nowhere' })).rejects.toThrow(
      expect.objectContaining({ code: 'UNKNOWN_COLLECTION' }),
    )
  })

  test('has titles for people, where they are asked for', async () => {
    await enrolTwo()
    await a.operations.set('patients', 'Patient/p', [
      ['name', '[{"given":["Ana"],"family":"Mejía"}]'],
      ['birthDate', '"1994-05-01"'],
    ])
    const patient = { patient: '{"reference":"Patient/p"}' }
    await disputed(allergy, { before: patient, ofA: code('penicillin'), ofB: code('peanut') })
    const [titled] = await list(a, { titles: true })
    expect(titled).toMatchObject({ title: 'peanut of Ana Mejía, born 1994-05-01' })
  })

  test('is found again in all records, when those in conflict were found by another schema', async () => {
    await oneConflict()
    await disputed('plain', { before: { x: '0' }, ofA: { x: '1' }, ofB: { x: '2' } })
    const before = await list(a)
    expect(before).toHaveLength(2)
    const { id } = await a.collection()
    await a.store.clearSecrets(`disputed-${id}`)
    const value = utf8ToBytes('another schema')
    await a.store.batch([{ kind: 'secret', name: `disputed-by/${id}`, value }])
    await a.restart()
    expect(await list(a)).toEqual(before)
    expect(await a.kept()).toEqual(await a.recount())
  })

  test('is refused where nothing can be read', async () => {
    await enrolTwo()
    const courier = await mesh.enrol('courier')
    await expect(list(courier)).rejects.toThrow(expect.objectContaining({ code: 'NOT_ALLOWED' }))
  })

  test('is the same after a restart, and empty when all is settled', async () => {
    await oneConflict()
    const before = await list(a)
    await a.restart()
    expect(await list(a)).toEqual(before)
    await resolve(a, [allergy, 'code'], { keep: 1 })
    await a.restart()
    expect(await list(a)).toEqual([])
  })
})

describe('a conflict that is settled', () => {
  test.each<[string, Resolution, string]>([
    ['by one of its values', { keep: 2 }, '{"text":"penicillin"}'],
    ['by another value', { value: '{ "text": "latex" }' }, '{"text":"latex"}'],
  ])('%s is settled for everybody', async (_, resolution, value) => {
    await oneConflict()
    await resolve(a, [allergy, 'code'], resolution)
    await exchange()
    for (const device of [a, b]) {
      expect(await list(device)).toEqual([])
      expect(await fieldOf(device, allergy, 'code')).toBe(value)
    }
  })

  test('by keeping a removal is gone', async () => {
    await enrolTwo()
    await disputed(allergy, { before: code('?'), ofA: code('x'), ofB: { code: undefined } })
    await resolve(a, [allergy, 'code'], { keep: 1 })
    expect(await fieldOf(a, allergy, 'code')).toBeUndefined()
    expect(await list(a)).toEqual([])
  })

  test('by keeping both shows both, and is open no more', async () => {
    await oneConflict()
    await resolve(b, [allergy, 'code'], { keepBoth: true })
    await exchange()
    for (const device of [a, b]) {
      const { kept, conflicts } = await device.operations.get('records', allergy)
      expect([...kept]).toEqual([['code', ['{"text":"peanut"}', '{"text":"penicillin"}']]])
      expect(conflicts.size).toBe(0)
      expect(await list(device)).toEqual([])
    }
  })

  test('by keeping both of two lists is one list', async () => {
    await enrolTwo()
    await disputed(allergy, {
      before: { reaction: '[1]' },
      ofA: { reaction: '[1,{"a":1,"b":2}]' },
      ofB: { reaction: '[{"b":2,"a":1},3,3]' },
    })
    await resolve(a, [allergy, 'reaction'], { keepBoth: true })
    expect(await fieldOf(a, allergy, 'reaction')).toBe('[{"b":2,"a":1},3,3,1]')
    expect((await a.operations.get('records', allergy)).kept.size).toBe(0)
  })

  test('that was decided by rule is to be looked at no more', async () => {
    await enrolTwo()
    await disputed(note, { before: { x: '0' }, ofA: { x: '1' }, ofB: { x: '2' } })
    await resolve(a, [note, 'x'], { keep: 1 })
    await exchange()
    expect(await list(b)).toEqual([])
    expect(await fieldOf(b, note, 'x')).toBe('2')
  })

  test('twice is refused, and nothing is written', async () => {
    await oneConflict()
    await resolve(a, [allergy, 'code'], { keep: 1 })
    const before = await a.contentHash()
    await expect(resolve(a, [allergy, 'code'], { keep: 2 })).rejects.toThrow(
      expect.objectContaining({ code: 'NOT_IN_CONFLICT' }),
    )
    await expect(resolve(a, [allergy, null], { record: 'delete' })).rejects.toThrow(
      expect.objectContaining({ code: 'NOT_IN_CONFLICT' }),
    )
    expect(await a.contentHash()).toBe(before)
  })

  test.each<[string, [string, string | null], Resolution, string]>([
    ['a number that is not there', [allergy, 'code'], { keep: 3 }, 'USAGE'],
    ['a record', [allergy, 'code'], { record: 'keep' }, 'USAGE'],
    ['what is no JSON', [allergy, 'code'], { value: 'x' }, 'INVALID_VALUE'],
    ['a field that is not in conflict', [allergy, 'patient'], { keep: 1 }, 'NOT_IN_CONFLICT'],
    ['a record that is not there', ['x', 'code'], { keep: 1 }, 'NOT_FOUND'],
  ])('by %s is refused', async (_, place, resolution, wanted) => {
    await oneConflict()
    const before = await list(a)
    await expect(resolve(a, place, resolution)).rejects.toThrow(
      expect.objectContaining({ code: wanted }),
    )
    expect(await list(a)).toEqual(before)
  })

  test('is refused when it is not the one that was shown', async () => {
    await oneConflict()
    const [shown] = await list(a)
    await set(b, allergy, code('peanut butter'))
    await set(a, allergy, code('nuts'))
    await exchange()
    const [now] = await list(a)
    await expect(resolve(a, [allergy, 'code'], { keep: 1 }, { seen: shown!.seen })).rejects.toThrow(
      expect.objectContaining({ code: 'CONFLICT_CHANGED' }),
    )
    expect(await list(a)).toEqual([now])
    await resolve(a, [allergy, 'code'], { keep: 1 }, { seen: now!.seen })
    expect(await list(a)).toEqual([])
  })
})

describe('two people who settle the same conflict', () => {
  test.each<[string, Resolution]>([
    ['one value', { keep: 2 }],
    ['a value of their own', { value: '{"text":"latex"}' }],
    ['both', { keepBoth: true }],
  ])('by %s agree', async (_, resolution) => {
    await oneConflict()
    await resolve(a, [allergy, 'code'], resolution)
    await resolve(b, [allergy, 'code'], resolution)
    await exchange()
    for (const device of [a, b]) expect(await list(device)).toEqual([])
    expect(await a.contentHash()).toBe(await b.contentHash())
  })

  test('differently have a new one', async () => {
    await oneConflict()
    await resolve(a, [allergy, 'code'], { keep: 1 })
    await resolve(b, [allergy, 'code'], { keepBoth: true })
    await exchange()
    const [conflict] = await list(a)
    expect(conflict?.values.map(({ value, together }) => [value, together])).toEqual([
      ['[{"text":"peanut"},{"text":"penicillin"}]', true],
      ['{"text":"peanut"}', false],
    ])
    await resolve(a, [allergy, 'code'], { keep: 1 })
    await exchange()
    for (const device of [a, b]) {
      expect(await list(device)).toEqual([])
      expect((await device.operations.get('records', allergy)).kept.get('code')).toHaveLength(2)
    }
  })
})

describe('a record that was deleted by somebody who had not seen a change of it', () => {
  async function deletedAndChanged(): Promise<void> {
    await enrolTwo()
    await set(a, note, { x: '0', y: '0' })
    await exchange()
    await remove(a, note)
    await set(b, note, { x: '1' })
    await exchange()
  }

  test('is in the list, with what had been changed', async () => {
    await deletedAndChanged()
    expect(await list(b)).toMatchObject([
      {
        field: null,
        kind: 'delete-update',
        state: 'review',
        values: [{ n: 1, value: undefined, device: { id: a.id } }],
        changes: [{ field: 'x', device: { id: b.id } }],
      },
    ])
  })

  test('is in the list for letters that somebody typed, and decided on with all of them', async () => {
    await enrolTwo()
    await set(a, note, { x: '0' })
    await exchange()
    await remove(a, note)
    const doc = await b.docs.open('records', note)
    const [ofA] = a.feeds()
    const typed = async (letters: string, commits: number): Promise<void> => {
      doc.getText('t').insert(0, letters)
      const ofB = () => b.feeds().find((feed) => feed !== ofA)
      const written = () => b.store.commits({ feed: ofB() ?? ofA!, after: 0 })
      await expect.poll(async () => ofB() !== undefined && (await written()).length).toBe(commits)
      await a.take(b, ofB()!)
    }
    await typed('on', 1)
    const [shown] = await list(a)
    expect(shown).toMatchObject({
      kind: 'delete-update',
      changes: [{ field: null, device: { id: b.id }, time: null }],
    })
    await typed('typed ', 2)
    await expect(
      resolve(a, [note, null], { record: 'delete' }, { seen: shown!.seen }),
    ).rejects.toThrow(expect.objectContaining({ code: 'CONFLICT_CHANGED' }))
  })

  test('stays, or goes, by one decision for everybody', async () => {
    await deletedAndChanged()
    await resolve(a, [note, null], { record: 'keep' })
    await exchange()
    for (const device of [a, b]) {
      expect(await list(device)).toEqual([])
      const { deleted, resurrected, fields } = await device.operations.get('records', note)
      expect({ deleted, resurrected, x: fields.get('x'), y: fields.get('y') }).toEqual({
        deleted: false,
        resurrected: false,
        x: '1',
        y: '0',
      })
    }
    await deletedAndChanged()
    await resolve(b, [note, null], { record: 'delete' })
    await exchange()
    for (const device of [a, b]) {
      expect(await list(device)).toEqual([])
      expect(await device.operations.list('records')).toEqual([])
    }
    await expect(resolve(b, [note, null], { record: 'keep' })).rejects.toThrow(
      expect.objectContaining({ code: 'NOT_IN_CONFLICT' }),
    )
  })

  test('is in a new conflict when two people decide differently, and in none when they agree', async () => {
    await deletedAndChanged()
    await resolve(a, [note, null], { record: 'keep' })
    await resolve(b, [note, null], { record: 'delete' })
    await exchange()
    expect(await list(a)).toMatchObject([{ field: null, kind: 'delete-update' }])
    await resolve(a, [note, null], { record: 'delete' })
    await resolve(b, [note, null], { record: 'delete' })
    await exchange()
    expect([...(await list(a)), ...(await list(b))]).toEqual([])
    expect(await a.contentHash()).toBe(await b.contentHash())
  })

  test('is decided on as it was shown', async () => {
    await deletedAndChanged()
    const [shown] = await list(a)
    await set(b, note, { z: '3' })
    await exchange()
    await expect(
      resolve(a, [note, null], { record: 'delete' }, { seen: shown!.seen }),
    ).rejects.toThrow(expect.objectContaining({ code: 'CONFLICT_CHANGED' }))
    expect(await fieldOf(a, note, 'z')).toBe('3')
  })

  test('takes a decision on the record, not on a value', async () => {
    await deletedAndChanged()
    await expect(resolve(a, [note, null], { keep: 1 })).rejects.toThrow(
      expect.objectContaining({ code: 'USAGE' }),
    )
  })
})

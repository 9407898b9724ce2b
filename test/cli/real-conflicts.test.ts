/** Conflicts on real devices: two processes that lose sight of each other, and people who settle what came of it. */
import { expect, test } from 'vitest'

import type { Invitation, MembershipResult } from '../../src/device/api.ts'
import { Place } from './support/haven-process.ts'

const minuteMs = 60_000
const allergy = 'AllergyIntolerance/1'

interface ConflictDocument {
  collection: string
  id: string
  field: string | null
  kind: string
  state: string
  rank: string
  values: { n: number; value: unknown; device: { id: string; name: string } }[]
  base: unknown
  seen: string
}

async function conflictsOn(place: Place, device: string): Promise<ConflictDocument[]> {
  return place.json(device, 'conflicts')
}

/** Two devices, each with what the other had written before they lost sight of each other. */
async function apart(place: Place, before: string[][], ofA: string[][], ofB: string[][]) {
  await place.json('a', 'init', '--mesh', 'Camp', '--device', 'a')
  for (const command of before) await place.json('a', ...command)
  const a = await place.up('a')
  const { code } = await place.json<Invitation>('a', 'invite')
  const joined = await place.json<MembershipResult>('b', 'join', code, '--device', 'b')
  const together = async () => {
    const b = await place.up('b', '--peer', a.address)
    await b.process.event((event) => event.event === 'sync' && event.state === 'COMPLETE')
    return b.process
  }
  await (await together()).stop()
  for (const command of ofB) await place.json('b', ...command)
  for (const command of ofA) await place.json('a', ...command)
  return { together, deviceOfB: joined.device }
}

test(
  'what two people wrote apart is listed on both devices, and settled on one for both',
  async () => {
    const place = new Place()
    const { together, deviceOfB } = await apart(
      place,
      [
        ['set', 'patients', 'Patient/1', 'birthDate="1994-05-01"', 'name=[{"text":"Ana"}]'],
        ['set', 'records', allergy, 'code={"text":"?"}', 'recordedDate="2026"'],
      ],
      [
        ['set', 'patients', 'Patient/1', 'birthDate="1994-05-02"'],
        ['set', 'records', allergy, 'code={"text":"penicillin"}', 'recordedDate="2025"'],
      ],
      [
        ['set', 'patients', 'Patient/1', 'birthDate='],
        ['delete', 'records', allergy],
      ],
    )
    const b = await together()
    const listed = await conflictsOn(place, 'a')
    expect(await conflictsOn(place, 'b')).toEqual(listed)
    const [deleted, birthDate, ...more] = listed
    expect(more).toEqual([])
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/) as string
    const seen = expect.stringMatching(/^[0-9a-f]{8}$/) as string
    expect(deleted).toEqual({
      collection: 'records',
      id: allergy,
      field: null,
      kind: 'delete-update',
      state: 'open',
      rank: 'critical',
      values: [
        {
          n: 1,
          value: null,
          removed: true,
          device: { id: deviceOfB.id, name: 'b' },
          actor: null,
          time,
          clockOff: false,
        },
      ],
      base: null,
      changes: ['code', 'recordedDate'].map((field) => ({
        field,
        device: expect.objectContaining({ name: 'a' }) as object,
        time,
      })),
      seen,
    })
    expect(birthDate).toMatchObject({
      collection: 'patients',
      id: 'Patient/1',
      field: 'birthDate',
      kind: 'update-update',
      state: 'open',
      rank: 'high',
      base: '1994-05-01',
    })
    const { stdout: text } = await place.run('b', 'conflicts')
    expect(text).toContain('  Ana (Patient/1 in patients), high\n')
    expect(text).toContain(`haven resolve patients Patient/1 birthDate --seen ${birthDate!.seen}`)

    const wrong = ['resolve', 'patients', 'Patient/1', 'birthDate', '--keep']
    expect(await place.failure('a', ...wrong, '3')).toEqual(['USAGE', 2])
    expect(await place.failure('a', ...wrong, '1', '--seen', 'ffffffff')).toEqual([
      'CONFLICT_CHANGED',
      1,
    ])
    const { n } = birthDate!.values.find(({ value }) => value !== null)!
    await place.json('a', ...wrong, `${n}`, '--seen', birthDate!.seen)
    expect(await place.failure('a', ...wrong, '1')).toEqual(['NOT_IN_CONFLICT', 1])
    await place.json('b', 'resolve', 'records', allergy, '--keep')
    for (const device of ['a', 'b'])
      await expect.poll(() => conflictsOn(place, device), { timeout: 10_000 }).toEqual([])
    expect(await place.json('b', 'get', 'patients', 'Patient/1')).toMatchObject({
      fields: { birthDate: '1994-05-02' },
    })
    expect(await place.json('a', 'get', 'records', allergy)).toMatchObject({
      fields: { code: { text: 'penicillin' } },
      deleted: false,
    })
    await b.stop()
    // The store alone says the same.
    expect(await conflictsOn(place, 'b')).toEqual([])
  },
  2 * minuteMs,
)

test(
  'two people who settle it apart end with nothing to settle, or with a new conflict',
  async () => {
    const place = new Place()
    const gender = ['patients', 'Patient/1', 'gender']
    const { together } = await apart(
      place,
      [['set', 'patients', 'Patient/1', 'gender="unknown"', 'active=true']],
      [['set', 'patients', 'Patient/1', 'gender="female"', 'active=false']],
      [['set', 'patients', 'Patient/1', 'gender="other"', 'active=null']],
    )
    const first = await together()
    expect(await conflictsOn(place, 'a')).toHaveLength(2)
    await first.stop()
    for (const device of ['a', 'b']) await place.json(device, 'resolve', ...gender, '--keep-both')
    await place.json('a', 'resolve', 'patients', 'Patient/1', 'active', '--value', 'true')
    await place.json('b', 'resolve', 'patients', 'Patient/1', 'active', '--keep', '1')
    await together()
    for (const device of ['a', 'b']) {
      const [conflict, ...more] = await conflictsOn(place, device)
      expect(more).toEqual([])
      expect(conflict).toMatchObject({ field: 'active', state: 'open' })
      const { kept } = await place.json<{ kept: Record<string, string[]> }>(
        device,
        'get',
        'patients',
        'Patient/1',
      )
      expect(kept.gender?.toSorted()).toEqual(['female', 'other'])
    }
  },
  2 * minuteMs,
)

test(
  'what people add to a set apart is all there, and what is no set or counter says so',
  async () => {
    const place = new Place()
    const telecom = ['patients', 'Patient/1', 'telecom']
    const { together } = await apart(
      place,
      [['add', ...telecom, '{"value":"1"}', '{"value":"2"}']],
      [['add', ...telecom, '{"value":"3"}']],
      [
        ['remove', ...telecom, '{"value":"1"}'],
        ['add', ...telecom, '{"value":"4"}', '--urgent'],
      ],
    )
    await together()
    for (const device of ['a', 'b']) {
      const { fields } = await place.json<{ fields: { telecom: { value: string }[] } }>(
        device,
        'get',
        'patients',
        'Patient/1',
      )
      expect(fields.telecom.map(({ value }) => value).toSorted()).toEqual(['2', '3', '4'])
      expect(await conflictsOn(place, device)).toEqual([])
    }
    const birthDate = ['patients', 'Patient/1', 'birthDate']
    for (const command of [
      ['add', ...birthDate, '"x"'],
      ['remove', ...birthDate, '"x"'],
      ['count', ...birthDate, '-1'],
      ['add', ...telecom, 'no JSON'],
    ])
      expect(await place.failure('a', ...command)).toEqual(['INVALID_VALUE', 1])
    expect(await place.failure('a', 'count', ...telecom, 'x')).toEqual(['USAGE', 2])
  },
  2 * minuteMs,
)

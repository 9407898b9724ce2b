import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Camp, enrol, untilAgreed, type CampDevice } from '../support/camp.ts'
import { canUseNamespaces, createLan } from '../support/namespaces.ts'
import { until } from '../support/until.ts'

const patient = 'Patient/amina'

/** What a clinic would apply on its first day. */
const schema = {
  collection: 'patients',
  version: 1,
  deletePolicy: 'confirm',
  fields: {
    allergies: { strategy: 'mvr', rank: 'critical' },
    medications: { strategy: 'transform', transform: 'medication-list', rank: 'critical' },
    remarks: { strategy: 'text', rank: 'normal' },
    problems: { strategy: 'set', rank: 'high' },
    dosesLeft: { strategy: 'counter', rank: 'normal' },
    language: { strategy: 'lww', rank: 'low' },
  },
}

interface ListedConflict {
  id: string
  field: string | null
  kind: string
  state: string
  rank: string
  values: { n: number; value: unknown; device: { name: string } }[]
}

describe.skipIf(!canUseNamespaces())(
  'two nurses, one chart, two tablets that cannot see each other',
  () => {
    test('lose nothing, see what they disagree on, and settle it', async () => {
      const network = createLan(3)
      const camp = await Camp.pitch({ network })
      const a = camp.device('ward', 1)
      const b = camp.device('outreach', 2)
      const c = camp.device('pharmacy', 3)
      const all = [a, b, c]
      await a.init()
      await a.up()
      const file = join(camp.directory, 'patients.json')
      await writeFile(file, JSON.stringify(schema, null, 2))
      await a.run('schema', 'apply', file)
      await enrol(b, a)
      await enrol(c, a)
      await Promise.all([b.up(), c.up()])
      await a.set('patients', patient, 'name="Amina"', 'remarks="admitted\\n"', 'dosesLeft=40')
      await a.run('add', 'patients', patient, 'problems', '"fever"')
      await untilAgreed(all)

      network.cut(2)
      await untilAlone(b)
      // On the ward …
      await a.set('patients', patient, 'allergies=["penicillin"]', 'language="ps"')
      await a.set('patients', patient, 'remarks="admitted\\nfever since monday\\n"')
      await a.set(
        'patients',
        patient,
        'medications=[{"drug":"Amoxicillin","dose":"500 mg"},{"drug":"Zinc","dose":"20 mg"}]',
      )
      await a.run('add', 'patients', patient, 'problems', '"cough"')
      await a.run('count', 'patients', patient, 'dosesLeft', '-1')
      // … and outside, in the same hour.
      await b.set('patients', patient, 'allergies=["latex"]', 'language="ps-AF"')
      await b.set('patients', patient, 'remarks="admitted\\nmother says: no food today\\n"')
      await b.set(
        'patients',
        patient,
        'medications=[{"drug":"amoxicillin","dose":"250 mg"},{"drug":"Zinc","dose":"20 mg"}]',
      )
      await b.run('remove', 'patients', patient, 'problems', '"fever"')
      await b.run('add', 'patients', patient, 'problems', '"rash"')
      await b.run('count', 'patients', patient, 'dosesLeft', '-2')
      network.heal(2)
      await untilAgreed(all)

      for (const device of all) {
        const { fields, conflicts } = await device.get('patients', patient)
        expect(String(fields.remarks).split('\n').toSorted(), device.name).toEqual(
          ['admitted', 'fever since monday', 'mother says: no food today', ''].toSorted(),
        )
        expect((fields.problems as string[]).toSorted()).toEqual(['cough', 'rash'])
        expect(fields.dosesLeft).toBe(37)
        expect(conflicts.allergies?.map(({ value }) => JSON.stringify(value)).toSorted()).toEqual([
          '["latex"]',
          '["penicillin"]',
        ])
        const medications = JSON.stringify(fields.medications)
        for (const said of ['500 mg', '250 mg', 'Zinc']) expect(medications).toContain(said)
      }
      const [listed, ...others] = await Promise.all(all.map(conflictsOf))
      for (const other of others) expect(other).toEqual(listed)
      expect(listed!.map(({ field, state }) => [field, state])).toEqual([
        // The gravest first, of these what was written last.
        ['medications', 'open'],
        ['allergies', 'open'],
        ['language', 'review'],
      ])

      // Both settle it, each in another way: that is a new conflict, of what they decided.
      network.cut(2)
      await untilAlone(b)
      await a.run('resolve', 'patients', patient, 'allergies', '--value', '["penicillin","latex"]')
      await b.run('resolve', 'patients', patient, 'allergies', '--value', '["latex"]')
      // This one they settle in the same way.
      await a.run('resolve', 'patients', patient, 'language', '--value', '"ps"')
      await b.run('resolve', 'patients', patient, 'language', '--value', '"ps"')
      network.heal(2)
      await untilAgreed(all)
      const again = await conflictsOf(c)
      expect(again.map(({ field }) => field)).toEqual(['allergies', 'medications'])
      expect(again[0]!.values.map(({ value }) => JSON.stringify(value)).toSorted()).toEqual([
        '["latex"]',
        '["penicillin","latex"]',
      ])
      await c.run('resolve', 'patients', patient, 'allergies', '--value', '["penicillin","latex"]')
      await untilAgreed(all)
      expect((await conflictsOf(b)).map(({ field }) => field)).toEqual(['medications'])

      // One deletes what the other is working on.
      network.cut(2)
      await untilAlone(b)
      await b.run('delete', 'patients', patient)
      await a.set('patients', patient, 'bed="7"')
      network.heal(2)
      await untilAgreed(all)
      for (const device of all) {
        const { fields } = await device.get('patients', patient)
        expect(fields, device.name).toMatchObject({ name: 'Amina', bed: '7', dosesLeft: 37 })
        expect(await conflictsOf(device)).toContainEqual(
          expect.objectContaining({ field: null, kind: 'delete-update', state: 'open' }),
        )
      }
      await b.run('resolve', 'patients', patient, '--keep')
      await untilAgreed(all)
      expect((await conflictsOf(a)).map(({ field }) => field)).toEqual(['medications'])
      await Promise.all(all.map((device) => device.down()))
    })
  },
)

async function conflictsOf(device: CampDevice): Promise<ListedConflict[]> {
  return device.run<ListedConflict[]>('conflicts')
}

async function untilAlone(device: CampDevice): Promise<void> {
  await until(`${device.name} has noticed the cut`, async () =>
    (await device.status()).peers.every(({ connected }) => !connected),
  )
}

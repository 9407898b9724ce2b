import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import type { ImportResult } from '../../src/device/api.ts'
import { agree, Camp, enrol, untilAgreed } from '../support/camp.ts'
import { canUseNamespaces, createLan } from '../support/namespaces.ts'
import { pause, until } from '../support/until.ts'

const fixtures = fileURLToPath(new URL('../fixtures/synthea-ndjson', import.meta.url))
const cutMs = 40_000

describe.skipIf(!canUseNamespaces())('two devices on a network without any route', () => {
  test('find each other, sync all that both have, and again after a cut', async () => {
    const network = createLan(2)
    const camp = await Camp.pitch({ network })
    const a = camp.device('registration', 1)
    const b = camp.device('triage', 2)
    await a.init()
    await a.up()
    await enrol(b, a)
    await a.down()

    // Each imports its half while it is alone.
    const halves = await halveFixtures(camp.directory)
    const imports = [
      await a.run<ImportResult>('import', halves[0]),
      await b.run<ImportResult>('import', halves[1]),
    ]
    expect(imports.map(({ rejected }) => rejected)).toEqual([[], []])
    const total = imports.reduce((sum, { records }) => sum + records, 0)
    expect(total).toBe(2_251)

    await Promise.all([a.up(), b.up()])
    expect(
      [...a.events, ...b.events].flatMap((event) => (event.event === 'notice' ? event : [])),
    ).toEqual([])
    await untilAgreed([a, b])
    const synced = await b.status()
    const counts = Object.values(synced.collections).map(({ records }) => records)
    expect(counts.reduce((sum, count) => sum + count)).toBe(total)
    expect(Object.keys(await a.content())).toEqual(expect.arrayContaining(['patients', 'records']))

    const [patient, other] = await patientIds()
    network.cut(2)
    const cutAt = performance.now()
    await Promise.all([
      a.set('patients', patient!, 'gender="female"', 'maritalStatus={"text":"A says"}'),
      b.set('patients', patient!, 'gender="other"', 'language="ps-AF"'),
    ])
    await a.set('patients', other!, 'active=true')
    await b.set('patients', other!, 'multipleBirthInteger=2')
    await until('both have noticed the cut', async () => {
      const peers = [...(await a.status()).peers, ...(await b.status()).peers]
      return peers.length === 2 && peers.every(({ connected }) => !connected)
    })
    expect(await agree([a, b])).toBe(false)
    await pause(cutMs - (performance.now() - cutAt))
    network.heal(2)
    await untilAgreed([a, b], { withinMs: 15_000 })

    for (const device of [a, b]) {
      const seen = await device.get('patients', patient!)
      expect(seen.fields).toMatchObject({ maritalStatus: { text: 'A says' }, language: 'ps-AF' })
      const genders = seen.conflicts.gender?.map(({ value, device: { name } }) => [name, value])
      expect(genders?.toSorted(), device.name).toEqual([
        ['registration', 'female'],
        ['triage', 'other'],
      ])
      expect(Object.keys(seen.conflicts)).toEqual(['gender'])
      const seenOther = await device.get('patients', other!)
      expect(seenOther.fields).toMatchObject({ active: true, multipleBirthInteger: 2 })
      expect(seenOther.conflicts).toEqual({})
    }
    const states = [...(await a.status()).peers, ...(await b.status()).peers]
    expect(states).toMatchObject([
      { connected: true, state: 'COMPLETE', behind: 0, ahead: 0 },
      { connected: true, state: 'COMPLETE', behind: 0, ahead: 0 },
    ])
    await Promise.all([a.down(), b.down()])
  })
})

/** Every second line of each file in one directory, the others in another. */
async function halveFixtures(directory: string): Promise<[string, string]> {
  const halves: [string, string] = [join(directory, 'even'), join(directory, 'odd')]
  for (const half of halves) await mkdir(half)
  const names = (await readdir(fixtures)).filter((name) => name.endsWith('.ndjson'))
  for (const name of names) {
    const lines = (await readFile(join(fixtures, name), 'utf8')).split('\n').slice(0, -1)
    for (const [rest, half] of halves.entries()) {
      const own = lines.filter((_, index) => index % 2 === rest)
      await writeFile(join(half, name), own.map((line) => `${line}\n`).join(''))
    }
  }
  return halves
}

async function patientIds(): Promise<string[]> {
  const lines = (await readFile(join(fixtures, 'Patient.ndjson'), 'utf8')).trim().split('\n')
  return lines.map((line) => `Patient/${(JSON.parse(line) as { id: string }).id}`)
}

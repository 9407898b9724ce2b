import { describe, expect, it } from 'vitest'

import type { ImportOptions, ImportResult } from '../../src/device/api.ts'
import { TestMesh, type TestDevice } from './support/test-device.ts'

/** Before and after the time at which everything is written here. */
const before = '2026-05-01T10:00:00Z'
const later = '2027-01-01T10:00:00Z'

function patient(id: string, elements: Record<string, unknown>): string {
  return JSON.stringify({ resourceType: 'Patient', id, ...elements })
}

async function take(
  device: TestDevice,
  lines: readonly string[],
  options: ImportOptions = {},
): Promise<ImportResult> {
  const chunks = (async function* () {
    yield Buffer.from(lines.join('\n'))
  })()
  return device.operations.import([{ name: 'file', format: 'ndjson', chunks }], options)
}

async function exported(device: TestDevice): Promise<string[]> {
  const lines: string[] = []
  for await (const line of device.operations.export('patients')) lines.push(line)
  return lines
}

async function fields(device: TestDevice, id: string): Promise<Record<string, string>> {
  return Object.fromEntries((await device.operations.get('patients', `Patient/${id}`)).fields)
}

async function set(device: TestDevice, id: string, changes: Record<string, string | undefined>) {
  await device.operations.set('patients', `Patient/${id}`, Object.entries(changes))
}

describe('An export that is taken in again after the work went on', () => {
  async function worked(): Promise<{ device: TestDevice; old: string[] }> {
    const { founder: device } = await TestMesh.found()
    await take(device, [
      patient('edited', { gender: 'female', birthDate: '1950' }),
      patient('gone', { gender: 'male' }),
      patient('same', { gender: 'other' }),
    ])
    const old = await exported(device)
    await set(device, 'edited', { gender: '"male"', birthDate: undefined, active: 'true' })
    await device.operations.delete('patients', 'Patient/gone')
    return { device, old: [...old, patient('fresh', { gender: 'male' })] }
  }

  it('replaces nothing and brings nothing back, and says so', async () => {
    const { device, old } = await worked()
    expect(await take(device, old)).toEqual({
      records: 1,
      created: 1,
      unchanged: 1,
      newerHere: 1,
      deletedHere: 1,
      commits: 1,
      rejected: [],
    })
    expect(await fields(device, 'edited')).toEqual({ gender: '"male"', active: 'true' })
    expect((await device.operations.get('patients', 'Patient/gone')).deleted).toBe(true)
    expect(await fields(device, 'fresh')).toEqual({ gender: '"male"' })
  })

  it('writes nothing in a dry run, and says the same', async () => {
    const { device, old } = await worked()
    const hash = await device.contentHash('patients')
    const counts = { records: 1, created: 1, unchanged: 1, newerHere: 1, deletedHere: 1 }
    const { digest } = device.runtime.replica
    expect(await take(device, old, { dryRun: true })).toMatchObject({ ...counts, commits: 0 })
    expect(await device.contentHash('patients')).toBe(hash)
    expect(device.runtime.replica.digest).toBe(digest)
    expect(await take(device, old, { dryRun: true, overwrite: true, restore: true })).toMatchObject(
      { records: 3, created: 1, unchanged: 1, newerHere: 0, deletedHere: 0, commits: 0 },
    )
    expect(await take(device, old)).toMatchObject(counts)
  })

  it('replaces with overwrite, and brings back with restore, each by itself', async () => {
    const { device, old } = await worked()
    expect(await take(device, old, { overwrite: true })).toMatchObject({
      records: 2,
      newerHere: 0,
      deletedHere: 1,
    })
    expect(await fields(device, 'edited')).toEqual({ gender: '"female"', birthDate: '"1950"' })
    expect(await take(device, old, { restore: true })).toMatchObject({ records: 1, created: 0 })
    expect(await fields(device, 'gone')).toEqual({ gender: '"male"' })
  })
})

describe('A resource that says when it was updated', () => {
  const meta = (lastUpdated: string) => ({ meta: { lastUpdated } })

  it('replaces what it is newer than, and removes what it no longer has', async () => {
    const { founder: device } = await TestMesh.found()
    await take(device, [patient('p', { gender: 'female', birthDate: '1950' })])
    const newer = patient('p', { ...meta(later), gender: 'male' })
    expect(await take(device, [newer])).toMatchObject({ records: 1, created: 0, newerHere: 0 })
    expect(Object.keys(await fields(device, 'p')).toSorted()).toEqual(['gender', 'meta'])
  })

  it('is as old as it says, whenever it came in', async () => {
    const { founder: device } = await TestMesh.found()
    await take(device, [patient('p', { ...meta(before), gender: 'female', active: true })])
    await set(device, 'p', { active: 'false' })
    // Updated after what came in, and before what was written here.
    const next = patient('p', { ...meta('2026-05-02T10:00:00Z'), gender: 'male', active: true })
    expect(await take(device, [next])).toMatchObject({ records: 1, newerHere: 1 })
    expect(await fields(device, 'p')).toMatchObject({ gender: '"male"', active: 'false' })
    const first = patient('p', { ...meta(before), gender: 'female' })
    expect(await take(device, [first])).toMatchObject({ records: 0, newerHere: 1 })
    // What nobody here has said anything about is no matter of time.
    const more = patient('p', { ...meta('2026-05-02T10:00:00Z'), gender: 'male', photo: [{}] })
    expect(await take(device, [more])).toMatchObject({ records: 1, newerHere: 1 })
    expect(await fields(device, 'p')).toMatchObject({ photo: '[{}]', active: 'false' })
  })

  it('says nothing with a time that is none', async () => {
    const { founder: device } = await TestMesh.found()
    await take(device, [patient('p', { gender: 'female' })])
    for (const lastUpdated of ['2027', '', 'tomorrow', '2027-13-01T00:00:00Z']) {
      const line = patient('p', { ...meta(lastUpdated), gender: 'male' })
      expect(await take(device, [line])).toMatchObject({ newerHere: 1 })
    }
    expect(await fields(device, 'p')).toMatchObject({ gender: '"female"' })
  })
})

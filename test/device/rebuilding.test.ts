import { describe, expect, it } from 'vitest'

import { HavenError } from '../../src/core/errors.ts'
import { kindRange } from '../../src/store/layout.ts'
import { connect, sameClock, TestMesh, until } from './support/test-device.ts'
import type { Image, TestDevice } from './support/test-device.ts'

/** Values of the rows that hold records. */
function recordRows({ rows }: Image): Uint8Array[] {
  const [kind] = kindRange('record').gte
  return rows.filter(([key]) => key[0] === kind).map(([, value]) => value)
}

async function name(device: TestDevice): Promise<(string | undefined)[]> {
  await device.idle()
  const { fields } = await device.operations.get('records', 'r')
  return ['name', 'given', 'birthDate'].map((field) => fields.get(field))
}

async function inSync(a: TestDevice, b: TestDevice): Promise<void> {
  connect(a, b)
  await until(() => sameClock(a, b))
  expect(await a.contentHash()).toBe(await b.contentHash())
}

describe('A write while records are built again', () => {
  it('is made on all that the device has written, where the building begins between waiting and writing', async () => {
    const mesh = await TestMesh.found(3)
    const [other] = await mesh.enrolAll(['clinician'])
    const device = mesh.founder
    await device.set('r', { name: '"Anna"', given: '1' })
    const batch = device.store.batch.bind(device.store)
    // As on a disk that takes its time: a writer waits for what was derived last.
    let waits = (): void => undefined
    const waiting = new Promise<void>((resolve) => (waits = resolve))
    device.store.batch = async (changes, options) => {
      if (options?.sync === false && changes.some(({ kind }) => kind === 'record')) {
        waits()
        await new Promise((resolve) => setTimeout(resolve, 40))
      }
      await batch(changes, options)
    }
    await other!.set('q', { name: '"Bela"' })
    connect(device, other!)
    await waiting
    const written = device.set('r', { name: '"Ann"', birthDate: '"1994"' })
    setTimeout(() => {
      device.runtime.integrator.rebuildAll()
    }, 5)
    await written

    expect(await name(device)).toEqual(['"Ann"', '1', '"1994"'])
    await inSync(device, other!)
    expect(await name(other!)).toEqual(['"Ann"', '1', '"1994"'])
  })

  it('is made on all that the device has written, where it meets the damage itself', async () => {
    const mesh = await TestMesh.found(3)
    const [other] = await mesh.enrolAll(['clinician'])
    const device = mesh.founder
    await device.set('r', { name: '"Anna"', given: '1' })
    const image = await device.image()
    for (const row of recordRows(image)) row[row.length - 1]! ^= 1
    await device.putBack(image)

    await device.set('r', { name: '"Ann"', birthDate: '"1994"' })

    expect(device.runtime.notices.map(({ code }) => code)).toContain('STORE_DAMAGED')
    expect(await name(device)).toEqual(['"Ann"', '1', '"1994"'])
    await inSync(device, other!)
    expect(await name(other!)).toEqual(['"Ann"', '1', '"1994"'])
  })

  it('is refused where the records can not be built again', async () => {
    const mesh = await TestMesh.found(3)
    const device = mesh.founder
    await device.set('r', { name: '"Anna"' })
    const commits = device.store.commits.bind(device.store)
    device.store.commits = async (range) => {
      if (!device.feeds().includes(range.feed)) return commits(range)
      device.runtime.damaged({ row: 'unknown' })
      throw new HavenError('STORE_DAMAGED', 'A block of the database is damaged.')
    }
    device.runtime.damaged({ row: 'unknown' })

    await expect(device.set('r', { name: '"Ann"' })).rejects.toMatchObject({
      code: 'STORE_DAMAGED',
    })
  })
})

describe('A store that was opened after crashes', () => {
  /** Whether records were derived again at a start at which the store said this. */
  async function isBuiltAgain(isWhole: boolean): Promise<boolean> {
    const mesh = await TestMesh.found(3)
    const device = mesh.founder
    await device.set('r', { name: '"Anna"' })
    const image = await device.image()
    await device.runtime.close()
    let cleared = false
    await device.start((store) => {
      const clearRecords = store.clearRecords.bind(store)
      store.clearRecords = (collection) => {
        cleared = true
        return clearRecords(collection)
      }
      const salvage = { reason: 'crashes', keptAt: undefined, rows: 1, isWhole }
      Object.defineProperty(store, 'opening', { value: { ...store.opening, salvage } })
      return Promise.resolve()
    }, image)
    expect(await name(device)).toEqual(['"Anna"', undefined, undefined])
    expect(device.runtime.notices.map(({ code }) => code)).toContain('STORE_REPAIRED')
    return cleared
  }

  it('has its records at once, where nothing was damaged', async () => {
    expect(await isBuiltAgain(true)).toBe(false)
  })

  it('has them built again, where something may be missing', async () => {
    expect(await isBuiltAgain(false)).toBe(true)
  })
})

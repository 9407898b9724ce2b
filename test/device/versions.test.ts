import { expect, test } from 'vitest'

import { versionToken } from '../../src/records/record-version.ts'
import { connect, sameClock, TestMesh, until } from './support/test-device.ts'
import type { TestDevice } from './support/test-device.ts'

async function two(): Promise<[TestDevice, TestDevice]> {
  const mesh = await TestMesh.found()
  const [other] = await mesh.enrolAll(['clinician'])
  return [mesh.founder, other!]
}

async function meet(a: TestDevice, b: TestDevice): Promise<void> {
  const cut = connect(a, b)
  await until(() => sameClock(a, b))
  cut()
  await Promise.all([a.idle(), b.idle()])
}

async function versionOf({ operations }: TestDevice): Promise<string> {
  return (await operations.get('records', 'r')).version
}

test('two versions of a record are compared by what their devices had seen, also after a restart', async () => {
  const [a, b] = await two()
  await a.set('r', { dose: '5' })
  const first = await versionOf(a)
  await meet(a, b)
  await b.set('r', { dose: '6' })
  await a.set('r', { unit: '"mg"' })
  const [ofA, ofB] = [await versionOf(a), await versionOf(b)]
  await meet(a, b)
  await a.restart()
  for (const { operations } of [a, b]) {
    const compare = (one: string, other: string) => operations.compare('records', one, other)
    expect(await compare(first, ofB)).toBe('before')
    expect(await compare(ofA, first)).toBe('after')
    expect(await compare(ofA, ofB)).toBe('concurrent')
    expect(await compare(await versionOf(a), await versionOf(b))).toBe('equal')
  }
})

test('a version of what is not here yet is after what is, or beside it, and changes nothing', async () => {
  const [a, b] = await two()
  await a.set('r', { dose: '5' })
  const known = await versionOf(a)
  await meet(a, b)
  await b.set('r', { dose: '6' })
  const later = await versionOf(b)
  // Here nobody has heard of what is in it: who wrote it may have seen what is known here, or not.
  expect(await a.operations.compare('records', known, later)).toBe('before')
  const { id: collection } = await a.collection()
  const elsewhere = versionToken(new Map([['ee'.repeat(16), 7]]), { collection, id: 'r' })
  expect(await a.operations.compare('records', known, elsewhere)).toBe('concurrent')
  await meet(a, b)
  expect(await a.operations.compare('records', later, await versionOf(a))).toBe('equal')
  expect((await a.operations.get('records', 'r')).fields.get('dose')).toBe('6')
})

test('what is no version is refused', async () => {
  const [a] = await two()
  await a.set('r', { dose: '5' })
  const known = await versionOf(a)
  await expect(a.operations.compare('records', known, 'x')).rejects.toMatchObject({ code: 'USAGE' })
})

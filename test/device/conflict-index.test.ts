import { MemoryLevel } from 'memory-level'
import { expect, onTestFinished, test } from 'vitest'

import { ConflictIndex } from '../../src/device/conflict-index.ts'
import type { Standing } from '../../src/device/conflict-index.ts'
import { decodeRecordState, encodeRecordState } from '../../src/records/record-bytes.ts'
import { emptyRecord } from '../../src/records/record-state.ts'
import { builtInReading } from '../../src/records/schema/schema-book.ts'
import { openLevelStore } from '../../src/store/level-store.ts'
import type { MeshStore } from '../../src/store/mesh-store.ts'

async function emptyStore(): Promise<MeshStore> {
  const store = await openLevelStore({ db: new MemoryLevel(), storeKey: new Uint8Array(32) })
  onTestFinished(() => store.close())
  return store
}

interface Schema {
  digest: string
}

async function indexOn(store: MeshStore, schema: Schema, isEmpty = false): Promise<ConflictIndex> {
  const reading = () => ({ ...builtInReading, digest: schema.digest })
  const rows = { encoded: encodeRecordState, decoded: decodeRecordState }
  const index = new ConflictIndex('c', { store, reading, rows })
  await index.restore(isEmpty)
  return index
}

function standing(id: string, contested: boolean, inConflict: boolean): Standing {
  return { id, contested, disputed: inConflict ? emptyRecord(id) : undefined }
}

async function* each(...records: Standing[]): AsyncIterable<Standing> {
  yield* records
}

async function disputedIds(index: ConflictIndex): Promise<string[]> {
  return (await index.disputed()).map(({ id }) => id)
}

test('what is in conflict is known after a restart, and no more when it is settled', async () => {
  const store = await emptyStore()
  const schema = { digest: 'one' }
  const index = await indexOn(store, schema, true)
  expect(index.isCurrent).toBe(true)
  const before = standing('r', false, false)
  await store.batch(index.moved(before, standing('r', true, true)))
  await store.batch(index.moved(standing('s', false, false), standing('s', true, false)))
  const again = await indexOn(store, schema)
  expect(again.isCurrent).toBe(true)
  expect(await disputedIds(again)).toEqual(['r'])
  expect([...(await again.contested())].toSorted()).toEqual(['r', 's'])
  await store.batch(again.moved(standing('r', true, true), standing('r', false, false)))
  expect(await disputedIds(again)).toEqual([])
  expect([...(await again.contested())]).toEqual(['s'])
})

test('a record is contested before its row is on the disk', async () => {
  const store = await emptyStore()
  const index = await indexOn(store, { digest: 'one' }, true)
  index.moved(standing('r', false, false), standing('r', true, true))
  expect([...(await index.contested())]).toEqual(['r'])
  index.moved(standing('r', true, true), standing('r', false, false))
  expect([...(await index.contested())]).toEqual([])
})

test('by another schema, conflicts are looked for anew', async () => {
  const store = await emptyStore()
  const schema = { digest: 'one' }
  const index = await indexOn(store, schema, true)
  await store.batch(index.moved(standing('r', false, false), standing('r', true, true)))
  schema.digest = 'two'
  expect(index.isCurrent).toBe(false)
  // What is written meanwhile must not make the rest look right, nor does going back.
  await store.batch(index.moved(standing('s', false, false), standing('s', true, false)))
  schema.digest = 'one'
  for (const one of [index, await indexOn(store, schema)]) expect(one.isCurrent).toBe(false)
  schema.digest = 'two'
  await index.make(each(standing('r', true, false), standing('s', true, true)))
  for (const one of [index, await indexOn(store, schema)]) {
    expect(one.isCurrent).toBe(true)
    expect(await disputedIds(one)).toEqual(['s'])
    expect([...(await one.contested())].toSorted()).toEqual(['r', 's'])
  }
})

test('a look at all records that was cut short begins anew', async () => {
  const store = await emptyStore()
  const schema = { digest: 'one' }
  const index = await indexOn(store, schema, true)
  await store.batch(index.moved(standing('r', false, false), standing('r', true, true)))
  schema.digest = 'two'
  async function* cutShort(): AsyncIterable<Standing> {
    yield standing('r', true, false)
    // By so many, some are on the disk.
    for (let n = 0; n < 2_000; n++) yield standing(`s${n}`, true, true)
    throw new Error('the power went out')
  }
  await expect(index.make(cutShort())).rejects.toThrow('power')
  schema.digest = 'one'
  const again = await indexOn(store, schema)
  expect(again.isCurrent).toBe(false)
  // What is contested is known at any time.
  expect((await again.contested()).has('r')).toBe(true)
  await again.make(each(standing('r', true, true), standing('s0', true, false)))
  expect(await disputedIds(await indexOn(store, schema))).toContain('r')
  expect(await disputedIds(await indexOn(store, schema))).not.toContain('s0')
})

import { describe, expect, it } from 'vitest'
import * as Y from 'yjs'

import { isHavenError } from '../../src/core/errors.ts'
import type { RecordChange } from '../../src/device/api.ts'
import { utf8ToBytes } from '../../src/core/bytes.ts'
import type { ImportSource } from '../../src/device/api.ts'
import { connect, sameClock, TestMesh, until } from './support/test-device.ts'
import type { TestDevice } from './support/test-device.ts'
import { Chance } from '../sync/support/chance.ts'

const mib = 1024 * 1024

/** A mesh of two clinicians that are connected. */
async function pair(): Promise<{ one: TestDevice; other: TestDevice }> {
  const mesh = await TestMesh.found()
  const other = await mesh.enrol('clinician')
  connect(mesh.founder, other)
  await until(() => sameClock(mesh.founder, other))
  await until(() => Promise.resolve(other.runtime.control.membership.collections.size > 0))
  return { one: mesh.founder, other }
}

async function inSync(one: TestDevice, other: TestDevice, collection = 'records'): Promise<void> {
  await until(
    async () =>
      sameClock(one, other) &&
      (await one.contentHash(collection)) === (await other.contentHash(collection)),
    20_000,
  )
}

function ndjson(...resources: string[]): ImportSource[] {
  const text = utf8ToBytes(resources.join('\n'))
  // In pieces that cut lines and characters anywhere.
  async function* chunks() {
    for (let at = 0; at < text.length; at += 10_001) yield text.slice(at, at + 10_001)
  }
  return [{ name: 'test.ndjson', format: 'ndjson', chunks: chunks() }]
}

/** Text that deflate can do little with: it looks back 32 KiB. */
function noise(length: number): string {
  const chance = new Chance(7)
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const block = Array.from({ length: 40_000 }, () => letters[chance.int(0, 63)]).join('')
  return block.repeat(Math.ceil(length / block.length)).slice(0, length)
}

async function lines(device: TestDevice, collection: string): Promise<string[]> {
  const out: string[] = []
  for await (const line of device.operations.export(collection)) out.push(line)
  return out
}

describe('FHIR resources', () => {
  const patient =
    '{"resourceType":"Patient","id":"p1","birthDate":"1950-01-02","extension":[{"valueDecimal":1.00},{"valueDecimal":1E-7},{"valueInteger64":12345678901234567890}],"name":[{"family":"Ngũgĩ","given":["__proto__","\\u00e9"]}]}'
  const observation =
    '{"resourceType":"Observation","id":"p1","status":"final","valueQuantity":{"value":0.10,"__proto__":{"a":1}}}'

  it('come out on the other device as they went in, number lexemes included', async () => {
    const { one, other } = await pair()
    const result = await one.operations.import(ndjson(patient, observation))
    expect(result).toMatchObject({ records: 2, unchanged: 0, rejected: [] })
    await inSync(one, other, 'patients')
    await inSync(one, other, 'records')
    const [line] = await lines(other, 'patients')
    expect(line).toContain('1.00')
    expect(line).toContain('1E-7')
    expect(line).toContain('12345678901234567890')
    expect(JSON.parse(line!)).toEqual(JSON.parse(patient))
    expect((await lines(other, 'records'))[0]).toContain('"__proto__":{"a":1}')
    // Again, on the other side: nothing changes there.
    const again = await other.operations.import(ndjson(patient, observation))
    expect(again).toMatchObject({ records: 0, unchanged: 2, commits: 0 })
    // An element that is gone is removed.
    const shorter = '{"resourceType":"Patient","id":"p1","name":[{"family":"Ngũgĩ"}]}'
    await other.operations.import(ndjson(shorter), { overwrite: true })
    await inSync(one, other, 'patients')
    expect(JSON.parse((await lines(one, 'patients'))[0]!)).toEqual(JSON.parse(shorter))
  })

  it('that can not be taken are reported by line, and the others are taken', async () => {
    const { one } = await pair()
    const result = await one.operations.import(
      ndjson('{"resourceType":"Patient","id":"a"}', '{"resourceType":', '[]', '', patient),
    )
    expect(result.records).toBe(2)
    expect(result.rejected.map(({ line }) => line)).toEqual([2, 3])
  })

  it('of 7 MB go on over several commits', async () => {
    const { one, other } = await pair()
    const half = Math.floor(3.3 * mib)
    const binary = `{"resourceType":"Binary","id":"x","contentType":"text/plain","data":"${noise(half)}","_data":{"id":"${noise(half)}"}}`
    const result = await one.operations.import(ndjson(binary))
    expect(result).toMatchObject({ records: 1, rejected: [] })
    expect(result.commits).toBeGreaterThan(10)
    await inSync(one, other, 'documents')
    expect((await lines(other, 'documents'))[0]).toBe(binary)
    await other.restart()
    expect((await lines(other, 'documents'))[0]).toBe(binary)
  })
})

describe('large values', () => {
  it('of several fields, written at once by many, all arrive', async () => {
    const { one, other } = await pair()
    const value = JSON.stringify(noise(3.9 * mib))
    const ids = ['a', 'b', 'c', 'd']
    await Promise.all(ids.map((id) => one.set(id, { big: value, one: '1' })))
    await inSync(one, other)
    expect(other.marked).toEqual([])
    for (const id of ids)
      expect((await other.operations.get('records', id)).fields.get('big')).toBe(value)
  })

  it('that are more than one record can take at once are refused, not lost at others', async () => {
    const { one, other } = await pair()
    const value = JSON.stringify(noise(3 * mib))
    const error = await one
      .set('r', { a: value, b: value, c: value })
      .catch((each: unknown) => each)
    expect(isHavenError(error, 'TOO_LARGE')).toBe(true)
    await one.set('r', { a: '1' })
    await inSync(one, other)
    expect(other.marked).toEqual([])
    expect([...(await other.operations.get('records', 'r')).fields]).toEqual([['a', '1']])
  })
})

describe('writes at the same time', () => {
  it('share commits, and each tells where it is', async () => {
    const { one, other } = await pair()
    const before = one.runtime.replica.commits
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        one.operations.set('records', `r${index}`, [['n', String(index)]]),
      ),
    )
    expect(one.runtime.replica.commits - before).toBeLessThan(10)
    for (const { commit } of results)
      expect(one.runtime.replica.chain(commit!.feed).seq).toBeGreaterThanOrEqual(commit!.seq)
    await inSync(one, other)
    expect(await other.operations.list('records')).toHaveLength(50)
  })

  it('of one field by one device leave the last, and no conflict', async () => {
    const { one, other } = await pair()
    await Promise.all([1, 2, 3, 4, 5].map((value) => one.set('r', { n: String(value) })))
    await inSync(one, other)
    const view = await other.operations.get('records', 'r')
    expect([...view.fields]).toEqual([['n', '5']])
    expect(view.conflicts.size).toBe(0)
  })

  it('that fail do not take their neighbours along', async () => {
    const { one } = await pair()
    const [good, bad, last] = await Promise.allSettled([
      one.set('r1', { n: '1' }),
      one.operations.delete('records', 'nobody'),
      one.set('r2', { n: '2' }),
    ])
    expect([good.status, bad.status, last.status]).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(await one.operations.list('records')).toHaveLength(2)
  })
})

describe('live documents', () => {
  it('carry text both ways, also what both type at once', async () => {
    const { one, other } = await pair()
    const here = await one.docs.open('records', 'note')
    here.getText('body').insert(0, 'fever')
    const there = await other.docs.open('records', 'note')
    await until(() => there.getText('body').toJSON() === 'fever')
    // Many small edits on both sides, while those of the other side come in.
    for (let round = 0; round < 20; round++) {
      here.getText('body').insert(here.getText('body').length, `a${round}`)
      there.getText('body').insert(0, `b${round}`)
      if (round % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 3))
    }
    await until(() => here.getText('body').toJSON() === there.getText('body').toJSON())
    await inSync(one, other)
    const text = here.getText('body').toJSON()
    expect(text).toBe(there.getText('body').toJSON())
    for (let round = 0; round < 20; round++) {
      expect(text).toContain(`a${round}`)
      expect(text).toContain(`b${round}`)
    }
    expect(text).toContain('fever')
    expect([...one.failures, ...other.failures]).toEqual([])
    await other.restart()
    expect((await other.docs.open('records', 'note')).getText('body').toJSON()).toBe(text)
  })

  it('carry edits that build on what arrived while earlier ones were being written', async () => {
    const { one, other } = await pair()
    const here = await one.docs.open('records', 'note')
    const there = await other.docs.open('records', 'note')
    // White-box: a disk that is slow just now.
    const { writer } = one.runtime
    const write = writer.write.bind(writer)
    const { promise: diskIsFree, resolve: freeDisk } = Promise.withResolvers<void>()
    writer.write = async (...parts) => {
      await diskIsFree
      return write(...parts)
    }
    here.getText('body').insert(0, 'a')
    here.getText('body').insert(1, 'b')
    there.getText('body').insert(0, 'THERE')
    await until(() => here.getText('body').length === 7)
    const at = here.getText('body').toJSON().indexOf('THERE') + 2
    here.getText('body').insert(at, 'c')
    freeDisk()
    await until(() => there.getText('body').length === 8)
    expect(there.getText('body').toJSON()).toBe(here.getText('body').toJSON())
    expect(there.getText('body').toJSON()).toContain('THcERE')
    expect(one.failures).toEqual([])
  })

  it('have stored what was typed last before they are closed', async () => {
    const { one } = await pair()
    const doc = await one.docs.open('records', 'note')
    for (const letter of 'last words')
      doc.getText('body').insert(doc.getText('body').length, letter)
    await one.docs.close()
    await one.restart()
    const again = await one.docs.open('records', 'note')
    expect(again.getText('body').toJSON()).toBe('last words')
  })

  it('stand beside the fields of the same record, and do not touch them', async () => {
    const { one, other } = await pair()
    await one.set('r', { n: '1' })
    const doc = await one.docs.open('records', 'r')
    doc.getMap('free').set('k', [1, 2])
    const there = await other.docs.open('records', 'r')
    await until(() => there.getMap('free').has('k'))
    expect([...(await other.operations.get('records', 'r')).fields]).toEqual([['n', '1']])
    expect(there.getMap('free').toJSON()).toEqual({ k: [1, 2] })
    expect(doc).toBeInstanceOf(Y.Doc)
  })
})

describe('a device that may not write', () => {
  it.each([
    ['viewer', 5],
    ['courier', 1],
  ] as const)('as a %s is told so, and has the keys of its role', async (role, keys) => {
    const mesh = await TestMesh.found()
    const device = await mesh.enrol(role)
    connect(mesh.founder, device)
    await mesh.founder.set('r', { n: '1' })
    await until(() => sameClock(mesh.founder, device))
    const error = await device.set('r', { n: '2' }).catch((each: unknown) => each)
    expect(isHavenError(error, 'NOT_ALLOWED')).toBe(true)
    expect(device.runtime.control.heldKeys()).toHaveLength(keys)
    // It carries what others wrote, all of it.
    expect(device.runtime.replica.digest).toBe(mesh.founder.runtime.replica.digest)
  })
})

describe('what a program hands in', () => {
  it('is refused by name where no commit could hold it, and harms nothing', async () => {
    const { one } = await pair()
    await one.set('r', { a: '1' })
    const bogus = [{ op: 'bogus' } as unknown as { op: 'delete' }]
    await expect(one.operations.write('records', 'r', bogus)).rejects.toMatchObject({
      code: 'INVALID_VALUE',
    })
    const misshapen: unknown[] = [
      undefined,
      { op: 'delete' },
      [null],
      ['delete'],
      [{ op: 'put', field: 'a', value: 1 }],
      [{ op: 'put', value: '1' }],
      [{ op: 'add', field: 'a' }],
      [{ op: 'keep', field: 'a' }],
      [{ op: 'keep', field: 'a', values: [1, 2] }],
      [{ op: 'text', field: 'a', at: 0, insert: 1 }],
    ]
    for (const changes of misshapen) {
      const write = one.operations.write('records', 'r', changes as RecordChange[])
      await expect(write).rejects.toMatchObject({
        code: expect.stringMatching(/USAGE|INVALID_VALUE/),
      })
    }
    for (const fields of [undefined, { a: '1' }, ['a'], [['a', 1]]]) {
      const set = one.operations.set('records', 'r', fields as Iterable<[string, string]>)
      await expect(set).rejects.toMatchObject({ code: 'USAGE' })
    }
    const nobody = one.operations.write('records', 7 as unknown as string, [{ op: 'delete' }])
    await expect(nobody).rejects.toMatchObject({ code: 'INVALID_ID' })
    for (const id of ['', 'x'.repeat(300), 'a\0b', '\ud800']) {
      await expect(one.docs.open('records', id)).rejects.toMatchObject({ code: 'INVALID_ID' })
    }
    expect(await one.operations.list('records')).toEqual([{ id: 'r' }])
  })
})

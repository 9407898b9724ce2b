import { describe, expect, test } from 'vitest'

import { type ErrorCode, isHavenError } from '../../src/core/errors.ts'
import { limits } from '../../src/core/limits.ts'
import { LinkOperations } from '../../src/device/link-operations.ts'
import { recordHistory } from '../../src/device/record-history.ts'
import { connect, sameClock, TestMesh, until } from './support/test-device.ts'
import type { TestDevice } from './support/test-device.ts'

const records = 'records'

async function pair(): Promise<[TestDevice, TestDevice]> {
  const mesh = await TestMesh.found()
  const other = await mesh.enrol('clinician')
  await meet(mesh.founder, other)
  await until(() => other.runtime.control.membership.collections.size > 0)
  return [mesh.founder, other]
}

/** They see each other until both have everything. */
async function meet(one: TestDevice, other: TestDevice): Promise<void> {
  const cut = connect(one, other)
  await until(() => sameClock(one, other))
  cut()
  await Promise.all([one.idle(), other.idle()])
}

async function patients(device: TestDevice, ...ids: string[]): Promise<void> {
  for (const id of ids) await device.set(id, { name: JSON.stringify(id) })
}

function operations(device: TestDevice): LinkOperations {
  return new LinkOperations(device.runtime)
}

function link(device: TestDevice, ...ids: string[]) {
  return operations(device).link(records, ids)
}

function unlink(device: TestDevice, ...ids: string[]) {
  return operations(device).unlink(records, ids)
}

async function others(device: TestDevice, id: string): Promise<string[]> {
  const { links } = await device.operations.get(records, id)
  return links.map(({ id: other, state }) => (state === 'present' ? other : `${other} ${state}`))
}

async function codeOf(attempt: Promise<unknown>): Promise<ErrorCode | undefined> {
  return attempt.then(
    () => undefined,
    (error: unknown) => (isHavenError(error) ? error.code : undefined),
  )
}

describe('links', () => {
  test('are named by each of the records, on every device, and no field', async () => {
    const [one, other] = await pair()
    await patients(one, 'a', 'b', 'c', 'd')
    const commits = one.runtime.replica.commits
    const { ids, commit, links } = await link(one, 'c', 'a', 'b')
    expect(ids).toEqual(['c', 'a', 'b'])
    expect(one.runtime.replica.commits).toBe(commits + 1)
    expect(one.runtime.replica.chain(commit!.feed).seq).toBe(commit!.seq)
    expect(links).toEqual([
      { id: 'a', state: 'present', linkedWith: ['c'] },
      { id: 'b', state: 'present', linkedWith: ['c'] },
    ])
    await meet(one, other)
    for (const device of [one, other]) {
      expect(await others(device, 'a')).toEqual(['b', 'c'])
      expect(await others(device, 'c')).toEqual(['a', 'b'])
      expect(await others(device, 'd')).toEqual([])
      const { fields, conflicts, kept } = await device.operations.get(records, 'a')
      expect([[...fields], conflicts.size, kept.size]).toEqual([[['name', '"a"']], 0, 0])
      const lines: string[] = []
      for await (const line of device.operations.export(records)) lines.push(line)
      expect(lines[0]).toBe('{"~record":"records","id":"a","name":"a"}')
    }
    expect(await one.contentHash()).toBe(await other.contentHash())
    expect(await other.kept()).toEqual(await other.recount())
    await other.restart()
    expect(await others(other, 'b')).toEqual(['a', 'c'])
  })

  test('that are there already are not written again', async () => {
    const [one] = await pair()
    await patients(one, 'a', 'b')
    await link(one, 'a', 'b')
    expect(await link(one, 'b', 'a')).toMatchObject({ commit: null, links: [{ id: 'a' }] })
    expect((await unlink(one, 'b', 'a')).commit).not.toBeNull()
    expect(await unlink(one, 'a', 'b')).toEqual({ ids: ['a', 'b'], commit: null, links: [] })
  })

  test('that two people make at the same time are all there, in a circle, too', async () => {
    const [one, other] = await pair()
    await patients(one, 'a', 'b', 'c')
    await meet(one, other)
    await link(one, 'a', 'b')
    await link(one, 'b', 'c')
    await link(other, 'c', 'a')
    await meet(one, other)
    for (const device of [one, other]) {
      for (const id of ['a', 'b', 'c']) {
        const rest = ['a', 'b', 'c'].filter((each) => each !== id)
        expect(await others(device, id)).toEqual(rest)
      }
      expect(await device.seen()).toEqual(await one.seen())
    }
    // What was asked is cut, and no more: through b they are still the same.
    expect((await unlink(one, 'a', 'c')).links.map(({ id }) => id)).toEqual(['b', 'c'])
    expect(await codeOf(unlink(one, 'a', 'c'))).toBe('LINKED_INDIRECTLY')
    expect((await unlink(one, 'b', 'a')).links.map(({ id }) => id)).toEqual(['c'])
    expect(await others(one, 'a')).toEqual([])
  })

  test('that one person takes back while another one makes them anew are there', async () => {
    const [one, other] = await pair()
    await patients(one, 'a', 'b')
    await link(one, 'a', 'b')
    await meet(one, other)
    await unlink(one, 'a', 'b')
    await unlink(other, 'b', 'a')
    await link(other, 'a', 'b')
    await meet(one, other)
    for (const device of [one, other]) {
      expect(await others(device, 'a')).toEqual(['b'])
      expect(await others(device, 'b')).toEqual(['a'])
    }
    // Both take it back: gone, and no conflict about it.
    await unlink(one, 'a', 'b')
    await unlink(other, 'a', 'b')
    await meet(one, other)
    expect([...(await others(one, 'b')), ...(await others(other, 'a'))]).toEqual([])
    expect((await one.operations.get(records, 'a')).conflicts.size).toBe(0)
  })

  test('name records that are deleted, and those that have not arrived yet', async () => {
    const [one, other] = await pair()
    await patients(one, 'a', 'c')
    await meet(one, other)
    // b is written urgently, in a feed of its own.
    await one.set('b', { name: '"b"' }, true)
    const [routine] = one.feeds().filter((feed) => one.runtime.replica.chain(feed).seq > 1)
    await link(one, 'a', 'b', 'c')
    await one.operations.delete(records, 'c')
    await other.take(one, routine!)
    expect(await others(other, 'a')).toEqual(['b missing', 'c deleted'])
    expect(await others(other, 'c')).toEqual(['a', 'b missing'])
    expect(await codeOf(other.operations.get(records, 'b'))).toBe('NOT_FOUND')
    expect((await other.operations.list(records)).map(({ id }) => id)).toEqual(['a'])
    expect(await other.kept()).toEqual(await other.recount())
    // They can be unlinked, and neither is there because of that.
    await unlink(other, 'a', 'b', 'c')
    await meet(one, other)
    for (const device of [one, other]) {
      expect(await others(device, 'a')).toEqual([])
      expect((await device.operations.list(records)).map(({ id }) => id)).toEqual(['a', 'b'])
      expect((await device.operations.get(records, 'c')).deleted).toBe(true)
    }
  })

  test('survive that the record is written, imported or deleted anew', async () => {
    const [one] = await pair()
    const patient = (id: string) => `{"resourceType":"Observation","id":"${id}","status":"final"}`
    const file = () => ({
      name: 'x',
      format: 'ndjson' as const,
      chunks: (async function* () {
        yield Buffer.from([patient('1'), patient('2')].join('\n'))
      })(),
    })
    await one.operations.import([file()])
    await link(one, 'Observation/1', 'Observation/2')
    expect(await one.operations.import([file()])).toMatchObject({ records: 0, unchanged: 2 })
    await one.set('Observation/1', { status: '"amended"' })
    await one.operations.delete(records, 'Observation/1')
    expect(await others(one, 'Observation/2')).toEqual(['Observation/1 deleted'])
    await one.operations.import([file()], { restore: true })
    expect(await others(one, 'Observation/2')).toEqual(['Observation/1'])
  })

  test('are told in the history of each of the records', async () => {
    const [one] = await pair()
    await patients(one, 'a', 'b')
    await link(one, 'a', 'b')
    await unlink(one, 'a', 'b')
    for (const [id, other] of [
      ['a', 'b'],
      ['b', 'a'],
    ] as const) {
      const { entries } = await recordHistory(one.runtime, records, id, {})
      expect(entries.map(({ field, op, value }) => [field, op, value])).toEqual([
        [null, 'unlink', `"${other}"`],
        [null, 'link', `"${other}"`],
        ['name', 'put', `"${id}"`],
      ])
    }
  })

  test('need several records of one collection that are here', async () => {
    const [one] = await pair()
    await patients(one, 'a', 'b', 'gone')
    await one.operations.set('patients', 'elsewhere', [['name', '"e"']])
    await one.operations.delete(records, 'gone')
    const hash = await one.contentHash()
    for (const method of [link, unlink]) {
      expect(await codeOf(method(one, 'a'))).toBe('USAGE')
      expect(await codeOf(method(one, 'a', 'a'))).toBe('LINK_TO_ITSELF')
      expect(await codeOf(method(one, 'a', 'b', 'a'))).toBe('LINK_TO_ITSELF')
      expect(await codeOf(method(one, 'a', 'nobody'))).toBe('NOT_FOUND')
      expect(await codeOf(method(one, 'nobody', 'a'))).toBe('NOT_FOUND')
      expect(await codeOf(method(one, 'a', 'b', 'elsewhere'))).toBe('NOT_FOUND')
      expect(await codeOf(method(one, 'a', ''))).toBe('INVALID_ID')
    }
    expect(await codeOf(link(one, 'a', 'gone'))).toBe('NOT_FOUND')
    expect(await codeOf(operations(one).link('nowhere', ['a', 'b']))).toBe('UNKNOWN_COLLECTION')
    expect(await one.contentHash()).toBe(hash)
    expect(await others(one, 'a')).toEqual([])
  })

  test('are followed and made up to a limit', async () => {
    const [one] = await pair()
    const ids = Array.from({ length: limits.linkedRecords + 2 }, (_, index) => `p${1000 + index}`)
    await Promise.all(ids.map((id) => one.set(id, { n: '1' })))
    await link(one, ...ids.slice(0, limits.linkedRecords))
    expect(await codeOf(link(one, ids[1]!, ids.at(-1)!))).toBe('TOO_LARGE')
    // Two devices may go beyond it without knowing: as many are named.
    await one.runtime.writer.write(one.runtime.collectionId(records), 'routine', [
      { id: ids[0]!, plan: () => [{ field: '~same', op: 'add', value: `"${ids.at(-1)}"` }] },
    ])
    expect(await others(one, ids[0]!)).toHaveLength(limits.linkedRecords - 1)
  })

  test('are not for who may not write', async () => {
    const mesh = await TestMesh.found()
    const viewer = await mesh.enrol('viewer')
    await patients(mesh.founder, 'a', 'b')
    await meet(mesh.founder, viewer)
    await until(async () => (await viewer.operations.list(records)).length === 2)
    expect(await codeOf(link(viewer, 'a', 'b'))).toBe('NOT_ALLOWED')
  })
})

import { describe, expect, it } from 'vitest'

import { isHavenError } from '../../src/core/errors.ts'
import { ConflictOperations } from '../../src/device/conflict-operations.ts'
import { OperationsRecord } from '../../src/device/open-record.ts'
import { bytesToHex } from '../../src/core/bytes.ts'
import { readTexts } from './support/text-fields.ts'
import { TestMesh } from './support/test-device.ts'
import type { TestDevice } from './support/test-device.ts'

async function clinicians(count: number): Promise<TestDevice[]> {
  const mesh = await TestMesh.found()
  const devices = await mesh.enrolAll(Array.from({ length: count }, () => 'clinician' as const))
  for (const device of devices) await readTexts(device, ['note', 'plan'])
  return devices
}

/** Takes over what another device wrote itself. */
async function hear(to: TestDevice, from: TestDevice): Promise<void> {
  for (const feed of from.feeds()) {
    const { device } = from.runtime.replica.descriptor(feed)!
    if (bytesToHex(device) === from.id) await to.take(from, feed)
  }
}

async function fieldOf(device: TestDevice, field: string, id = 'r'): Promise<unknown> {
  const text = (await device.operations.get('records', id)).fields.get(field)
  return text === undefined ? undefined : (JSON.parse(text) as unknown)
}

function set(device: TestDevice, fields: Record<string, string | undefined>) {
  return device.operations.set('records', 'r', Object.entries(fields))
}

async function codeOf(work: Promise<unknown>): Promise<string | undefined> {
  const error = await work.then(
    () => undefined,
    (each: unknown) => each,
  )
  return isHavenError(error) ? error.code : undefined
}

describe('a field that is a text', () => {
  it('is written beside others in one commit, and shows like any value', async () => {
    const [a] = await clinicians(1)
    const { commit } = await set(a!, { note: '"Fever since Monday."', dose: '5' })
    expect(commit?.seq).toBe(1)
    expect(await fieldOf(a!, 'note')).toBe('Fever since Monday.')
    expect(await fieldOf(a!, 'dose')).toBe(5)
    const again = await set(a!, { note: '"Fever since Monday."' })
    expect(again.commit).toBeNull()
    const written = await a!.store.commits({ feed: a!.feeds()[0]!, after: 0 })
    expect(written).toHaveLength(1)
  })

  it('keeps the lines of two people who did not see each other, and what both did not touch stands once', async () => {
    const [a, b] = await clinicians(2)
    await set(a!, { note: '"Fever.\\nDrinks well.\\n"' })
    await hear(b!, a!)
    await Promise.all([
      set(a!, { note: '"Seen at 9.\\nFever.\\nDrinks well.\\n"' }),
      set(b!, { note: '"High fever.\\nDrinks well.\\nSeen at 10.\\n"' }),
    ])
    await hear(a!, b!)
    await hear(b!, a!)
    const note = await fieldOf(a!, 'note')
    expect(note).toBe(await fieldOf(b!, 'note'))
    expect(note).toBe('Seen at 9.\nHigh fever.\nDrinks well.\nSeen at 10.\n')
    expect(await a!.contentHash()).toBe(await b!.contentHash())
    expect((await a!.operations.get('records', 'r')).conflicts.size).toBe(0)
  })

  it('takes several edits of one moment into one commit', async () => {
    const [a] = await clinicians(1)
    await set(a!, { note: '"x"' })
    const edits = await Promise.all(
      ['a', 'b', 'c', 'd'].map((letter) =>
        a!.operations.write('records', 'r', [{ op: 'text', field: 'note', at: 0, insert: letter }]),
      ),
    )
    expect(await fieldOf(a!, 'note')).toBe('dcbax')
    const seqs = new Set(edits.map(({ commit }) => commit?.seq))
    expect(seqs.size).toBeLessThan(edits.length)
    const [b] = await a!.mesh.enrolAll(['clinician'])
    await readTexts(b!, ['note'])
    await hear(b!, a!)
    expect(await fieldOf(b!, 'note')).toBe('dcbax')
    expect(await b!.contentHash()).toBe(await a!.contentHash())
  })

  it('goes on with a value from before it was one', async () => {
    const mesh = await TestMesh.found()
    const [a, b] = await mesh.enrolAll(['clinician', 'clinician'])
    await set(a!, { note: '"Fever"' })
    await hear(b!, a!)
    for (const device of [a!, b!]) await readTexts(device, ['note'])
    expect(await fieldOf(b!, 'note')).toBe('Fever')
    await b!.operations.write('records', 'r', [
      { op: 'text', field: 'note', at: 5, insert: ' since Monday' },
    ])
    await hear(a!, b!)
    for (const device of [a!, b!]) {
      expect(await fieldOf(device, 'note')).toBe('Fever since Monday')
      expect((await device.operations.get('records', 'r')).conflicts.size).toBe(0)
    }
    await set(a!, { note: undefined })
    expect(await fieldOf(a!, 'note')).toBeUndefined()
  })

  it('that somebody put as a whole meanwhile is in conflict until it is settled, and both can be kept', async () => {
    const mesh = await TestMesh.found()
    const [a, old] = await mesh.enrolAll(['clinician', 'clinician'])
    await readTexts(a!, ['note'])
    await set(a!, { note: '"Typed"' })
    await set(old!, { note: '"Put by an older version"' })
    await hear(a!, old!)
    const conflicts = new ConflictOperations(a!.runtime)
    expect(await conflicts.list({})).toMatchObject([{ field: 'note', kind: 'schema' }])
    await conflicts.resolve('records', 'r', 'note', { keepBoth: true }, {})
    expect(await conflicts.list({})).toEqual([])
    expect(await fieldOf(a!, 'note')).toBe('Typed\nPut by an older version')
  })

  it.each([
    ['beyond the end', { at: 6, insert: 'x' }],
    ['of more than there is', { at: 4, remove: 2 }],
    ['before the beginning', { at: -1, insert: 'x' }],
    ['between', { at: 0.5, insert: 'x' }],
    ['of less than nothing', { at: 2, remove: -1 }],
    ['within a character', { at: 1, insert: 'x' }],
  ])('refuses an edit %s, and nothing of the commit is written', async (_, change) => {
    const [a] = await clinicians(1)
    await set(a!, { note: '"😀abc"', dose: '1' })
    const edit = a!.operations.write('records', 'r', [
      { op: 'put', field: 'dose', value: '2' },
      { op: 'text', field: 'note', ...change },
    ])
    expect(await codeOf(edit)).toBe('TEXT_RANGE')
    expect(await fieldOf(a!, 'note')).toBe('😀abc')
    expect(await fieldOf(a!, 'dose')).toBe(1)
  })

  it('takes text only, and other fields take no edits of letters', async () => {
    const [a] = await clinicians(1)
    expect(await codeOf(set(a!, { note: '5' }))).toBe('INVALID_VALUE')
    const splice = { op: 'text', field: 'dose', at: 0, insert: 'x' } as const
    expect(await codeOf(a!.operations.write('records', 'r', [splice]))).toBe('INVALID_VALUE')
    expect(a!.feeds()).toEqual([])
  })

  it('is saved from a form as what the form changed in it', async () => {
    const [a, b] = await clinicians(2)
    await set(a!, { note: '"Fever.\\nDrinks well.\\n"' })
    await hear(b!, a!)
    const form = await OperationsRecord.open(b!.operations, 'records', 'r')
    const draft = form.edit()
    await a!.operations.write('records', 'r', [
      { op: 'text', field: 'note', at: 0, insert: 'Seen by A.\n' },
    ])
    await hear(b!, a!)
    draft.editText('note', { at: 7, remove: 6, insert: 'Eats' })
    draft.editText('note', { at: 0, insert: 'High f', remove: 1 })
    await draft.save()
    expect(await fieldOf(b!, 'note')).toBe('Seen by A.\nHigh fever.\nEats well.\n')
    const other = form.edit()
    expect(() => other.editText('note', { at: 99 })).toThrow(
      expect.objectContaining({ code: 'TEXT_RANGE' }),
    )
    expect(() => other.editText('dose', { at: 1 })).toThrow(
      expect.objectContaining({ code: 'TEXT_RANGE' }),
    )
  })

  it('that waits for another device holds up no field', async () => {
    const [a, b, c] = await clinicians(3)
    await set(c!, { note: '"From C."', allergy: '"latex"' })
    await hear(a!, c!)
    await a!.operations.write('records', 'r', [
      { op: 'text', field: 'note', at: 7, insert: ' And A.' },
      { op: 'put', field: 'dose', value: '5' },
    ])
    await a!.operations.write('records', 'r', [{ op: 'put', field: 'dose', value: '6' }])
    // C is away: B hears of its words only through A.
    await hear(b!, a!)
    expect(await fieldOf(b!, 'dose')).toBe(6)
    expect(await fieldOf(b!, 'note')).toBeUndefined()
    expect(await fieldOf(b!, 'allergy')).toBeUndefined()
    await set(b!, { note: '"From B."' })
    expect(await fieldOf(b!, 'note')).toBe('From B.')
    await hear(b!, c!)
    expect(await fieldOf(b!, 'note')).toMatch(/^From (?:C\. And A\.From B\.|B\.From C\. And A\.)$/)
    expect(await fieldOf(b!, 'allergy')).toBe('latex')
    expect(b!.marked).toEqual([])
  })
})

import { describe, expect, test } from 'vitest'
import { FeedTable } from '../../src/records/feed-table.ts'
import { encodeFieldsUpdate } from '../../src/records/fields-update.ts'
import { acceptedWrites, applyFieldsUpdate, emptyRecord } from '../../src/records/record-state.ts'
import { meet, Person } from './histories/people.ts'

/** Two people, one of whom has opened a form before the other one writes. */
function withForm(prepare: (ada: Person) => void = () => {}): {
  ada: Person
  ben: Person
  form: Person['version']
} {
  const [ada, ben] = [new Person('ada'), new Person('ben')]
  ada.put('all', '"old"')
  prepare(ada)
  meet(ada, ben)
  return { ada, ben, form: ada.version }
}

describe('a write from a form', () => {
  test('replaces what the form showed, and not what came after it was opened', () => {
    const { ada, ben, form } = withForm()
    ben.put('all', '"by ben"')
    meet(ada, ben)
    ada.put('all', '"by ada"', form)
    meet(ada, ben)
    expect(ben.disputes('all')).toHaveLength(2)
    expect(new Set(ben.disputes('all'))).toEqual(new Set(['"by ada"', '"by ben"']))
  })

  test('does not replace what the same device wrote after it was opened', () => {
    const { ada, ben, form } = withForm()
    ada.put('all', '"by another form"')
    ada.put('all', '"by ada"', form)
    meet(ada, ben)
    expect(new Set(ben.disputes('all'))).toEqual(new Set(['"by ada"', '"by another form"']))
    // Whoever looks at both settles it.
    ben.put('all', '"both seen"')
    meet(ada, ben)
    expect(ada.view.conflicts).toEqual([])
    expect(ada.view.live).toHaveLength(1)
  })

  test('replaces all as usual where nothing came meanwhile', () => {
    const { ada, ben, form } = withForm()
    ben.put('last', '"another field"')
    meet(ada, ben)
    const commit = ada.put('all', '"by ada"', form)
    meet(ada, ben)
    expect(ben.conflict('all')).toBeUndefined()
    expect(ben.sees('all')).toBe('"by ada"')
    // It names nothing, since there was nothing of this field to be named.
    const [write] = [...ada.replica.state('Patient/p1').writers.get(ada.feed)!.writes.values()]
    expect(write).toMatchObject({ field: 'all', unseen: [] })
    expect(commit.seq).toBe(2)
  })

  test('removes no element that came after it was opened', () => {
    const { ada, ben, form } = withForm((one) => one.add('set', '"penicillin"'))
    ben.add('set', '"penicillin"')
    meet(ada, ben)
    ada.remove('set', '"penicillin"', form)
    meet(ada, ben)
    expect(ben.sees('set')).toBe('["penicillin"]')
  })

  test('of a record that was not there does not replace what others began meanwhile', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    const form = ada.version
    ben.put('all', '"by ben"')
    meet(ada, ben)
    ada.put('all', '"by ada"', form)
    expect(ada.disputes('all')).toHaveLength(2)
  })
})

describe('a commit that is named as unseen', () => {
  test('is one of any feed that the writer knows, by its number there', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ben.put('all', '"by ben"')
    meet(ada, ben)
    ada.writes({ field: 'all', op: 'put', value: '"by ada"', unseen: [{ feed: ben.feed, seq: 1 }] })
    meet(ada, ben)
    for (const { view } of [ada, ben]) expect(view.conflicts).toHaveLength(1)
  })

  test('makes no difference where it is not there, or is still to come', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ben.put('all', '"by ben"')
    meet(ada, ben)
    ada.writes({
      field: 'all',
      op: 'put',
      value: '"by ada"',
      unseen: [
        { feed: ben.feed, seq: 2 },
        { feed: ada.feed, seq: 9 },
        { feed: 'ee'.repeat(16), seq: 1 },
      ],
    })
    meet(ada, ben)
    expect(ben.conflict('all')).toBeUndefined()
    // A later write of ben's, who has seen it, replaces it all the same.
    ben.put('all', '"later"')
    meet(ada, ben)
    expect(ada.sees('all')).toBe('"later"')
    expect(ada.view.conflicts).toEqual([])
  })

  test('is never the one that names it: of several values in it the last is the field', () => {
    const ada = new Person('ada')
    const unseen = [{ feed: ada.feed, seq: 1 }]
    ada.writes(
      { field: 'all', op: 'put', value: '1' },
      { field: 'all', op: 'put', value: '2', unseen },
    )
    expect(ada.view.live).toHaveLength(1)
    // Nor where another program has left both in one commit.
    const put = (value: string) => ({ field: 'all', op: 'put', value, unseen: [0, 1] })
    const update = encodeFieldsUpdate(7, 0, { writes: [put('1'), put('2')], deletedClocks: [] })
    const writer = { writer: ada.feed, feed: ada.feed, clientId: 7, freeClientId: 8 }
    const stamp = { seq: 1, time: { ms: 1, counter: 0 }, schemaVersion: 0, actor: '' }
    const how = { update, hidden: false, feeds: FeedTable.empty }
    const { state, accepted } = applyFieldsUpdate(emptyRecord('r'), writer, stamp, how)
    expect(accepted).toBe(true)
    expect([...acceptedWrites(state.writers.get(ada.feed)!)]).toMatchObject([{ value: '2' }])
  })

  test('can not be one of more than a form can have missed', () => {
    const ada = new Person('ada')
    const unseen = Array.from({ length: 257 }, (_, index) => ({ feed: ada.feed, seq: index + 1 }))
    expect(() => ada.writes({ field: 'all', op: 'put', value: '1', unseen })).toThrow(
      expect.objectContaining({ code: 'TOO_LARGE' }),
    )
  })
})

import { describe, expect, test } from 'vitest'
import { meet, Person } from './histories/people.ts'
import { wardReading } from './histories/ward.ts'

/** Two people who both have a record with a name and an allergy. */
function both(policy: 'resurrect' | 'confirm' = 'resurrect'): [Person, Person] {
  const [ada, ben] = [
    new Person('ada', wardReading(policy)),
    new Person('ben', wardReading(policy)),
  ]
  ada.put('last', '"Amina"')
  ada.add('set', '"penicillin"')
  meet(ada, ben)
  return [ada, ben]
}

describe('a deletion', () => {
  test('hides the record everywhere, and removes nothing', () => {
    const [ada, ben] = both()
    ben.deletes()
    meet(ada, ben)
    expect(ada.view).toMatchObject({ deleted: true, exists: false, resurrected: false })
    expect(ada.view.fields.size).toBe(0)
    expect(ada.view.live.map(({ op }) => op).toSorted((a, b) => (a < b ? -1 : 1))).toEqual([
      'add',
      'delete',
      'put',
    ])
  })

  test.each([
    ['a value', (one: Person) => one.put('last', '"Amina B"')],
    ['an element', (one: Person) => one.add('set', '"latex"')],
    ['a removal', (one: Person) => one.remove('set', '"penicillin"')],
    ['a count', (one: Person) => one.count('stock', 1)],
    ['letters', (one: Person) => one.types('seen at 9')],
  ])('that did not see %s brings the record back, whole, and says so', (_, change) => {
    const [ada, ben] = both()
    ben.deletes()
    change(ada)
    meet(ada, ben)
    for (const { view } of [ada, ben]) {
      expect(view).toMatchObject({ deleted: false, exists: true, resurrected: true })
      expect(view.fields.get('last')).toMatch(/Amina/)
      expect(view.conflicts).toMatchObject([
        { field: '', kind: 'delete-update', state: 'review', rank: 'critical' },
      ])
    }
  })

  test('waits for a person, where the schema says so', () => {
    const [ada, ben] = both('confirm')
    ben.deletes()
    ada.add('set', '"latex"')
    meet(ada, ben)
    expect(ada.conflict('')).toMatchObject({ kind: 'delete-update', state: 'open' })
    // Whoever has seen both decides by deleting again, or by restoring.
    ada.deletes()
    meet(ada, ben)
    expect(ben.view).toMatchObject({ deleted: true, conflicts: [] })
  })

  test('hides letters that its author had before them', () => {
    const [ada, ben] = both()
    ada.types('seen at 9')
    meet(ada, ben)
    ben.deletes()
    meet(ada, ben)
    expect(ada.view.deleted).toBe(true)
  })

  test('from a form does not concern what came after the form was opened', () => {
    const [ada, ben] = both()
    const form = ben.version
    ada.types('seen at 9')
    meet(ada, ben)
    ben.deletes(form)
    meet(ada, ben)
    expect(ada.view).toMatchObject({ deleted: false, resurrected: true })
    expect(ada.sees('note')).toBe('"seen at 9"')
  })

  test('and what is written after it make a new record, in which the old values do not show', () => {
    const [ada, ben] = both()
    ben.deletes()
    meet(ada, ben)
    ada.put('all', '"new"')
    meet(ada, ben)
    expect(ben.view).toMatchObject({ deleted: false, exists: true, resurrected: false })
    expect([...ben.view.fields]).toEqual([['all', '"new"']])
    expect(ben.view.conflicts).toEqual([])
  })

  test('and letters that are typed after it make a new record too', () => {
    const [ada, ben] = both()
    ben.deletes()
    meet(ada, ben)
    ada.types('again')
    meet(ada, ben)
    expect(ben.view).toMatchObject({ deleted: false, exists: true, resurrected: false })
    expect([...ben.view.fields]).toEqual([['note', '"again"']])
  })

  test('in one commit with letters leaves both to be seen, since nobody knows which came first', () => {
    const [ada, ben] = both()
    const edit = (doc: { getText(name: string): { insert(at: number, text: string): void } }) => {
      doc.getText('note').insert(0, 'x')
    }
    const plans = [() => [{ field: '', op: 'delete', value: undefined }]]
    ada.replica.write(ada.feed, { records: new Map([['Patient/p1', { plans, edit }]]) })
    meet(ada, ben)
    expect(ben.view).toMatchObject({ deleted: false, resurrected: true })
  })
})

describe('a restoration', () => {
  test('takes back the deletions that it saw: the record shows whole', () => {
    const [ada, ben] = both()
    ada.deletes()
    ben.deletes()
    meet(ada, ben)
    ada.restores()
    meet(ada, ben)
    expect(ben.view).toMatchObject({ deleted: false, exists: true, resurrected: false })
    expect(ben.sees('last')).toBe('"Amina"')
    expect(ben.view.conflicts).toEqual([])
  })

  test('shows what the record had before, beside what made it anew', () => {
    const [ada, ben] = both()
    ada.deletes()
    ada.put('all', '"new"')
    meet(ada, ben)
    ben.restores()
    expect(ben.sees('last')).toBe('"Amina"')
    expect(ben.sees('all')).toBe('"new"')
  })

  test('that did not see another deletion stands against it', () => {
    const [ada, ben] = both()
    ada.deletes()
    meet(ada, ben)
    ada.restores()
    ben.deletes()
    meet(ada, ben)
    expect(ada.view).toMatchObject({ deleted: false, resurrected: true })
    expect(ada.conflict('')?.values).toMatchObject([{ op: 'delete', feed: ben.feed }])
  })

  test('is undone by a deletion that saw it', () => {
    const [ada, ben] = both()
    ada.deletes()
    ada.restores()
    meet(ada, ben)
    ben.deletes()
    meet(ada, ben)
    expect(ada.view.deleted).toBe(true)
  })

  test('two people who decide the same about a deleted record agree; otherwise there is a new conflict', () => {
    const conflict = (): [Person, Person] => {
      const [ada, ben] = both('confirm')
      ada.deletes()
      ben.put('all', '"new"')
      meet(ada, ben)
      return [ada, ben]
    }
    const [ada, ben] = conflict()
    ada.restores()
    ben.restores()
    meet(ada, ben)
    expect(ada.view).toMatchObject({ exists: true, conflicts: [] })
    const [eve, dan] = conflict()
    eve.deletes()
    dan.deletes()
    meet(eve, dan)
    expect(eve.view).toMatchObject({ deleted: true, conflicts: [] })
    const [fay, gil] = conflict()
    fay.restores()
    gil.deletes()
    meet(fay, gil)
    expect(fay.view.conflicts).toMatchObject([{ kind: 'delete-update', state: 'open' }])
  })
})

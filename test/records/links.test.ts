import { describe, expect, test } from 'vitest'
import { linkedWith, writesToLink, writesToUnlink } from '../../src/records/links.ts'
import { summaryOf } from '../../src/records/visibility.ts'
import { meet, Person, record } from './histories/people.ts'

const other = 'Patient/p2'

function two(): [Person, Person] {
  return [new Person('ada'), new Person('ben')]
}

function link(one: Person, id = other): void {
  one.writes(...writesToLink(one.view, [id]))
}

function unlink(one: Person, id = other): void {
  one.writes(...writesToUnlink(one.view, [id]))
}

describe('a link', () => {
  test('is no field, no value and no conflict', () => {
    const [ada, ben] = two()
    ada.put('last', '"Amina"')
    meet(ada, ben)
    link(ada)
    link(ben, 'Patient/p3')
    meet(ada, ben)
    expect(linkedWith(ada.view)).toEqual(['Patient/p2', 'Patient/p3'])
    expect([...ada.view.fields]).toEqual([['last', '"Amina"']])
    expect(ada.view.conflicts).toEqual([])
  })

  test('that somebody takes back while somebody else makes it anew is there', () => {
    const [ada, ben] = two()
    link(ada)
    meet(ada, ben)
    unlink(ada)
    // Whoever has it makes nothing anew: this is of somebody who had taken it back.
    unlink(ben)
    link(ben)
    meet(ada, ben)
    expect(linkedWith(ada.view)).toEqual([other])
    unlink(ada)
    meet(ada, ben)
    expect(linkedWith(ben.view)).toEqual([])
    expect(writesToUnlink(ben.view, [other])).toEqual([])
  })

  test('to the same record in two ways of writing is one', () => {
    const [ada] = two()
    link(ada)
    ada.writes({ field: '~same', op: 'add', value: '"Patient/\\u0070\\u0032"' })
    expect(linkedWith(ada.view)).toEqual([other])
    expect(writesToLink(ada.view, [other])).toEqual([])
    unlink(ada)
    expect(linkedWith(ada.view)).toEqual([])
  })

  test('to itself, or to what is no id, is none', () => {
    const [ada] = two()
    const element = (value: string) => ({ field: '~same', op: 'add', value })
    ada.writes(element(JSON.stringify(record)), element('7'), element('{"a":1}'))
    expect(linkedWith(ada.view)).toEqual([])
  })

  test('makes no record: what it is about may still be on its way', () => {
    const [ada] = two()
    link(ada)
    expect(ada.view).toMatchObject({ exists: false, deleted: false })
    const nobodySawAnything = { isInPast: () => false, isBranchOf: () => false }
    expect(summaryOf(ada.replica.state(record), nobodySawAnything).exists).toBe(false)
    ada.put('last', '"Amina"')
    expect(ada.view.exists).toBe(true)
  })

  test('neither brings a deleted record back, nor is lost with it', () => {
    const [ada, ben] = two()
    ada.put('last', '"Amina"')
    link(ada)
    meet(ada, ben)
    ben.deletes()
    link(ada, 'Patient/p3')
    meet(ada, ben)
    expect(ada.view).toMatchObject({ deleted: true, exists: false, resurrected: false })
    unlink(ada)
    meet(ada, ben)
    for (const { view } of [ada, ben]) {
      expect(view).toMatchObject({ deleted: true, exists: false, resurrected: false })
      expect(linkedWith(view)).toEqual(['Patient/p3'])
    }
    ben.put('last', '"Amina B"')
    expect(ben.view).toMatchObject({ deleted: false, exists: true, resurrected: false })
  })
})

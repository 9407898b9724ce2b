import { describe, expect, test } from 'vitest'

import { conflictOf, conflictToken, writesToSettle } from '../../src/records/resolution.ts'
import type { Resolution } from '../../src/records/resolution.ts'
import { meet, Person } from './histories/people.ts'

let ada: Person
let ben: Person

function meeting(): void {
  ada = new Person('ada')
  ben = new Person('ben')
}

function settle(person: Person, field: string, resolution: Resolution): void {
  const { view } = person
  const { reading } = person.replica
  const conflict = conflictOf(view, field)
  person.writes(...writesToSettle(view, conflict, { resolution, reading }))
}

/** Settled by one of them, and seen by both. */
function settled(field: string, resolution: Resolution): string | undefined {
  settle(ada, field, resolution)
  meet(ada, ben)
  for (const one of [ada, ben]) expect(one.conflict(field)).toBeUndefined()
  expect(ben.sees(field)).toBe(ada.sees(field))
  return ben.sees(field)
}

function dispute(field: string, ofAda: string | undefined, ofBen: string | undefined): void {
  meeting()
  ada.put(field, ofAda)
  ben.put(field, ofBen)
  meet(ada, ben)
  expect(ada.disputes(field)).toHaveLength(2)
}

describe.each(['all', 'last', 'set', 'new name'])('a value of %s', (field) => {
  test('is one of those that are there, another one, or none', () => {
    for (const keep of [1, 2]) {
      dispute(field, '"a"', '"b"')
      const wanted = ada.disputes(field)[keep - 1]
      expect(settled(field, { keep })).toBe(wanted)
    }
    dispute(field, '"a"', '"b"')
    expect(settled(field, { value: '"c"' })).toBe('"c"')
    dispute(field, '"a"', '"b"')
    expect(settled(field, { value: undefined })).toBeUndefined()
  })

  test('may be both', () => {
    dispute(field, '"a"', '"b"')
    const both = ada.disputes(field)
    settled(field, { keepBoth: true })
    expect(ben.view.kept.get(field)).toEqual(both)
  })
})

describe('keeping both', () => {
  test('of one value in other words is that value', () => {
    dispute('all', '{"a":1,"b":2}', '{"b":2,"a":1}')
    const [first] = ada.disputes('all')
    expect(settled('all', { keepBoth: true })).toBe(first)
    expect(ben.view.kept.size).toBe(0)
  })

  test('of a value and its removal is the value', () => {
    meeting()
    ada.put('all', '"a"')
    meet(ada, ben)
    ada.put('all', '"b"')
    ben.put('all', undefined)
    meet(ada, ben)
    expect(settled('all', { keepBoth: true })).toBe('"b"')
  })

  test('of what was kept before and another value is all three', () => {
    dispute('all', '"a"', '"b"')
    ada.writes({ field: 'all', op: 'keep', value: '["a","b"]' })
    ben.put('all', '"c"')
    meet(ada, ben)
    settled('all', { keepBoth: true })
    expect(ben.view.kept.get('all')?.toSorted()).toEqual(['"a"', '"b"', '"c"'])
  })
})

describe('a counter', () => {
  test('goes on from one of two numbers, with all that was counted', () => {
    dispute('stock', '100', '90')
    ben.count('stock', -5)
    meet(ada, ben)
    const [, second] = ada.disputes('stock')
    expect(settled('stock', { keep: 2 })).toBe(String(Number(second) - 5))
  })

  test('shows the number that somebody gives, whatever was counted', () => {
    dispute('stock', '100', '90')
    ben.count('stock', -5)
    meet(ada, ben)
    expect(settled('stock', { value: '42' })).toBe('42')
  })

  test('has one number', () => {
    dispute('stock', '100', '90')
    for (const resolution of [{ keepBoth: true }, { value: '"many"' }] as const)
      expect(() => settle(ada, 'stock', resolution)).toThrow(
        expect.objectContaining({ code: 'INVALID_VALUE' }),
      )
  })
})

describe('what does not go together', () => {
  test('a set and a single value, is settled by a value, not by one of its elements', () => {
    meeting()
    ada.put('set', '"x"')
    ben.add('set', '"y"')
    meet(ada, ben)
    expect(ada.conflict('set')).toMatchObject({ kind: 'schema' })
    const added = ada.conflict('set')!.values.findIndex(({ op }) => op === 'add')
    for (const resolution of [{ keep: added + 1 }, { keepBoth: true }] as const)
      expect(() => settle(ada, 'set', resolution)).toThrow(
        expect.objectContaining({ code: 'INVALID_VALUE' }),
      )
    expect(settled('set', { value: '["x","y"]' })).toBe('["x","y"]')
    ben.remove('set', '"x"')
    expect(ben.sees('set')).toBe('["y"]')
  })

  test('what a transform could not merge', () => {
    meeting()
    const people = [ada, ben, new Person('cora'), new Person('dan')]
    for (const [index, person] of people.entries()) person.put('merged', `"${index}"`)
    meet(...people)
    expect(ada.conflict('merged')).toMatchObject({ state: 'open' })
    expect(settled('merged', { value: '"all of it"' })).toBe('"all of it"')
  })
})

describe('who looked at a list', () => {
  test('is told apart from who looks at another one', () => {
    dispute('all', '"a"', '"b"')
    const { view } = ada
    const token = conflictToken(view, conflictOf(view, 'all'))
    expect(conflictToken(ben.view, conflictOf(ben.view, 'all'))).toBe(token)
    ada.put('last', '1')
    expect(conflictOf(ada.view, 'all', token).field).toBe('all')
    const cora = new Person('cora')
    cora.put('all', '"c"')
    ada.hears(cora)
    expect(() => conflictOf(ada.view, 'all', token)).toThrow(
      expect.objectContaining({ code: 'CONFLICT_CHANGED' }),
    )
  })

  test('is refused what a newer version wrote', () => {
    dispute('all', '"a"', '"b"')
    ben.writes({ field: 'all', op: 'shine', value: '"c"' })
    ada.put('all', '"d"')
    meet(ada, ben)
    expect(() => settle(ada, 'all', { keep: 1 })).toThrow(
      expect.objectContaining({ code: 'NOT_ALLOWED' }),
    )
  })
})

import { describe, expect, test } from 'vitest'
import { countOf, countText, integerOf } from '../../src/records/counts.ts'
import { writesToSettle } from '../../src/records/resolution.ts'
import { meet, Person } from './histories/people.ts'

describe('a counter', () => {
  test('adds up what everybody has counted, also without knowing of each other', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.count('stock', 10)
    ben.count('stock', -3)
    ada.count('stock', 1)
    meet(ada, ben)
    for (const one of [ada, ben]) {
      expect(one.sees('stock')).toBe('8')
      expect(one.conflict('stock')).toBeUndefined()
    }
  })

  test('counts on from a number that was put, and a new number there takes nothing back that was counted', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.put('stock', '100')
    meet(ada, ben)
    ben.count('stock', -1)
    ada.put('stock', '50')
    meet(ada, ben)
    expect(ada.sees('stock')).toBe('49')
  })

  test('takes a number that is put later as a correction: others go on counting from there', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.count('stock', 7)
    meet(ada, ben)
    ben.put('stock', '12')
    ada.count('stock', 1)
    meet(ada, ben)
    expect(ada.sees('stock')).toBe('13')
  })

  test('shows the greater of two numbers that were put without knowing of each other, and says so', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.put('stock', '100')
    ben.put('stock', '90')
    ada.count('stock', 5)
    meet(ada, ben)
    expect(ada.conflict('stock')).toMatchObject({ kind: 'update-update', state: 'review' })
    expect(new Set(ada.disputes('stock'))).toEqual(new Set(['100', '90']))
    expect(ada.sees('stock')).toBe(String(Number(ada.disputes('stock')[0]) + 5))
  })

  test('counts once what was counted from a form that is older than the last count', () => {
    const ada = new Person('ada')
    ada.put('stock', '0')
    const form = ada.version
    ada.count('stock', 5)
    ada.count('stock', 3, form)
    expect(ada.sees('stock')).toBe('8')
    // Nor does it help to say so in the commit.
    ada.writes({ field: 'stock', op: 'count', value: '1', unseen: [{ feed: ada.feed, seq: 3 }] })
    expect(ada.sees('stock')).toBe('9')
  })

  test('counts on both branches of a forked feed, and once what stands before the fork', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.count('stock', 10)
    const goBack = ada.backup()
    ada.count('stock', 1)
    ben.hears(ada)
    goBack()
    ada.count('stock', 2)
    ada.count('stock', 2)
    meet(ada, ben)
    expect(ben.sees('stock')).toBe('15')
    ada.beginsAnew()
    ada.count('stock', 100)
    meet(ada, ben)
    expect(ben.sees('stock')).toBe('115')
  })

  test('goes on, on a branch that is known as one, from what its feed had counted', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.count('stock', 10)
    const goBack = ada.backup()
    ada.put('last', '"one"')
    ben.hears(ada)
    goBack()
    ada.put('last', '"other"')
    meet(ada, ben)
    ada.count('stock', 1)
    meet(ada, ben)
    expect(ada.view.live.map(({ value }) => value)).toContain('[11,1]')
    expect(ben.sees('stock')).toBe('11')
  })

  test('is not misled by a branch that somebody on the other one has seen through others', () => {
    const [ada, ben, eve] = [new Person('ada'), new Person('ben'), new Person('eve')]
    ada.count('stock', 10)
    const goBack = ada.backup()
    ada.count('stock', 7)
    ben.hears(ada)
    const seenByBen = ben.put('last', '"x"')
    goBack()
    ada.count('stock', 1)
    // What ben had seen lies in the past of what ada counts next, though ada has never heard of the other branch.
    ada.hears(ben, [seenByBen])
    ada.count('stock', 1)
    eve.hears(ada)
    eve.hears(ben)
    expect(eve.sees('stock')).toBe('19')
  })

  test('adds the counts of several callers that share a commit', () => {
    const ada = new Person('ada')
    ada.wants([
      { op: 'count', field: 'stock', delta: 2 },
      { op: 'count', field: 'stock', delta: 3 },
    ])
    ada.count('stock', 1)
    expect(ada.view.live.map(({ value }) => value)).toEqual(['[6,1]'])
  })

  test('adds up beyond what one writer may count', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.count('stock', Number.MAX_SAFE_INTEGER)
    ben.count('stock', Number.MAX_SAFE_INTEGER)
    meet(ada, ben)
    expect(ada.sees('stock')).toBe('18014398509481982')
    expect(() => ada.count('stock', 1)).toThrow('counts whole numbers')
    expect(() => ben.count('stock', 0.5)).toThrow('counts whole numbers')
  })

  test('that was also written as something else shows what there is, for a person to settle', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.count('stock', 2)
    ben.writes({ field: 'stock', op: 'put', value: '"many"' })
    meet(ada, ben)
    expect(ada.conflict('stock')).toMatchObject({ kind: 'schema', state: 'open' })
    expect(new Set(ada.disputes('stock'))).toEqual(new Set(['"many"', '[2,2]']))
    expect(ada.sees('stock')).toBe('"many"')
  })
})

describe('a number for a counter', () => {
  test('is said as a difference once it has been counted', () => {
    const ada = new Person('ada')
    ada.put('stock', '10')
    ada.count('stock', 2)
    ada.put('stock', '20')
    expect(ada.sees('stock')).toBe('20')
    expect(ada.view.live.map(({ op, value }) => `${op} ${value}`)).toEqual([
      'put 10',
      'count [10,8]',
    ])
    expect(() => ada.put('stock', undefined)).toThrow('stays counted')
    expect(() => ada.put('stock', '"many"')).toThrow('counts whole numbers')
  })

  test('is not taken from a form that does not show what was counted since', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.put('stock', '10')
    ada.count('stock', 0)
    const form = ada.version
    ben.count('stock', -3)
    meet(ada, ben)
    expect(() => ada.put('stock', '12', form)).toThrow(
      expect.objectContaining({ code: 'CONFLICT_CHANGED' }),
    )
    ada.put('stock', '12', ada.version)
    meet(ada, ben)
    expect(ben.sees('stock')).toBe('12')
  })

  test('settles what was counted and written as text: the counter then shows it', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.count('stock', 2)
    ben.writes({ field: 'stock', op: 'put', value: '"many"' })
    meet(ada, ben)
    ada.put('stock', '7')
    meet(ada, ben)
    expect(ben.sees('stock')).toBe('7')
    expect(ben.view.conflicts).toEqual([])
  })

  test('is what shows when a conflict is settled with it', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.count('stock', 2)
    ben.writes({ field: 'stock', op: 'put', value: '"many"' })
    meet(ada, ben)
    const how = { resolution: { value: '7' }, reading: ada.replica.reading }
    ada.writes(...writesToSettle(ada.view, ada.conflict('stock')!, how))
    meet(ada, ben)
    expect(ben.sees('stock')).toBe('7')
    expect(ben.view.conflicts).toEqual([])
  })
})

describe('a counter of a record that was deleted', () => {
  test('goes on from what it showed', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.put('stock', '100')
    ben.count('stock', -3)
    meet(ada, ben)
    ada.deletes()
    meet(ada, ben)
    expect(() => ben.put('stock', '50')).toThrow('deleted')
    ben.count('stock', 1)
    meet(ada, ben)
    expect(ada.view).toMatchObject({ deleted: false, resurrected: false })
    expect(ada.sees('stock')).toBe('98')
  })
})

describe('the value of a count', () => {
  test('is the total and the difference, as whole numbers in their shortest form', () => {
    expect(countOf('[7,-2]')).toEqual({ total: 7, delta: -2 })
    expect(countText({ total: 7, delta: -2 })).toBe('[7,-2]')
  })

  test.each([
    undefined,
    '7',
    '[7]',
    '[7,2,1]',
    '[7, 2]',
    '[7.0,2]',
    '[1e3,1]',
    '["7",2]',
    '[07,2]',
    '[-0,0]',
    '[9007199254740992,1]',
    '[1,-9007199254740992]',
    '[7,2]x',
  ])('is not %s', (text) => {
    expect(countOf(text)).toBeUndefined()
  })

  test.each([
    ['0', 0],
    ['-12', -12],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
  ])('has the integer %s', (text, number) => {
    expect(integerOf(text)).toBe(number)
  })

  test.each(['-0', '01', '1.0', '1e1', '+1', '', '9007199254740992'])(
    'does not have %s',
    (text) => {
      expect(integerOf(text)).toBeUndefined()
    },
  )
})

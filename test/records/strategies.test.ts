import { describe, expect, test } from 'vitest'
import { summaryOf } from '../../src/records/visibility.ts'
import { meet, Person } from './histories/people.ts'
import { wardReading } from './histories/ward.ts'

const day = 24 * 60 * 60 * 1000

/** Both write the field, and then hear of each other. */
function bothWrite(
  field: string,
  values: [string | undefined, string | undefined],
): [Person, Person] {
  const [ada, ben] = [new Person('ada'), new Person('ben')]
  // So that a removal has something to remove.
  ada.put(field, '"before"')
  meet(ada, ben)
  ada.put(field, values[0])
  ben.replica.nowMs += 1
  ben.put(field, values[1])
  meet(ada, ben)
  return [ada, ben]
}

describe('a field with strategy lww', () => {
  test('shows the later of two values, and keeps both to be looked at', () => {
    const [ada] = bothWrite('last', ['"a"', '"b"'])
    expect(ada.sees('last')).toBe('"b"')
    expect(ada.conflict('last')).toMatchObject({ kind: 'update-update', state: 'review' })
    expect(ada.disputes('last')).toEqual(['"b"', '"a"'])
  })

  test('is as somebody who had seen both writes it, and nothing is left to look at', () => {
    const [ada, ben] = bothWrite('last', ['"a"', '"b"'])
    ada.put('last', '"a"')
    meet(ada, ben)
    expect(ben.sees('last')).toBe('"a"')
    expect(ben.view.conflicts).toEqual([])
  })

  test('lists a removal beside a value', () => {
    const [ada] = bothWrite('last', ['"a"', undefined])
    expect(ada.sees('last')).toBeUndefined()
    expect(ada.disputes('last')).toEqual([undefined, '"a"'])
  })

  test('of two who write the same there is nothing to look at', () => {
    const [ada] = bothWrite('last', ['"a"', '"a"'])
    expect(ada.view.conflicts).toEqual([])
    expect(ada.view.live).toHaveLength(2)
  })
})

describe('a field with strategy mvr', () => {
  test('waits for a person to choose', () => {
    const [ada, ben] = bothWrite('all', ['"a"', '"b"'])
    expect(ada.conflict('all')).toMatchObject({ state: 'open', rank: 'critical' })
    expect(ada.disputes('all')).toEqual(['"b"', '"a"'])
    ben.put('all', '"a"')
    meet(ada, ben)
    expect(ada.view.conflicts).toEqual([])
  })

  test('that is settled by keeping both shows the first, and has the others beside it', () => {
    const [ada, ben] = bothWrite('all', ['"a"', '"b"'])
    ada.wants([{ op: 'keep', field: 'all', values: ['"b"', '"a"'] }])
    meet(ada, ben)
    expect(ben.view.conflicts).toEqual([])
    expect(ben.sees('all')).toBe('"b"')
    expect(ben.view.kept.get('all')).toEqual(['"b"', '"a"'])
    // Whoever writes next has seen both.
    ben.put('all', '"c"')
    meet(ada, ben)
    expect(ada.view.kept.size).toBe(0)
    expect(ada.view.live).toHaveLength(1)
  })
})

describe('a field with a transform', () => {
  test('is what the transform makes of several values', () => {
    const [ada] = bothWrite('merged', ['"a"', '"b"'])
    expect(ada.sees('merged')).toBe('["a","b"]')
    expect(ada.conflict('merged')).toBeUndefined()
  })

  test('is the value itself where all wrote the same', () => {
    const [ada] = bothWrite('merged', ['"a"', '"a"'])
    expect(ada.sees('merged')).toBe('"a"')
  })

  test('waits for a person where the transform does not understand the values, or is not known here', () => {
    const [ada] = bothWrite('merged', ['"a"', '7'])
    expect(ada.conflict('merged')).toMatchObject({ state: 'open' })
    const reading = wardReading()
    const unknown = {
      ...reading,
      ruleOf: () =>
        ({ strategy: 'transform', transform: 'of-another-program', rank: 'high' }) as const,
    }
    expect(ada.replica.view('Patient/p1', unknown).conflicts).toMatchObject([{ state: 'open' }])
  })
})

describe('a field with a write of a newer version', () => {
  test('shows what it says, can not be written here, and is left as it is', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.put('all', '"a"')
    meet(ada, ben)
    ben.writes({ field: 'all', op: 'vote', value: '"b"' })
    meet(ada, ben)
    expect(ada.sees('all')).toBe('"b"')
    expect(ada.view.unknownOps).toEqual(['all'])
    expect(() => ada.put('all', '"c"')).toThrow(expect.objectContaining({ code: 'NOT_ALLOWED' }))
    ada.put('last', '"other fields can be written"')
    expect(ada.view.live.map(({ op }) => op)).toContain('vote')
  })

  test('that was counted before counts for the content hash as it shows', () => {
    const ada = new Person('ada')
    ada.count('stock', 1)
    ada.writes({ field: 'stock', op: 'vote', value: '"b"' })
    const { replica } = ada
    const { live } = summaryOf(replica.state('Patient/p1'), replica.causality)
    expect(live.map(({ op }) => op)).toEqual(['vote'])
    expect(ada.view.live.map(({ op }) => op)).toEqual(['vote'])
  })

  test('of the record as a whole can be written nowhere', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ben.writes({ field: '', op: 'vote', value: undefined })
    meet(ada, ben)
    expect(ada.view.unknownOps).toEqual([''])
    expect(() => ada.put('last', '"c"')).toThrow(expect.objectContaining({ code: 'NOT_ALLOWED' }))
  })
})

describe('a clock that is wrong', () => {
  test('decides which of two values shows, and is named', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.replica.nowMs = 50 * 365 * day
    ben.replica.nowMs = 130 * 365 * day
    ada.put('all', '"a"')
    ben.put('all', '"from the future"')
    ada.hears(ben)
    const clocks = ada.conflict('all')!.values.map(({ value, clockOff }) => [value, clockOff])
    expect(clocks).toEqual([
      ['"from the future"', true],
      ['"a"', false],
    ])
  })

  test('is named by what its device had seen, when it lags behind that', () => {
    const [ada, ben, eve] = [new Person('ada'), new Person('ben'), new Person('eve')]
    for (const one of [ada, ben, eve]) one.replica.nowMs = 50 * 365 * day
    ada.put('all', '"a"')
    eve.put('all', '"e"')
    // More than a day behind, so that it does not follow what it hears.
    ben.replica.nowMs = 0
    ben.hears(ada)
    ben.put('all', '"b"')
    meet(ada, ben, eve)
    const clocks = ada.conflict('all')!.values.map(({ value, clockOff }) => [value, clockOff])
    expect(clocks).toEqual([
      ['"e"', false],
      ['"b"', true],
    ])
  })

  test('that lags behind loses nothing: what was seen is replaced all the same', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.replica.nowMs = 50 * 365 * day
    ben.replica.nowMs = 0
    ada.put('all', '"a"')
    ben.hears(ada)
    ben.put('all', '"b"')
    meet(ada, ben)
    expect(ada.sees('all')).toBe('"b"')
    expect(ada.view.conflicts).toEqual([])
  })
})

test.each(['\0cstock', '\0e5:stock"x"', '\0pall', '\0\0'])(
  'a field that is named %j is one like any other',
  (name) => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.count('stock', 1)
    ada.put(name, '"odd"')
    ada.add('set', '"x"')
    ada.put(name.slice(1), '"plain"')
    ada.put(name, '"odd again"')
    ada.count('stock', 1)
    meet(ada, ben)
    expect(ben.sees(name)).toBe('"odd again"')
    expect(ben.sees('stock')).toBe('2')
    expect(ben.sees('set')).toBe('["x"]')
  },
)

import { describe, expect, test } from 'vitest'
import { meet, Person } from './histories/people.ts'

describe('a set', () => {
  test('has what anybody added, also without knowing of each other', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.add('set', '"penicillin"')
    ben.add('set', '"latex"')
    meet(ada, ben)
    expect(new Set(JSON.parse(ada.sees('set')!))).toEqual(new Set(['penicillin', 'latex']))
    expect(ada.sees('set')).toBe(ben.sees('set'))
    expect(ada.conflict('set')).toBeUndefined()
  })

  test('loses an element to whoever had seen it and removes it', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.add('set', '"penicillin"')
    ada.add('set', '"latex"')
    meet(ada, ben)
    ben.remove('set', '"penicillin"')
    meet(ada, ben)
    expect(ada.sees('set')).toBe('["latex"]')
  })

  test('keeps an element that somebody adds while another one, who does not know, removes it', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.add('set', '"penicillin"')
    meet(ada, ben)
    ben.remove('set', '"penicillin"')
    ada.add('set', '"penicillin"')
    meet(ada, ben)
    expect(ben.sees('set')).toBe('["penicillin"]')
  })

  test('takes one element in other words for the same, and another number for another one', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.add('set', '{"code":"z","note":"\\u00e9"}')
    meet(ada, ben)
    ben.add('set', '{"note":"é","code":"z"}')
    ben.add('set', '1')
    ben.add('set', '1.0')
    meet(ada, ben)
    expect(ada.sees('set')).toBe('[{"note":"é","code":"z"},1,1.0]')
    ada.remove('set', '{"code":"z","note":"\\u00e9"}')
    meet(ada, ben)
    expect(ben.sees('set')).toBe('[1,1.0]')
  })

  test('that was written as a list loses single elements of it', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.put('set', '["penicillin","latex"]')
    meet(ada, ben)
    ben.remove('set', '"penicillin"')
    ada.add('set', '"pollen"')
    meet(ada, ben)
    expect(ada.sees('set')).toBe('["latex","pollen"]')
    // The list is still live, and the removal counts as long as it is.
    ada.remove('set', '"pollen"')
    meet(ada, ben)
    expect(ben.sees('set')).toBe('["latex"]')
  })

  test('unites lists that were written without knowing of each other', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.put('set', '["penicillin","latex"]')
    ben.put('set', '["latex","pollen"]')
    meet(ada, ben)
    expect(new Set(JSON.parse(ada.sees('set')!))).toEqual(
      new Set(['penicillin', 'latex', 'pollen']),
    )
    expect(ada.conflict('set')).toBeUndefined()
  })

  test('is written as additions and removals where it has elements, so that nobody else loses theirs', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.put('set', '["penicillin","latex"]')
    meet(ada, ben)
    ada.put('set', '["latex","pollen"]')
    ben.add('set', '"dust"')
    meet(ada, ben)
    expect(ada.sees('set')).toBe(ben.sees('set'))
    expect(new Set(JSON.parse(ada.sees('set')!))).toEqual(new Set(['latex', 'pollen', 'dust']))
  })

  test('that is removed, or written as an empty list, loses what its author had seen', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.add('set', '"penicillin"')
    meet(ada, ben)
    ben.put('set', '[]')
    ada.add('set', '"latex"')
    meet(ada, ben)
    expect(ada.sees('set')).toBe('["latex"]')
    ada.put('set', undefined)
    meet(ada, ben)
    expect(ben.sees('set')).toBeUndefined()
  })

  test('that somebody wrote as something else shows both, for a person to settle', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.add('set', '"penicillin"')
    ben.put('set', '"none known"')
    meet(ada, ben)
    expect(ada.conflict('set')).toMatchObject({ kind: 'schema', state: 'open' })
    expect(new Set(ada.disputes('set'))).toEqual(new Set(['"penicillin"', '"none known"']))
    ada.put('set', '["penicillin"]')
    meet(ada, ben)
    expect(ben.view.conflicts).toEqual([])
    expect(ben.sees('set')).toBe('["penicillin"]')
  })

  test('keeps one write for each element, however often it comes and goes', () => {
    const ada = new Person('ada')
    for (let i = 0; i < 5; i++) {
      ada.add('set', '"penicillin"')
      ada.remove('set', '"penicillin"')
    }
    expect(ada.view.live).toHaveLength(1)
    ada.put('set', '["latex"]')
    expect(ada.view.live).toHaveLength(1)
  })

  test('has no element that is given to a field that is no set', () => {
    const ada = new Person('ada')
    expect(() => ada.add('last', '"x"')).toThrow('is no set')
    expect(() => ada.count('set', 1)).toThrow('is no counter')
  })
})

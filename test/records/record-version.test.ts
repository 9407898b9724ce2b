import { fc, test } from '@fast-check/vitest'
import { describe, expect } from 'vitest'
import {
  compareVersions,
  nothingSeen,
  versionFromToken,
  versionsFromTokens,
  versionToken,
  type RecordVersion,
} from '../../src/records/record-version.ts'
import { meet, Person } from './histories/people.ts'

function compare(a: RecordVersion, b: RecordVersion, by: Person) {
  return compareVersions(a, b, by.replica.causality)
}

describe('of two versions of a record', () => {
  test('the one that somebody had before them who wrote the other one comes before', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.put('all', '1')
    const first = ada.version
    ben.hears(ada)
    ben.put('all', '2')
    const second = ben.version
    expect(compare(first, second, ben)).toBe('before')
    expect(compare(second, first, ben)).toBe('after')
    expect(compare(new Map(), first, ben)).toBe('before')
  })

  test('none comes first where neither author had seen the other', () => {
    const [ada, ben] = [new Person('ada'), new Person('ben')]
    ada.put('all', '1')
    ben.put('last', '2')
    const [one, other] = [ada.version, ben.version]
    meet(ada, ben)
    expect(compare(one, other, ada)).toBe('concurrent')
    expect(compare(one, ada.version, ada)).toBe('before')
    expect(compare(ada.version, ben.version, ada)).toBe('equal')
  })

  test('it makes no difference that one holds less, where that lies in the past of what it holds', () => {
    const [ada, ben, eve] = [new Person('ada'), new Person('ben'), new Person('eve')]
    ada.put('all', '1')
    ben.hears(ada)
    const commit = ben.put('all', '2')
    eve.hears(ben, [commit])
    meet(ada, ben)
    expect(eve.version.size).toBe(1)
    expect(compare(eve.version, ada.version, ada)).toBe('equal')
  })

  test('what was written elsewhere in the collection does not count', () => {
    const ada = new Person('ada')
    ada.put('all', '1')
    const before = ada.version
    const elsewhere = { plans: [() => [{ field: 'all', op: 'put', value: '1' }]] }
    ada.replica.write(ada.feed, { records: new Map([['another', elsewhere]]) })
    expect(compare(before, ada.version, ada)).toBe('equal')
  })
})

const record = { collection: 'aa'.repeat(16), id: 'Patient/1' }
const anyWriter = fc.oneof(
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
  fc.uint8Array({ minLength: 32, maxLength: 32 }),
)
const anyVersion = fc
  .array(fc.tuple(anyWriter, fc.maxSafeNat()), { maxLength: 5 })
  .map((pairs) => new Map(pairs.map(([bytes, seq]) => [Buffer.from(bytes).toString('hex'), seq])))

describe('the token of a version', () => {
  test.prop([anyVersion])('is text that can be handed back', (version) => {
    const token = versionToken(version, record)
    expect(token).toMatch(/^[\w-]+$/)
    expect(versionFromToken(token, record)).toEqual(version)
    expect(versionsFromTokens(token, nothingSeen)).toEqual([version, new Map()])
  })

  test('is of one record', () => {
    const usage = expect.objectContaining({ code: 'USAGE' }) as Error
    const token = versionToken(new Map([['ab'.repeat(16), 3]]), record)
    for (const other of [
      { ...record, id: 'Patient/2' },
      { ...record, collection: 'cc'.repeat(16) },
    ]) {
      expect(() => versionFromToken(token, other)).toThrow(usage)
      expect(() => versionsFromTokens(token, versionToken(new Map(), other))).toThrow(usage)
      expect(versionFromToken(nothingSeen, other)).toEqual(new Map())
    }
    // Without a record it can only say that nothing was seen.
    const unbound = Buffer.from([1, 1, 1, 0xab, 3]).toString('base64url')
    expect(() => versionFromToken(unbound, record)).toThrow(usage)
  })

  test.each(['', 'Ag', 'AQE', 'not a token', 'AQEQ', 'AQAA'])('is not %j', (token) => {
    expect(() => versionFromToken(token, record)).toThrow(
      expect.objectContaining({ code: 'USAGE' }),
    )
  })

  test.prop([fc.string()])('is refused or taken, and nothing else happens', (text) => {
    try {
      expect(versionFromToken(text, record)).toBeInstanceOf(Map)
    } catch (error) {
      expect(error).toMatchObject({ code: 'USAGE' })
    }
  })
})

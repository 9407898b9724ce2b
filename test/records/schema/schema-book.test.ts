import { expect, test } from 'vitest'
import type { Reading } from '../../../src/records/reading.ts'
import { builtInReading, SchemaBook } from '../../../src/records/schema/schema-book.ts'
import { parseSchemaDocument } from '../../../src/records/schema/schema-parser.ts'

const book = (...schemas: readonly object[]) =>
  new SchemaBook(
    schemas.map((schema) => {
      const text = JSON.stringify({ collection: 'c', ...schema })
      return { document: parseSchemaDocument(text), text }
    }),
  )
const ruleText = (reading: Reading, id: string, field: string) => {
  const { strategy, rank } = reading.ruleOf(id, field)
  return `${strategy} ${rank}`
}

const rules = {
  version: 1,
  fields: {
    ward: { strategy: 'set', rank: 'high' },
    status: { strategy: 'lww', rank: 'low' },
    'seen[x]': { strategy: 'mvr', rank: 'high' },
    plan: { strategy: 'text' },
  },
  types: {
    Observation: { fields: { ward: { strategy: 'counter' }, plan: { strategy: 'lww' } } },
    Basic: { deletePolicy: 'confirm', fields: { story: { strategy: 'text' } } },
  },
}

test('the rule of a field: of its type, of every record, of other fields, of the built-in schema', () => {
  const reading = book(rules).reading()
  expect(ruleText(reading, 'Observation/1', 'ward')).toBe('counter normal')
  expect(ruleText(reading, 'Patient/1', 'ward')).toBe('set high')
  expect(ruleText(reading, 'Observation/1', 'status')).toBe('lww low')
  expect(ruleText(reading, 'Observation/1', 'valueQuantity')).toBe('mvr critical')
  expect(ruleText(reading, 'anything', 'other')).toBe('lww normal')
  expect(ruleText(reading, 'anything', 'seenDateTime')).toBe('mvr high')
  expect(ruleText(reading, 'anything', 'seen')).toBe('lww normal')
  const others = book({ ...rules, otherFields: { strategy: 'mvr', rank: 'low' } }).reading()
  expect(ruleText(others, 'Observation/1', 'valueQuantity')).toBe('mvr low')
  expect(ruleText(others, 'Observation/1', 'ward')).toBe('counter normal')
})

test('what FHIR says about a primitive value goes with the value', () => {
  const reading = book(rules).reading()
  expect(ruleText(reading, 'Patient/1', '_ward')).toBe('mvr high')
  expect(ruleText(reading, 'Patient/1', '_status')).toBe('lww low')
  expect(ruleText(reading, 'Patient/1', '_plan')).toBe('lww normal')
  expect(ruleText(reading, 'Patient/1', '_seenDateTime')).toBe('mvr high')
})

test('the text fields of a record', () => {
  const reading = book(rules).reading()
  expect(reading.textFieldsOf('Patient/1')).toEqual(['plan'])
  expect(reading.textFieldsOf('Basic/1').toSorted()).toEqual(['plan', 'story'])
  expect(reading.textFieldsOf('Observation/1')).toEqual([])
  expect(builtInReading.textFieldsOf('Patient/1')).toEqual([])
})

test('deletions: of the type, of every record, of the built-in schema', () => {
  const policies = (schema: object) => {
    const reading = book({ ...rules, ...schema }).reading()
    return ['Basic/1', 'Flag/1', 'Patient/1', 'x'].map((id) => reading.deletePolicyOf(id))
  }
  expect(policies({})).toEqual(['confirm', 'confirm', 'resurrect', 'resurrect'])
  expect(policies({ deletePolicy: 'resurrect' })).toEqual([
    'confirm',
    'resurrect',
    'resurrect',
    'resurrect',
  ])
  expect(policies({ deletePolicy: 'confirm' })).toEqual(Array(4).fill('confirm'))
})

test('reads by the newest version, or by the one that is wanted', () => {
  const three = book({ version: 1 }, { version: 3, lens: { from: 1, steps: [] } })
  expect(three.versions).toEqual([0, 1, 3])
  expect(three.reading().version).toBe(3)
  expect(three.reading(0).version).toBe(0)
  // One that is not there (any more): the next below, never above.
  expect(three.reading(2).version).toBe(1)
  expect(new SchemaBook([]).reading(7).version).toBe(0)
})

test('a version counts only if the one that it builds on does', () => {
  const rename = { lens: { from: 2, steps: [{ rename: { from: 'a', to: 'b' } }] } }
  const gap = book({ version: 1 }, { version: 3, ...rename }, { version: 4 })
  expect(gap.versions).toEqual([0, 1])
  expect(gap.document(3)).toBeUndefined()
  const whole = book({ version: 4 }, { version: 3, ...rename }, { version: 2 }, { version: 1 })
  expect(whole.versions).toEqual([0, 1, 2, 3, 4])
  // Meanwhile nothing that was written in the others is guessed at.
  const some = book({ version: 1, lens: { from: 0, steps: rename.lens.steps } }, { version: 3 })
  const write = { schemaVersion: 3, field: 'x', op: 'put', value: '1' }
  expect(some.reading().lensesOf('any')!.partsOf(write)).toHaveProperty('problem')
})

test('a field of another version has the rule that it has there', () => {
  const two = book(
    { version: 1, fields: { a: { strategy: 'set' }, b: { strategy: 'mvr', rank: 'critical' } } },
    {
      version: 2,
      fields: { b: { strategy: 'set' } },
      lens: { from: 1, steps: [{ rename: { from: 'a', to: 'b' } }] },
    },
  )
  expect(ruleText(two.reading(2), 'any', 'b')).toBe('set normal')
  expect(ruleText(two.reading(2), 'any', 'b@1')).toBe('mvr critical')
})

test('a digest says whether two readings are the same', () => {
  const one = book(rules)
  expect(one.reading().digest).toBe(book(rules).reading().digest)
  expect(one.reading().digest).toMatch(/^[0-9a-f]{32}$/)
  const digests = [
    builtInReading.digest,
    one.reading(0).digest,
    one.reading().digest,
    book({ ...rules, deletePolicy: 'confirm' }).reading().digest,
    book(rules, { version: 2 }).reading().digest,
    book(rules, { version: 2 }).reading(1).digest,
  ]
  expect(new Set(digests).size).toBe(digests.length)
})

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  builtInDocumentText,
  builtInLow,
  builtInMvr,
  builtInSets,
  confirmedDeletes,
} from '../../../src/records/schema/built-in-schema.ts'
import { builtInReading, SchemaBook } from '../../../src/records/schema/schema-book.ts'
import { parseSchemaDocument } from '../../../src/records/schema/schema-parser.ts'

const documentation = readFileSync(join(import.meta.dirname, '../../../docs/data-model.md'), 'utf8')
const section = documentation.slice(documentation.indexOf('## The built-in schema'))
const namesIn = (text: string) => [...text.matchAll(/`([^`]+)`/g)].map(([, name]) => name!)

test('the documented fields that a person decides are those that count', () => {
  const documented: Record<string, Record<string, string[]>> = {}
  for (const [, row, ...cells] of section.matchAll(
    /^\| ([A-Z]\w+|any \w+) +\|([^|]*)\|([^|]*)\|([^|]*)\|$/gm,
  )) {
    documented[row!] = Object.fromEntries(
      ['critical', 'high', 'normal']
        .map((rank, index) => [rank, namesIn(cells[index]!)] as const)
        .filter(([, names]) => names.length > 0),
    )
  }
  expect(documented).toEqual(builtInMvr)
})

test('so are the documented sets, ranks and deletions', () => {
  const [, sets, low] = /Sets, lists [^:]*:([^.]*)\.[^]*Of rank `low`[^:]*:([^.]*)\./.exec(section)!
  expect(namesIn(sets!)).toEqual(Object.values(builtInSets).flat())
  for (const row of Object.keys(builtInSets)) expect(sets).toContain(`of ${row}`)
  expect(namesIn(low!)).toEqual(Object.values(builtInLow).flat())
  const [, confirmed] = /waits for a person \(`confirm`\) for([^;]*);/.exec(section)!
  expect(namesIn(confirmed!)).toEqual(confirmedDeletes)
})

test.each([
  ['AllergyIntolerance/1', 'code', 'critical'],
  ['AllergyIntolerance/1', 'criticality', 'critical'],
  ['MedicationRequest/1', 'medicationCodeableConcept', 'critical'],
  ['MedicationRequest/1', 'medicationReference', 'critical'],
  ['MedicationRequest/1', 'dosageInstruction', 'critical'],
  ['Observation/blood-group', 'component', 'critical'],
  ['Observation/1', 'valueQuantity', 'critical'],
  ['Patient/1', 'deceasedDateTime', 'high'],
  ['Patient/1', '_birthDate', 'high'],
  ['Basic/1', 'modifierExtension', 'critical'],
  ['Patient/1', 'bloodGroup', 'critical'],
  ['p1', 'allergies', 'critical'],
  ['p1', '_dose', 'critical'],
])('leaves it to a person which %s.%s is right', (recordId, field, rank) => {
  expect(builtInReading.ruleOf(recordId, field)).toEqual({ strategy: 'mvr', rank })
})

test.each([
  ['Patient/1', 'photo', 'normal'],
  ['Patient/1', 'deceased', 'normal'],
  ['Observation/1', 'values', 'normal'],
  ['Patient/1', 'meta', 'low'],
  ['constructor/1', 'name', 'normal'],
  ['anything', 'code', 'normal'],
  ['anything', 'note', 'normal'],
  ['/x', 'implicitRules', 'normal'],
])('shows the last %s.%s', (recordId, field, rank) => {
  expect(builtInReading.ruleOf(recordId, field)).toEqual({ strategy: 'lww', rank })
})

test.each([
  ['Patient/1', 'telecom'],
  ['AllergyIntolerance/1', 'note'],
])('adds to %s.%s', (recordId, field) => {
  expect(builtInReading.ruleOf(recordId, field).strategy).toBe('set')
})

test('doses and reactions never stand side by side as if both were right', () => {
  for (const fields of Object.values(builtInSets)) {
    for (const field of ['reaction', 'dosageInstruction', 'dosage', 'identifier', 'name']) {
      expect(fields).not.toContain(field)
    }
  }
})

test('asks a person where a deletion that missed an edit could harm', () => {
  expect(builtInReading.deletePolicyOf('AllergyIntolerance/1')).toBe('confirm')
  expect(builtInReading.deletePolicyOf('Patient/1')).toBe('resurrect')
  expect(builtInReading.deletePolicyOf('anything')).toBe('resurrect')
})

test('the built-in schema as a document says the same of every type in it', () => {
  const text = builtInDocumentText('records')
  const document = parseSchemaDocument(text, 0)
  expect(document).toMatchObject({ collection: 'records', version: 0 })
  const read = new SchemaBook([{ document: { ...document, version: 1, from: 0 }, text }]).reading()
  const fields = [...Object.values(builtInMvr), builtInSets, builtInLow].flatMap((row) =>
    Object.values(row).flat(),
  )
  for (const type of [...Object.keys(builtInMvr).filter((row) => !row.includes(' ')), 'Basic']) {
    for (const field of [...fields, 'other', 'valueString', '_birthDate']) {
      const id = `${type}/1`
      expect([id, field, read.ruleOf(id, field)]).toEqual([
        id,
        field,
        builtInReading.ruleOf(id, field),
      ])
      expect(read.deletePolicyOf(id)).toBe(builtInReading.deletePolicyOf(id))
    }
  }
})

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { mvrFields, strategyOf } from '../../src/records/strategies.ts'

test('the documented list of fields that a person decides is the one that counts', () => {
  const text = readFileSync(join(import.meta.dirname, '../../docs/data-model.md'), 'utf8')
  const documented: Record<string, string[]> = {}
  const table = text.slice(text.indexOf('Every field is `lww`'))
  for (const [, resource, fields] of table.matchAll(
    /^\| ([A-Z]\w+|any resource) +\| (`.*`) +\|$/gm,
  )) {
    documented[resource!] = [...fields!.matchAll(/`([^`]+)`/g)].map(([, field]) => field!)
  }
  expect(documented).toEqual(mvrFields)
})

test.each([
  ['AllergyIntolerance/1', 'code'],
  ['AllergyIntolerance/1', 'criticality'],
  ['MedicationRequest/1', 'medicationCodeableConcept'],
  ['MedicationRequest/1', 'medicationReference'],
  ['Observation/blood-group', 'component'],
  ['Observation/1', 'valueQuantity'],
  ['Patient/1', 'deceasedDateTime'],
  ['Patient/1', '_birthDate'],
  ['Basic/1', 'modifierExtension'],
])('leaves it to a person which %s.%s is right', (recordId, field) => {
  expect(strategyOf(recordId, field)).toBe('mvr')
})

test.each([
  ['Patient/1', 'photo'],
  ['Patient/1', 'deceased'],
  ['Observation/1', 'values'],
  ['AllergyIntolerance/1', 'note'],
  ['constructor/1', 'name'],
  ['anything', 'code'],
])('shows the last %s.%s', (recordId, field) => {
  expect(strategyOf(recordId, field)).toBe('lww')
})

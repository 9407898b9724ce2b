import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  collectionOf,
  fieldsOf,
  resourcesOf,
  resourceText,
  changesToReach,
} from '../../src/records/fhir.ts'

function fixture(name: string): string {
  return readFileSync(join(import.meta.dirname, '../fixtures/fhir', name), 'utf8')
}

describe('a resource', () => {
  test('goes in and out unchanged', () => {
    const lines = fixture('allergies.ndjson').trim().split('\n')
    expect(lines.length).toBeGreaterThan(10)
    for (const line of lines) {
      const { recordId, collection, fields } = fieldsOf(line)
      expect(JSON.parse(resourceText(recordId, fields))).toEqual(JSON.parse(line))
      expect(collection).toBe('records')
    }
  })

  test('keeps number lexemes and names that JavaScript treats specially', () => {
    const text =
      '{"resourceType":"Observation","id":"o.1","valueQuantity":{"value":1.00},"__proto__":{"a":1}}'
    const { recordId, fields } = fieldsOf(text)
    expect(recordId).toBe('Observation/o.1')
    expect(resourceText(recordId, fields)).toBe(text)
  })

  test.each([
    ['NOT_FHIR', '{}'],
    ['NOT_FHIR', '{"resourceType":1,"id":"a"}'],
    ['NOT_FHIR', '{"resourceType":"patient","id":"a"}'],
    ['NOT_FHIR', '{"resourceType":"Patient","id":"a","":1}'],
    ['INVALID_ID', '{"resourceType":"Patient","id":"a b"}'],
    ['INVALID_ID', '{"resourceType":"Patient","id":"a/b"}'],
    ['INVALID_ID', '{"resourceType":"Patient","id":""}'],
    ['INVALID_ID', '{"resourceType":"Patient","id":7}'],
    ['INVALID_ID', `{"resourceType":"Patient","id":"${'a'.repeat(65)}"}`],
  ])('is rejected as %s: %s', (code, text) => {
    expect(resourcesOf(text)).toEqual({
      resources: [],
      rejections: [{ path: '', code, message: expect.any(String) }],
    })
  })

  test('gets the same id on each import where it has none', () => {
    const [first] = resourcesOf('{"resourceType":"Patient","name":[{"family":"Noor"}]}').resources
    const [again] = resourcesOf(
      '{ "resourceType": "Patient",\n "name": [ { "family": "Noor" } ] }',
    ).resources
    const [other] = resourcesOf('{"resourceType":"Patient","name":[{"family":"Nour"}]}').resources
    expect(first!.recordId).toMatch(
      /^Patient\/[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    )
    expect(again!.recordId).toBe(first!.recordId)
    expect(other!.recordId).not.toBe(first!.recordId)
  })

  test('belongs to a collection by its type', () => {
    expect(['Patient', 'Binary', 'DocumentReference', 'Observation'].map(collectionOf)).toEqual([
      'patients',
      'documents',
      'documents',
      'records',
    ])
  })

  test('is imported again as what changed', () => {
    const shown = new Map([
      ['status', '"final"'],
      ['code', '{"text":"BP"}'],
      ['note', '[]'],
    ])
    const { fields } = fieldsOf(
      '{"resourceType":"Observation","id":"1","status":"amended","code":{"text":"BP"}}',
    )
    expect(changesToReach(shown, fields)).toEqual([
      { field: 'status', op: 'put', value: '"amended"' },
      { field: 'note', op: 'put', value: undefined },
    ])
  })
})

describe('a Bundle', () => {
  const patient = '{"resourceType":"Patient","gender":"female"}'
  const allergy = (reference: string) =>
    `{"resourceType":"AllergyIntolerance","id":"al","patient":{"reference":"${reference}"}}`
  const bundle = (type: string, entries: string[], more = '') =>
    `{"resourceType":"Bundle","type":"${type}"${more},"entry":[${entries.join(',')}]}`

  test('brings its entries, which refer to each other by their new names', () => {
    const { resources, rejections } = resourcesOf(
      bundle(
        'transaction',
        [
          `{"fullUrl":"urn:uuid:c0ffee00-0000-4000-8000-000000000001","resource":${patient}}`,
          `{"resource":${allergy('urn:uuid:c0ffee00-0000-4000-8000-000000000001')}}`,
          `{"resource":${allergy('urn:uuid:c0ffee00-0000-4000-8000-000000000002')}}`,
          `{"resource":${allergy('Patient?identifier=a|b')}}`,
          '{"request":{"method":"DELETE","url":"Patient/9"}}',
        ],
        ',"id":"b1","meta":{}',
      ),
    )
    expect(rejections).toEqual([])
    expect(resources.map(({ recordId, fields }) => [recordId, fields.at(-1)![1]])).toEqual([
      ['Patient/c0ffee00-0000-4000-8000-000000000001', '"female"'],
      ['AllergyIntolerance/al', '{"reference":"Patient/c0ffee00-0000-4000-8000-000000000001"}'],
      ['AllergyIntolerance/al', '{"reference":"urn:uuid:c0ffee00-0000-4000-8000-000000000002"}'],
      ['AllergyIntolerance/al', '{"reference":"Patient?identifier=a|b"}'],
    ])
  })

  test('rejects single entries', () => {
    const { resources, rejections } = resourcesOf(
      bundle('batch', [
        `{"resource":${patient}}`,
        '{"resource":{"id":"x"}}',
        '7',
        `{"resource":${bundle('collection', ['{"resource":{"resourceType":"Patient","id":"_"}}'])}}`,
      ]),
    )
    expect(resources).toHaveLength(1)
    expect(rejections.map(({ path, code }) => [path, code])).toEqual([
      ['entry[2]', 'NOT_FHIR'],
      ['entry[1]', 'NOT_FHIR'],
      ['entry[3].entry[0]', 'INVALID_ID'],
    ])
  })

  test('that is a document stays a record, from which it can be put together again', () => {
    const text = fixture('ips-document.json')
    const { resources, rejections } = resourcesOf(text)
    expect(rejections).toEqual([])
    const byId = new Map(resources.map((one) => [one.recordId, one]))
    const { fields } = byId.get('Bundle/bundle-minimal')!
    const kept = JSON.parse(resourceText('Bundle/bundle-minimal', fields)) as {
      entry: { fullUrl: string; resource: { resourceType: string; id: string } }[]
    }
    let together = JSON.stringify({
      ...kept,
      entry: kept.entry.map(({ resource, ...rest }) => {
        const recordId = `${resource.resourceType}/${resource.id}`
        return {
          ...rest,
          resource: JSON.parse(resourceText(recordId, byId.get(recordId)!.fields)) as unknown,
        }
      }),
    })
    expect(together).not.toContain('"reference":"urn:')
    for (const { fullUrl, resource } of kept.entry) {
      together = together.replaceAll(
        `"reference":"${resource.resourceType}/${resource.id}"`,
        `"reference":"${fullUrl}"`,
      )
    }
    expect(JSON.parse(together)).toEqual(JSON.parse(text))
  })
})

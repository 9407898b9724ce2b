import { expect, test } from 'vitest'
import { parseSchemaDocument } from '../../../src/records/schema/schema-parser.ts'

const complete = {
  collection: 'patients',
  version: 2,
  deletePolicy: 'confirm',
  fields: {
    bloodGroup: { strategy: 'mvr', rank: 'critical' },
    stock: { strategy: 'counter' },
    medications: { strategy: 'transform', transform: 'medication-list', rank: 'critical' },
  },
  types: { Patient: { deletePolicy: 'resurrect', fields: { 'value[x]': { strategy: 'lww' } } } },
  otherFields: { strategy: 'mvr', rank: 'low' },
  lens: {
    from: 1,
    steps: [
      { rename: { from: 'sex', to: 'gender' }, type: 'Patient' },
      { split: { from: 'name', to: ['given', 'family'], separator: ' ' } },
      { merge: { from: ['street', 'town'], to: 'address', separator: ', ' } },
      { unit: { field: 'weight', factor: 1000 } },
      { map: { field: 'gender', values: { m: 'male', 1: true, '"1"': 2 } } },
      { default: { field: 'triage', value: { a: [1, null] } } },
    ],
  },
}

test('reads a schema', () => {
  const document = parseSchemaDocument(JSON.stringify(complete))
  expect(document.collection).toBe('patients')
  expect(document.version).toBe(2)
  expect(document.deletePolicy).toBe('confirm')
  expect(document.fields.get('stock')).toEqual({ strategy: 'counter', rank: 'normal' })
  expect(document.fields.get('medications')).toEqual({
    strategy: 'transform',
    rank: 'critical',
    transform: 'medication-list',
  })
  expect(document.types.get('Patient')?.deletePolicy).toBe('resurrect')
  expect(document.otherFields).toEqual({ strategy: 'mvr', rank: 'low' })
  expect(document.from).toBe(1)
  expect(document.steps).toEqual([
    { kind: 'rename', from: 'sex', to: 'gender', type: 'Patient' },
    { kind: 'split', from: 'name', to: ['given', 'family'], separator: ' ', type: undefined },
    { kind: 'merge', from: ['street', 'town'], to: 'address', separator: ', ', type: undefined },
    { kind: 'unit', field: 'weight', factor: '1000', offset: '0', type: undefined },
    {
      kind: 'map',
      field: 'gender',
      // JSON.stringify puts the number first.
      values: [
        ['1', 'true'],
        ['"m"', '"male"'],
        ['"1"', '2'],
      ],
      type: undefined,
    },
    { kind: 'default', field: 'triage', value: '{"a":[1,null]}', type: undefined },
  ])
})

test('the least that is a schema', () => {
  const document = parseSchemaDocument('{"collection":"records","version":3}')
  expect(document).toMatchObject({ from: 2, steps: [], deletePolicy: undefined })
  expect(document.fields.size).toBe(0)
})

test('keeps the numbers of a unit as they are written', () => {
  const text = `{"collection":"c","version":1,"lens":{"from":0,"steps":[
    {"unit":{"field":"w","factor":0.4535923700000000000001,"offset":-0.10}}]}}`
  expect(parseSchemaDocument(text).steps[0]).toMatchObject({
    factor: '0.4535923700000000000001',
    offset: '-0.10',
  })
})

test.each([
  ['{"collection":"c","version":1,', /ends too early|no member name here.*\(line 1, column 31\)/],
  ['[]', /^The schema has to be an object \(line 1, column 1\)\.$/],
  ['{"version":1}', /^The schema lacks "collection" \(line 1, column 1\)\.$/],
  [
    '{"collection":"c","version":0}',
    /^version has to be a whole number from 1 \(line 1, column 29\)/,
  ],
  ['{"collection":"c","version":1.5}', /version has to be a whole number/],
  [
    '{\n  "collection": "c",\n  "version": 1,\n  "fields": {\n    "dose": { "strategy": "lst" }\n  }\n}',
    /^fields\.dose\.strategy has to be one of lww, mvr, text, set, counter, transform \(line 5, column 27\)\.$/,
  ],
  [
    '{"collection":"c","version":1,"feilds":{}}',
    /^feilds is not known here; there are .* \(line 1, column 31\)/,
  ],
  [
    '{"collection":"c","version":1,"fields":{"~same":{"strategy":"set"}}}',
    /begins with ~, which is reserved/,
  ],
  [
    '{"collection":"c","version":1,"fields":{"id":{"strategy":"lww"}}}',
    /is part of the record's id/,
  ],
  [
    '{"collection":"c","version":1,"fields":{"a b":{"strategy":"transform"}}}',
    /^fields\."a b" does not say which "transform"/,
  ],
  [
    '{"collection":"c","version":1,"fields":{"a":{"strategy":"lww","transform":"x"}}}',
    /has a "transform" that its strategy does not use/,
  ],
  [
    '{"collection":"c","version":1,"fields":{"value[x]":{"strategy":"text"}}}',
    /stands for several fields/,
  ],
  [
    '{"collection":"c","version":1,"types":{"patient":{}}}',
    /types\.patient has to be a resource type/,
  ],
  [
    '{"collection":"c","version":2,"lens":{"from":2,"steps":[]}}',
    /^lens\.from has to be lower than the version, 2 \(line 1, column 46\)/,
  ],
])('says where %s is wrong', (text, message) => {
  expect(() => parseSchemaDocument(text)).toThrow(
    expect.objectContaining({ code: 'SCHEMA_INVALID', message: expect.stringMatching(message) }),
  )
})

test.each([
  [{}, /lens\.steps\[0\] has to be one of rename, split, merge, unit, map, default/],
  [{ rename: { from: 'a', to: 'b' }, unit: { field: 'a', factor: 2 } }, /has to be one of/],
  [{ rename: { from: 'a', to: 'a' } }, /gives a field the name that it has/],
  [{ rename: { from: 'a' } }, /lens\.steps\[0\]\.rename lacks "to"/],
  [{ rename: { from: 'value[x]', to: 'b' } }, /needs the names of single fields/],
  [{ split: { from: 'a', to: ['b'], separator: ' ' } }, /has 1 elements instead of 2 to 8/],
  [{ split: { from: 'a', to: 'bcdefghij'.split(''), separator: ' ' } }, /has 9 elements/],
  [{ split: { from: 'a', to: ['b', 'b'], separator: ' ' } }, /names one field twice/],
  [{ split: { from: 'a', to: ['b', 'c'], separator: '' } }, /separator is empty/],
  [{ unit: { field: 'a', factor: 0 } }, /factor is 0/],
  [{ unit: { field: 'a', factor: 1e300, offset: '1' } }, /offset has to be a number/],
  [{ map: { field: 'a', values: {} } }, /values lists no value/],
  [{ map: { field: 'a', values: { m: null } } }, /has to be a text, a number, true or false/],
  [{ default: { field: 'stock', value: 'many' } }, /has to be a whole number: the field counts/],
  [{ default: { field: 'tags', value: 'a' } }, /has to be a list: the field is a set/],
  [{ default: { field: 'note', value: 1 } }, /has to be a text: the field is one/],
  [{ rename: { from: 'remark', to: 'note' } }, /makes the text "note"/],
  [{ type: 'x', rename: { from: 'a', to: 'b' } }, /has to be a resource type/],
])('refuses the step %o', (step, message) => {
  const text = JSON.stringify({
    collection: 'c',
    version: 1,
    fields: {
      stock: { strategy: 'counter' },
      tags: { strategy: 'set' },
      note: { strategy: 'text' },
    },
    lens: { from: 0, steps: [step] },
  })
  expect(() => parseSchemaDocument(text)).toThrow(
    expect.objectContaining({ code: 'SCHEMA_INVALID', message: expect.stringMatching(message) }),
  )
})

test.each([
  [
    [{ rename: { from: 'a', to: 'c' } }, { rename: { from: 'b', to: 'c' } }],
    /lens\.steps\[1\] can not be followed: "c" is given to two fields/,
  ],
  [
    [
      { rename: { from: 'a', to: 'b' } },
      { unit: { field: 'x', factor: 2 } },
      { rename: { from: 'a', to: 'd' } },
    ],
    /lens\.steps\[2\] can not be followed: "a" was taken away by a step before/,
  ],
  [
    [
      { merge: { from: ['a', 'b'], to: 'c', separator: ' ' } },
      { split: { from: 'c', to: ['d', 'e'], separator: ',' } },
    ],
    /lens\.steps\[1\] can not be followed: "c" was put together in another way/,
  ],
])('refuses steps that do not go together', (steps, message) => {
  const text = JSON.stringify({ collection: 'c', version: 1, lens: { from: 0, steps } })
  expect(() => parseSchemaDocument(text)).toThrow(message)
})

test('names several problems at once, and not a hundred', () => {
  const fields = Object.fromEntries(
    Array.from({ length: 100 }, (_, index) => [`f${index}`, { strategy: 'x' }]),
  )
  const text = JSON.stringify({ collection: 'c', version: 1, fields })
  expect(() => parseSchemaDocument(text)).toThrow(/fields\.f4\.[^]*And 95 more\.$/)
})

test('reads no more than 64 KiB', () => {
  const text = `{"collection":"c","version":1${' '.repeat(64 * 1024)}}`
  expect(() => parseSchemaDocument(text)).toThrow(expect.objectContaining({ code: 'TOO_LARGE' }))
})

test('version 0 is the built-in one, and can only be compared with', () => {
  expect(parseSchemaDocument('{"collection":"c","version":0}', 0).version).toBe(0)
})

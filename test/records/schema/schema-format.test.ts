import { fc, test } from '@fast-check/vitest'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { readDocument } from '../../../src/records/schema/document-shape.ts'
import { parseJsonTree } from '../../../src/records/schema/json-tree.ts'
import { schemaFormat } from '../../../src/records/schema/schema-format.ts'

// `strict` would object to `required` beside `oneOf`, which is on purpose.
const published = new Ajv2020({ strict: false, allErrors: true }).compile(schemaFormat)

function agrees(value: unknown): { ours: boolean; theirs: boolean } {
  const read = readDocument(parseJsonTree(JSON.stringify(value)), 1)
  return { ours: read.document !== undefined, theirs: published(value) }
}

test('the published JSON Schema is the one that counts', () => {
  const file = join(import.meta.dirname, '../../../docs/schemas/collection-schema.json')
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(JSON.parse(JSON.stringify(schemaFormat)))
})

const anyName = fc.oneof(
  { weight: 150, arbitrary: fc.constantFrom('a', 'b', 'name', 'value[x]', '_birthDate') },
  fc.constantFrom(
    '',
    '~x',
    'id',
    'resourceType',
    'x'.repeat(256),
    'é'.repeat(257),
    '😀'.repeat(256),
  ),
)
const mostly = (good: readonly unknown[], bad: readonly unknown[]) =>
  fc.oneof({ weight: 100, arbitrary: fc.constantFrom(...good) }, fc.constantFrom(...bad))
const anyType = mostly(
  ['Patient', 'Observation', 'P'.repeat(64)],
  ['patient', '', 'P1', 'P'.repeat(65)],
) as fc.Arbitrary<string>
const wrong = fc.constantFrom(null, 0, 1.5, -1, true, '', 'x', [], {}, 2 ** 31, ['a', 'b'])
const orWrong = <T>(arbitrary: fc.Arbitrary<T>) => fc.oneof({ weight: 150, arbitrary }, wrong)
const record = (model: Record<string, fc.Arbitrary<unknown>>, required: string[]) =>
  fc
    .record(
      Object.fromEntries(Object.entries(model).map(([name, value]) => [name, orWrong(value)])),
      { requiredKeys: required },
    )
    .chain((made) =>
      fc.oneof(
        { weight: 150, arbitrary: fc.constant(made) },
        // One more member, or one less.
        fc.constant({ ...made, more: 1 }),
        fc.constantFrom(...Object.keys(made), 'none').map((name) => {
          const { [name]: _, ...rest } = made as Record<string, unknown>
          return rest
        }),
      ),
    )

const rank = mostly(['critical', 'high', 'normal', 'low'], ['urgent'])
const strategy = mostly(['lww', 'mvr', 'text', 'set', 'counter'], ['transform', 'crdt'])
const transform = fc.constantFrom('medication-list', 'Medication', 'a'.repeat(65), '')
const rule = fc.oneof(
  record({ strategy, rank }, ['strategy']),
  record({ strategy: fc.constant('transform'), transform, rank }, ['strategy', 'transform']),
  record({ strategy, rank }, ['strategy']),
  record({ strategy: fc.constant('transform'), transform }, ['strategy', 'transform']),
  record({ strategy, rank }, ['strategy']),
)
const anyRule = fc.oneof(
  { weight: 100, arbitrary: rule },
  fc.constant({ strategy: 'lww', transform: 'medication-list' }),
)
const fields = fc.dictionary(anyName, orWrong(anyRule), { maxKeys: 3 })
const deletePolicy = mostly(['resurrect', 'confirm'], ['ask'])
const names = fc.oneof(
  { weight: 100, arbitrary: fc.constantFrom(['a', 'b'], ['c', 'd', 'e']) },
  fc.array(anyName, { minLength: 1, maxLength: 4 }),
  fc.constantFrom('abcdefgh'.split(''), 'abcdefghi'.split('')),
)
const separator = mostly([' ', ', ', '-'.repeat(16)], ['', '-'.repeat(17)])
const number = mostly([1000, 0.5, -1], [0, -0])
const values = fc.dictionary(
  fc.constantFrom('m', 'f', '1', ''),
  orWrong(fc.constantFrom('male', 1, true)),
)
const bodies: Record<string, fc.Arbitrary<unknown>> = {
  rename: record({ from: anyName, to: anyName }, ['from', 'to']),
  split: record({ from: anyName, to: names, separator }, ['from', 'to', 'separator']),
  merge: record({ from: names, to: anyName, separator }, ['from', 'to', 'separator']),
  unit: record({ field: anyName, factor: number, offset: number }, ['field', 'factor']),
  map: record({ field: anyName, values }, ['field', 'values']),
  default: record({ field: anyName, value: fc.jsonValue() }, ['field', 'value']),
}
const step = fc
  .tuple(
    fc.subarray(Object.keys(bodies), { minLength: 1, maxLength: 1 }),
    fc.constantFrom(...Object.keys(bodies)),
    fc.nat(100),
  )
  .chain(([[one], other, chance]) =>
    record(
      {
        type: anyType,
        [one!]: bodies[one!]!,
        ...(chance === 0 && { [other]: bodies[other]! }),
      },
      chance === 1 ? [] : [one!],
    ),
  )
const document = record(
  {
    $schema: fc.constant('https://example.org'),
    collection: mostly(['patients', 'x'.repeat(128)], ['x'.repeat(129), '']),
    version: mostly([1, 2, 2 ** 31 - 1], [0]),
    deletePolicy,
    fields,
    types: fc.dictionary(anyType, record({ deletePolicy, fields }, []), { maxKeys: 2 }),
    otherFields: rule,
    lens: record({ from: fc.constantFrom(0, 1, 7), steps: fc.array(step, { maxLength: 4 }) }, [
      'from',
      'steps',
    ]),
  },
  ['collection', 'version'],
)

test.prop([document], { numRuns: 3_000 })(
  'takes a document just where the published JSON Schema does',
  (value) => {
    const { ours, theirs } = agrees(value)
    expect(ours, JSON.stringify(published.errors)).toBe(theirs)
  },
)

test('both take and refuse many of them', () => {
  const samples = fc.sample(document, { numRuns: 2_000, seed: 3 }).map(agrees)
  expect(samples.filter(({ ours }) => ours).length).toBeGreaterThan(100)
  expect(samples.filter(({ ours }) => !ours).length).toBeGreaterThan(100)
})

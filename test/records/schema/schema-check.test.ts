import { fc, test } from '@fast-check/vitest'
import { expect } from 'vitest'
import { builtInDocumentText } from '../../../src/records/schema/built-in-schema.ts'
import { checkSchemas } from '../../../src/records/schema/schema-check.ts'
import type { SchemaFinding } from '../../../src/records/schema/schema-finding.ts'
import { parseSchemaDocument } from '../../../src/records/schema/schema-parser.ts'

const strategies = ['lww', 'mvr', 'text', 'set', 'counter', 'transform'] as const
const rule = (strategy: string, rank = 'normal') => ({
  strategy,
  rank,
  ...(strategy === 'transform' && { transform: 'medication-list' }),
})
const documentOf = (schema: object, lowest: 0 | 1 = 1) =>
  parseSchemaDocument(JSON.stringify({ collection: 'c', ...schema }), lowest)

interface Change {
  readonly old: object
  readonly next: object
  readonly steps?: readonly object[]
}
const check = ({ old, next, steps = [] }: Change) =>
  checkSchemas(
    documentOf({ version: 1, ...old }),
    documentOf({ version: 2, ...next, lens: { from: 1, steps } }),
  )
const shortOf = (findings: readonly SchemaFinding[]) =>
  findings.map(({ severity, about, type, field }) =>
    [severity, about, ...(type === null ? [] : [type]), ...(field === null ? [] : [field])].join(
      ' ',
    ),
  )
const stepsOnly = (steps: readonly object[], fields = {}) =>
  shortOf(check({ old: { fields }, next: { fields }, steps }))

test('nothing is lost where nothing changes', () => {
  const fields = Object.fromEntries(strategies.map((strategy) => [strategy, rule(strategy)]))
  expect(check({ old: { fields }, next: { fields } })).toEqual([])
})

test.each([
  ['lww', 'mvr', undefined],
  ['lww', 'set', 'note'],
  ['lww', 'counter', 'note'],
  ['lww', 'text', 'note'],
  ['mvr', 'lww', 'loss'],
  ['mvr', 'set', 'note'],
  ['mvr', 'transform', 'note'],
  ['set', 'lww', 'loss'],
  ['set', 'mvr', 'note'],
  ['counter', 'lww', 'loss'],
  ['counter', 'mvr', 'loss'],
  ['text', 'lww', 'loss'],
  ['text', 'set', 'loss'],
  ['transform', 'lww', 'loss'],
  ['transform', 'mvr', 'note'],
])('from %s to %s: %s', (before, after, severity) => {
  const findings = check({
    old: { fields: { x: rule(before) } },
    next: { fields: { x: rule(after) } },
  })
  expect(shortOf(findings)).toEqual(severity === undefined ? [] : [`${severity} strategy x`])
  for (const { message } of findings) expect(message).toMatch(/^From \w+ to \w+: \w.*\w\.$/)
})

test('a strategy that changes together with the name', () => {
  const steps = [{ rename: { from: 'tags', to: 'labels' } }]
  const old = { fields: { tags: rule('set') } }
  expect(shortOf(check({ old, next: { fields: { labels: rule('set') } }, steps }))).toEqual([])
  expect(shortOf(check({ old, next: { fields: { labels: rule('lww') } }, steps }))).toEqual([
    'loss strategy tags',
  ])
  expect(shortOf(check({ old, next: {}, steps }))).toEqual(['loss strategy tags'])
})

test('a field that is not named any more', () => {
  const old = { fields: { dose2: rule('mvr', 'critical'), ward: rule('lww') } }
  const [finding, ...others] = check({ old, next: {} })
  expect(others).toEqual([])
  expect(finding).toMatchObject({ severity: 'loss', field: 'dose2' })
  expect(finding!.message).toMatch(/^It is not named any more/)
})

test('a field whose name another one gets', () => {
  const fields = { a: rule('lww'), b: rule('lww') }
  expect(stepsOnly([{ rename: { from: 'a', to: 'b' } }], fields)).toEqual(['loss field b'])
})

test('ranks and deletions', () => {
  const x = (rank: string) => ({ fields: { x: rule('lww', rank) } })
  expect(shortOf(check({ old: x('high'), next: x('low') }))).toEqual(['note rank x'])
  expect(shortOf(check({ old: x('low'), next: x('high') }))).toEqual([])
  const confirm = { types: { Basic: { deletePolicy: 'confirm' } } }
  expect(shortOf(check({ old: confirm, next: {} }))).toEqual(['loss delete-policy Basic'])
  expect(shortOf(check({ old: {}, next: confirm }))).toEqual(['note delete-policy Basic'])
  // The built-in schema asks about some types.
  expect(shortOf(check({ old: {}, next: { deletePolicy: 'resurrect' } }))).toContain(
    'loss delete-policy AllergyIntolerance',
  )
})

test('versions and collections', () => {
  const two = documentOf({ version: 2 })
  const of = (next: object) => shortOf(checkSchemas(two, documentOf(next)))
  expect(of({ version: 2 })).toEqual(['error version'])
  expect(of({ version: 1 })).toEqual(['error version'])
  expect(of({ version: 4 })).toEqual(['error version'])
  expect(of({ version: 4, lens: { from: 2, steps: [] } })).toEqual([])
  expect(of({ version: 3, collection: 'd' })).toEqual(['error collection'])
})

test('values that can not all be taken there and back', () => {
  const map = (values: object) => stepsOnly([{ map: { field: 'a', values } }])
  expect(map({ m: 'male', f: 'female' })).toEqual(['note map a'])
  expect(map({ m: 'f', f: 'm' })).toEqual([])
  expect(map({ m: 'male', male: 'male' })).toEqual(['loss map a'])
  const unit = (factor: number) => stepsOnly([{ unit: { field: 'a', factor } }])
  expect(unit(1000)).toEqual(['note unit a'])
  expect(unit(1.8)).toEqual(['note unit a', 'note unit a'])
  expect(stepsOnly([{ split: { from: 'a', to: ['b', 'c'], separator: ' ' } }])).toEqual([
    'note parts a',
  ])
  expect(stepsOnly([{ merge: { from: ['a', 'b'], to: 'c', separator: ' ' } }])).toEqual([
    'note parts c',
  ])
})

test('a split that can not be undone', () => {
  const old = documentOf({
    version: 1,
    lens: { from: 0, steps: [{ merge: { from: ['a', 'b'], to: 'c', separator: ' ' } }] },
  })
  const next = documentOf({
    version: 2,
    lens: { from: 1, steps: [{ split: { from: 'c', to: ['a', 'b'], separator: ',' } }] },
  })
  expect(shortOf(checkSchemas(old, next))).toContain('error step c')
  // Nor across versions in between.
  const between = documentOf({ version: 2 })
  const last = { ...next, version: 3, from: 2 }
  expect(shortOf(checkSchemas(between, last))).not.toContain('error step c')
  expect(shortOf(checkSchemas(between, last, [old]))).toContain('error step c')
})

test('texts stay under their name', () => {
  const fields = { t: rule('text') }
  for (const step of [
    { rename: { from: 't', to: 'u' } },
    { split: { from: 't', to: ['u', 'v'], separator: ' ' } },
    { merge: { from: ['t', 'w'], to: 'u', separator: ' ' } },
  ]) {
    expect(shortOf(check({ old: { fields }, next: {}, steps: [step] }))).toContain('error rename t')
  }
})

test('counters and sets can be renamed, and not be converted', () => {
  const fields = { n: rule('counter'), s: rule('set') }
  const renames = [{ rename: { from: 'n', to: 'm' } }, { rename: { from: 's', to: 'r' } }]
  const next = { fields: { m: rule('counter'), r: rule('set') } }
  expect(shortOf(check({ old: { fields }, next, steps: renames }))).toEqual([])
  expect(stepsOnly([{ unit: { field: 'n', factor: 10 } }], fields)).toContain('loss unit n')
  expect(stepsOnly([{ map: { field: 's', values: { a: 'b' } } }], fields)).toEqual(['note map s'])
  expect(stepsOnly([{ split: { from: 's', to: ['x', 'y'], separator: ' ' } }], fields)).toContain(
    'loss parts s',
  )
})

test('what holds for all records is said once, what holds for a type by its name', () => {
  const step = { rename: { from: 'sex', to: 'gender2' } }
  const old = { types: { Patient: { fields: { sex: rule('mvr') } } } }
  const findings = check({ old, next: {}, steps: [{ type: 'Patient', ...step }] })
  expect(shortOf(findings)).toEqual(['loss strategy Patient sex'])
})

test('the first schema of a collection is compared with the built-in one, for what the collection is for', () => {
  const of = (collection: string, schema: object) =>
    shortOf(
      checkSchemas(
        parseSchemaDocument(builtInDocumentText(collection), 0),
        documentOf({ collection, version: 1, ...schema }),
      ),
    )
  expect(of('patients', {})).toEqual([])
  expect(of('records', {})).toEqual([])
  expect(of('patients', { deletePolicy: 'resurrect' })).toEqual([])
  expect(of('records', { deletePolicy: 'resurrect' })).toContain(
    'loss delete-policy AllergyIntolerance',
  )
  const gender = { types: { Patient: { fields: { gender: { strategy: 'lww' } } } } }
  expect(of('patients', gender)).toEqual(['loss strategy Patient gender'])
  expect(of('patients', { otherFields: { strategy: 'lww' } })).toContain('loss strategy dose')
})

test.prop([
  fc.array(
    fc.record({
      from: fc.constantFrom('a', 'b', 'c'),
      to: fc.constantFrom('a', 'b', 'c', 'd'),
      before: fc.constantFrom(...strategies),
      after: fc.constantFrom(...strategies),
    }),
    { maxLength: 3 },
  ),
])('errors come before losses, and these before notes', (changes) => {
  const findings = check({
    old: { fields: Object.fromEntries(changes.map(({ from, before }) => [from, rule(before)])) },
    next: { fields: Object.fromEntries(changes.map(({ from, after }) => [from, rule(after)])) },
    steps: changes
      .filter(({ from, to, after }) => from !== to && after !== 'text')
      .slice(0, 1)
      .map(({ from }) => ({ rename: { from, to: 'e' } })),
  })
  const order = findings.map(({ severity }) => ['error', 'loss', 'note'].indexOf(severity))
  expect(order).toEqual(order.toSorted((a, b) => a - b))
})

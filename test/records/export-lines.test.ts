import { Fhir } from 'fhir/fhir.js'
import { fc, test as propertyTest } from '@fast-check/vitest'
import { describe, expect, test } from 'vitest'
import { exportedFields, exportLines } from '../../src/records/export-lines.ts'
import { changesToReach, resourcesOf } from '../../src/records/fhir.ts'
import { compactJson } from '../../src/records/json-text.ts'
import { withoutTags } from '../../src/records/review-tags.ts'
import type { Conflict, ConflictValue, LiveWrite } from '../../src/records/visibility.ts'

const how = {
  deviceOf: (feed: string) => ({ id: feed.repeat(64), name: `device ${feed}` }),
  instantOf: (ms: number) => new Date(ms).toISOString(),
  collection: 'records',
}

function written(
  feed: string,
  field: string,
  value: string | undefined,
  op = 'put',
): ConflictValue {
  const time = { ms: Date.UTC(2026, 10, 22, 10, Number(feed)), counter: 0 }
  const place = { writer: feed, feed, seq: 1, clock: 0, schemaVersion: 0, actor: '' }
  return { field, op, value, ...place, time, clockOff: false, unseen: [] }
}

function conflict(...values: ConflictValue[]): Conflict {
  const { field, op } = values[0]!
  return {
    field,
    kind: op === 'delete' ? 'delete-update' : 'update-update',
    state: 'review',
    rank: 'normal',
    values,
  }
}

interface Parts {
  id?: string
  fields?: Record<string, string> | [string, string][]
  conflicts?: Conflict[]
  kept?: Record<string, string[]> | [string, string[]][]
  live?: LiveWrite[]
}

function view({ id = 'Patient/1', fields = {}, conflicts = [], kept = {}, live = [] }: Parts) {
  return {
    id,
    fields: new Map(Array.isArray(fields) ? fields : Object.entries(fields)),
    conflicts,
    kept: new Map(Array.isArray(kept) ? kept : Object.entries(kept)),
    live,
  }
}

interface Exported {
  resourceType: string
  id: string
  meta?: { tag?: { system: string; code: string; display?: string }[] }
  [element: string]: unknown
}

function exported(parts: Parts): Exported[] {
  return exportLines(view(parts), how).map((line) => JSON.parse(line) as Exported)
}

const tag = (code: string) => ({
  system: 'urn:havenmesh:review',
  code,
  display: expect.any(String) as string,
})
const gender = conflict(written('2', 'gender', '"female"'), written('1', 'gender', '"other"'))

describe('an exported resource', () => {
  test('that nobody has to look at is as it is, and alone', () => {
    const fields = { meta: '{"versionId":"1"}', gender: '"female"', n: '1.50' }
    expect(exportLines(view({ fields }), how)).toEqual([
      '{"resourceType":"Patient","id":"1","meta":{"versionId":"1"},"gender":"female","n":1.50}',
    ])
  })

  test('in conflict has the value that shows, a tag, and a Provenance with the other ones', () => {
    const lines = exported({ fields: { gender: '"female"', active: 'true' }, conflicts: [gender] })
    expect(lines).toHaveLength(2)
    expect(lines[0]).toEqual({
      resourceType: 'Patient',
      id: '1',
      meta: { tag: [tag('unreviewed-conflict')] },
      gender: 'female',
      active: true,
    })
    const author = (feed: string) => ({
      type: expect.objectContaining({}) as unknown,
      who: {
        type: 'Device',
        identifier: { system: 'urn:havenmesh:device', value: feed.repeat(64) },
        display: `device ${feed}`,
      },
    })
    expect(lines[1]).toEqual({
      resourceType: 'Provenance',
      id: expect.stringMatching(/^[0-9a-f-]{36}$/) as unknown,
      target: [{ reference: 'Patient/1' }],
      recorded: '2026-11-22T10:02:00.000Z',
      activity: { coding: [tag('unreviewed-conflict')] },
      agent: [author('2'), author('1')],
      entity: [
        {
          extension: [
            { url: 'urn:havenmesh:element', valueString: 'gender' },
            { url: 'urn:havenmesh:value', valueString: '"other"' },
            { url: 'urn:havenmesh:written', valueInstant: '2026-11-22T10:01:00.000Z' },
          ],
          role: 'source',
          what: { display: 'gender: "other"' },
          agent: [author('1')],
        },
      ],
    })
    const other = exported({ id: 'Patient/2', fields: { gender: '"female"' }, conflicts: [gender] })
    expect(other[1]!.id).not.toBe(lines[1]!.id)
  })

  test('keeps its own tags, also where the conflict is about them', () => {
    const own = '{"versionId":"1","tag":[{"system":"s","code":"1.0"}],"source":"x"}'
    const [resource, provenance] = exported({
      fields: { meta: own },
      conflicts: [conflict(written('2', 'meta', own), written('1', 'meta', '{"source":"y"}'))],
    })
    expect(resource!.meta).toEqual({
      versionId: '1',
      tag: [{ system: 's', code: '1.0' }, tag('unreviewed-conflict')],
      source: 'x',
    })
    expect(JSON.stringify(provenance)).toContain(String.raw`{\"source\":\"y\"}`)
  })

  test('that somebody deleted without knowing of a change says so', () => {
    const [resource, provenance] = exported({
      fields: { gender: '"female"' },
      conflicts: [conflict(written('1', '', undefined, 'delete'))],
    })
    expect(resource!.meta!.tag).toEqual([tag('unreviewed-deletion')])
    expect(provenance).toMatchObject({
      entity: [{ role: 'removal', what: { reference: 'Patient/1', display: 'deleted' } }],
    })
  })

  test('says of which element somebody took the value away', () => {
    const values = [written('2', 'gender', '"female"'), written('1', 'gender', undefined)]
    const [, provenance] = exported({
      fields: { gender: '"female"' },
      conflicts: [conflict(...values)],
    })
    expect(provenance).toMatchObject({
      entity: [{ role: 'removal', what: { display: 'gender: removed' } }],
    })
  })

  test('with several values that hold together has all of a list, and else the first and a tag', () => {
    const keep = written('1', 'birthDate', '["1994","1995"]', 'keep')
    const [resource, provenance] = exported({
      fields: { birthDate: '"1994"', name: '[{"text":"A"}]' },
      kept: {
        birthDate: ['"1994"', '"1995"'],
        name: ['[{"text":"A"}]', '[{"text":"B","use":"usual"},{"text":"A"}]'],
      },
      live: [keep],
    })
    expect(resource).toMatchObject({
      birthDate: '1994',
      name: [{ text: 'A' }, { text: 'B', use: 'usual' }],
      meta: { tag: [tag('further-values')] },
    })
    expect(provenance).toMatchObject({ entity: [{ what: { display: 'birthDate: "1995"' } }] })
    const lists = exported({ fields: { name: '["a"]' }, kept: { name: ['["a"]', '["b"]'] } })
    expect(lists).toEqual([{ resourceType: 'Patient', id: '1', name: ['a', 'b'] }])
  })

  test('has long values in its Provenance, up to what FHIR allows, and short words about them', () => {
    const values = ['x'.repeat(2_000), 'y'.repeat(2 * 1024 * 1024)].map((text) =>
      JSON.stringify(text),
    )
    const [, provenance] = exported({
      fields: { a: '1' },
      conflicts: [conflict(written('1', 'a', '1'), ...values.map((v) => written('2', 'a', v)))],
    })
    const [long, longer] = provenance!.entity as {
      extension: { url: string; valueString?: string }[]
      what: { display: string }
    }[]
    expect(long!.extension).toContainEqual({ url: 'urn:havenmesh:value', valueString: values[0] })
    expect(longer!.extension.map(({ url }) => url)).not.toContain('urn:havenmesh:value')
    expect([long!.what.display.length, longer!.what.display.length]).toEqual([120, 120])
  })

  test.each(['stock', 'stock/measles', 'Patient/a/b', 'Patient/', 'Patient/a b'])(
    'that is none by its id is never marked: %s',
    (id) => {
      expect(
        exportLines(view({ id, fields: { gender: '"x"' }, conflicts: [gender] }), how),
      ).toEqual([expect.not.stringContaining('havenmesh')])
    },
  )
})

describe('what goes out', () => {
  test.each<[string, Parts]>([
    ['two values', { fields: { gender: '"female"' }, conflicts: [gender] }],
    [
      'a removal',
      { conflicts: [conflict(written('2', 'gender', undefined), written('1', 'gender', '"x"'))] },
    ],
    ['a deletion', { conflicts: [conflict(written('1', '', undefined, 'delete'))] }],
    [
      'values that hold together',
      {
        fields: { birthDate: '"1994"' },
        kept: { birthDate: ['"1994"', '"1995"'] },
        live: [written('1', 'birthDate', '["1994","1995"]', 'keep')],
      },
    ],
    [
      'an op of a newer version, and a long text with odd characters',
      {
        fields: { gender: '"male"', meta: '{"tag":[{"system":"urn:x","code":"y"}]}' },
        conflicts: [
          conflict(
            written('2', 'gender', '"male"'),
            written('1', 'gender', JSON.stringify('\u0000👩‍⚕️\n'.repeat(99)), 'vote'),
          ),
        ],
      },
    ],
  ])('is FHIR R4: %s', (_, parts) => {
    const lines = exportLines(view(parts), how)
    expect(lines).toHaveLength(2)
    for (const line of lines) expect(problemsOf(line)).toEqual([])
  })

  test('is FHIR R4 where nobody knows a device', () => {
    const strangers = { ...how, deviceOf: () => ({ id: '', name: null }) }
    const lines = exportLines(view({ conflicts: [gender] }), strangers)
    expect(problemsOf(lines[1]!)).toEqual([])
    expect(lines[1]).toContain('"who":{"type":"Device","display":"a device"}')
  })
})

/** By an independent validator, which warns of codes that it does not know where FHIR allows any. */
function problemsOf(line: string): string[] {
  const { messages } = new Fhir().validate(JSON.parse(line) as object, { errorOnUnexpected: true })
  return messages
    .filter(({ severity }) => String(severity) !== 'warning')
    .map(({ location, message }) => `${location}: ${message}`)
}

describe('an import', () => {
  const lines = exportLines(view({ fields: { gender: '"female"' }, conflicts: [gender] }), how)

  test('leaves out what an export has added, in a Bundle as well', () => {
    expect(lines).toHaveLength(2)
    const bundle = `{"resourceType":"Bundle","type":"searchset","entry":[${lines.map((line) => `{"resource":${line}}`).join(',')}]}`
    for (const text of [lines[0]!, bundle]) {
      expect(resourcesOf(text).resources).toEqual([
        {
          type: 'Patient',
          recordId: 'Patient/1',
          collection: 'patients',
          fields: [['gender', '"female"']],
        },
      ])
    }
    expect(resourcesOf(lines[1]!)).toMatchObject({ resources: [], rejections: [] })
  })

  test('leaves nobody else’s Provenance out', () => {
    const own = JSON.parse(lines[1]!) as Exported
    const others = [
      { ...own, id: 'p1' },
      { ...own, target: [{ reference: 'Patient/2' }] },
      { ...own, activity: { coding: [{ system: 'urn:other', code: 'x' }] } },
      { ...own, activity: 7, target: {} },
    ]
    for (const other of others) expect(resourcesOf(JSON.stringify(other)).resources).toHaveLength(1)
  })

  test('takes no element that is kept for Havenmesh', () => {
    const { resources, rejections } = resourcesOf(
      '{"resourceType":"Patient","id":"1","~same":["Patient/2"]}',
    )
    expect(resources).toEqual([])
    expect(rejections).toMatchObject([{ code: 'NOT_FHIR' }])
  })
})

// ---- whatever a record shows ----

const anyJson = fc.oneof(
  fc.json({ maxDepth: 3 }).map(compactJson),
  fc.constantFrom('1.00', '1e400', '-0', '"\\u00e9\\ud83d"', '{"__proto__":1}', '[]', '{}'),
)
const ownTag = fc.constantFrom(
  '{"system":"urn:havenmesh:review","code":"unreviewed-conflict"}',
  '{"code":"x","system":"urn:havenmesh:review"}',
  '"urn:havenmesh:review"',
)
const anyTags = fc
  .array(fc.oneof(ownTag, anyJson), { maxLength: 3 })
  .map((tags) => `[${tags.join(',')}]`)
const anyMeta = fc.oneof(
  anyJson,
  fc
    .uniqueArray(
      fc.oneof(
        fc.tuple(fc.constantFrom('"tag"', '"t\\u0061g"'), fc.oneof(anyTags, anyJson)),
        fc.tuple(
          fc.string().map((name) => JSON.stringify(`x${name}`)),
          anyJson,
        ),
      ),
      { maxLength: 3, selector: ([name]) => JSON.parse(name) as string },
    )
    .map((members) => `{${members.map(([name, json]) => `${name}:${json}`).join(',')}}`),
)
const fieldNames = ['meta', 'id', 'resourceType', 'gender', '__proto__', 'na"me', 'name']
const anyFields = fc
  .record(
    Object.fromEntries(
      fieldNames.map((name) => [name, name === 'meta' ? anyMeta : anyJson]),
    ) as Record<string, fc.Arbitrary<string>>,
    { requiredKeys: [] },
  )
  .map((fields) =>
    fieldNames.flatMap((name) =>
      Object.hasOwn(fields, name) ? [[name, fields[name]!] as [string, string]] : [],
    ),
  )
const anyValue = fc.option(anyJson, { nil: undefined })
const anyConflicts = fc.array(
  fc
    .tuple(
      fc.constantFrom('', ...fieldNames),
      fc.array(fc.tuple(fc.constantFrom('1', '2'), anyValue), { minLength: 1, maxLength: 3 }),
    )
    .map(([field, values]) =>
      conflict(
        ...values.map(([feed, value]) =>
          field === ''
            ? written(feed, '', undefined, 'delete')
            : written(feed, field, value, 'put'),
        ),
      ),
    ),
  { maxLength: 2 },
)
const anyView = fc
  .record({
    fields: anyFields,
    conflicts: anyConflicts,
    others: fc.array(fc.tuple(fc.constantFrom(...fieldNames), anyJson), { maxLength: 2 }),
  })
  .map(({ fields, conflicts, others }) => {
    const shown = new Map(fields)
    const kept = others.flatMap(([field, other]): [string, string[]][] =>
      shown.has(field) ? [[field, [shown.get(field)!, other]]] : [],
    )
    const live = kept.map(([field, values]) => written('1', field, `[${values.join(',')}]`, 'keep'))
    return view({ fields, conflicts, kept: [...new Map(kept)], live })
  })

propertyTest.prop([anyView], { numRuns: 3_000 })(
  'an import of its export finds a record as it is, whatever is in it',
  (shown) => {
    const lines = exportLines(shown, how)
    const found = lines.map((line) => resourcesOf(line))
    expect(found.flatMap(({ rejections }) => rejections)).toEqual([])
    const [resource, ...others] = found.flatMap(({ resources }) => resources)
    expect(others).toEqual([])
    expect(resource!.recordId).toBe(shown.id)
    expect(changesToReach(exportedFields(shown), resource!.fields)).toEqual([])
    // Nothing of an export is taken for a part of the record.
    expect(withoutTags(new Map(resource!.fields).get('meta'))).toBe(
      new Map(resource!.fields).get('meta'),
    )
    const isMarked = shown.conflicts.some(({ field }) => field !== 'id' && field !== 'resourceType')
    if (isMarked) expect(lines).toHaveLength(2)
    if (shown.conflicts.length + shown.kept.size === 0) expect(lines).toHaveLength(1)
  },
)

import { expect, test } from 'vitest'
import { SchemaBook } from '../../../src/records/schema/schema-book.ts'
import { bookOf, LensRecord, through } from './lens-support.ts'

const inexpressible = { problem: expect.stringMatching(/^It was written in .*\.$/) as string }
const rename = (from: string, to: string) => ({ rename: { from, to } })

test('without lenses there are none', () => {
  expect(new SchemaBook([]).reading().lensesOf('any')).toBeUndefined()
  expect(bookOf([], []).reading().lensesOf('any')).toBeUndefined()
})

test('a field that was renamed twice is one field in all versions', () => {
  const book = bookOf([rename('sex', 'gender')], [], [rename('gender', 'adminGender')])
  for (const [version, name] of ['sex', 'gender', 'gender', 'adminGender'].entries()) {
    const record = new LensRecord(book).write(version, { [name]: '"f"' })
    expect(record.kept.size).toBe(1)
    expect(record.read(0)).toEqual({ sex: '"f"' })
    expect(record.read(1)).toEqual({ gender: '"f"' })
    expect(record.read(3)).toEqual({ adminGender: '"f"' })
  }
})

test('fields that no version names go through', () => {
  const book = bookOf([rename('sex', 'gender')])
  expect(through(book, 0, { ward: '"3"', '~same': '"x"' }, 1)).toEqual({
    ward: '"3"',
    '~same': '"x"',
  })
  expect(through(book, 1, { ward: '[1.00]' }, 0)).toEqual({ ward: '[1.00]' })
})

test('a field whose name is taken by another one is shown beside it', () => {
  const book = bookOf([], [rename('a', 'b')])
  const record = new LensRecord(book).write(1, { a: '1', b: '2' })
  expect(record.read(2)).toEqual({ b: '1', 'b@1': '2' })
  // And can be written there.
  expect(record.write(2, { 'b@1': '3', b: '4' }).read(1)).toEqual({ a: '4', b: '3' })
})

test('a name that was freed and is used again is another field', () => {
  const book = bookOf([], [rename('a', 'b')], [])
  const record = new LensRecord(book).write(1, { a: '1' }).write(3, { a: '2' })
  expect(record.read(3)).toEqual({ b: '1', a: '2' })
  expect(record.read(1)).toEqual({ a: '1', 'a@2': '2' })
  expect(record.write(1, { a: '5' }).read(3)).toEqual({ b: '5', a: '2' })
})

test('two fields may change their names with each other', () => {
  const book = bookOf([rename('a', 'x'), rename('b', 'a'), rename('x', 'b')])
  const record = new LensRecord(book).write(0, { a: '1', b: '2' })
  expect(record.kept.size).toBe(2)
  expect(record.read(1)).toEqual({ a: '2', b: '1' })
  expect(record.write(1, { a: '3' }).read(0)).toEqual({ a: '1', b: '3' })
})

test('a text that is split', () => {
  const split = { split: { from: 'name', to: ['given', 'family'], separator: ' ' } }
  const book = bookOf([split], [rename('family', 'surname')])
  expect(through(book, 0, { name: '"Anna Berg"' }, 2)).toEqual({
    given: '"Anna"',
    surname: '"Berg"',
  })
  expect(through(book, 2, { given: '"Anna"', surname: '"Berg"' }, 0)).toEqual({
    name: '"Anna Berg"',
  })
  // What is left goes into the last one, and what is not there is left out.
  expect(through(book, 0, { name: '"Anna van den Berg"' }, 1)).toEqual({
    given: '"Anna"',
    family: '"van den Berg"',
  })
  expect(through(book, 0, { name: '"Anna"' }, 1)).toEqual({ given: '"Anna"' })
  expect(through(book, 2, { surname: '"Berg"' }, 0)).toEqual({ name: '"Berg"' })
  // A field of the old version that has the name of a part is another one.
  expect(through(book, 0, { given: '1', name: '"A B"' }, 1)).toEqual({
    given: '"A"',
    family: '"B"',
    'given@0': '1',
  })
})

test('one part of a text that was split can be written alone', () => {
  const book = bookOf([{ split: { from: 'name', to: ['given', 'family'], separator: ' ' } }])
  const record = new LensRecord(book)
    .write(0, { name: '"Anna Berg"' })
    .write(1, { family: '"Baum"' })
  expect(record.read(0)).toEqual({ name: '"Anna Baum"' })
  expect(record.write(0, { name: undefined }).read(1)).toEqual({})
})

test('texts that are merged, and divided again in a later version', () => {
  const merge = { merge: { from: ['given', 'family'], to: 'name', separator: ' ' } }
  const split = { split: { from: 'name', to: ['first', 'last'], separator: ' ' } }
  const book = bookOf([merge], [split])
  const record = new LensRecord(book).write(0, { given: '"Anna Maria"', family: '"Berg"' })
  expect(record.kept.size).toBe(2)
  expect(record.read(1)).toEqual({ name: '"Anna Maria Berg"' })
  expect(record.read(2)).toEqual({ first: '"Anna Maria"', last: '"Berg"' })
  expect(record.write(1, { name: '"Eva Baum"' }).read(2)).toEqual({
    first: '"Eva"',
    last: '"Baum"',
  })
})

test('parts of parts, and a part that is renamed later', () => {
  const book = bookOf(
    [{ split: { from: 'name', to: ['given', 'family'], separator: ' ' } }],
    [
      { split: { from: 'family', to: ['prefix', 'surname'], separator: "'" } },
      rename('given', 'first'),
    ],
  )
  expect(through(book, 0, { name: '"Sinéad O\'Connor"' }, 2)).toEqual({
    first: '"Sinéad"',
    prefix: '"O"',
    surname: '"Connor"',
  })
  expect(through(book, 2, { first: '"S"', surname: '"C"' }, 0)).toEqual({ name: '"S C"' })
})

test('what is no text can not be divided, and stays whole where it was written', () => {
  const book = bookOf([{ split: { from: 'name', to: ['given', 'family'], separator: ' ' } }])
  const record = new LensRecord(book).write(0, { name: '{"family":"Berg"}' })
  expect(record.read(0)).toEqual({ name: '{"family":"Berg"}' })
  expect(record.read(1)).toEqual({ given: inexpressible })
  // What the newer version says about one part does not go with it.
  record.write(1, { family: '"Berg"' })
  expect(record.read(0)).toEqual({ name: inexpressible })
  expect(record.write(1, { given: '"Anna"' }).read(0)).toEqual({ name: '"Anna Berg"' })
})

test('a part that is no text can not be put together', () => {
  const book = bookOf([{ split: { from: 'name', to: ['given', 'family'], separator: ' ' } }])
  expect(through(book, 1, { given: '["Anna"]', family: '"Berg"' }, 0)).toEqual({
    name: inexpressible,
  })
})

const grams = { unit: { field: 'weight', factor: 1000 } }

test('a measure in another unit, to the last digit', () => {
  const book = bookOf([grams, rename('weight', 'bodyWeight')])
  expect(through(book, 0, { weight: '70.1' }, 1)).toEqual({ bodyWeight: '70100' })
  expect(through(book, 1, { bodyWeight: '70105' }, 0)).toEqual({ weight: '70.105' })
  // As it was written, where it was written.
  expect(through(book, 0, { weight: '70.10' }, 0)).toEqual({ weight: '70.10' })
  expect(through(book, 0, { weight: '70.10' }, 1)).toEqual({ bodyWeight: '70100' })
  expect(through(book, 0, { weight: '"much"' }, 1)).toEqual({ bodyWeight: inexpressible })
  expect(through(book, 0, { weight: '"much"' }, 0)).toEqual({ weight: '"much"' })
  expect(through(book, 1, { bodyWeight: 'null' }, 0)).toEqual({ weight: inexpressible })
})

test('values that are called otherwise', () => {
  const book = bookOf([
    { map: { field: 'gender', values: { m: 'male', f: 'female', 1: 'male', true: 'other' } } },
  ])
  const up = (value: string) => through(book, 0, { gender: value }, 1).gender
  const down = (value: string) => through(book, 1, { gender: value }, 0).gender
  expect([up('"m"'), up('1'), up('1.0'), up('true')]).toEqual([
    '"male"',
    '"male"',
    '"male"',
    '"other"',
  ])
  // JSON puts the number first.
  expect([down('"male"'), down('"female"')]).toEqual(['1', '"f"'])
  expect([up('"unknown"'), down('"unknown"'), up('{"a":1}')]).toEqual([
    '"unknown"',
    '"unknown"',
    '{"a":1}',
  ])
  // A value of the other side that means something there.
  expect([up('"male"'), down('"m"')]).toEqual([inexpressible, inexpressible])
  expect(through(book, 0, { gender: '"male"' }, 0)).toEqual({ gender: '"male"' })
  // Each of several that become one is itself where it was written.
  expect(through(book, 0, { gender: '"m"' }, 0)).toEqual({ gender: '"m"' })
  expect(through(book, 0, { gender: '"\\u006d"' }, 0)).toEqual({ gender: '"\\u006d"' })
})

test('lists are changed element by element', () => {
  const book = bookOf([{ map: { field: 'tags', values: { x: 'y' } } }])
  const lenses = book.reading(1).lensesOf('any')!
  expect(through(book, 0, { tags: '["x","z",["x"]]' }, 1)).toEqual({ tags: '["y","z",["x"]]' })
  expect(through(book, 0, { tags: '["x","y"]' }, 1)).toEqual({ tags: inexpressible })
  expect(through(book, 0, { tags: '["x","y"]' }, 0)).toEqual({ tags: '["x","y"]' })
  for (const op of ['add', 'remove']) {
    expect(lenses.partsOf({ schemaVersion: 0, field: 'tags', op, value: '"x"' })).toEqual(
      lenses.partsOf({ schemaVersion: 1, field: 'tags', op, value: '"y"' }),
    )
  }
})

test('several values that were kept are each changed', () => {
  const book = bookOf([grams])
  const lenses = book.reading(1).lensesOf('any')!
  const parts = lenses.partsOf({
    schemaVersion: 0,
    field: 'weight',
    op: 'keep',
    value: '[70,71.5]',
  })
  expect(parts).toEqual([{ field: expect.any(String) as string, value: '[70000,71500]' }])
})

test('what has no meaning in another version is not said there', () => {
  const book = bookOf([
    grams,
    { split: { from: 'name', to: ['given', 'family'], separator: ' ' } },
    rename('doses', 'stock'),
  ])
  const lenses = book.reading(1).lensesOf('any')!
  const parts = (field: string, op: string, value: string, schemaVersion = 0) =>
    lenses.partsOf({ schemaVersion, field, op, value })
  expect(parts('doses', 'count', '[3,3]')).toEqual(parts('stock', 'count', '[3,3]', 1))
  expect(parts('doses', 'vote', '1')).toEqual(parts('stock', 'vote', '1', 1))
  expect(parts('weight', 'count', '[3,3]')).toMatchObject({
    ...inexpressible,
    home: { field: 'weight' },
  })
  for (const [op, value] of [
    ['add', '"Anna"'],
    ['keep', '["A B","C D"]'],
  ] as const) {
    const home = { field: 'given' }
    expect(parts('name', op, value)).toMatchObject({ ...inexpressible, home })
  }
  // Versions that are not known here.
  expect(parts('anything', 'put', '1', 7)).toEqual(inexpressible)
})

test('an op of a newer version is in all that its field is made of, and says nothing elsewhere', () => {
  const book = bookOf([grams, { split: { from: 'name', to: ['given', 'family'], separator: ' ' } }])
  const lenses = (version: number) => book.reading(version).lensesOf('any')!
  for (const [field, elsewhere] of [
    ['weight', ['weight']],
    ['name', ['given', 'family']],
  ] as const) {
    const write = { schemaVersion: 0, field, op: 'vote', value: '70' }
    const parts = lenses(1).partsOf(write)
    if ('problem' in parts) throw new Error(parts.problem)
    const values = new Map(parts.map((part) => [part.field, part.value]))
    const read = (version: number) =>
      [...lenses(version).fieldsFrom(values.keys())].map((one) => [
        one.field,
        one.read(one.from.map((name) => values.get(name))),
      ])
    expect(read(0)).toEqual([[field, '70']])
    expect(read(1)).toEqual(
      elsewhere.map((name, index) => [name, index === 0 ? inexpressible : undefined]),
    )
  }
})

test('deletions are of no field', () => {
  const lenses = bookOf([rename('a', 'b')])
    .reading(1)
    .lensesOf('any')!
  expect(lenses.partsOf({ schemaVersion: 0, field: '', op: 'delete', value: undefined })).toEqual([
    { field: '', value: undefined },
  ])
})

test('steps of one resource type leave the others alone', () => {
  const book = bookOf([{ type: 'Patient', ...rename('sex', 'gender') }, rename('a', 'b')])
  const read = (id: string) => new LensRecord(book, id).write(0, { sex: '1', a: '2' }).read(1)
  expect(read('Patient/1')).toEqual({ gender: '1', b: '2' })
  expect(read('Observation/1')).toEqual({ sex: '1', b: '2' })
  expect(read('Patients')).toEqual({ sex: '1', b: '2' })
})

test('two versions that build on the same one', () => {
  const book = bookOf([], [grams, rename('a', 'b')], {
    from: 1,
    steps: [
      { unit: { field: 'weight', factor: 10, offset: 1 } },
      { split: { from: 'a', to: ['a1', 'a2'], separator: '-' } },
    ],
  })
  expect(through(book, 2, { weight: '70000', b: '"x-y"' }, 3)).toEqual({
    weight: '701',
    a1: '"x"',
    a2: '"y"',
  })
  expect(through(book, 3, { weight: '701.5', a1: '"x"', a2: '"y"' }, 2)).toEqual({
    weight: '70050',
    b: '"x-y"',
  })
  // A field that only one of them has.
  expect(through(book, 2, { a: '1' }, 3)).toEqual({ 'a@2': '1' })
})

test('a split of what another version has computed', () => {
  const map = { map: { field: 'a', values: { 'x y': 'u v' } } }
  const book = bookOf([], [map], {
    from: 1,
    steps: [map, { split: { from: 'a', to: ['b', 'c'], separator: ' ' } }],
  })
  expect(through(book, 2, { a: '"u v"' }, 3)).toEqual({ b: '"u"', c: '"v"' })
  expect(through(book, 3, { b: '"u"', c: '"v"' }, 1)).toEqual({ a: '"x y"' })
})

test('defaults go along with their field, up to the version that is read', () => {
  const book = bookOf(
    [
      { default: { field: 'triage', value: 'green' } },
      { default: { field: 'name', value: 'N N' } },
    ],
    [rename('triage', 'urgency'), { map: { field: 'urgency', values: { green: 'low' } } }],
    [{ split: { from: 'name', to: ['given', 'family'], separator: ' ' } }],
  )
  const defaults = (version: number) =>
    Object.fromEntries(book.reading(version).lensesOf('any')!.defaults)
  expect(defaults(0)).toEqual({})
  expect(defaults(1)).toEqual({ triage: '"green"', name: '"N N"' })
  expect(defaults(2)).toEqual({ urgency: '"low"', name: '"N N"' })
  expect(defaults(3)).toEqual({ urgency: '"low"', given: '"N"', family: '"N"' })
})

test('what looks like the marks in here is a value like others', () => {
  const book = bookOf([grams, rename('a', 'b')])
  const mark = '{"~lens":[0,"1"]}'
  for (const fields of [
    { weight: mark },
    { weight: `[${mark}]` },
    { a: mark },
    { a: `[1,${mark}]` },
  ]) {
    expect(through(book, 0, fields, 0)).toEqual(fields)
  }
  expect(through(book, 0, { a: mark }, 1)).toEqual({ b: mark })
  expect(through(book, 1, { weight: mark }, 0)).toEqual({ weight: inexpressible })
})

test('a name with @ that is there already', () => {
  const book = bookOf([], [rename('a', 'b')])
  const record = new LensRecord(book).write(1, { b: '1', 'b@1': '2' })
  expect(record.read(1)).toEqual({ b: '1', 'b@1': '2' })
  // In version 2 the name stands for the first one, and the other one has none.
  expect(record.read(2)).toEqual({ 'b@1': inexpressible })
})

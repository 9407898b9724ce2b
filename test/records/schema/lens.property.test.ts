/** Laws of lenses, over random chains and trees of schema versions. */
import { fc, test } from '@fast-check/vitest'
import { expect } from 'vitest'
import type { Lenses } from '../../../src/records/reading.ts'
import { SchemaBook } from '../../../src/records/schema/schema-book.ts'
import type { LensStep, SchemaDocument } from '../../../src/records/schema/schema-document.ts'
import { LensRecord } from './lens-support.ts'

const runs = { numRuns: Number(process.env.HAVEN_HISTORIES ?? 250) * 4 }
/** Few names, so that steps meet. */
const names = ['a', 'b', 'c', 'd'] as const
const field = fc.constantFrom(...names)
const otherFields = (count: number) =>
  fc.shuffledSubarray([...names], { minLength: count, maxLength: count })
const separator = fc.constantFrom(' ', '-')
const decimal = fc.constantFrom('1000', '0.1', '-2.50', '3')

const rename = otherFields(2).map(([from, to]): LensStep => ({
  kind: 'rename',
  from: from!,
  to: to!,
  type: undefined,
}))
const split = fc
  .tuple(field, otherFields(2), separator)
  .map(([from, to, by]): LensStep => ({ kind: 'split', from, to, separator: by, type: undefined }))
const merge = fc
  .tuple(otherFields(2), field, separator)
  .map(([from, to, by]): LensStep => ({ kind: 'merge', from, to, separator: by, type: undefined }))
const unit = fc
  .tuple(field, decimal, fc.constantFrom('0', '0.5'))
  .map(([name, factor, offset]): LensStep => ({
    kind: 'unit',
    field: name,
    factor,
    offset,
    type: undefined,
  }))
const scalar = fc.constantFrom('"x"', '"y"', '"x-y"', '1', '2', 'true')
const map = fc
  .tuple(field, fc.array(fc.tuple(scalar, scalar), { minLength: 1, maxLength: 3 }))
  .map(([name, values]): LensStep => ({ kind: 'map', field: name, values, type: undefined }))
const step = fc.oneof(rename, split, merge, unit, map)

/** Any steps, whether they go together or not: a newer version of the software may have accepted them. */
const anyBook = (steps: fc.Arbitrary<LensStep>) =>
  fc
    .array(fc.tuple(fc.array(steps, { maxLength: 3 }), fc.nat(3)), { minLength: 1, maxLength: 4 })
    .map((versions) => {
      const documents = versions.map(([lens, back], index): SchemaDocument => ({
        collection: 'c',
        version: index + 1,
        deletePolicy: undefined,
        fields: new Map(),
        types: new Map(),
        otherFields: undefined,
        // Mostly the version before, sometimes an earlier one.
        from: back === 0 ? Math.floor(index / 2) : index,
        steps: lens,
      }))
      return new SchemaBook(documents.map((document) => ({ document, text: '' })))
    })
    .filter((book) => book.graphOf(undefined) !== undefined)

const element = fc.oneof(
  scalar,
  fc.constantFrom('70.10', '-0', '1e2', 'null', '""', '"x y-z"', '"\\u0078"', '{"a":1}', '[]'),
  fc.constantFrom('{"~lens":[0,"1"]}', '{"~lens":[1,"\\"x\\"","2"]}', '{"~lens":1}'),
)
const value = fc.oneof(
  { weight: 3, arbitrary: element },
  fc.array(element, { maxLength: 3 }).map((elements) => `[${elements.join(',')}]`),
)
const anyName = fc.oneof(
  { weight: 6, arbitrary: field },
  fc.constantFrom('ward', 'a@1', 'b@0', 'a@2@', '\0', '\u00000:a', '\0\0x'),
)
const fields = fc.dictionary(anyName, value, { minKeys: 1, maxKeys: 4 })
const anyVersion = fc.nat(4)

test.prop([anyBook(step), anyVersion, fields], runs)(
  'a version reads what was written in it, to the last character',
  (book, at, written) => {
    const version = book.versions[at % book.versions.length]!
    const read = new LensRecord(book).write(version, written).read(version)
    for (const [name, text] of Object.entries(written)) {
      // A name that stands for a displaced field here, and for one of its own elsewhere, is no field of this version.
      expect(read[name]).toEqual(text)
    }
    expect(Object.keys(read).toSorted()).toEqual(Object.keys(written).toSorted())
  },
)

test.prop(
  [anyBook(step), fc.array(fc.tuple(anyVersion, fields), { maxLength: 4 }), anyVersion],
  runs,
)(
  'whatever was written in whatever version, each value that is kept is in one field',
  (book, writes, at) => {
    const record = new LensRecord(book)
    for (const [from, written] of writes) {
      record.write(book.versions[from % book.versions.length]!, written)
    }
    const version = book.versions[at % book.versions.length]!
    const read = record.lenses(version).fieldsFrom(record.kept.keys())
    const places = read.flatMap(({ from }) => from)
    expect(new Set(places).size).toBe(places.length)
    expect(new Set(places)).toEqual(new Set([...places, ...record.kept.keys()]))
    expect(new Set(read.map(({ field: name }) => name)).size).toBe(read.length)
    // And none of it makes a reader fail.
    record.read(version)
  },
)

test.prop(
  [
    anyBook(step),
    anyVersion,
    fc.array(fc.constantFrom('put', 'add', 'remove', 'keep', 'count', 'vote')),
    anyName,
    value,
  ],
  runs,
)('the same write is in the same places, whoever reads', (book, at, ops, name, text) => {
  const schemaVersion = book.versions[at % book.versions.length]!
  for (const op of ops) {
    const write = { schemaVersion, field: name, op, value: op === 'keep' ? `[${text},1]` : text }
    const [first, ...others] = book.versions.map((each) =>
      placesOf(book.reading(each).lensesOf('any')!.partsOf(write)),
    )
    for (const other of others) expect(other).toEqual(first)
  }
})

test.prop([anyBook(step), anyVersion, field, value], runs)(
  'what is removed is gone in every version',
  (book, at, name, text) => {
    const version = book.versions[at % book.versions.length]!
    const record = new LensRecord(book).write(version, { [name]: text })
    record.write(version, { [name]: undefined })
    for (const each of book.versions) expect(record.read(each)).toEqual({})
  },
)

/** Whatever the field is called by who reads. */
function placesOf(parts: ReturnType<Lenses['partsOf']>): unknown {
  return 'problem' in parts ? [parts.problem, parts.home?.canonical] : parts
}

/** Steps that can be undone by somebody who knows only the newer version. */
const lossless = fc.oneof(
  rename,
  fc.tuple(field, fc.constantFrom('1000', '0.01')).map(([name, factor]): LensStep => ({
    kind: 'unit',
    field: name,
    factor,
    offset: '0',
    type: undefined,
  })),
  field.map((name): LensStep => ({
    kind: 'map',
    field: name,
    values: [
      ['"x"', '"y"'],
      ['"y"', '"x"'],
      ['true', '"t"'],
    ],
    type: undefined,
  })),
)
const plainValue = fc.constantFrom('"x"', '"y"', '12.5', '-3', '{"a":[1.0]}')

test.prop([anyBook(lossless), anyVersion, anyVersion, fc.dictionary(field, plainValue)], runs)(
  'a record that another version has read and written again whole is as it was',
  (book, from, by, written) => {
    const version = book.versions[from % book.versions.length]!
    const other = book.versions[by % book.versions.length]!
    const record = new LensRecord(book).write(version, written)
    const seen = record.read(other)
    const texts = Object.entries(seen).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    )
    record.write(other, Object.fromEntries(texts))
    expect(record.read(version)).toEqual(written)
  },
)

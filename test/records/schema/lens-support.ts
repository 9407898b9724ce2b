/** Records that are written and read through lenses, without commits around them. */
import type { Inexpressible, Lenses } from '../../../src/records/reading.ts'
import { SchemaBook } from '../../../src/records/schema/schema-book.ts'
import { parseSchemaDocument } from '../../../src/records/schema/schema-parser.ts'

/** Steps of version 1, of version 2, and so on; or a whole lens, where it does not start from the version before. */
export function bookOf(
  ...lenses: readonly (readonly object[] | { readonly from: number; readonly steps: object[] })[]
): SchemaBook {
  return new SchemaBook(
    lenses.map((each, index) => {
      const lens = 'steps' in each ? each : { from: index, steps: each }
      const text = JSON.stringify({ collection: 'c', version: index + 1, lens })
      return { document: parseSchemaDocument(text), text }
    }),
  )
}

/** JSON texts by field. */
export type Fields = Readonly<Record<string, string | undefined>>

/** What is kept of a record: JSON texts by canonical field. */
export type Kept = Map<string, string | undefined>

export class LensRecord {
  readonly #book: SchemaBook
  readonly kept: Kept = new Map()
  readonly #id: string

  constructor(book: SchemaBook, id = 'any') {
    this.#book = book
    this.#id = id
  }

  lenses(version: number): Lenses {
    const lenses = this.#book.reading(version).lensesOf(this.#id)
    if (lenses === undefined) throw new Error('no version has a lens')
    return lenses
  }

  /** Puts fields as a device of that version does, and replaces what it saw. Returns this. */
  write(version: number, fields: Fields): this {
    for (const [field, value] of Object.entries(fields)) {
      // Any reading translates a write in the same way.
      const parts = this.lenses(0).partsOf({ schemaVersion: version, field, op: 'put', value })
      if ('problem' in parts) throw new Error(parts.problem)
      for (const part of parts) this.kept.set(part.field, part.value)
    }
    return this
  }

  read(version: number): Record<string, string | Inexpressible> {
    const shown: Record<string, string | Inexpressible> = {}
    for (const { field, from, read } of this.lenses(version).fieldsFrom(this.kept.keys())) {
      const value = read(from.map((name) => this.kept.get(name)))
      if (value !== undefined) shown[field] = value
    }
    return shown
  }
}

/** What a record that was written so in one version shows in another. */
export function through(book: SchemaBook, from: number, fields: Fields, to: number) {
  return new LensRecord(book).write(from, fields).read(to)
}

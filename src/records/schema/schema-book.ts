/** All versions of a collection's schema that are known here, and how its records are read by one of them. */
import { bytesToHex } from '../../core/bytes.ts'
import { ByteWriter } from '../../core/codec.ts'
import { domainHash16 } from '../../crypto/hash.ts'
import type { DeletePolicy, FieldRule, Lenses, Reading } from '../reading.ts'
import { transformNamed } from '../transforms.ts'
import { builtInSchema } from './built-in-schema.ts'
import { FieldGraph } from './field-graph.ts'
import { FieldRules, typeOf } from './field-rules.ts'
import { lensesTo } from './lens.ts'
import { type SchemaDocument, transformsIn } from './schema-document.ts'

/** A document, and the text that it was read from: the same text is the same schema. */
export interface KnownSchema {
  readonly document: SchemaDocument
  readonly text: string
}

export class SchemaBook {
  /** By version, the lowest first. */
  readonly #schemas: readonly KnownSchema[]
  readonly #types: ReadonlySet<string>
  readonly #graphs = new Map<string | undefined, FieldGraph>()
  readonly #readings = new Map<number, Reading>()
  readonly #hasSteps: boolean

  /**
   * A version counts if the one that it builds on does: of any other nobody here can say what its fields have to do with those of
   * version 0.
   *
   * @param schemas - one of each version
   */
  constructor(schemas: Iterable<KnownSchema>) {
    const counted = new Set([0])
    this.#schemas = [...schemas]
      .toSorted((a, b) => a.document.version - b.document.version)
      .filter(({ document: { version, from } }) => {
        if (counted.has(from)) counted.add(version)
        return counted.has(version)
      })
    this.versions = [0, ...this.#schemas.map(({ document }) => document.version)]
    const steps = this.#schemas.flatMap(({ document }) => document.steps)
    this.#hasSteps = steps.length > 0
    this.#types = new Set(steps.flatMap(({ type }) => type ?? []))
  }

  /** Those that count, 0 included, the lowest first. */
  readonly versions: readonly number[]

  get newest(): number {
    return this.versions.at(-1)!
  }

  /** Undefined for version 0, and for one that does not count. */
  document(version: number): SchemaDocument | undefined {
    return this.#schemas.find(({ document }) => document.version === version)?.document
  }

  /** @param wanted - where it does not count (any more), the nearest one below does; without it the newest */
  reading(wanted: number = this.newest): Reading {
    const version = this.versions.findLast((each) => each <= wanted) ?? 0
    let reading = this.#readings.get(version)
    if (reading === undefined) {
      reading = new SchemaReading(version, this)
      this.#readings.set(version, reading)
    }
    return reading
  }

  /** What the fields of a type have to do with each other in all versions; undefined: they are the same. */
  graphOf(type: string | undefined): FieldGraph | undefined {
    if (!this.#hasSteps) return undefined
    const named = type !== undefined && this.#types.has(type) ? type : undefined
    let graph = this.#graphs.get(named)
    if (graph === undefined) {
      graph = new FieldGraph(
        this.#schemas.map(({ document }) => document),
        named,
      )
      this.#graphs.set(named, graph)
    }
    return graph
  }

  digestOf(version: number): string {
    const out = new ByteWriter(256).text(builtInSchema.digest).varint(version)
    for (const { text } of this.#schemas) out.text(text)
    // A field whose transform is not registered in this program is read in another way.
    for (const name of transformsIn(this.document(version))) {
      out.text(name).u8(transformNamed(name) === undefined ? 0 : 1)
    }
    return bytesToHex(domainHash16('havenmesh/reading/v1', out.finish()))
  }
}

class SchemaReading implements Reading {
  readonly version: number
  readonly digest: string
  readonly #book: SchemaBook
  readonly #document: SchemaDocument | undefined
  readonly #rules: FieldRules
  readonly #rulesByType: ReadonlyMap<string, FieldRules>
  readonly #lenses = new Map<FieldGraph, Lenses>()
  readonly #textsByType = new Map<string | undefined, readonly string[]>()

  constructor(version: number, book: SchemaBook) {
    this.version = version
    this.digest = book.digestOf(version)
    this.#book = book
    this.#document = book.document(version)
    this.#rules = new FieldRules(this.#document?.fields ?? new Map<string, FieldRule>())
    this.#rulesByType = new Map(
      [...(this.#document?.types ?? [])].map(([type, { fields }]) => [
        type,
        new FieldRules(fields),
      ]),
    )
  }

  ruleOf(recordId: string, field: string): FieldRule {
    const type = typeOf(recordId)
    return (
      this.#declared(type, field) ??
      this.#displaced(recordId, type, field) ??
      this.#document?.otherFields ??
      builtInSchema.ruleOf(type, field)
    )
  }

  deletePolicyOf(recordId: string): DeletePolicy {
    const type = typeOf(recordId)
    const document = this.#document
    const ofType = type === undefined ? undefined : document?.types.get(type)?.deletePolicy
    return ofType ?? document?.deletePolicy ?? builtInSchema.deletePolicyOf(type)
  }

  textFieldsOf(recordId: string): readonly string[] {
    const type = typeOf(recordId)
    const known = type !== undefined && this.#rulesByType.has(type) ? type : undefined
    let names = this.#textsByType.get(known)
    if (names === undefined) {
      names = this.#textNames(known)
      this.#textsByType.set(known, names)
    }
    return names
  }

  knows(schemaVersion: number): boolean {
    return this.#book.versions.includes(schemaVersion)
  }

  lensesOf(recordId: string): Lenses | undefined {
    const graph = this.#book.graphOf(typeOf(recordId))
    if (graph === undefined) return undefined
    let lenses = this.#lenses.get(graph)
    if (lenses === undefined) {
      lenses = lensesTo(this.version, graph)
      this.#lenses.set(graph, lenses)
    }
    return lenses
  }

  #declared(type: string | undefined, field: string): FieldRule | undefined {
    const ofType = type === undefined ? undefined : this.#rulesByType.get(type)
    return ofType?.ruleOf(field) ?? this.#rules.ruleOf(field)
  }

  /** Of a field of another version that has no place under its own name here: as that version says. */
  #displaced(recordId: string, type: string | undefined, field: string): FieldRule | undefined {
    if (!field.includes('@')) return undefined
    const own = this.#book.graphOf(type)?.table(this.version)?.displaced.get(field)
    if (own === undefined || own.version === this.version) return undefined
    return this.#book.reading(own.version).ruleOf(recordId, own.field)
  }

  #textNames(type: string | undefined): string[] {
    const ofType = type === undefined ? undefined : this.#document?.types.get(type)?.fields
    const names = new Set([...(ofType?.keys() ?? []), ...(this.#document?.fields.keys() ?? [])])
    return [...names].filter((name) => this.#declared(type, name)?.strategy === 'text')
  }
}

/** Without any schema of its own: how a collection is read by the built-in one. */
export const builtInReading: Reading = new SchemaBook([]).reading()

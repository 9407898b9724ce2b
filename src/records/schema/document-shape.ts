/**
 * Whether a text has the shape of a schema: just what the published JSON Schema (schema-format.ts) says, with the place of
 * each problem.
 */
import type { FieldRule, Strategy } from '../reading.ts'
import { ranks } from '../reading.ts'
import type { JsonNode, JsonObject } from './json-tree.ts'
import type { LensStep, SchemaDocument, TypeRules } from './schema-document.ts'
import { deletePolicies, shapeLimits, shapePatterns, strategies } from './schema-format.ts'

/** Something wrong with the text of a schema. */
export interface SchemaProblem {
  /** Index of the character. */
  readonly at: number
  /** Such as `types.Patient.fields.name`; empty: the document as a whole. */
  readonly path: string
  /** What the path does wrong, such as `has to be a text`. */
  readonly problem: string
}

export type ReadDocument =
  | {
      readonly document: SchemaDocument
      /** Index of the character where the value of a path begins, or of the nearest one around it. */
      readonly placeOf: (path: string) => number
    }
  | { readonly document: undefined; readonly problems: readonly SchemaProblem[] }

export function readDocument(tree: JsonNode, lowestVersion: 0 | 1): ReadDocument {
  const reader = new ShapeReader(lowestVersion)
  const document = reader.document(tree)
  if (reader.problems.length > 0 || document === undefined) {
    return { document: undefined, problems: reader.problems }
  }
  return { document, placeOf: (path) => reader.placeOf(path) }
}

type Reads<T> = (node: JsonNode, path: string) => T | undefined

class ShapeReader {
  readonly problems: SchemaProblem[] = []
  readonly #places = new Map<string, number>()
  readonly #lowestVersion: number

  constructor(lowestVersion: number) {
    this.#lowestVersion = lowestVersion
  }

  placeOf(path: string): number {
    for (let at = path; at !== ''; at = at.replace(/(?:^|[.[])[^.[]*$/, '')) {
      const place = this.#places.get(at)
      if (place !== undefined) return place
    }
    return 0
  }

  document(node: JsonNode): SchemaDocument | undefined {
    const members = this.#object(node, '', {
      required: ['collection', 'version'],
      optional: ['$schema', 'deletePolicy', 'fields', 'types', 'otherFields', 'lens'],
    })
    if (members === undefined) return undefined
    members.read('$schema', this.#text())
    const collection = members.read('collection', this.#text(1, shapeLimits.collectionName))
    const version = members.read('version', this.#version)
    const deletePolicy = members.read('deletePolicy', this.#oneOf(deletePolicies))
    const fields = members.read('fields', this.#fields)
    const types = members.read('types', this.#map(this.#typeName, this.#typeRules))
    const otherFields = members.read('otherFields', this.#rule)
    const lens = members.read('lens', this.#lens)
    if (collection === undefined || version === undefined) return undefined
    return {
      collection,
      version,
      deletePolicy,
      fields: fields ?? new Map(),
      types: types ?? new Map(),
      otherFields,
      from: lens?.from ?? Math.max(0, version - 1),
      steps: lens?.steps ?? [],
    }
  }

  // ---- parts of a document ----

  readonly #version: Reads<number> = (node, path) =>
    this.#integer(node, path, this.#lowestVersion, shapeLimits.version)

  readonly #fieldName: Reads<string> = (node, path) => {
    const name = this.#text(1, shapeLimits.fieldName)(node, path)
    if (name === undefined) return undefined
    if (name.startsWith('~')) return this.#problem(node, path, 'begins with ~, which is reserved')
    if (shapeLimits.partsOfId.includes(name)) {
      return this.#problem(node, path, "is part of the record's id and no field")
    }
    return name
  }

  readonly #typeName: Reads<string> = (node, path) =>
    this.#pattern(shapePatterns.type, 'has to be a resource type, such as Patient')(node, path)

  readonly #rule: Reads<FieldRule> = (node, path) => {
    const members = this.#object(node, path, {
      required: ['strategy'],
      optional: ['rank', 'transform'],
    })
    if (members === undefined) return undefined
    const strategy = members.read('strategy', this.#oneOf<Strategy>(strategies))
    const rank = members.read('rank', this.#oneOf(ranks)) ?? 'normal'
    const transform = members.read(
      'transform',
      this.#pattern(shapePatterns.transform, 'has to be the name of a transform'),
    )
    if (strategy === undefined) return undefined
    if ((strategy === 'transform') !== members.has('transform')) {
      return this.#problem(
        node,
        path,
        strategy === 'transform'
          ? 'does not say which "transform"'
          : 'has a "transform" that its strategy does not use',
      )
    }
    return transform === undefined ? { strategy, rank } : { strategy, rank, transform }
  }

  readonly #fields: Reads<Map<string, FieldRule>> = (node, path) =>
    this.#map(this.#fieldName, this.#rule)(node, path)

  readonly #typeRules: Reads<TypeRules> = (node, path) => {
    const members = this.#object(node, path, { optional: ['deletePolicy', 'fields'] })
    if (members === undefined) return undefined
    return {
      deletePolicy: members.read('deletePolicy', this.#oneOf(deletePolicies)),
      fields: members.read('fields', this.#fields) ?? new Map(),
    }
  }

  readonly #lens: Reads<{ from: number; steps: readonly LensStep[] }> = (node, path) => {
    const members = this.#object(node, path, { required: ['from', 'steps'] })
    const from = members?.read('from', (value, at) =>
      this.#integer(value, at, 0, shapeLimits.version),
    )
    const steps = members?.read('steps', this.#list(this.#step, 0, shapeLimits.steps))
    return from === undefined || steps === undefined ? undefined : { from, steps }
  }

  readonly #step: Reads<LensStep> = (node, path) => {
    const kinds = ['rename', 'split', 'merge', 'unit', 'map', 'default'] as const
    const members = this.#object(node, path, { optional: ['type', ...kinds] })
    if (members === undefined) return undefined
    const type = members.read('type', this.#typeName)
    const [kind, other] = kinds.filter((each) => members.has(each))
    if (kind === undefined || other !== undefined) {
      return this.#problem(node, path, `has to be one of ${kinds.join(', ')}`)
    }
    const step = members.read(kind, this.#bodyOf[kind])
    return step === undefined ? undefined : ({ ...step, type } as LensStep)
  }

  readonly #names: Reads<string[]> = (node, path) => {
    const names = this.#list(this.#fieldName, 2, shapeLimits.parts)(node, path)
    if (names !== undefined && new Set(names).size < names.length) {
      return this.#problem(node, path, 'names one field twice')
    }
    return names
  }

  readonly #separator: Reads<string> = (node, path) =>
    this.#text(1, shapeLimits.separator)(node, path)

  readonly #bodyOf: Record<LensStep['kind'], Reads<object>> = {
    rename: (node, path) =>
      this.#body('rename', { from: this.#fieldName, to: this.#fieldName })(node, path),
    split: (node, path) =>
      this.#body('split', {
        from: this.#fieldName,
        to: this.#names,
        separator: this.#separator,
      })(node, path),
    merge: (node, path) =>
      this.#body('merge', {
        from: this.#names,
        to: this.#fieldName,
        separator: this.#separator,
      })(node, path),
    unit: (node, path) => {
      const members = this.#object(node, path, {
        required: ['field', 'factor'],
        optional: ['offset'],
      })
      const field = members?.read('field', this.#fieldName)
      const factor = members?.read('factor', this.#number)
      const offset = members?.read('offset', this.#number) ?? '0'
      if (field === undefined || factor === undefined) return undefined
      if (Number(factor) === 0) {
        return this.#problem(node, `${path}.factor`, 'is 0, which leaves nothing of a value')
      }
      return { kind: 'unit', field, factor, offset }
    },
    map: (node, path) =>
      this.#body('map', { field: this.#fieldName, values: this.#valuePairs })(node, path),
    default: (node, path) =>
      this.#body('default', { field: this.#fieldName, value: this.#json })(node, path),
  }

  #body(kind: string, reads: Readonly<Record<string, Reads<unknown>>>): Reads<object> {
    return (node, path) => {
      const names = Object.keys(reads)
      const members = this.#object(node, path, { required: names })
      const values = names.map((name) => [name, members?.read(name, reads[name]!)] as const)
      if (values.some(([, value]) => value === undefined)) return undefined
      return { kind, ...Object.fromEntries(values) }
    }
  }

  readonly #valuePairs: Reads<(readonly [string, string])[]> = (node, path) => {
    const pairs = this.#map<string>(
      (name) => (name.kind === 'string' ? keyJson(name.value) : undefined),
      (value, at) =>
        value.kind === 'object' || value.kind === 'array' || value.kind === 'null'
          ? this.#problem(value, at, 'has to be a text, a number, true or false')
          : jsonOf(value),
    )(node, path)
    if (pairs?.size === 0) return this.#problem(node, path, 'lists no value')
    return pairs === undefined ? undefined : [...pairs]
  }

  readonly #json: Reads<string> = (node) => jsonOf(node)

  // ---- shapes ----

  #problem(node: { readonly at: number }, path: string, problem: string): undefined {
    this.problems.push({ at: node.at, path, problem })
    return undefined
  }

  #object(
    node: JsonNode,
    path: string,
    names: { readonly required?: readonly string[]; readonly optional?: readonly string[] },
  ): Members | undefined {
    if (node.kind !== 'object') return this.#problem(node, path, 'has to be an object')
    const { required = [], optional = [] } = names
    for (const [name, { at }] of node.members) {
      if (required.includes(name) || optional.includes(name)) continue
      const known = [...required, ...optional].filter((each) => each !== '$schema')
      this.#problem({ at }, joined(path, name), `is not known here; there are ${known.join(', ')}`)
    }
    for (const name of required) {
      if (!node.members.has(name)) this.#problem(node, path, `lacks "${name}"`)
    }
    const has = (name: string): boolean => node.members.has(name)
    return { has, read: (name, reads) => this.#member(node, path, name, reads) }
  }

  #member<T>(node: JsonObject, path: string, name: string, reads: Reads<T>): T | undefined {
    const member = node.members.get(name)
    if (member === undefined) return undefined
    const at = joined(path, name)
    this.#places.set(at, member.value.at)
    return reads(member.value, at)
  }

  /** An object whose names are not known before. */
  #map<T>(readName: Reads<string>, reads: Reads<T>): Reads<Map<string, T>> {
    return (node, path) => {
      if (node.kind !== 'object') return this.#problem(node, path, 'has to be an object')
      const values = new Map<string, T>()
      for (const [name, { at }] of node.members) {
        const key = readName({ kind: 'string', at, value: name }, joined(path, name))
        const value = this.#member(node, path, name, reads)
        if (key !== undefined && value !== undefined) values.set(key, value)
      }
      return values
    }
  }

  #list<T>(reads: Reads<T>, min: number, max: number): Reads<T[]> {
    return (node, path) => {
      if (node.kind !== 'array') return this.#problem(node, path, 'has to be a list')
      const { length } = node.elements
      if (length < min || length > max) {
        return this.#problem(node, path, `has ${length} elements instead of ${min} to ${max}`)
      }
      const values: T[] = []
      for (const [index, element] of node.elements.entries()) {
        const at = `${path}[${index}]`
        this.#places.set(at, element.at)
        const value = reads(element, at)
        if (value !== undefined) values.push(value)
      }
      return values
    }
  }

  #text(min = 0, max = Infinity): Reads<string> {
    return (node, path) => {
      if (node.kind !== 'string') return this.#problem(node, path, 'has to be a text')
      const { length } = Array.from(node.value)
      if (length >= min && length <= max) return node.value
      return this.#problem(
        node,
        path,
        length < min ? 'is empty' : `has ${length} characters, more than ${max}`,
      )
    }
  }

  #pattern(pattern: string, problem: string): Reads<string> {
    const expression = new RegExp(pattern, 'u')
    return (node, path) =>
      node.kind === 'string' && expression.test(node.value)
        ? node.value
        : this.#problem(node, path, problem)
  }

  #oneOf<T extends string>(values: readonly T[]): Reads<T> {
    return (node, path) =>
      node.kind === 'string' && (values as readonly string[]).includes(node.value)
        ? (node.value as T)
        : this.#problem(node, path, `has to be one of ${values.join(', ')}`)
  }

  readonly #number: Reads<string> = (node, path) =>
    node.kind === 'number' ? node.text : this.#problem(node, path, 'has to be a number')

  #integer(node: JsonNode, path: string, min: number, max: number): number | undefined {
    const value = node.kind === 'number' ? Number(node.text) : undefined
    if (value !== undefined && Number.isInteger(value) && value >= min && value <= max) return value
    return this.#problem(node, path, `has to be a whole number from ${min}`)
  }
}

interface Members {
  has(name: string): boolean
  /** Undefined: not there, or wrong, which has become a problem. */
  read<T>(name: string, reads: Reads<T>): T | undefined
}

function joined(path: string, name: string): string {
  const shown = /^[\w[\]]+$/.test(name) ? name : JSON.stringify(name)
  return path === '' ? shown : `${path}.${shown}`
}

/** A name in `values` stands for the number, `true` or `false` that it spells, and otherwise for a text. */
function keyJson(name: string): string {
  if (/^(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false)$/.test(name)) return name
  try {
    if (typeof JSON.parse(name) === 'string') return name
  } catch {
    // Most texts are no JSON.
  }
  return JSON.stringify(name)
}

/** Compact JSON text of a value. */
function jsonOf(node: JsonNode): string {
  if (node.kind === 'string') return JSON.stringify(node.value)
  if (node.kind === 'array') return `[${node.elements.map(jsonOf).join(',')}]`
  if (node.kind !== 'object') return node.text
  const members = [...node.members].map(
    ([name, { value }]) => `${JSON.stringify(name)}:${jsonOf(value)}`,
  )
  return `{${members.join(',')}}`
}

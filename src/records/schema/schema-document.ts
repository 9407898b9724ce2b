/** A schema of a collection, as an admin writes it: docs/data-model.md, "Schemas". */
import type { DeletePolicy, FieldRule } from '../reading.ts'

export interface SchemaDocument {
  /** Name of the collection. */
  readonly collection: string
  /** From 1; 0 is the built-in one. */
  readonly version: number
  /** Undefined: as the built-in schema says for the type. */
  readonly deletePolicy: DeletePolicy | undefined
  /** Of every record of the collection. */
  readonly fields: ReadonlyMap<string, FieldRule>
  /** By FHIR resource type: what they say comes before `fields`. */
  readonly types: ReadonlyMap<string, TypeRules>
  /** Undefined: as the built-in schema says. */
  readonly otherFields: FieldRule | undefined
  /** The version whose fields the steps start from. */
  readonly from: number
  readonly steps: readonly LensStep[]
}

export interface TypeRules {
  readonly deletePolicy: DeletePolicy | undefined
  readonly fields: ReadonlyMap<string, FieldRule>
}

/** One step from the fields of the version before to those of this one; one after the other. */
export type LensStep = (
  | { readonly kind: 'rename'; readonly from: string; readonly to: string }
  | {
      readonly kind: 'split'
      readonly from: string
      readonly to: readonly string[]
      readonly separator: string
    }
  | {
      readonly kind: 'merge'
      readonly from: readonly string[]
      readonly to: string
      readonly separator: string
    }
  /** new = old × factor + offset; both as JSON numbers. */
  | {
      readonly kind: 'unit'
      readonly field: string
      readonly factor: string
      readonly offset: string
    }
  /** Old and new JSON values. */
  | {
      readonly kind: 'map'
      readonly field: string
      readonly values: readonly (readonly [string, string])[]
    }
  | { readonly kind: 'default'; readonly field: string; readonly value: string }
) & {
  /** Only for records of this resource type. */
  readonly type: string | undefined
}

/** Names of the transforms that a schema asks for, each once. */
export function transformsIn(document: SchemaDocument | undefined): string[] {
  if (document === undefined) return []
  const rules = [
    ...document.fields.values(),
    ...[...document.types.values()].flatMap(({ fields }) => [...fields.values()]),
    ...(document.otherFields === undefined ? [] : [document.otherFields]),
  ]
  return [...new Set(rules.flatMap(({ transform }) => transform ?? []))].toSorted()
}

/**
 * How the records of a collection are read: the rules of one version of its schema, and the way to it from the others.
 *
 * What is live does not depend on a reading (nor does the content hash): a reading only says what a person sees of it.
 */

/** How several live writes of one field become what a reader sees. docs/data-model.md, "Strategies". */
export type Strategy = 'lww' | 'mvr' | 'text' | 'set' | 'counter' | 'transform'

/** How much harm a wrong or missing value can do, the gravest first. */
export const ranks = ['critical', 'high', 'normal', 'low'] as const
export type Rank = (typeof ranks)[number]

/** What becomes of a record that was deleted by somebody who had not seen an edit of it. */
export type DeletePolicy = 'resurrect' | 'confirm'

export interface FieldRule {
  readonly strategy: Strategy
  readonly rank: Rank
  /** Of strategy `transform`: the registered name. */
  readonly transform?: string
}

export interface Reading {
  /** 0: the built-in schema. */
  readonly version: number
  /** Equal for readings that say the same of all records, in every run: what is kept of a reading's verdicts holds as long as this does. */
  readonly digest: string
  ruleOf(recordId: string, field: string): FieldRule
  deletePolicyOf(recordId: string): DeletePolicy
  /** Names of the fields with strategy `text`. */
  textFieldsOf(recordId: string): readonly string[]
  /** Whether it can read what was written in this version of the schema. */
  knows(schemaVersion: number): boolean
  /** Undefined where all versions that it knows have the same fields. */
  lensesOf(recordId: string): Lenses | undefined
}

/** Something can't be said in the terms of this version. Names no content. */
export interface Inexpressible {
  readonly problem: string
}

/** A write that can't be translated. */
export interface OutOfPlace extends Inexpressible {
  /** Where it would be, as far as that is known: the field of the reading's version, and the canonical one whose next value replaces it. */
  readonly home?: { readonly field: string; readonly canonical: string }
}

/** A write, or a part of it, in a canonical field. Value absent: the field is removed. */
export interface CanonicalPart {
  readonly field: string
  readonly value: string | undefined
}

/** A field of the reading's version, and the canonical fields that it is made of: several where an older or newer version splits it. */
export interface ReadField {
  readonly field: string
  readonly from: readonly string[]
  /** Values of `from`, in its order; JSON text, undefined for one that is not there. Never throws. */
  readonly read: (values: readonly (string | undefined)[]) => string | undefined | Inexpressible
}

/**
 * Between the versions of a schema. Writes of all versions meet in canonical fields, the finest that any version knows,
 * so that a write of `sex` and one of `gender` replace each other or conflict as if they had one name.
 */
export interface Lenses {
  /**
   * Never throws.
   *
   * @param write.schemaVersion - of its commit
   */
  partsOf(write: {
    readonly schemaVersion: number
    readonly field: string
    readonly op: string
    readonly value: string | undefined
  }): readonly CanonicalPart[] | OutOfPlace
  /** Each of the canonical fields belongs to exactly one of the fields that are returned. */
  fieldsFrom(canonical: Iterable<string>): readonly ReadField[]
  /** What a field of the reading's version shows that nobody wrote: JSON text by field. */
  readonly defaults: ReadonlyMap<string, string>
}

/** What is found when one version of a schema is compared with the next. */
import type { Reading } from '../reading.ts'
import type { SchemaBook } from './schema-book.ts'
import type { SchemaDocument } from './schema-document.ts'

export interface SchemaFinding {
  /** `error`: such a schema can't be applied; `loss`: something is lost for somebody; `note`: good to know. */
  readonly severity: 'error' | 'loss' | 'note'
  /** What the finding is about, such as `strategy`. */
  readonly about: FindingTopic
  /** Resource type; null: records of any. */
  readonly type: string | null
  /** Null: the schema as a whole. */
  readonly field: string | null
  readonly message: string
}

type FindingTopic =
  | 'collection'
  | 'version'
  | 'field'
  | 'strategy'
  | 'rank'
  | 'delete-policy'
  | 'step'
  | 'rename'
  | 'parts'
  | 'unit'
  | 'map'

export type Report = (finding: Omit<SchemaFinding, 'type'>) => void

/** Two versions, one after the other, and those that are known besides. */
export interface SchemaPair {
  readonly old: SchemaDocument
  readonly next: SchemaDocument
  readonly book: SchemaBook
  readonly readOld: Reading
  readonly readNext: Reading
}

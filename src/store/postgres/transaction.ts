/** What runs on one connection. */
import type { Statement, Value } from './statement.ts'

export interface Rows<Row> {
  readonly rows: Row[]
  /** Rows that were written, or read. */
  readonly count: number
}

export interface Transaction {
  run<Row = never>(statement: Statement | string, values?: readonly Value[]): Promise<Rows<Row>>
}

/** The state of one moment, read in as many statements as it takes. To be released whatever happens. */
export interface Snapshot extends Transaction {
  release(): Promise<void>
}

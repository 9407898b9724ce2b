/**
 * Which records of a collection are contested and which show a conflict, kept as rows: neither what arrives nor the list of conflicts
 * has to look at every record.
 *
 * The rows are written with the records that they follow from. What is a conflict depends on the schema: a row of its own says by which
 * one those that show a conflict were found. By another one they are looked for anew, when somebody asks.
 */
import { bytesToUtf8, utf8ToBytes } from '../core/bytes.ts'
import type { CommitStore, StoreChange } from '../feed/commit-store.ts'
import type { Reading } from '../records/reading.ts'
import type { RecordState } from '../records/record-state.ts'
import { IdRows } from './id-rows.ts'

/** What there is to know of one record. */
export interface Standing {
  readonly id: string
  /** Knowing more of who had seen what may change the verdict. */
  readonly contested: boolean
  /** A conflict shows, open or to be looked at: as much of the record as it follows from. */
  readonly disputed: RecordState | undefined
}

interface RecordRows {
  encoded(state: RecordState): Uint8Array
  decoded(row: Uint8Array): RecordState
}

const rowsAtOnce = 1_000
const nothing = new Uint8Array(0)

export class ConflictIndex {
  readonly #store: CommitStore
  readonly #reading: () => Reading
  readonly #rows: RecordRows
  readonly #name: string
  readonly #contested: IdRows
  readonly #disputed: IdRows
  /** Digest of the reading that the rows of the disputed records follow from; empty: of none. */
  #readBy = ''
  /** As it is stored. */
  #stored: string | undefined
  /** No record has ever been written: the rows, none, are right for any reading. */
  #isEmpty = false

  /** @param ports.rows - of records, as the collection stores them */
  constructor(
    collection: string,
    ports: { store: CommitStore; reading: () => Reading; rows: RecordRows },
  ) {
    this.#store = ports.store
    this.#reading = ports.reading
    this.#rows = ports.rows
    this.#name = `disputed-by/${collection}`
    this.#contested = new IdRows(ports.store, `contested-${collection}`)
    this.#disputed = new IdRows(ports.store, `disputed-${collection}`)
  }

  /** @param isEmpty - no record of the collection has ever been written */
  async restore(isEmpty: boolean): Promise<void> {
    this.#isEmpty = isEmpty
    const row = await this.#store.secret(this.#name)
    if (row === undefined) return
    this.#stored = bytesToUtf8(row)
    this.#readBy = this.#stored
  }

  /** Whether the rows of the disputed records are right by the schema of now. */
  get isCurrent(): boolean {
    return this.#isEmpty || this.#readBy === this.#reading().digest
  }

  /** A record has become another. Returns the rows to be written with it. */
  moved(before: Standing, after: Standing): StoreChange[] {
    if (!this.isCurrent) this.#readBy = ''
    else if (this.#isEmpty) this.#readBy = this.#reading().digest
    this.#isEmpty = false
    const rows = this.#change()
    if (isListed(before) !== isListed(after)) rows.push(this.#contestedRow(after))
    if (before.disputed !== undefined || after.disputed !== undefined)
      rows.push(this.#disputedRow(after))
    return rows
  }

  /** Ids of all records whose verdict may change with what is known of who saw what. */
  async contested(): Promise<Set<string>> {
    return new Set([...(await this.#contested.ids()), ...(await this.#disputed.ids())])
  }

  /** Of each record that shows a conflict what this follows from, as it is stored. Some that show none may be among them. */
  async disputed(): Promise<RecordState[]> {
    return (await this.#disputed.values()).map((row) => this.#rows.decoded(row))
  }

  /**
   * Brings the rows in line with the schema of now, by all records. Nothing else may change records meanwhile. Whatever interrupts it:
   * no contested record is without a row at any time.
   */
  async make(records: AsyncIterable<Standing>): Promise<void> {
    const { digest } = this.#reading()
    const contested = new Set(await this.#contested.ids())
    const disputed = new Set(await this.#disputed.ids())
    this.#readBy = ''
    let rows = this.#change()
    for await (const record of records) {
      if (isListed(record) !== contested.has(record.id)) rows.push(this.#contestedRow(record))
      if (record.disputed !== undefined || disputed.has(record.id))
        rows.push(this.#disputedRow(record))
      if (rows.length < rowsAtOnce) continue
      await this.#store.batch(rows, { sync: false })
      rows = []
    }
    this.#readBy = digest
    await this.#store.batch([...rows, ...this.#change()], { sync: false })
  }

  /** All records have been removed. Returns the rows to be written. */
  async forget(): Promise<StoreChange[]> {
    await this.#contested.clear()
    await this.#disputed.clear()
    this.#isEmpty = false
    this.#readBy = this.#reading().digest
    return this.#change()
  }

  #contestedRow(record: Standing): StoreChange {
    return this.#contested.set(record.id, isListed(record) ? nothing : undefined)
  }

  #disputedRow({ id, disputed }: Standing): StoreChange {
    return this.#disputed.set(id, disputed && this.#rows.encoded(disputed))
  }

  #change(): StoreChange[] {
    if (this.#readBy === this.#stored) return []
    this.#stored = this.#readBy
    return [{ kind: 'secret', name: this.#name, value: utf8ToBytes(this.#readBy) }]
  }
}

/** Whether it has a row as a contested record: one as a disputed record says it as well. */
function isListed({ contested, disputed }: Standing): boolean {
  return contested && disputed === undefined
}

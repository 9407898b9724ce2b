/**
 * Which records of a collection are contested and which show a conflict, kept as rows: neither what arrives nor the list of conflicts
 * has to look at every record.
 *
 * The rows are written with the records that they follow from. That they are all there and what they are good for stands in a row of
 * its own: a store of an earlier version has none, and a new schema may see other conflicts. They are then made anew.
 */
import { ByteReader, ByteWriter } from '../core/codec.ts'
import type { CommitStore, StoreChange } from '../feed/commit-store.ts'
import type { Reading } from '../records/reading.ts'
import { decodeRecordState, encodeRecordState } from '../records/record-bytes.ts'
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

/** Raised when the rows of earlier versions are not those that this one would have written. */
const format = 1
/** Of a reading. */
const digestBytes = 256
const rowsAtOnce = 1_000
const nothing = new Uint8Array(0)

export class ConflictIndex {
  readonly #store: CommitStore
  readonly #reading: () => Reading
  readonly #name: string
  readonly #contested: IdRows
  readonly #disputed: IdRows
  /** The rows of the contested records are all there. */
  #isKept = false
  /** Of the reading that the rows of the records in conflict follow from; empty: they have to be made anew. */
  #readBy = ''
  /** `#readBy` as it is stored; undefined: the rows are not said to be there. */
  #stored: string | undefined
  /** No record has ever been written: the rows, none, are right for any reading. */
  #isEmpty = false

  constructor(collection: string, ports: { store: CommitStore; reading: () => Reading }) {
    this.#store = ports.store
    this.#reading = ports.reading
    this.#name = `indexed/${collection}`
    this.#contested = new IdRows(ports.store, `contested-${collection}`)
    this.#disputed = new IdRows(ports.store, `disputed-${collection}`)
  }

  /** @param isEmpty - no record of the collection has ever been written */
  async restore(isEmpty: boolean): Promise<void> {
    this.#isEmpty = isEmpty
    const row = await this.#store.secret(this.#name)
    if (row === undefined || row[0] !== format) return
    this.#isKept = true
    this.#readBy = new ByteReader(row.subarray(1), 'index row').text(digestBytes)
    this.#stored = this.#readBy
  }

  /** Whether the rows of the contested records are all there. */
  get isKept(): boolean {
    return this.#isEmpty || this.#isKept
  }

  /** Whether those of the records in conflict are, too, by the schema of now. */
  get isCurrent(): boolean {
    return this.#isEmpty || (this.#isKept && this.#readBy === this.#reading().digest)
  }

  /** A record has become another. Returns the rows to be written with it. */
  moved(before: Standing, after: Standing): StoreChange[] {
    const { digest } = this.#reading()
    if (this.#isEmpty) {
      this.#isEmpty = false
      this.#isKept = true
      this.#readBy = digest
    }
    if (this.#readBy !== digest) this.#readBy = ''
    const rows = this.#change()
    if (before.contested !== after.contested) rows.push(this.#contestedRow(after))
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
    return (await this.#disputed.values()).map(decodeRecordState)
  }

  /** Makes the rows anew, of all records. Nothing else may change records meanwhile. */
  async make(records: AsyncIterable<Standing>): Promise<void> {
    const { digest } = this.#reading()
    // Half of them would be worse than none.
    this.#isKept = false
    this.#readBy = ''
    await this.#store.batch(this.#change(), { sync: false })
    await this.#clear()
    let rows: StoreChange[] = []
    for await (const record of records) {
      if (record.contested) rows.push(this.#contestedRow(record))
      if (record.disputed !== undefined) rows.push(this.#disputedRow(record))
      if (rows.length < rowsAtOnce) continue
      await this.#store.batch(rows, { sync: false })
      rows = []
    }
    this.#isKept = true
    this.#readBy = digest
    await this.#store.batch([...rows, ...this.#change()], { sync: false })
  }

  /** All records have been removed. Returns the rows to be written. */
  async forget(): Promise<StoreChange[]> {
    await this.#clear()
    this.#isEmpty = false
    this.#isKept = true
    this.#readBy = this.#reading().digest
    return this.#change()
  }

  #contestedRow({ id, contested }: Standing): StoreChange {
    return this.#contested.set(id, contested ? nothing : undefined)
  }

  #disputedRow({ id, disputed }: Standing): StoreChange {
    return this.#disputed.set(id, disputed && encodeRecordState(disputed))
  }

  async #clear(): Promise<void> {
    await this.#contested.clear()
    await this.#disputed.clear()
  }

  #change(): StoreChange[] {
    const next = this.#isKept ? this.#readBy : undefined
    if (next === this.#stored) return []
    this.#stored = next
    const value = next === undefined ? undefined : new ByteWriter(64).u8(format).text(next).finish()
    return [{ kind: 'secret', name: this.#name, value }]
  }
}

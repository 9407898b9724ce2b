/**
 * Which records of a collection are contested and which show a conflict, kept as rows: neither arriving commits nor the list of
 * conflicts have to look at every record.
 *
 * The rows are written with the records that they follow from. That they are all there and what they are good for stands in a row of
 * its own: a store of an earlier version has none, and a new schema may see other conflicts. They are then made anew.
 */
import { ByteReader, ByteWriter } from '../core/codec.ts'
import type { CommitStore, StoreChange } from '../feed/commit-store.ts'
import type { Reading } from '../records/reading.ts'
import { IdRows } from './id-rows.ts'

/** What there is to know of one record. */
export interface Standing {
  readonly id: string
  /** Knowing more of who had seen what may change the verdict. */
  readonly contested: boolean
  /** A conflict shows, open or to be looked at. */
  readonly inConflict: boolean
}

/** Raised when the rows of earlier versions are not those that this one would have written. */
const format = 1
/** Of a reading. */
const digestBytes = 256
const rowsAtOnce = 1_000

export class ConflictIndex {
  readonly #store: CommitStore
  readonly #reading: () => Reading
  readonly #name: string
  readonly #contested: IdRows
  readonly #inConflict: IdRows
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
    this.#inConflict = new IdRows(ports.store, `conflict-${collection}`)
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
    const { id } = after
    if (before.contested !== after.contested) rows.push(this.#contested.set(id, after.contested))
    if (before.inConflict !== after.inConflict)
      rows.push(this.#inConflict.set(id, after.inConflict))
    return rows
  }

  /** Ids of all records whose verdict may change with what is known of who saw what. */
  async contested(): Promise<Set<string>> {
    return new Set([...(await this.#contested.all()), ...(await this.#inConflict.all())])
  }

  /** Ids of the records that show a conflict. Some that show none may be among them. */
  async inConflict(): Promise<string[]> {
    return [...(await this.#inConflict.all())]
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
    for await (const { id, contested, inConflict } of records) {
      if (contested) rows.push(this.#contested.set(id, true))
      if (inConflict) rows.push(this.#inConflict.set(id, true))
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

  async #clear(): Promise<void> {
    await this.#contested.clear()
    await this.#inConflict.clear()
  }

  #change(): StoreChange[] {
    const next = this.#isKept ? this.#readBy : undefined
    if (next === this.#stored) return []
    this.#stored = next
    const value = next === undefined ? undefined : new ByteWriter(64).u8(format).text(next).finish()
    return [{ kind: 'secret', name: this.#name, value }]
  }
}

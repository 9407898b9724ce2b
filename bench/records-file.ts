import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { deflateSync } from 'node:zlib'
import {
  syntheticRecords,
  toNdjson,
  type SyntheticRecord,
} from '../test/support/synthetic-records.ts'
import type { FieldValue } from './device-process.ts'

/** Where encounters go. */
export const collection = 'records'

export interface RecordsFile {
  path: string
  records: SyntheticRecord[]
  bytes: number
  /** Of the whole file at once, at level 6. */
  deflatedBytes: number
}

export function writeRecords(directory: string, count: number): RecordsFile {
  const records = [...syntheticRecords(count)]
  return writeFile(join(directory, `${count}.ndjson`), records)
}

export interface Edits {
  /** Of a file with the records as they are then. */
  path: string
  values: FieldValue[]
}

/**
 * So many records, spread over the file, with a new value in one field each; no two calls with different numbers choose
 * the same value for a record.
 *
 * @param edit.field - where people have to decide about concurrent values, if not `length`
 */
export function writeEdits(
  directory: string,
  { records }: RecordsFile,
  edit: { count: number; number: number; field?: 'length' | 'status' | 'class' },
): Edits {
  const { count, number, field = 'length' } = edit
  const step = Math.floor(records.length / count)
  const edited = Array.from({ length: count }, (_, index) => ({
    ...records[index * step + (number % step)]!,
    [field]: field === 'length' ? longer(number, index) : `${field}-${number}-${index}`,
  }))
  return {
    path: writeFile(join(directory, `edits-${number}.ndjson`), edited).path,
    values: edited.map((record) => ({
      collection,
      id: recordId(record),
      field,
      json: JSON.stringify(record[field]),
    })),
  }
}

/** Visits last up to 60 minutes in the records as they were made. */
function longer(number: number, index: number): SyntheticRecord['length'] {
  return { value: 61 + number * 400 + ((index * 37) % 400), unit: 'min' }
}

export function recordId({ resourceType, id }: SyntheticRecord): string {
  return `${resourceType}/${id}`
}

/** Twenty fields of a record, as JSON texts. */
export function fieldsOf(record: SyntheticRecord): [field: string, json: string][] {
  const { resourceType: _type, id: _id, ...elements } = record
  return Object.entries(elements)
    .slice(0, fieldsOfRecord)
    .map(([field, value]) => [field, JSON.stringify(value)])
}

const fieldsOfRecord = 20

function writeFile(path: string, records: SyntheticRecord[]): RecordsFile {
  const ndjson = Buffer.from(toNdjson(records))
  writeFileSync(path, ndjson)
  return {
    path,
    records,
    bytes: ndjson.byteLength,
    deflatedBytes: deflateSync(ndjson, { level: 6 }).byteLength,
  }
}

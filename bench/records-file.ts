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

/**
 * So many records, spread over the file, with a new value in one field each; no two calls with different numbers choose
 * the same value for a record.
 */
export function writeEdits(
  directory: string,
  { records }: RecordsFile,
  { count, number }: { count: number; number: number },
): { path: string; values: FieldValue[] } {
  const step = Math.floor(records.length / count)
  const edited = Array.from({ length: count }, (_, index) => ({
    ...records[index * step + (number % step)]!,
    // Visits last up to 60 minutes in the records as they were made.
    length: { value: 61 + number * 400 + ((index * 37) % 400), unit: 'min' },
  }))
  return {
    path: writeFile(join(directory, `edits-${number}.ndjson`), edited).path,
    values: edited.map(({ resourceType, id, length }) => ({
      collection,
      id: `${resourceType}/${id}`,
      field: 'length',
      json: JSON.stringify(length),
    })),
  }
}

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

import { extname } from 'node:path'

import type { ImportSource } from '../device/api.ts'

export type ImportFormat = ImportSource['format']

/**
 * Whether a file has a resource on each line, or is one JSON document (a Bundle or a single resource), maybe over many lines.
 *
 * The extension `.ndjson` decides; `.json` and standard input may be either, which shows in how they begin.
 *
 * @param head - the beginning of the file
 * @param isWhole - there is no more than that
 */
export function importFormat(name: string, head: string, isWhole: boolean): ImportFormat {
  if (['.ndjson', '.jsonl'].includes(extname(name).toLowerCase())) return 'ndjson'
  const [first = '', ...rest] = head.trimStart().split('\n')
  if (first === '') return 'ndjson'
  // Even on a single line, a Bundle may be larger than a line is allowed to be.
  if (isBundle(first)) return 'json'
  const [second] = rest.filter((line) => line.trim() !== '')
  if (isJson(first)) return 'ndjson'
  // A first line that is damaged must not make one damaged document of all lines.
  if (second !== undefined) return /^\{\s*"/.test(second) && first.length > 2 ? 'ndjson' : 'json'
  // One line that is longer than the head, or cut short.
  return isWhole ? 'json' : 'ndjson'
}

function isBundle(line: string): boolean {
  return /"resourceType"\s*:\s*"Bundle"/.test(line.slice(0, 1_024))
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** From the text of a schema to a {@link SchemaDocument}, or to what is wrong with it, where. */
import { HavenError } from '../../core/errors.ts'
import { limits } from '../../core/limits.ts'
import { problemsOfMeaning } from './document-meaning.ts'
import { readDocument, type SchemaProblem } from './document-shape.ts'
import { lineAndColumn, parseJsonTreeAs } from './json-tree.ts'
import type { SchemaDocument } from './schema-document.ts'

/** Problems that one message names. */
const shownProblems = 5

/**
 * @param lowestVersion - 0 where the built-in schema may be described as well
 * @throws HavenError `SCHEMA_INVALID` with line, column and path of what is wrong; `TOO_LARGE`
 */
export function parseSchemaDocument(text: string, lowestVersion: 0 | 1 = 1): SchemaDocument {
  if (Buffer.byteLength(text, 'utf8') > limits.schemaBytes) {
    throw new HavenError('TOO_LARGE', `A schema may have ${limits.schemaBytes / 1024} KiB of text.`)
  }
  const read = readDocument(parseJsonTreeAs('SCHEMA_INVALID', text), lowestVersion)
  const problems =
    read.document === undefined ? read.problems : problemsOfMeaning(read.document, read.placeOf)
  if (read.document !== undefined && problems.length === 0) return read.document
  throw new HavenError('SCHEMA_INVALID', messageOf(problems, text))
}

function messageOf(problems: readonly SchemaProblem[], text: string): string {
  const lines = problems.slice(0, shownProblems).map(({ at, path, problem }) => {
    const { line, column } = lineAndColumn(text, at)
    return `${path === '' ? 'The schema' : path} ${problem} (line ${line}, column ${column}).`
  })
  const more = problems.length - lines.length
  if (more > 0) lines.push(`And ${more} more.`)
  return lines.join('\n')
}

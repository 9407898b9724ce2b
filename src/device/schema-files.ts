/** Schemas as files: what they look like, and what would not survive a new version. Needs no device. */
import { transformNamed } from '../records/transforms.ts'
import { HavenError } from '../core/errors.ts'
import { checkSchemas as compareSchemas } from '../records/schema/schema-check.ts'
import { type SchemaDocument, transformsIn } from '../records/schema/schema-document.ts'
import type { SchemaFinding } from '../records/schema/schema-finding.ts'
import { schemaFormat } from '../records/schema/schema-format.ts'
import { parseSchemaDocument } from '../records/schema/schema-parser.ts'

/** JSON Schema of schemas, as text. */
export function schemaFormatText(): string {
  return JSON.stringify(schemaFormat, undefined, 2)
}

/**
 * Compares a schema with the one before it.
 *
 * @param old - text; the built-in schema, as `haven schema show` prints it, has version 0
 * @returns errors first, then losses, then notes
 * @throws HavenError `SCHEMA_INVALID` with line, column and path, `TOO_LARGE`
 */
export function checkSchemas(old: string, next: string): SchemaFinding[] {
  return compareSchemas(
    named('old', () => parseSchemaDocument(old, 0)),
    named('new', () => readSchema(next)),
  )
}

/** @throws HavenError `SCHEMA_INVALID`, also for a transform that nobody has registered here; `TOO_LARGE` */
export function readSchema(text: string): SchemaDocument {
  const document = parseSchemaDocument(text)
  const unknown = transformsIn(document).find((name) => transformNamed(name) === undefined)
  if (unknown !== undefined) {
    throw new HavenError(
      'SCHEMA_INVALID',
      `There is no transform ${JSON.stringify(unknown)} in this program. Correct its name, or register it before the device is opened.`,
    )
  }
  return document
}

function named<T>(which: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof HavenError)) throw error
    throw new HavenError(error.code, `In the ${which} schema: ${error.message}`, { cause: error })
  }
}

import { createReadStream } from 'node:fs'

import { HavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'

/** Far more than a schema may have: what is longer is another file. */
const readBytes = 4 * limits.schemaBytes

/**
 * The text of a file; `-`: of standard input.
 *
 * @throws HavenError `PATH_UNREADABLE`, `TOO_LARGE`
 */
export async function readSchemaFile(
  path: string,
  stdin: AsyncIterable<Uint8Array>,
): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  try {
    const source: AsyncIterable<Uint8Array> = path === '-' ? stdin : createReadStream(path)
    for await (const chunk of source) {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes > readBytes) throw tooLarge()
    }
  } catch (error) {
    if (error instanceof HavenError) throw error
    throw new HavenError(
      'PATH_UNREADABLE',
      `${path} can not be read: check the path and its permissions.`,
      { cause: error },
    )
  }
  return Buffer.concat(chunks)
    .toString('utf8')
    .replace(/^\ufeff/, '')
}

function tooLarge(): HavenError {
  return new HavenError('TOO_LARGE', `A schema may have ${limits.schemaBytes / 1024} KiB of text.`)
}

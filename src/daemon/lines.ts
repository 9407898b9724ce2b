import { HavenError } from '../core/errors.ts'

const lineFeed = 0x0a

/**
 * Splits a stream into lines, without their line feeds. What follows the last line feed is no line: whoever sends lines ends
 * each of them.
 *
 * @throws HavenError `TOO_LARGE` before more than `maxBytes` of one line are held
 */
export async function* readLines(
  chunks: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<string, void, undefined> {
  let parts: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of chunks) {
    let start = 0
    for (;;) {
      const end = chunk.indexOf(lineFeed, start)
      const part = chunk.subarray(start, end === -1 ? chunk.length : end)
      bytes += part.length
      if (bytes > maxBytes) throw tooLong(maxBytes)
      parts.push(part)
      if (end === -1) break
      yield Buffer.concat(parts).toString('utf8')
      parts = []
      bytes = 0
      start = end + 1
    }
  }
}

function tooLong(maxBytes: number): HavenError {
  return new HavenError(
    'TOO_LARGE',
    `A message to the running device is longer than ${maxBytes} bytes: change fewer fields at a time.`,
  )
}

/** Raw deflate (RFC 1951), with a preset dictionary where both sides have one. */
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { assert, HavenError } from '../core/errors.ts'

/**
 * @param options.level - 1 (fast) to 9 (small)
 * @param options.dictionary - text that `bytes` is likely to repeat, what is most likely last; at most 32 KiB of it count
 */
export function deflateRaw(
  bytes: Uint8Array,
  options: { readonly level: number; readonly dictionary?: Uint8Array | undefined },
): Uint8Array {
  const { level, dictionary } = options
  const deflated = deflateRawSync(
    bytes,
    dictionary === undefined ? { level } : { level, dictionary },
  )
  return plain(deflated)
}

/**
 * The inverse of {@link deflateRaw}, safe for input from anybody: memory stays within `maxBytes`, however much the
 * input would inflate to.
 *
 * @throws HavenError `MALFORMED` when the input is not one whole deflate stream, or inflates to more than `maxBytes`
 */
export function inflateRaw(
  bytes: Uint8Array,
  maxBytes: number,
  dictionary?: Uint8Array,
): Uint8Array {
  assert(maxBytes >= 0, 'a ceiling is not negative')
  let result: { buffer: Buffer; engine: { bytesWritten: number } }
  try {
    // With `info`, zlib says how much of the input it used: it stops at the end of the stream, silently.
    result = inflateRawSync(bytes, {
      maxOutputLength: Math.max(1, maxBytes),
      info: true,
      ...(dictionary !== undefined && { dictionary }),
    }) as unknown as typeof result
  } catch (cause) {
    throw new HavenError(
      'MALFORMED',
      `Compressed bytes can't be inflated, or to more than ${maxBytes} bytes.`,
      { cause },
    )
  }
  if (result.engine.bytesWritten !== bytes.length || result.buffer.length > maxBytes) {
    throw new HavenError('MALFORMED', 'Compressed bytes have another length than they should have.')
  }
  return plain(result.buffer)
}

function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
}

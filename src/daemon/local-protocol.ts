/**
 * What goes over the local socket: lines of JSON, one call per connection.
 *
 * The first line from the client is the request: a method of the table of operations, and its arguments. The server answers with
 * any number of `progress` and `item` lines and one `result` or `error` line. With `import`, the client's further lines are the
 * files: `source`, then its `chunk` lines, then `sourceEnd`; after the last file `end`. A connection of its own for each call makes
 * backpressure and giving up (closing it) the socket's own business.
 */
import { type ErrorCode, errorCodes, HavenError } from '../core/errors.ts'
import type { ImportProgress, ImportSource } from '../device/api.ts'
import { fromPlain, toPlain } from './lossless-json.ts'
import { type Method, type Operation, operations } from './operations.ts'
import { malformed, object, oneOf, text } from './shapes.ts'

export const protocolVersion = 2

export const localLimits = {
  /**
   * One line to the server: a record may have 8 MiB in one update, and JSON text becomes at most twice as long when it is written
   * inside a string of JSON.
   */
  requestBytes: 20 * 1024 * 1024,
  /** One line to the client: a record as a resource, with room for the values of a conflict. */
  responseBytes: 256 * 1024 * 1024,
  /** Bytes of a file in one line. */
  chunkBytes: 64 * 1024,
  /** From connecting until the request is there. */
  requestMs: 10_000,
  /** Calls at a time: a person, a few scripts. */
  connections: 64,
} as const

/** A call whose arguments have their types. */
export interface Request {
  method: Method
  kind: Operation['kind']
  args: unknown[]
}

export type UploadLine =
  | { source: { name: string; format: ImportSource['format'] } }
  | { chunk: string }
  | { sourceEnd: true }
  | { end: true }

export type Answer =
  | { progress: ImportProgress }
  | { item: unknown }
  | { result: unknown }
  | { error: { code: ErrorCode; message: string } }

export function requestLine(method: Method, args: readonly unknown[]): string {
  return line({ version: protocolVersion, method, args })
}

export function line(message: UploadLine | Answer | object): string {
  return `${JSON.stringify(toPlain(message))}\n`
}

/** @throws HavenError `MALFORMED`, `VERSION_MISMATCH` */
export function parseRequest(request: string): Request {
  const { version, method, args } = parseLine(request)
  if (version !== protocolVersion)
    throw new HavenError(
      'VERSION_MISMATCH',
      'The running device is of another version of Havenmesh than this command: stop `haven up` and start it again.',
    )
  if (!isMethod(method) || !Array.isArray(args)) throw malformed()
  const operation: Operation = operations[method]
  const shapes = operation.args
  if (args.length > shapes.length) throw malformed()
  return { method, kind: operation.kind, args: shapes.map((shape, at) => shape(args[at])) }
}

/** @throws HavenError `MALFORMED` */
export function parseUploadLine(upload: string): UploadLine {
  const message = parseLine(upload)
  if (typeof message.chunk === 'string') return { chunk: message.chunk }
  if (message.sourceEnd === true) return { sourceEnd: true }
  if (message.end === true) return { end: true }
  const { name, format } = object(message.source)
  return { source: { name: text(name), format: sourceFormat(format) } }
}

const sourceFormat = oneOf('ndjson', 'json')

/** @throws HavenError `MALFORMED` */
export function parseAnswer(answer: string): Answer {
  const message = parseLine(answer)
  if (message.error === undefined) return message as Answer
  const { code, message: sentence } = object(message.error)
  return { error: { code: knownCode(code), message: text(sentence) } }
}

function parseLine(json: string): Record<string, unknown> {
  try {
    return object(fromPlain(JSON.parse(json)))
  } catch {
    throw malformed()
  }
}

function isMethod(value: unknown): value is Method {
  return typeof value === 'string' && Object.hasOwn(operations, value)
}

/** A code of a later version is not one of ours; its sentence still says what happened. */
function knownCode(code: unknown): ErrorCode {
  return errorCodes.find((known) => known === code) ?? 'INTERNAL'
}

/**
 * What goes over the local socket: lines of JSON, one call per connection.
 *
 * The first line from the client is the request. The server answers with any number of `progress` and `item` lines and one
 * `result` or `error` line. With `import`, the client's further lines are the files: `source`, then its `chunk` lines, then
 * `sourceEnd`; after the last file `end`. A connection of its own for each call makes backpressure and giving up (closing it)
 * the socket's own business.
 */
import { type ErrorCode, errorCodes, HavenError } from '../core/errors.ts'
import type {
  ConflictValue,
  ImportProgress,
  ImportSource,
  InviteOptions,
  JsonText,
  RecordView,
} from '../device/api.ts'

export const protocolVersion = 1

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

export type Request =
  | { method: 'invite'; options: InviteOptions }
  | { method: 'import' }
  | { method: 'export'; collection: string | undefined }
  | { method: 'list'; collection: string }
  | { method: 'get'; collection: string; id: string }
  | {
      method: 'set'
      collection: string
      id: string
      fields: [string, JsonText | undefined][]
      urgent: boolean
    }
  | { method: 'delete'; collection: string; id: string; urgent: boolean }
  | { method: 'status' }

export type UploadLine =
  | { source: { name: string; format: ImportSource['format'] } }
  | { chunk: string }
  | { sourceEnd: true }
  | { end: true }

export type Answer =
  | { progress: ImportProgress }
  | { item: string }
  | { result: unknown }
  | { error: { code: ErrorCode; message: string } }

export function requestLine(request: Request): string {
  // `undefined` is not JSON: a field to be removed is a pair without a second element.
  const body =
    request.method === 'set'
      ? { ...request, fields: request.fields.map((pair) => pair.filter((it) => it !== undefined)) }
      : request
  return line({ version: protocolVersion, ...body })
}

export function line(message: UploadLine | Answer | object): string {
  return `${JSON.stringify(message)}\n`
}

/** @throws HavenError `MALFORMED`, `VERSION_MISMATCH` */
export function parseRequest(text: string): Request {
  const message = parseObject(text)
  if (message.version !== protocolVersion)
    throw new HavenError(
      'VERSION_MISMATCH',
      'The running device is of another version of Havenmesh than this command: stop `haven up` and start it again.',
    )
  switch (message.method) {
    case 'invite':
      return { method: 'invite', options: inviteOptions(message.options) }
    case 'import':
    case 'status':
      return { method: message.method }
    case 'export':
      return {
        method: 'export',
        collection: message.collection === undefined ? undefined : string(message.collection),
      }
    case 'list':
      return { method: 'list', collection: string(message.collection) }
    case 'get':
      return { method: 'get', collection: string(message.collection), id: string(message.id) }
    case 'set':
      return {
        method: 'set',
        collection: string(message.collection),
        id: string(message.id),
        fields: array(message.fields).map(field),
        urgent: message.urgent === true,
      }
    case 'delete':
      return {
        method: 'delete',
        collection: string(message.collection),
        id: string(message.id),
        urgent: message.urgent === true,
      }
    default:
      throw malformed()
  }
}

/** @throws HavenError `MALFORMED` */
export function parseUploadLine(text: string): UploadLine {
  const message = parseObject(text)
  if (typeof message.chunk === 'string') return { chunk: message.chunk }
  if (message.sourceEnd === true) return { sourceEnd: true }
  if (message.end === true) return { end: true }
  const { name, format } = object(message.source)
  if (format !== 'ndjson' && format !== 'json') throw malformed()
  return { source: { name: string(name), format } }
}

/** @throws HavenError `MALFORMED` */
export function parseAnswer(text: string): Answer {
  const message = parseObject(text)
  if (message.error === undefined) return message as Answer
  const { code, message: sentence } = object(message.error)
  return { error: { code: knownCode(code), message: string(sentence) } }
}

/** A `RecordView` with its maps as lists of pairs. */
interface RecordMessage {
  id: string
  collection: string
  fields: [string, JsonText][]
  conflicts: [string, ConflictValue[]][]
  deleted: boolean
  resurrected: boolean
}

export function recordMessage(view: RecordView): RecordMessage {
  return { ...view, fields: [...view.fields], conflicts: [...view.conflicts] }
}

export function recordFromMessage(message: unknown): RecordView {
  const { id, collection, fields, conflicts, deleted, resurrected } = message as RecordMessage
  return {
    id,
    collection,
    fields: new Map(fields),
    conflicts: new Map(
      conflicts.map(([name, values]) => [
        name,
        // JSON left out the value of a removal.
        values.map(({ value, device, time }) => ({ value, device, time })),
      ]),
    ),
    deleted,
    resurrected,
  }
}

export function malformed(): HavenError {
  return new HavenError(
    'MALFORMED',
    'The running device and this command do not understand each other: stop `haven up` and start it again.',
  )
}

function parseObject(text: string): Record<string, unknown> {
  try {
    return object(JSON.parse(text))
  } catch {
    throw malformed()
  }
}

function object(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed()
  return value as Record<string, unknown>
}

function string(value: unknown): string {
  if (typeof value !== 'string') throw malformed()
  return value
}

function array(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw malformed()
  return value
}

function field(value: unknown): [string, JsonText | undefined] {
  const [name, text, ...more] = array(value)
  if (more.length > 0) throw malformed()
  return [string(name), text === undefined ? undefined : string(text)]
}

const invitedRoles = ['admin', 'clinician', 'viewer', 'courier'] as const

function inviteOptions(value: unknown): InviteOptions {
  const { role, ttlMs } = object(value)
  if (role !== undefined && !invitedRoles.some((known) => known === role)) throw malformed()
  if (ttlMs !== undefined && typeof ttlMs !== 'number') throw malformed()
  return { role: role as InviteOptions['role'], ttlMs }
}

/** A code of a later version is not one of ours; its sentence still says what happened. */
function knownCode(code: unknown): ErrorCode {
  return errorCodes.find((known) => known === code) ?? 'INTERNAL'
}

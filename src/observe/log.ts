import { type DestinationStream, pino } from 'pino'

import type { LogLevel } from './log-level.ts'

/** One thing that happened, as the parts of a device report it. */
export interface LogEvent {
  level: 'debug' | 'info' | 'warn' | 'error'
  code: string
  message: string
  [key: string]: unknown
}

/**
 * What may stand in a log: who, where, how much. A list of what is allowed, since a list of what is not would miss the next
 * field that somebody adds; records, names of people and keys have no business here.
 */
const loggable = new Set([
  'address',
  'addresses',
  'ahead',
  'behind',
  'bytes',
  'cause',
  'collection',
  'commits',
  'count',
  'device',
  'direction',
  'epoch',
  'error',
  'feed',
  'incarnation',
  'interface',
  'mesh',
  'ms',
  'peer',
  'reason',
  'role',
  'seq',
  'session',
  'state',
])

/** Longer texts are not what the list above is about. */
const textLengthMax = 256

/** Writes events as lines of JSON: `{"level":"warn","time":"…","code":"…","msg":"…",…}`. */
export function createLog(level: LogLevel, destination: DestinationStream) {
  const logger = pino(
    {
      level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  )
  return ({ level: eventLevel, message, code, ...fields }: LogEvent): void => {
    logger[eventLevel]({ code, ...redacted(fields) }, message)
  }
}

function redacted(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      loggable.has(name) ? loggableValue(value) : '[redacted]',
    ]),
  )
}

function loggableValue(value: unknown): unknown {
  if (typeof value === 'number' || typeof value === 'boolean' || value === null) return value
  if (typeof value === 'string') return value.slice(0, textLengthMax)
  // Its message may quote what it failed on.
  if (value instanceof Error)
    return 'code' in value ? `${value.name} ${String(value.code)}` : value.name
  if (Array.isArray(value)) return value.slice(0, 16).map(loggableValue)
  return '[redacted]'
}

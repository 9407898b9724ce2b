/** What PostgreSQL, its driver and the network say when something goes wrong, and what that means for us. */
import { HavenError } from '../../core/errors.ts'
import { errorCodeOf } from '../file-errors.ts'

/** Of the network and of name lookup: the database restarts, moves, or is out of reach for a moment. */
const networkCodes = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
])

/**
 * SQLSTATE: 40 serialization failures, deadlocks and unknown outcomes, 08 lost connections, 57P shutdown and start, 53300 too many
 * connections, 25P03 and 25P04 a transaction that the server took for dead, 25006 a standby that is not the primary yet.
 */
const transientStates = /^(?:40|08|57P0|53300|25P0[34]|25006)/

const driverMessages =
  /connection terminated|connection error and is not queryable|client was closed|timeout exceeded when trying to connect|timeout expired|query read timeout/i

/** Doing it again may help, and does no harm. */
export function isTransient(error: unknown): boolean {
  const code = errorCodeOf(error)
  if (code !== undefined && (networkCodes.has(code) || transientStates.test(code))) return true
  return error instanceof Error && code === undefined && driverMessages.test(error.message)
}

/** The connection that said this can't be used again. */
export function isBrokenConnection(error: unknown): boolean {
  const code = errorCodeOf(error)
  if (code === undefined || networkCodes.has(code)) return true
  return /^(?:08|57P0|25P0[34])/.test(code)
}

/** Wrong password, unknown user, database or schema, missing rights, encryption demanded. */
const refusedStates = /^(?:28|3D000|3F000|42501)/

/**
 * Of what goes wrong at the start: most often a mistake in the URL.
 *
 * @param place - host, port, database and user, without the password
 */
export function connectionError(error: unknown, place: string): HavenError {
  if (refusedStates.test(errorCodeOf(error) ?? '')) {
    return new HavenError(
      'DATABASE_REFUSED',
      `The database ${place} refuses: ${messageOf(error)}. Check user, password and database in the URL, and that this user may create tables there.`,
      { cause: error },
    )
  }
  if (isTransient(error)) {
    return new HavenError(
      'DATABASE_UNREACHABLE',
      `The database ${place} can't be reached: ${messageOf(error)}. Check that it runs, and host and port in the URL.`,
      { cause: error },
    )
  }
  return databaseError(error, place)
}

/** Of what goes wrong later. @param place - as above */
export function databaseError(error: unknown, place: string): HavenError {
  if (error instanceof HavenError) return error
  if (errorCodeOf(error) === '53100') {
    return new HavenError(
      'DISK_FULL',
      `The disk of the database ${place} is full. Free some space there: nothing that was saved is lost.`,
      { cause: error },
    )
  }
  return new HavenError(
    'STORE_FAILED',
    `The database ${place} can't be read or written: ${messageOf(error)}.`,
    { cause: error },
  )
}

function messageOf(error: unknown): string {
  // A name with several addresses, of which none answers.
  if (error instanceof AggregateError && error.message === '') {
    return error.errors.map(messageOf).join(', ')
  }
  const text = error instanceof Error ? error.message : String(error)
  return text.replace(/\.$/, '')
}

/**
 * Every error that reaches a person or another program, by a code that never changes its meaning.
 *
 * docs/errors.md says for each what happened and what to do; a test keeps the two lists equal. Messages never contain
 * the content of a record, a name of a person, or a key.
 */
export const errorCodes = [
  // what was asked for
  'USAGE',
  'NOT_FOUND',
  'UNKNOWN_COLLECTION',
  'INVALID_VALUE',
  'INVALID_ID',
  'TEXT_RANGE',
  'NOT_IN_CONFLICT',
  'CONFLICT_CHANGED',
  'LINK_TO_ITSELF',
  'LINKED_INDIRECTLY',
  'NOT_ALLOWED',
  'RETIRING',
  'NOT_SAFE_TO_WIPE',
  'NOT_MEMBER',
  'ALREADY_MEMBER',
  'NOT_READABLE_YET',
  'TOO_LARGE',
  // files that are imported
  'PATH_UNREADABLE',
  'JSON_INVALID',
  'NOT_FHIR',
  'LINE_TOO_LONG',
  'NOTHING_IMPORTED',
  // schemas
  'SCHEMA_INVALID',
  'SCHEMA_VERSION',
  'SCHEMA_LOSSY',
  // invitations and joining
  'INVITATION_INVALID',
  'INVITATION_EXPIRED',
  'INVITATION_USED',
  'INVITER_NOT_FOUND',
  'RECOVERY_WORDS_INVALID',
  'RECOVERY_NO_PEER',
  // peers
  'MALFORMED',
  'FRAME_TOO_LONG',
  'OUT_OF_ORDER',
  'TIMED_OUT',
  'NOT_A_MEMBER',
  'WRONG_MESH',
  'REVOKED',
  'VERSION_MISMATCH',
  'BAD_SIGNATURE',
  'BAD_CHAIN',
  'LIMIT_EXCEEDED',
  'PEER_CLOSED',
  // servers
  'SERVER_NOT_FOUND',
  'CAPTIVE_PORTAL',
  'SERVER_UNKNOWN_MESH',
  'QUOTA_EXCEEDED',
  'TOKEN_ENDED',
  'ASKED_BEFORE',
  'DATABASE_UNREACHABLE',
  'DATABASE_REFUSED',
  'BACKUP_DAMAGED',
  'NOT_EMPTY',
  // this device's store
  'STORE_BUSY',
  'STORE_NEWER_VERSION',
  'STORE_NOT_WRITABLE',
  'STORE_DAMAGED',
  'DISK_FULL',
  'STORE_FAILED',
  'KEYSTORE_UNREADABLE',
  // this device's network
  'ADDRESS_INVALID',
  'LISTEN_FAILED',
  'UNSUPPORTED_NODE',
  'STOPPED',
  'INTERNAL',
] as const

export type ErrorCode = (typeof errorCodes)[number]

/** An operating error: something outside the code went wrong, and a person can do something about it. */
export class HavenError extends Error {
  readonly code: ErrorCode

  /** @param message - one or two sentences: what happened, what to do next */
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'HavenError'
    this.code = code
  }
}

export function isHavenError(error: unknown, code?: ErrorCode): error is HavenError {
  return error instanceof HavenError && (code === undefined || error.code === code)
}

/** A mistake in our own code, never in the input: not to be caught. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new TypeError(`assertion failed: ${message}`)
}

export function isErrorCode(code: string): code is ErrorCode {
  return (errorCodes as readonly string[]).includes(code)
}

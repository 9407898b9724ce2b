import { CommanderError } from 'commander'

import { type ErrorCode, HavenError, isHavenError } from '../core/errors.ts'

/** How a command ended other than well. */
export interface Failure {
  /** 1: failed, 2: wrong usage. */
  exitCode: 1 | 2
  code: ErrorCode
  /** What happened and what to do. */
  message: string
}

/** A failure whose document was printed, since it has more to say than what went wrong. */
export class PrintedFailure extends HavenError {}

export function failureOf(error: unknown): Failure {
  if (isHavenError(error))
    return { exitCode: error.code === 'USAGE' ? 2 : 1, code: error.code, message: error.message }
  if (error instanceof CommanderError)
    return { exitCode: 2, code: 'USAGE', message: usageSentence(error) }
  // The words of an unexpected error may quote a record.
  const kind = error instanceof Error ? error.name : typeof error
  return {
    exitCode: 1,
    code: 'INTERNAL',
    message: `Something that should not happen did (${kind}): run this again with HAVEN_LOG=debug, which shows where, and report it.`,
  }
}

/** `error: unknown option '--jsn'\n(Did you mean --json?)` as one sentence. */
function usageSentence({ code, message }: CommanderError): string {
  if (code === 'commander.help') return 'Say what to do: `haven --help` lists the commands.'
  const sentence = message
    .replace(/^error: /, '')
    .replaceAll(/\s*\n\s*/g, ' ')
    .trim()
  return `${sentence.charAt(0).toUpperCase()}${sentence.slice(1)}${/[.?)]$/.test(sentence) ? '' : '.'}`
}

export function usage(message: string): HavenError {
  return new HavenError('USAGE', message)
}

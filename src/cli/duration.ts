import { HavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { durationText } from './amounts.ts'

const msByUnit: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/**
 * As people write it: `90s`, `10m`, `2h`, `1d`.
 *
 * @throws HavenError `USAGE`
 */
export function parseDurationMs(text: string): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
  if (count === undefined || unit === undefined)
    throw new HavenError('USAGE', `"${text}" is not a duration: write 90s, 10m or 2h.`)
  return Number(count) * msByUnit[unit]!
}

/**
 * How long an invitation lasts.
 *
 * @throws HavenError `USAGE`
 */
export function parseTtlMs(text: string): number {
  const ms = parseDurationMs(text)
  if (ms < limits.invitationTtlMinMs || ms > limits.invitationTtlMaxMs)
    throw new HavenError(
      'USAGE',
      `An invitation can last from ${durationText(limits.invitationTtlMinMs)} to ${durationText(limits.invitationTtlMaxMs)}, not ${text}.`,
    )
  return ms
}

/**
 * The lossless JSON form of a message, for tools, tests and other implementations (docs/protocol.md).
 *
 * Every section is carried as its bytes, so that what this version does not know survives too.
 */
import { bytesToHex, hexToBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { limits } from '../core/limits.ts'
import { messageTypes } from './message.ts'
import type { MessageType } from './message.ts'
import { sectionNumbers } from './section.ts'

/** What all messages of one sender in one session have in common: the hellos say it once. */
export interface MessageContext {
  readonly version: string
  readonly deviceId: string
  /** The dialler's nonce, hex. */
  readonly sessionId: string
  /** When the sender said hello, in milliseconds since 1970. */
  readonly startedMs: number
}

export interface JsonMessage {
  readonly version: string
  readonly messageId: number
  /** RFC 3339, UTC, milliseconds. */
  readonly timestamp: string
  readonly deviceId: string
  readonly sessionId: string
  readonly type: MessageType
  readonly sections: readonly {
    readonly tag: number
    /** `null`: of a newer version. */
    readonly name: string | null
    /** Lower-case hex. */
    readonly body: string
  }[]
}

const namesByNumber = new Map<number, string>(
  Object.entries(sectionNumbers).map(([name, number]) => [number, name]),
)

/** @throws HavenError `MALFORMED` */
export function messageToJson(bytes: Uint8Array, context: MessageContext): JsonMessage {
  const reader = new ByteReader(bytes, 'message')
  const type = messageTypes[reader.u8() - 1] ?? reader.fail('an unknown type')
  const messageId = reader.varint()
  const timeMs = reader.varint()
  const sections: JsonMessage['sections'][number][] = []
  while (reader.remaining > 0) {
    const tag = reader.varint()
    const body = bytesToHex(reader.lengthPrefixed(limits.frameBytes))
    sections.push({ tag, name: namesByNumber.get(tag) ?? null, body })
  }
  return {
    version: context.version,
    messageId,
    timestamp: timeToText(context.startedMs + timeMs),
    deviceId: context.deviceId,
    sessionId: context.sessionId,
    type,
    sections,
  }
}

/** The same bytes that {@link messageToJson} was given. */
export function messageFromJson(
  message: JsonMessage,
  { startedMs }: Pick<MessageContext, 'startedMs'>,
): Uint8Array {
  const writer = new ByteWriter(256)
    .u8(messageTypes.indexOf(message.type) + 1)
    .varint(message.messageId)
    .varint(timeFromText(message.timestamp) - startedMs)
  for (const { tag, body } of message.sections) writer.varint(tag).lengthPrefixed(hexToBytes(body))
  return writer.finish()
}

// The pure half reads no clock; a time that it is given it may write down, and `Date` is off limits here.
const dayMs = 86_400_000

function timeToText(ms: number): string {
  const days = Math.floor(ms / dayMs)
  const { year, month, day } = civilFromDays(days)
  const rest = ms - days * dayMs
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0')
  const time = `${two(rest / 3_600_000)}:${two((rest / 60_000) % 60)}:${two((rest / 1000) % 60)}`
  return `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}T${time}.${String(rest % 1000).padStart(3, '0')}Z`
}

function timeFromText(text: string): number {
  const match = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{3})Z$/.exec(text)
  if (match === null) throw new TypeError('not a time in RFC 3339, UTC, with milliseconds')
  const [year, month, day, hours, minutes, seconds, ms] = match.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  const time = ((hours * 60 + minutes) * 60 + seconds) * 1000 + ms
  return daysFromCivil(year, month, day) * dayMs + time
}

/** Days since 1970-01-01 and back, in the Gregorian calendar. @see Hinnant, "chrono-Compatible Low-Level Date Algorithms" */
function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
  const dayOfEra =
    yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear
  return era * 146_097 + dayOfEra - 719_468
}

function civilFromDays(days: number): { year: number; month: number; day: number } {
  const z = days + 719_468
  const era = Math.floor(z / 146_097)
  const dayOfEra = z - era * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  )
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const shifted = Math.floor((5 * dayOfYear + 2) / 153)
  const day = dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1
  const month = shifted < 10 ? shifted + 3 : shifted - 9
  return { year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day }
}

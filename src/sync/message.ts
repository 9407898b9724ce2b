/** The envelope of every message after the hellos. */
import { concatBytes } from '../core/bytes.ts'
import { ByteReader, ByteWriter } from '../core/codec.ts'
import { decodeSections } from './section.ts'
import type { Section } from './section.ts'

export const messageTypes = ['sync_request', 'sync_response', 'ack', 'error'] as const
export type MessageType = (typeof messageTypes)[number]

export interface Message {
  readonly type: MessageType
  /** Counts up per sender and session. */
  readonly messageId: number
  /** Milliseconds since the sender's hello. */
  readonly timeMs: number
  readonly sections: readonly Section[]
}

/** @param sections - encoded ones, joined in this order */
export function encodeMessage(
  envelope: { type: MessageType; messageId: number; timeMs: number },
  ...sections: Uint8Array[]
): Uint8Array {
  const head = new ByteWriter(16)
    .u8(messageTypes.indexOf(envelope.type) + 1)
    .varint(envelope.messageId)
    .varint(envelope.timeMs)
    .finish()
  return concatBytes(head, ...sections)
}

/** @throws HavenError `MALFORMED` */
export function decodeMessage(bytes: Uint8Array): Message {
  const reader = new ByteReader(bytes, 'message')
  const type = messageTypes[reader.u8() - 1] ?? reader.fail('an unknown type')
  const messageId = reader.varint()
  const timeMs = reader.varint()
  return { type, messageId, timeMs, sections: decodeSections(reader.rest()) }
}

import { fc, test as propertyTest } from '@fast-check/vitest'
import { expect, test } from 'vitest'

import { encodeMessage, messageTypes } from '../../src/sync/message.ts'
import { messageFromJson, messageToJson } from '../../src/sync/message-json.ts'
import { encodeSections } from '../../src/sync/section.ts'

const context = { version: '1.0', deviceId: 'ab'.repeat(32), sessionId: 'cd'.repeat(16) }

propertyTest.prop([
  fc.constantFrom(...messageTypes),
  fc.nat(),
  fc.nat(1_000_000_000),
  fc.nat({ max: 4_000_000_000_000 }),
  fc.array(fc.record({ number: fc.integer({ min: 40, max: 300 }), body: fc.uint8Array() })),
])(
  'a message comes back from its JSON form byte for byte',
  (type, messageId, timeMs, startedMs, unknown) => {
    const sections = encodeSections([
      { tag: 'digest', digest: '01'.repeat(16), commits: 7 },
      ...unknown.map(({ number, body }) => ({ tag: 'unknown' as const, number, body })),
    ])
    const bytes = encodeMessage({ type, messageId, timeMs }, sections)
    const json = JSON.parse(JSON.stringify(messageToJson(bytes, { ...context, startedMs })))
    expect(messageFromJson(json, { startedMs })).toEqual(bytes)
    expect(json.timestamp).toBe(new Date(startedMs + timeMs).toISOString())
  },
)

test('the JSON form names what the sections are', () => {
  const bytes = encodeMessage(
    { type: 'sync_request', messageId: 1, timeMs: 0 },
    encodeSections([{ tag: 'pull' }, { tag: 'unknown', number: 99, body: Uint8Array.of(1) }]),
  )
  expect(messageToJson(bytes, { ...context, startedMs: 0 })).toEqual({
    ...context,
    messageId: 1,
    timestamp: '1970-01-01T00:00:00.000Z',
    type: 'sync_request',
    sections: [
      { tag: 14, name: 'pull', body: '01' },
      { tag: 99, name: null, body: '01' },
    ],
  })
})

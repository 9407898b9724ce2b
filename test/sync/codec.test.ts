import { test } from '@fast-check/vitest'
import * as fc from 'fast-check'
import { describe, expect } from 'vitest'

import { bytesToHex, concatBytes, hexToBytes } from '../../src/core/bytes.ts'
import { ByteWriter } from '../../src/core/codec.ts'
import { isHavenError } from '../../src/core/errors.ts'
import { clockDigest, clockOf } from '../../src/feed/vector-clock.ts'
import { createAnnouncement, decodeAnnouncement } from '../../src/sync/announcement.ts'
import { decodeMessage, encodeMessage, messageTypes } from '../../src/sync/message.ts'
import { decodeSections, encodeSections, sectionNumbers } from '../../src/sync/section.ts'
import type { Section } from '../../src/sync/section.ts'
import { damaged, flipped } from '../crypto/damage.ts'
import { stubMember } from './support/stub-authority.ts'

type Plain = Exclude<Section, { tag: 'run' }>

const hex = (count: number) => fc.uint8Array({ minLength: count, maxLength: count }).map(bytesToHex)
const number = fc.maxSafeNat()
const seq = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
const bytes = fc.uint8Array({ maxLength: 300 })
const entry = fc
  .record({ feed: hex(16), seq, floor: number, head: hex(8) })
  .map((each) => ({ ...each, floor: each.floor % each.seq }))
const entries = fc.array(entry, { maxLength: 5 })
const text = fc.string({ maxLength: 16, unit: 'binary' }).filter((each) => each.isWellFormed())

const section: fc.Arbitrary<Plain> = fc.oneof(
  fc.record({ tag: fc.constant('digest' as const), digest: hex(16), commits: number }),
  fc
    .record({ device: hex(32), digest: hex(16), base: fc.option(hex(16)), a: entries, b: entries })
    .map(({ device, digest, base, a, b }) => ({
      tag: 'clock' as const,
      clock: {
        device,
        digest,
        base: base ?? undefined,
        whole: base === null ? a : undefined,
        difference: base === null ? undefined : { added: a, removed: b },
      },
    })),
  fc.record({
    tag: fc.constant('want' as const),
    wants: fc.array(
      fc.record({
        feed: hex(16),
        places: fc.array(fc.record({ seq: number, id: hex(8) }), { maxLength: 4 }),
      }),
      { maxLength: 4 },
    ),
  }),
  fc.record({ tag: fc.constant('window' as const), durableBytes: number, moreBytes: number }),
  fc.record({ tag: fc.constant('descriptor' as const), bytes }),
  fc.record({ tag: fc.constant('have' as const), entries }),
  fc.record({ tag: fc.constant('announcement' as const), bytes }),
  fc.record({ tag: fc.constant('gossip' as const), digest: hex(8) }),
  fc.record({
    tag: fc.constant('gossip-list' as const),
    numbers: fc.array(fc.record({ device: hex(8), number }), { maxLength: 4 }),
  }),
  fc
    .record({ device: hex(32), digest: hex(16), base: fc.option(hex(16), { nil: undefined }) })
    .map((wanted) => ({ tag: 'clock-wanted' as const, wanted })),
  fc.record({
    tag: fc.constant('key-wanted' as const),
    epochs: fc.array(hex(16), { maxLength: 4 }),
  }),
  fc
    .record({ collection: hex(16), epoch: hex(16), sealed: hex(80).map(hexToBytes) })
    .map((key) => ({ tag: 'key' as const, key })),
  fc.record({ tag: fc.constant('revocation' as const), bytes }),
  fc.constant({ tag: 'pull' as const }),
  fc.record({ tag: fc.constant('late' as const), feeds: fc.array(hex(16), { maxLength: 4 }) }),
  fc.record({
    tag: fc.constantFrom('join-request' as const, 'join-offer' as const, 'join-confirm' as const),
    body: bytes,
  }),
  fc.constant({ tag: 'join-welcome' as const }),
  fc.record({ tag: fc.constant('fault' as const), code: text, sentence: text }),
  fc.record({
    tag: fc.constant('unknown' as const),
    number: fc.integer({ min: 22, max: 1_000_000 }),
    body: bytes,
  }),
)

/** Sections whose body is somebody else's to read. */
const opaque = new Set<string>([
  'descriptor',
  'announcement',
  'revocation',
  'join-request',
  'join-offer',
  'join-confirm',
  'unknown',
])

describe('sections', () => {
  test.prop([fc.array(section, { maxLength: 6 })])('are read as they were written', (sections) => {
    expect(decodeSections(encodeSections(sections))).toEqual(sections)
  })

  test.prop([section])('are refused when they are cut short anywhere', (each) => {
    const whole = encodeSections([each])
    for (let length = 1; length < whole.length; length++)
      expect(refusal(() => decodeSections(whole.slice(0, length)))).toBe('MALFORMED')
  })

  test.prop([section.filter(({ tag }) => !opaque.has(tag)), bytes])(
    'are refused when their body goes on after its end',
    (each, more) => {
      fc.pre(more.length > 0)
      const [frame] = bodiesOf(encodeSections([each]))
      const longer = new ByteWriter()
        .varint(frame!.number)
        .lengthPrefixed(concatBytes(frame!.body, more))
        .finish()
      // A longer list could be a list of more: then the bytes are exactly what would be written for it.
      let read: Section[]
      try {
        read = decodeSections(longer)
      } catch (error) {
        expect(isHavenError(error, 'MALFORMED')).toBe(true)
        return
      }
      expect(encodeSections(read as Plain[])).toEqual(longer)
    },
  )

  test.prop([fc.uint8Array({ maxLength: 200 })])(
    'are written again byte for byte, whatever was read',
    (any) => {
      let read: Section[]
      try {
        read = decodeSections(any)
      } catch (error) {
        expect(isHavenError(error)).toBe(true)
        return
      }
      if (read.some(({ tag }) => tag === 'run')) return
      expect(encodeSections(read as Plain[])).toEqual(any)
    },
  )

  test('have numbers of their own', () => {
    const numbers = Object.values(sectionNumbers)
    expect(new Set(numbers).size).toBe(numbers.length)
  })
})

describe('a message', () => {
  const envelope = fc.record({
    type: fc.constantFrom(...messageTypes),
    messageId: number,
    timeMs: number,
  })

  test.prop([envelope, fc.array(section, { maxLength: 4 })])(
    'is read as it was written',
    (head, sections) => {
      const message = encodeMessage(head, encodeSections(sections))
      expect(decodeMessage(message)).toEqual({ ...head, sections })
    },
  )

  test.prop([fc.uint8Array({ maxLength: 100 })])(
    'of any other bytes is refused with a code, or means what it says',
    (any) => {
      expect([undefined, 'MALFORMED']).toContain(refusal(() => decodeMessage(any)))
    },
  )
})

describe('an announcement', () => {
  const { keys } = stubMember(0)
  const mesh = new Uint8Array(16).fill(3)
  const parts = {
    mesh,
    incarnation: '44'.repeat(16),
    number: 2 ** 34 + 77,
    timeMs: 1_760_000_000_000,
    epochs: ['55'.repeat(8), '66'.repeat(8)],
    clockDigest: clockDigest(clockOf([])),
    commits: 300,
  }

  test('is read as it was signed, and refused after any change', () => {
    const announcement = createAnnouncement(parts, keys.signing)
    expect(decodeAnnouncement(announcement.bytes, mesh)).toEqual(announcement)
    for (const { bytes: changed } of damaged(announcement.bytes)) {
      const code = refusal(() => decodeAnnouncement(changed, mesh))
      expect(['MALFORMED', 'WRONG_MESH', 'BAD_SIGNATURE']).toContain(code)
    }
    expect(
      [...flipped(mesh)].map(({ bytes: other }) =>
        refusal(() => decodeAnnouncement(announcement.bytes, other)),
      ),
    ).toEqual(Array.from({ length: 128 }, () => 'WRONG_MESH'))
  })
})

function refusal(run: () => unknown): string | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    return isHavenError(error) ? error.code : String(error)
  }
}

function bodiesOf(sections: Uint8Array): { number: number; body: Uint8Array }[] {
  // One section with a number below 128.
  const lengthBytes = sections[1]! < 0x80 ? 1 : sections[2]! < 0x80 ? 2 : 3
  return [{ number: sections[0]!, body: sections.slice(1 + lengthBytes) }]
}

import { bytesToHex } from '../../src/core/bytes.ts'
import { startPlace } from '../../src/feed/chain.ts'
import { encodeRun } from '../../src/feed/run.ts'
import { createAnnouncement } from '../../src/sync/announcement.ts'
import { encodeMessage } from '../../src/sync/message.ts'
import { encodeSections, runSection } from '../../src/sync/section.ts'
import type { Section } from '../../src/sync/section.ts'
import { authorKey, commitsOf, descriptor, sequence } from '../feed/test-feed.ts'

const hex = (first: number, length: number): string => bytesToHex(sequence(first, length))

/** An announcement, and a message with one of each section, from fixed inputs. */
export function syncVectors() {
  const announcement = createAnnouncement(
    {
      mesh: sequence(10, 16),
      incarnation: hex(50, 16),
      number: 2 ** 34 + 1_700_000_000,
      timeMs: 1_700_000_000_123,
      epochs: [hex(180, 8)],
      clockDigest: hex(90, 16),
      commits: 300,
    },
    authorKey,
  )
  const entry = { feed: hex(1, 16), floor: 0, seq: 300, head: hex(2, 8) }
  const body = sequence(5, 3)
  const sections: Exclude<Section, { tag: 'run' }>[] = [
    { tag: 'digest', digest: hex(90, 16), commits: 300 },
    {
      tag: 'clock',
      clock: {
        device: hex(20, 32),
        digest: hex(90, 16),
        base: undefined,
        whole: [entry],
        difference: undefined,
      },
    },
    {
      tag: 'clock',
      clock: {
        device: hex(20, 32),
        digest: hex(90, 16),
        base: hex(91, 16),
        whole: undefined,
        difference: { added: [entry], removed: [] },
      },
    },
    { tag: 'want', wants: [{ feed: hex(1, 16), places: [{ seq: 200, id: hex(3, 8) }] }] },
    { tag: 'window', durableBytes: 70_000, moreBytes: 4_194_304 },
    { tag: 'descriptor', bytes: descriptor.bytes },
    { tag: 'have', entries: [entry] },
    { tag: 'announcement', bytes: announcement.bytes },
    { tag: 'gossip', digest: hex(4, 8) },
    { tag: 'gossip-list', numbers: [{ device: hex(20, 8), number: 7 }] },
    { tag: 'clock-wanted', wanted: { device: hex(20, 32), digest: hex(90, 16), base: undefined } },
    { tag: 'key-wanted', epochs: [hex(180, 16)] },
    {
      tag: 'key',
      key: { collection: hex(30, 16), epoch: hex(180, 16), sealed: sequence(6, 80) },
    },
    { tag: 'revocation', bytes: body },
    { tag: 'pull' },
    { tag: 'late', feeds: [hex(1, 16)] },
    { tag: 'join-request', body },
    { tag: 'join-offer', body },
    { tag: 'join-confirm', body },
    { tag: 'join-welcome' },
    { tag: 'fault', code: 'MALFORMED', sentence: 'It can not be read.' },
    { tag: 'chain', certificates: [sequence(6, 4), sequence(7, 3)] },
    { tag: 'position', more: false, digest: undefined, token: new Uint8Array(0) },
    { tag: 'position', more: true, digest: hex(90, 16), token: sequence(8, 16) },
    { tag: 'unknown', number: 500, body },
  ]
  const run = encodeRun(startPlace, commitsOf([sequence(3, 5)], { seed: 'vectors' }))
  const envelope = { type: 'sync_response', messageId: 3, timeMs: 250 } as const
  return {
    announcement: bytesToHex(announcement.bytes),
    sections: sections.map((section) => ({
      tag: section.tag,
      bytes: bytesToHex(encodeSections([section])),
    })),
    message: bytesToHex(encodeMessage(envelope, encodeSections(sections), runSection(run))),
  }
}

import { expect, test } from 'vitest'

import { hexToBytes } from '../../src/core/bytes.ts'
import { decodeMessage } from '../../src/sync/message.ts'
import { sectionNumbers } from '../../src/sync/section.ts'
import vectors from '../vectors/sync.json' with { type: 'json' }
import { syncVectors } from './sync-vectors.ts'

// When this fails, other versions can't read what this one writes. A vitest -u writes the file anew.
test('messages and announcements still give the same bytes', async () => {
  await expect(`${JSON.stringify(syncVectors(), undefined, 2)}\n`).toMatchFileSnapshot(
    '../vectors/sync.json',
  )
})

test('the recorded message has one of each section, and is read', () => {
  const { sections, ...envelope } = decodeMessage(hexToBytes(vectors.message))
  expect(envelope).toEqual({ type: 'sync_response', messageId: 3, timeMs: 250 })
  const tags = new Set(sections.map(({ tag }) => tag))
  expect([...tags].toSorted()).toEqual([...Object.keys(sectionNumbers), 'unknown'].toSorted())
})

import { expect, test } from 'vitest'

import { bytesToHex, hexToBytes } from '../../src/core/bytes.ts'
import { startPlace } from '../../src/feed/chain.ts'
import { decodeDescriptor } from '../../src/feed/descriptor.ts'
import { decodeHeader } from '../../src/feed/commit.ts'
import { decodeRun, verifyRun } from '../../src/feed/run.ts'
import { openCiphertext, unpackPayload } from '../../src/feed/seal.ts'
import vectors from '../vectors/feed.json' with { type: 'json' }
import { feedVectors } from './feed-vectors.ts'

// When this fails, other versions can't read what this one writes. A vitest -u writes the file anew.
test('everything that is hashed, signed, sealed or encoded still gives the same bytes', async () => {
  await expect(`${JSON.stringify(feedVectors(), undefined, 2)}\n`).toMatchFileSnapshot(
    '../vectors/feed.json',
  )
})

test('the recorded run can be verified, and its commits opened', () => {
  const descriptor = decodeDescriptor(hexToBytes(vectors.descriptor.bytes))
  expect(descriptor.feed).toBe(vectors.descriptor.feed)
  const commits = verifyRun(decodeRun(hexToBytes(vectors.run)), startPlace, descriptor)
  for (const [index, commit] of commits.entries()) {
    const expected = vectors.commits[index]!
    expect(bytesToHex(commit.id)).toBe(expected.id)
    const { salt, feed, seq } = decodeHeader(commit.header)
    const place = { epochKey: hexToBytes(vectors.epoch.key), salt, feed, seq }
    const payload = unpackPayload(openCiphertext(commit.ciphertext, place, commit.header))
    expect(bytesToHex(payload)).toBe(expected.payload)
  }
})

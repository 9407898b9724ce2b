import { test } from '@fast-check/vitest'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { bytesToHex, concatBytes } from '../../src/core/bytes.ts'
import { isHavenError } from '../../src/core/errors.ts'
import { limits } from '../../src/core/limits.ts'
import { deflateRaw } from '../../src/crypto/compress.ts'
import { signingKeyFromSeed, verify } from '../../src/crypto/signing.ts'
import { FeedChain, startPlace } from '../../src/feed/chain.ts'
import { commitId, commitSignDomain, decodeHeader, encodeHeader } from '../../src/feed/commit.ts'
import type { StoredCommit } from '../../src/feed/commit-store.ts'
import { createDescriptor, decodeDescriptor, yjsClientId } from '../../src/feed/descriptor.ts'
import { decodeRun, encodeRun, verifyRun } from '../../src/feed/run.ts'
import { openCiphertext, packPayload, unpackPayload } from '../../src/feed/seal.ts'
import { damaged, flipped } from '../crypto/damage.ts'
import { Chance } from '../sync/support/chance.ts'
import { authorKey, commitsOf, descriptor, epochKey, sequence } from './test-feed.ts'

const payload = fc.oneof(
  fc.uint8Array({ maxLength: 500 }),
  fc.nat(100_000).map((length) => new Uint8Array(length).fill(7)),
)

describe('a feed descriptor', () => {
  it('is read as it was signed, and refused after any change', () => {
    expect(decodeDescriptor(descriptor.bytes)).toEqual(descriptor)
    for (const { bytes } of damaged(descriptor.bytes))
      expect(['MALFORMED', 'BAD_SIGNATURE']).toContain(codeOf(() => decodeDescriptor(bytes)))
  })

  it('names lane, incarnation and the one before', () => {
    const next = createDescriptor(
      { ...descriptor, lane: 'urgent', previousIncarnation: descriptor.incarnation },
      authorKey,
    )
    expect(decodeDescriptor(next.bytes)).toEqual(next)
    expect(next.feed).not.toBe(descriptor.feed)
  })

  it('gives two client ids that survive as numbers', () => {
    const ids = [yjsClientId(descriptor, 'fields'), yjsClientId(descriptor, 'free')]
    expect(ids.every(Number.isSafeInteger)).toBe(true)
    expect(ids[0]).not.toBe(ids[1])
  })
})

describe('a header', () => {
  const header = fc.record({
    kind: fc.nat(255),
    continued: fc.boolean(),
    mesh: fc.constant(sequence(1, 16)),
    collection: fc.constant(sequence(2, 16)),
    feed: fc.constant(sequence(3, 16)),
    seq: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    prev: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    epoch: fc.constant(sequence(4, 16)),
    salt: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    day: fc.nat(0xffff),
    ciphertextBytes: fc.nat(limits.commitCiphertextBytes),
  })

  test.prop([header])('is read as it was written, in 130 bytes', (each) => {
    const bytes = encodeHeader(each)
    expect(bytes).toHaveLength(130)
    expect(decodeHeader(bytes)).toEqual(each)
  })

  test.prop([fc.uint8Array({ minLength: 130, maxLength: 130 }), fc.boolean()])(
    'has one form',
    (any, plausible) => {
      if (plausible) any.set([1, 1, 1, any[3]! & 1])
      if (codeOf(() => decodeHeader(any)) === undefined)
        expect(encodeHeader(decodeHeader(any))).toEqual(any)
    },
  )
})

describe('a payload', () => {
  test.prop([payload], { numRuns: 40 })('comes out of a commit as it went in', (each) => {
    const [commit, ...rest] = commitsOf([each])
    expect(rest).toEqual([])
    expect(contentOf(commit!)).toEqual(each)
    expect(bytesToHex(commitId(commit!.header, commit!.ciphertext))).toBe(bytesToHex(commit!.id))
    expect(verify(authorKey.publicKey, commitSignDomain, commit!.id, commit!.signature!)).toBe(true)
  })

  it('of 6 MiB that does not compress goes on in the next commits', () => {
    const long = noise(6 * 1024 * 1024)
    const commits = commitsOf([long])
    expect(commits.length).toBeGreaterThan(24)
    const headers = commits.map(({ header }) => decodeHeader(header))
    expect(headers.map(({ continued }) => continued)).toEqual(
      commits.map((_, index) => index < commits.length - 1),
    )
    expect(
      headers.every(({ ciphertextBytes }) => ciphertextBytes <= limits.commitCiphertextBytes),
    ).toBe(true)
    expect(Buffer.compare(concatBytes(...commits.map(contentOf)), long)).toBe(0)
  })

  it('is sealed for its place: another header, seq, feed, salt or key opens nothing', () => {
    const [commit] = commitsOf([sequence(0, 50)])
    const header = decodeHeader(commit!.header)
    const place = { epochKey, salt: header.salt, feed: header.feed, seq: 1 }
    const open = (changed: object, bytes = commit!.header, ciphertext = commit!.ciphertext) =>
      codeOf(() => openCiphertext(ciphertext, { ...place, ...changed }, bytes))
    expect(open({})).toBeUndefined()
    expect(open({ seq: 2 })).toBe('BAD_SIGNATURE')
    expect(open({ feed: sequence(0, 16) })).toBe('BAD_SIGNATURE')
    expect(open({ salt: sequence(0, 16) })).toBe('BAD_SIGNATURE')
    expect(open({ epochKey: sequence(0, 32) })).toBe('BAD_SIGNATURE')
    for (const { bytes } of flipped(commit!.header)) expect(open({}, bytes)).toBe('BAD_SIGNATURE')
    for (const { bytes } of damaged(commit!.ciphertext))
      expect(open({}, commit!.header, bytes)).toBe('BAD_SIGNATURE')
  })

  test.prop([payload], { numRuns: 40 })(
    'is packed in no more than its own length and a few bytes',
    (each) => {
      const packed = packPayload(each)
      expect(packed.length).toBeLessThanOrEqual(each.length + 6)
      expect(unpackPayload(packed)).toEqual(each)
    },
  )

  test.prop([fc.uint8Array({ maxLength: 60 })])(
    'of any other bytes is refused with a code',
    (any) => {
      expect([undefined, 'MALFORMED']).toContain(codeOf(() => unpackPayload(any)))
    },
  )

  it('that declares another length than it has is refused, however much it inflates to', () => {
    const zeros = deflateRaw(new Uint8Array(3_000_000), { level: 9 })
    const declared = (bytes: number[]) => Uint8Array.of(1, ...bytes, ...zeros)
    expect(codeOf(() => unpackPayload(declared([0x10])))).toBe('MALFORMED')
    // 3,000,000 and 3,000,001
    expect(codeOf(() => unpackPayload(declared([0xc0, 0x8d, 0xb7, 0x01])))).toBeUndefined()
    expect(codeOf(() => unpackPayload(declared([0xc1, 0x8d, 0xb7, 0x01])))).toBe('MALFORMED')
    expect(codeOf(() => unpackPayload(declared([0xff, 0xff, 0xff, 0xff, 0x01])))).toBe('MALFORMED')
  })
})

describe('a run', () => {
  const commits = commitsOf([sequence(0, 12), sequence(9, 1), sequence(40, 20)])

  test.prop([fc.nat(2), fc.boolean()])(
    'gives back the commits that it was made of',
    (from, keep) => {
      const base = from === 0 ? startPlace : placeOf(commits[from - 1]!)
      const run = decodeRun(encodeRun(base, commits.slice(from), keep))
      const expected = commits
        .slice(from)
        .map((commit, index, all) =>
          keep || index === all.length - 1 ? commit : { ...commit, signature: undefined },
        )
      expect(verifyRun(run, base, descriptor)).toEqual(expected)
    },
  )

  it('is refused after any change, with inner signatures and without', () => {
    for (const keep of [false, true]) {
      for (const { how, bytes } of damaged(encodeRun(startPlace, commits, keep))) {
        const code = codeOf(() => {
          const run = decodeRun(bytes)
          if (run.feed !== descriptor.feed) throw new TypeError('another feed')
          verifyRun(run, startPlace, descriptor)
        })
        expect(code, how).toBeDefined()
        expect(['MALFORMED', 'BAD_CHAIN', 'BAD_SIGNATURE', 'TypeError: another feed']).toContain(
          code,
        )
      }
    }
  })

  it('has a place of its own', () => {
    const run = decodeRun(encodeRun(placeOf(commits[0]!), commits.slice(1)))
    expect(codeOf(() => verifyRun(run, startPlace, descriptor))).toBe('BAD_CHAIN')
    expect(codeOf(() => verifyRun(run, placeOf(commits[1]!), descriptor))).toBe('BAD_CHAIN')
    const other = { ...descriptor, device: signingKeyFromSeed(sequence(7, 32)).publicKey }
    expect(codeOf(() => verifyRun(run, placeOf(commits[0]!), other))).toBe('BAD_SIGNATURE')
  })

  it('leaves room in a frame for who passes it on', () => {
    // Full commits that come unsigned have to be passed on together.
    const each = Math.floor(limits.runBytes / 6)
    const full = commitsOf([1, 2, 3, 4, 5, 6].map(() => noise(each))).map((commit, index, all) =>
      index === all.length - 1 ? commit : { ...commit, signature: undefined },
    )
    expect(codeOf(() => decodeRun(encodeRun(startPlace, full)))).toBe('MALFORMED')
    expect(codeOf(() => decodeRun(encodeRun(placeOf(full[0]!), full.slice(1))))).toBeUndefined()
    expect(limits.runBytes + 170 + 64).toBeLessThan(limits.frameBytes)
  })

  it('ends with a signed commit', () => {
    const unsigned = commits.map((commit) => ({ ...commit, signature: undefined }))
    expect(() => encodeRun(startPlace, unsigned)).toThrow(TypeError)
    expect(() => encodeRun(startPlace, [])).toThrow(TypeError)
  })

  test.prop([fc.uint8Array({ maxLength: 200 })])(
    'of any other bytes is refused with a code',
    (any) => {
      expect([undefined, 'MALFORMED']).toContain(codeOf(() => decodeRun(any)))
    },
  )

  it('leads from each commit to the next', () => {
    let chain = new FeedChain(descriptor.feed)
    for (const [index, commit] of commits.entries()) {
      const prev = bytesToHex(decodeHeader(commit.header).prev)
      chain = chain.with({ seq: commit.seq, id: bytesToHex(commit.id), prev }, index === 0 ? -1 : 0)
    }
    expect(chain.tips()).toEqual([placeOf(commits.at(-1)!)])
  })
})

function placeOf(commit: StoredCommit) {
  return { seq: commit.seq, id: bytesToHex(commit.id) }
}

function contentOf(commit: StoredCommit): Uint8Array {
  const header = decodeHeader(commit.header)
  const place = { epochKey, salt: header.salt, feed: header.feed, seq: header.seq }
  return unpackPayload(openCiphertext(commit.ciphertext, place, commit.header))
}

/** Bytes that do not compress. */
function noise(length: number): Uint8Array {
  const chance = new Chance(1)
  return Uint8Array.from({ length }, () => chance.int(0, 255))
}

function codeOf(run: () => unknown): string | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    return isHavenError(error) ? error.code : String(error)
  }
}

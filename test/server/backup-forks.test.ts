/** Feeds with any number of branches come back from a backup as they were. */
import { join } from 'node:path'
import { test } from '@fast-check/vitest'
import * as fc from 'fast-check'
import { expect } from 'vitest'
import { bytesToHex, utf8ToBytes } from '../../src/core/bytes.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import { signingKeyFromSeed } from '../../src/crypto/signing.ts'
import { FeedChain } from '../../src/feed/chain.ts'
import { commitSignDomain, decodeHeader } from '../../src/feed/commit.ts'
import type { StoredCommit } from '../../src/feed/commit-store.ts'
import { growChain } from '../../src/feed/grow-chain.ts'
import { restoreBackup } from '../../src/server/backup/restore-backup.ts'
import { writeBackup } from '../../src/server/backup/write-backup.ts'
import { openServerHome } from '../../src/server/open-server-home.ts'
import { temporaryDirectory } from '../cli/support/run-cli.ts'
import { commitOf, putCommit } from '../contract/commit-store-contract.ts'
import { descriptorOf } from '../contract/made-descriptor.ts'

const mesh = '01'.repeat(16)
const author = 'anna'
const { descriptor, feed, device } = descriptorOf(author)
const key = signingKeyFromSeed(sha256(utf8ToBytes(author)))

/** Each commit follows the last one, or an earlier one; those that something follows may have no signature. */
function historyOf(backs: readonly number[], ciphertextBytes = 40): StoredCommit[] {
  const commits: StoredCommit[] = []
  for (const [index, back] of backs.entries()) {
    const before = commits[index - back]
    const prev = before && { prev: before.id }
    const seq = (before?.seq ?? 0) + 1
    commits.push(commitOf({ feed, seq, ...prev, content: `${index}`, ciphertextBytes }))
  }
  const followed = new Set(commits.map(({ header }) => bytesToHex(decodeHeader(header).prev)))
  return commits.map((commit, index) => ({
    ...commit,
    signature:
      followed.has(bytesToHex(commit.id)) && index % 2 === 0
        ? undefined
        : key.sign(commitSignDomain, commit.id),
  }))
}

function inOrder(commits: readonly StoredCommit[]): StoredCommit[] {
  return commits.toSorted((a, b) => a.seq - b.seq || Buffer.compare(a.id, b.id))
}

async function comesBack(commits: readonly StoredCommit[]): Promise<void> {
  const place = { dataDir: join(temporaryDirectory(), 'here') }
  const links = commits.map(({ seq, id, header }) => ({
    seq,
    id: bytesToHex(id),
    prev: bytesToHex(decodeHeader(header).prev),
  }))
  const { chain, left } = growChain(new FeedChain(feed), links, [])
  expect(left).toEqual([])
  const home = await openServerHome(place)
  const { store, usage } = await home.openMesh(mesh, () => {})
  await store.batch([
    { kind: 'descriptor', descriptor },
    ...commits.map(putCommit),
    { kind: 'chain', feed, value: chain.encode() },
  ])
  const amount = usage.byDevice.get(device)
  await store.close()
  await home.close()

  const file = join(temporaryDirectory(), 'backup')
  expect(await writeBackup(place, file)).toMatchObject({ meshes: 1, commits: commits.length })
  const elsewhere = { dataDir: join(temporaryDirectory(), 'elsewhere') }
  await restoreBackup(elsewhere, file, { salvage: false })
  const again = await openServerHome(elsewhere)
  const restored = await again.openMesh(mesh, () => {})
  expect(inOrder(await restored.store.commits({ feed, after: 0 }))).toEqual(inOrder(commits))
  expect((await restored.store.chains())[0]!.value).toEqual(chain.encode())
  expect(restored.usage.byDevice.get(device)).toEqual(amount)
  await restored.store.close()
  await again.close()
}

test.prop(
  [
    fc.array(
      fc.oneof({ weight: 5, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.nat(20) }),
      { minLength: 1, maxLength: 30 },
    ),
  ],
  { numRuns: 12 },
)(
  'whatever their branches',
  async (backs) => {
    await comesBack(historyOf(backs))
  },
  60_000,
)

test('also where what lies at one place is more than a part of the file holds', async () => {
  const branches = Array.from({ length: 24 }, (_, index) => index + 1)
  await comesBack(historyOf([1, ...branches], 256 * 1024))
})

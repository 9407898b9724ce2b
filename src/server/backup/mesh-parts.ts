/** What a backup has of one mesh, read from its store while that may be written to. */
import { bytesToHex } from '../../core/bytes.ts'
import type { Random } from '../../core/environment.ts'
import { FeedChain } from '../../feed/chain.ts'
import { decodeHeader } from '../../feed/commit.ts'
import type { StoredCommit } from '../../feed/commit-store.ts'
import type { MeshStore } from '../../store/mesh-store.ts'
import { serverRows } from '../server-rows.ts'
import type { PartContent } from './part-file.ts'
import { commitsPart, feedPart, meshEndPart, meshPart } from './part-kinds.ts'
import { PrefixWalk } from './prefix-walk.ts'

/** Of commits in one part; one more may come on top. */
const partBytes = 256 * 1024
const secretGroups = ['member/', 'epoch/']
const metaPrefixes = ['incarnation', serverRows]

/**
 * What the store held at one moment, of each feed all that goes before what it has: the chains are read first, and what comes after that is
 * left out. A commit that can't be read any more is left out with all that follows it in its feed; devices bring it again.
 */
export async function* meshParts(
  store: MeshStore,
  mesh: string,
  { storeKey, random }: { readonly storeKey: Uint8Array; readonly random: Random },
): AsyncGenerator<PartContent> {
  const secrets = (await Promise.all(secretGroups.map((group) => store.secrets(group)))).flat()
  const metas = (await Promise.all(metaPrefixes.map((prefix) => store.metas(prefix)))).flat()
  yield meshPart({ mesh, secrets, metas }, storeKey, random)
  const chains = (await store.chains()).map(({ feed, value }) => FeedChain.decode(feed, value))
  const descriptors = new Map((await store.descriptors()).map((each) => [each.feed, each.bytes]))
  const counts = { feeds: 0, commits: 0 }
  for (const { feed, seq } of chains) {
    const descriptor = descriptors.get(feed)
    if (descriptor === undefined) continue
    counts.feeds += 1
    yield feedPart(descriptor)
    const walk = new PrefixWalk()
    for (let after = 0; after < seq;) {
      const read = await store.commits({ feed, after, upTo: seq, maxBytes: partBytes })
      if (read.length === 0) break
      after = read.at(-1)!.seq
      const follow = read.filter((commit) => walk.follows(placeOf(commit)))
      if (follow.length === 0) break
      counts.commits += follow.length
      // Of a feed that has forked, many may be at one place.
      for (const some of inParts(follow)) yield commitsPart(some)
    }
  }
  yield meshEndPart(counts)
}

function* inParts(commits: readonly StoredCommit[]): Generator<StoredCommit[]> {
  let some: StoredCommit[] = []
  let bytes = 0
  for (const commit of commits) {
    some.push(commit)
    bytes += commit.ciphertext.length
    if (bytes < partBytes) continue
    yield some
    some = []
    bytes = 0
  }
  if (some.length > 0) yield some
}

function placeOf({ seq, id, header }: StoredCommit) {
  return { seq, id: bytesToHex(id), prev: bytesToHex(decodeHeader(header).prev) }
}

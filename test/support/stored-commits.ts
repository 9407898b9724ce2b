/** What lies in the stores of devices and servers that are not running, commit by commit. */
import { expect } from 'vitest'
import { bytesToHex } from '../../src/core/bytes.ts'
import { lookAtServerHome } from '../../src/server/open-server-home.ts'
import type { ServerPlace } from '../../src/server/open-server-home.ts'
import { prepareDataDirectory } from '../../src/store/data-dir.ts'
import { openKeystore } from '../../src/store/keystore.ts'
import { openLevelStore } from '../../src/store/level-store.ts'
import type { CommitStore } from '../../src/feed/commit-store.ts'
import type { CampDevice } from './camp.ts'

interface StoredCommits {
  /** `feed/seq/id` of each commit, as often as it is there. */
  readonly places: string[]
  readonly bytes: number
}

export interface ServedCommits extends StoredCommits {
  /** As many commits as the server has counted when it put them in. */
  readonly counted: number
}

async function commitsOfDevice(dataDir: string): Promise<StoredCommits> {
  const directory = await prepareDataDirectory(dataDir)
  const keystore = await openKeystore(directory.keysFile)
  const store = await openLevelStore({
    location: directory.path,
    storeKey: keystore!.get('store')!,
  })
  try {
    return await commitsIn(store)
  } finally {
    await store.close()
  }
}

/** @param place - of a server of which no process runs */
export async function commitsOfServer(place: ServerPlace, mesh: string): Promise<ServedCommits> {
  const home = await lookAtServerHome(place)
  try {
    const { store, usage } = await home.openMesh(mesh, () => {})
    try {
      return { ...(await commitsIn(store)), counted: usage.total.commits }
    } finally {
      await store.close()
    }
  } finally {
    await home.close()
  }
}

/** All of them, stopped, have the same commits as the server, which has each once and has put each in once. */
export async function expectOnceEach(
  devices: readonly CampDevice[],
  served: ServedCommits,
): Promise<void> {
  const sorted = served.places.toSorted()
  expect(new Set(sorted).size).toBe(sorted.length)
  expect(served.counted).toBe(sorted.length)
  for (const { name, dataDir } of devices) {
    const { places } = await commitsOfDevice(dataDir)
    expect(places.toSorted(), name).toEqual(sorted)
  }
}

async function commitsIn(store: CommitStore): Promise<StoredCommits> {
  const places: string[] = []
  let bytes = 0
  for (const { feed } of await store.descriptors())
    for (const commit of await store.commits({ feed, after: 0 })) {
      places.push(`${feed}/${commit.seq}/${bytesToHex(commit.id)}`)
      bytes += commit.header.length + commit.ciphertext.length + (commit.signature?.length ?? 0)
    }
  return { places, bytes }
}

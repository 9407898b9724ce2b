/** A server in a process of its own, as `haven server` runs it, but on 127.0.0.1 only and driven over the IPC channel. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { StoredCommit } from '../src/feed/commit-store.ts'
import { HavenServer } from '../src/server/haven-server.ts'
import { inviteMesh } from '../src/server/invite-mesh.ts'
import type { ServerPlace } from '../src/server/open-server-home.ts'
import { answer, monotonicMs } from './child.ts'

let current: HavenServer | undefined
let place: ServerPlace | undefined

const commands = {
  /** Resolves with the address at which it listens, or `publicUrl`. */
  async start(options: { place: ServerPlace; port?: number; publicUrl?: string }): Promise<string> {
    place = options.place
    current = await HavenServer.start({
      place,
      host: '127.0.0.1',
      port: options.port ?? 0,
      publicUrl: options.publicUrl,
      quota: { meshBytes: 1e12, deviceBytesPerDay: 1e12 },
      log: ({ level, code, message }) => {
        if (level === 'warn' || level === 'error') console.error(`server: ${code} ${message}`)
      },
    })
    return current.address
  },

  /** A code for one mesh. */
  async invite(): Promise<string> {
    return (await inviteMesh(place!, { ttlMs: 10 * 60_000 })).code
  },

  /** What it holds of a mesh, in few letters, by its own words. */
  digest: async (mesh: string): Promise<string | undefined> =>
    server().runtimeOf(mesh)?.replica.digest,

  /** Commits of a mesh that are in the store, each read and checked. */
  async storedCommits(mesh: string): Promise<number> {
    let count = 0
    for await (const { seq } of commitsOf(mesh)) if (seq > 0) count++
    return count
  },

  /** Resolves with the time when it has durably a commit of an urgent lane more than so many. */
  async untilUrgent({ mesh, more }: { mesh: string; more: number }): Promise<number> {
    while (urgentCommits(mesh) <= more) await sleep(2)
    return monotonicMs()
  },

  urgent: async (mesh: string): Promise<number> => urgentCommits(mesh),

  /** Resolves with the time when it holds durably what has this digest. */
  async untilDigest({ mesh, digest }: { mesh: string; digest: string }): Promise<number> {
    while (server().runtimeOf(mesh)?.replica.digest !== digest) await sleep(2)
    return monotonicMs()
  },

  /** Of all commits that it holds, what no receiver could do without: content, salt, day and kind of each, and the signatures that came with them. */
  async carriedBytes(mesh: string): Promise<number> {
    let bytes = 0
    for await (const { ciphertext, signature } of commitsOf(mesh))
      bytes += ciphertext.length + 16 + 2 + 1 + (signature?.length ?? 0)
    return bytes
  },

  /** Bridges that are connected. */
  async sessions(): Promise<number> {
    let count = 0
    for (const mesh of server().meshes)
      count += [...server().runtimeOf(mesh)!.driver.engine.sessions()].length
    return count
  },

  /** Resident memory in bytes. */
  memory: async (): Promise<number> => process.memoryUsage.rss(),

  /** Milliseconds of processor time, all threads. */
  async cpu(): Promise<number> {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1000
  },

  async close(): Promise<void> {
    await current?.close()
    current = undefined
  },
}

export type ServerCommands = typeof commands

answer(commands)

function server(): HavenServer {
  if (current === undefined) throw new Error('no server is running')
  return current
}

function urgentCommits(mesh: string): number {
  const { replica } = server().runtimeOf(mesh)!
  let count = 0
  for (const { feed, lane } of replica.descriptors())
    if (lane === 'urgent') count += replica.chain(feed).count
  return count
}

/** As they are on the disk. */
async function* commitsOf(mesh: string): AsyncGenerator<StoredCommit> {
  const { store } = server().runtimeOf(mesh)!
  for (const { feed } of await store.descriptors()) {
    for (let after = 0; ;) {
      const commits = await store.commits({ feed, after, maxBytes: 4e6 })
      if (commits.length === 0) break
      yield* commits
      after = commits.at(-1)!.seq
    }
  }
}

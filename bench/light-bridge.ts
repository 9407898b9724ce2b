/** A member of a mesh as a server sees it, in a fraction of a process: keys, a sync engine, and commits in memory. */
import { startChannelLink } from '../src/bridge/channel-link.ts'
import { dialServer } from '../src/bridge/dial-server.ts'
import type { ServerKeys } from '../src/bridge/inner-channel.ts'
import { limits } from '../src/core/limits.ts'
import { SyncDriver } from '../src/device/sync-driver.ts'
import { systemClock, systemRandom, systemTimers } from '../src/device/system.ts'
import type { CommitRange, CommitStore, StoredCommit } from '../src/feed/commit-store.ts'
import type { Authority } from '../src/sync/engine-port.ts'
import type { MadeFeed, MadeMesh, Member } from './made-mesh.ts'

export class LightBridge {
  readonly driver: SyncDriver
  readonly #mesh: MadeMesh
  readonly #member: Member
  #problem: string | undefined

  /** @param feeds - what it holds, from the first commit on */
  constructor(mesh: MadeMesh, member: Member, feeds: readonly MadeFeed[]) {
    this.#mesh = mesh
    this.#member = member
    this.driver = new SyncDriver({
      authority: authorityOf(mesh, member),
      store: shelf(feeds),
      clock: systemClock,
      random: systemRandom,
      timers: systemTimers,
      notified: (notification) => {
        if (notification.kind === 'refused') this.#problem = notification.code
      },
      failed: ({ code }) => {
        this.#problem = code
      },
    })
    this.driver.engine.replica.restore(
      feeds.map(({ descriptor }) => descriptor),
      feeds.map(({ chain }) => chain),
    )
  }

  /** Resolves when the server has accepted it on an inner channel; the session begins then. */
  async connect(address: string, server: ServerKeys): Promise<void> {
    const { keys } = this.#member
    const { socket, connection } = await dialServer({
      address,
      server,
      keys,
      mesh: this.#mesh.id,
      purpose: 'sync',
      random: systemRandom,
    })
    startChannelLink({
      socket,
      connection,
      side: 'dialler',
      remoteAddress: address,
      firstFrameBytes: limits.frameBytes,
      accept: this.driver.accept,
      onClosed: (reason) => {
        this.#problem ??= reason
      },
    })
  }

  /** Ends the link. */
  async close(): Promise<void> {
    await this.driver.stop()
  }

  /** Whether the server has said that it holds durably all that is here, and has nothing else. @throws Error when the link has ended */
  get isComplete(): boolean {
    if (this.#problem !== undefined) throw new Error(`A bridge was cut off: ${this.#problem}`)
    return [...this.driver.engine.sessions()].some(({ complete }) => complete)
  }
}

/** The admin knows who is who; a member differs from it in its keys. */
function authorityOf({ runtime }: MadeMesh, { keys, chain }: Member): Authority {
  const { control } = runtime
  const incarnation = Buffer.from(systemRandom.bytes(16)).toString('hex')
  const own = { device: keys.device, keys, incarnation, generation: 0 }
  return new Proxy<Authority>(control, {
    get(_, name) {
      if (name in own) return own[name as keyof typeof own]
      if (name === 'ownCertificate') return () => ({ id: chain[0]!.id, chain })
      const value: unknown = Reflect.get(control, name, control)
      return typeof value === 'function'
        ? (value as (...args: unknown[]) => unknown).bind(control)
        : value
    },
  })
}

/** Commits on demand; what is put in is not kept. */
function shelf(feeds: readonly MadeFeed[]): CommitStore {
  const byFeed = new Map(feeds.map(({ chain, commits }) => [chain.feed, commits]))
  const commits = ({ feed, after, upTo, maxBytes }: CommitRange): StoredCommit[] => {
    const found: StoredCommit[] = []
    let bytes = 0
    for (const commit of (byFeed.get(feed) ?? []).slice(after, upTo)) {
      found.push(commit)
      bytes += commit.ciphertext.length
      if (maxBytes !== undefined && bytes >= maxBytes) break
    }
    return found
  }
  const store: Pick<CommitStore, 'commits' | 'batch'> = {
    commits: (range) => Promise.resolve(commits(range)),
    batch: () => Promise.resolve(),
  }
  // More than these two a driver does not ask for.
  return store as CommitStore
}

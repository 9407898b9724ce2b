/**
 * What to do about commits that are not whole any more: the feed ends where it is whole, the clock says so, and peers send the rest again.
 *
 * Everything that derives from commits is built again where its rows were damaged.
 */
import { bytesToHex } from '../core/bytes.ts'
import { FeedChain } from '../feed/chain.ts'
import type { Link } from '../feed/chain.ts'
import { decodeHeader } from '../feed/commit.ts'
import type { MeshStore } from '../store/mesh-store.ts'
import type { Damage } from '../store/damage.ts'
import { segmentHolding } from '../feed/grow-chain.ts'
import type { Replica } from '../sync/replica.ts'
import type { Integrator } from './integrator.ts'
import type { Mutex } from './mutex.ts'

const pageBytes = 4 * 1024 * 1024

export interface FeedRepairOptions {
  readonly store: MeshStore
  readonly replica: Replica
  readonly integrator: Integrator
  readonly lock: Mutex
  /** Chains got shorter (or longer, where their own row had been lost). */
  readonly repaired: (feeds: readonly string[]) => void
  readonly notice: (code: string, message: string) => void
  readonly failed: (error: unknown) => void
}

export class FeedRepair {
  readonly #options: FeedRepairOptions
  readonly #background = new AbortController()
  #work: Promise<void> = Promise.resolve()
  #checking: Promise<void> = Promise.resolve()

  constructor(options: FeedRepairOptions) {
    this.#options = options
  }

  /** At the start, before anything is offered: what was lost since the last run is no longer claimed. */
  async start(): Promise<void> {
    const { store, replica, integrator } = this.#options
    const suspects = new Set((await store.verifyTails()).map(({ feed }) => feed))
    for (const chain of replica.chains()) {
      for (const tip of chain.tips()) {
        const ids = await store.idsAt(chain.feed, tip.seq)
        if (!ids.some((id) => tip.id.startsWith(bytesToHex(id)))) suspects.add(chain.feed)
      }
    }
    for (const { feed } of replica.descriptors())
      if (replica.chain(feed).segments.length === 0) suspects.add(feed)
    const { salvage } = store.opening
    if (salvage?.isWhole === true) {
      // What was derived is what it was: nobody has to wait for it.
      this.#options.notice(
        'STORE_REPAIRED',
        'The files of the store were replaced after several crashes in a row. Nothing is missing.',
      )
    } else if (salvage !== undefined) {
      for (const { feed } of replica.descriptors()) suspects.add(feed)
      integrator.rebuildAll()
      // What was lost, if anything, the checks below say.
      this.#options.notice(
        'STORE_REPAIRED',
        'The store was put together again after damage. What may be missing comes from other devices.',
      )
    }
    for (const feed of suspects) await this.#recheck(feed)
    this.#checking = this.#checkTheRest()
  }

  /** What was not checked before, while everything else goes on. */
  async #checkTheRest(): Promise<void> {
    try {
      await this.#options.store.verifyInBackground(this.#background.signal, ({ feed }) => {
        this.suspect(feed)
      })
    } catch (error) {
      this.#options.failed(error)
    }
  }

  /** A damaged row was met. */
  met(damage: Damage): void {
    if (damage.row === 'commit' || damage.row === 'chain') this.suspect(damage.feed)
    else if (damage.row !== 'meta' && damage.row !== 'descriptor')
      this.#options.integrator.rebuildAll()
    this.#options.notice(
      'STORE_DAMAGED',
      'Damage was found in the store. What is missing comes from other devices.',
    )
  }

  suspect(feed: string): void {
    const before = this.#work
    this.#work = (async () => {
      await before
      try {
        const changed = await this.#options.lock.run(() => this.#recheck(feed))
        if (changed) this.#options.repaired([feed])
      } catch (error) {
        this.#options.failed(error)
      }
    })()
  }

  /** Makes the chain what the store really holds from the start on. Returns whether that is something else than before. */
  async #recheck(feed: string): Promise<boolean> {
    const { store, replica, notice } = this.#options
    const before = replica.chain(feed)
    const after = await this.#readChain(feed)
    if (after.equals(before)) return false
    await store.batch([
      { kind: 'chain', feed, value: after.segments.length === 0 ? undefined : after.encode() },
    ])
    replica.stage(after)
    replica.durable(after)
    if (after.count < before.count) {
      notice(
        'STORE_DAMAGED',
        'Commits were damaged on this disk. They come again from other devices.',
      )
    }
    return true
  }

  async #readChain(feed: string): Promise<FeedChain> {
    let chain = new FeedChain(feed)
    let links: Link[] = []
    for (let after = 0; ;) {
      const commits = await this.#options.store.commits({ feed, after, maxBytes: pageBytes })
      if (commits.length === 0) return chain
      for (const commit of commits) {
        after = Math.max(after, commit.seq)
        const link = {
          seq: commit.seq,
          id: bytesToHex(commit.id),
          prev: bytesToHex(decodeHeader(commit.header).prev),
        }
        const leaf = chain.leaves().find((index) => chain.segments[index]!.head === link.prev)
        if (leaf !== undefined) chain = chain.with(link, leaf)
        else if (link.seq === 1) chain = chain.with(link, -1)
        else {
          const at = links.some(({ id }) => id === link.prev)
            ? segmentHolding(chain, link.seq - 1, link.prev, links)
            : undefined
          // Behind a hole: it stays in the store, and is not part of what is held.
          if (at === undefined) continue
          const next = links.find((each) => each.seq === link.seq && each.prev === link.prev)
          chain = chain.with(link, at, next?.id)
        }
        links.push(link)
      }
      if (!chain.forked && links.length > 100_000) links = links.slice(-1_000)
    }
  }

  async stop(): Promise<void> {
    this.#background.abort()
    await this.#checking
    await this.#work
  }
}

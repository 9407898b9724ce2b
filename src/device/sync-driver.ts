/** Carries out what the sync engine asks for: frames to links, commits to the store, and back. A small loop; the engine decides. */
import { bytesToHex } from '../core/bytes.ts'
import type { Clock, Timers } from '../core/environment.ts'
import { HavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Link as ChainLink } from '../feed/chain.ts'
import { decodeHeader } from '../feed/commit.ts'
import type { CommitStore, StoreChange, StoredCommit } from '../feed/commit-store.ts'
import { runBytesOf } from '../feed/run.ts'
import { SyncEngine } from '../sync/engine.ts'
import type {
  Authority,
  Intake,
  LoadRequest,
  LoadResult,
  LoadedRun,
  Notification,
  Outflow,
  Output,
  RunRequest,
} from '../sync/engine-port.ts'
import type { ExchangeBudget } from '../sync/exchange.ts'
import type { Link, LinkHandler } from '../sync/link.ts'
import type { Random } from '../core/environment.ts'
import type { OtherProcesses } from './other-processes.ts'

export interface SyncDriverOptions {
  readonly authority: Authority
  readonly store: CommitStore
  readonly clock: Clock
  readonly random: Random
  readonly timers: Timers
  readonly notified: (notification: Notification) => void
  /** How much peers may send; default: as much as goes through. */
  readonly intake?: Intake | undefined
  /** How much they may be sent; default: the same. */
  readonly outflow?: Outflow | undefined
  /** Where other processes work on the same store. */
  readonly others?: OtherProcesses | undefined
  /** The store did not take what peers had sent. */
  readonly failed?: (error: HavenError) => void
}

type Persist = Extract<Output, { type: 'persist' }>

export class SyncDriver {
  readonly engine: SyncEngine
  readonly #options: SyncDriverOptions
  readonly #links = new Map<string, Link>()
  readonly #persists: Persist[] = []
  #persisting = false
  #persistsDone: Promise<void> = Promise.resolve()
  #cancelWake: (() => void) | undefined
  #pumping = false
  #pumped = Promise.withResolvers<void>()
  #stopped = false

  constructor(options: SyncDriverOptions) {
    this.#options = options
    const { authority, random, intake, outflow, others } = options
    this.engine = new SyncEngine({
      authority,
      random,
      intake,
      outflow,
      isShared: others !== undefined,
    })
  }

  /** For the mesh: a link is up. */
  readonly accept = (link: Link): LinkHandler => {
    this.#links.set(link.id, link)
    // The link is usable once this function has returned.
    queueMicrotask(() => {
      if (link.vouchedFor === undefined)
        this.engine.connected(link.id, link.side, link.binding, this.#now())
      else this.engine.vouchedFor(link.id, link.side, link.vouchedFor, this.#now())
      this.pump()
    })
    return {
      received: (frame) => {
        this.engine.received(link.id, frame, this.#now())
        this.pump()
      },
      writable: () => {
        this.engine.writable(link.id, this.#now())
        this.pump()
      },
      closed: (reason) => {
        this.engine.disconnected(link.id, reason, this.#now())
        this.pump()
        // Not before: what is said about its end names its address.
        this.#links.delete(link.id)
      },
    }
  }

  linkOf(id: string): Link | undefined {
    return this.#links.get(id)
  }

  /** Ends all sessions. */
  async stop(): Promise<void> {
    for (const link of this.#links.values()) link.close('stopped')
    this.#cancelWake?.()
    this.#stopped = true
    await this.#persistsDone
  }

  resume(): void {
    this.#stopped = false
  }

  pump(): void {
    if (this.#pumping) return
    this.#pumping = true
    try {
      for (let output = this.engine.poll(); output !== undefined; output = this.engine.poll())
        this.#carryOut(output)
    } finally {
      this.#pumping = false
    }
    this.#pumped.resolve()
    this.#pumped = Promise.withResolvers()
  }

  ask(link: string, budget: ExchangeBudget): void {
    this.engine.ask(link, budget, this.#now())
    this.pump()
  }

  asked(link: string): void {
    this.engine.asked(link)
  }

  answered(link: string): void {
    this.engine.answered(link, this.#now())
    this.pump()
  }

  answer(link: string): void {
    this.engine.answer(link, this.#now())
    this.pump()
  }

  /** Resolves when nothing is on its way to or from the disk on behalf of a question, an answer or their link. */
  async untilSettled(link: string): Promise<void> {
    while (!this.engine.isSettled(link)) await this.#pumped.promise
  }

  #now(): number {
    return this.#options.clock.nowMs()
  }

  #carryOut(output: Output): void {
    switch (output.type) {
      case 'send': {
        const link = this.#links.get(output.link)
        if (link !== undefined && !link.send(output.frame)) this.engine.blocked(output.link)
        return
      }
      case 'persist':
        this.#persists.push(output)
        if (!this.#persisting) this.#persistsDone = this.#persistAll()
        return
      case 'remember':
        void this.#remember(output)
        return
      case 'announce':
        this.#options.others?.announce()
        return
      case 'load':
        void this.#load(output.token, output.request)
        return
      case 'wakeAt':
        this.#cancelWake?.()
        if (this.#stopped) return
        this.#cancelWake = this.#options.timers.after(Math.max(1, output.ms - this.#now()), () => {
          this.engine.tick(this.#now())
          this.pump()
        })
        return
      case 'notify':
        this.#options.notified(output.notification)
        return
      case 'news':
        this.#links.get(output.link)?.hasNews?.()
        return
      case 'close':
        this.#links.get(output.link)?.close(output.reason)
        return
    }
  }

  /** What came in while the last batch was on its way to the disk goes there together. */
  async #persistAll(): Promise<void> {
    this.#persisting = true
    while (this.#persists.length > 0) {
      const group = this.#persists.splice(0)
      // Of each feed only its last chain matters.
      const chains = new Map(
        group.flatMap((persist) => persist.chains.map((chain) => [chain.feed, chain] as const)),
      )
      const changes: StoreChange[] = [
        ...group.flatMap((persist) =>
          persist.descriptors.map((descriptor) => ({ kind: 'descriptor' as const, descriptor })),
        ),
        ...group.flatMap((persist) =>
          persist.commits.map((commit) => ({ kind: 'commit' as const, commit })),
        ),
        ...[...chains.values()].map((chain) => ({
          kind: 'chain' as const,
          feed: chain.feed,
          value: chain.encode(),
        })),
      ]
      let failure: HavenError | undefined
      try {
        await this.#options.store.batch(changes)
      } catch (error) {
        failure =
          error instanceof HavenError
            ? error
            : new HavenError('STORE_FAILED', 'The store failed.', { cause: error })
      }
      if (failure !== undefined) this.#options.failed?.(failure)
      const merged = failure === undefined ? this.#options.others?.merged() : undefined
      for (const { token } of group) this.engine.persisted(token, failure, this.#now(), merged)
      this.#options.others?.adopt()
      this.pump()
    }
    this.#persisting = false
  }

  async #remember({ name, value, order }: Extract<Output, { type: 'remember' }>): Promise<void> {
    try {
      await this.#options.store.batch([{ kind: 'meta', name, value, order }], { sync: false })
    } catch {
      // It is only remembered: it will be heard again.
    }
  }

  async #load(token: number, request: LoadRequest): Promise<void> {
    let result: LoadResult | undefined
    try {
      result =
        request.kind === 'runs'
          ? await this.#runs(request.parts, request.maxBytes)
          : await this.#linksOf(request)
    } catch (error) {
      // Without an answer the peer asks again; the device goes on.
      if (!(error instanceof HavenError)) {
        this.#options.failed?.(
          new HavenError('INTERNAL', 'Commits could not be read for a peer.', { cause: error }),
        )
      }
    }
    this.engine.loaded(token, result, this.#now())
    this.pump()
  }

  async #runs(parts: readonly RunRequest[], maxBytes: number): Promise<LoadResult> {
    const runs: (LoadedRun | undefined)[] = []
    let room = maxBytes
    for (const part of parts) {
      if (room <= 0) {
        runs.push(undefined)
        continue
      }
      const run = await this.#run(part, room)
      runs.push(run)
      for (const commit of run.commits) room -= runBytesOf(commit)
    }
    return { kind: 'runs', runs }
  }

  /** Commits that follow each other, up to a signed one, in about `maxBytes`. */
  async #run(part: RunRequest, maxBytes: number): Promise<LoadedRun> {
    const { store } = this.#options
    const all: StoredCommit[] = []
    let base: string | undefined = part.base
    let last: string | undefined = part.base
    let bytes = 0
    let signed = 0
    let { after } = part
    while (after < part.upTo) {
      const read = await store.commits({
        feed: part.feed,
        after,
        upTo: part.upTo,
        maxBytes: Math.max(1, maxBytes - bytes),
      })
      if (read.length === 0) break
      for (const commit of read) {
        after = Math.max(after, commit.seq)
        const prev = bytesToHex(decodeHeader(commit.header).prev)
        if (last !== undefined && prev !== last) continue
        if (all.length === 0) {
          if (commit.seq !== part.after + 1) break
          if (part.first !== undefined && bytesToHex(commit.id) !== part.first) continue
          base ??= prev
        }
        const size = runBytesOf(commit)
        const full = all.length >= limits.runCommits || bytes + size > limits.frameBytes - 4096
        if (full && signed > 0)
          return { base: { seq: part.after, id: base! }, commits: all.slice(0, signed) }
        all.push(commit)
        bytes += size
        last = bytesToHex(commit.id)
        if (commit.signature !== undefined) signed = all.length
      }
      if (signed > 0 && bytes >= maxBytes) break
    }
    return { base: { seq: part.after, id: base ?? '0'.repeat(64) }, commits: all.slice(0, signed) }
  }

  async #linksOf(request: Extract<LoadRequest, { kind: 'links' }>): Promise<LoadResult> {
    await this.#persistsDone
    const links: ChainLink[] = []
    for (const { from, to } of request.ranges) {
      for (const commit of await this.#options.store.commits({
        feed: request.feed,
        after: from - 1,
        upTo: to,
      })) {
        links.push({
          seq: commit.seq,
          id: bytesToHex(commit.id),
          prev: bytesToHex(decodeHeader(commit.header).prev),
        })
      }
    }
    return { kind: 'links', links }
  }
}

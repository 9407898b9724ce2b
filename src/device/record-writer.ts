/**
 * Writing records: what is asked for while the previous commit is on its way to the disk is gathered into the next one (group commit
 * without a timer).
 *
 * The order that keeps a restored store from writing a feed twice: the commit is durable in the store, then the mark names it, then it is offered to anybody.
 */
import { bytesToHex, hexToBytes } from '../core/bytes.ts'
import type { Clock, Random } from '../core/environment.ts'
import { HavenError } from '../core/errors.ts'
import { compareTimes, nextTime, zeroTime } from '../core/hybrid-time.ts'
import { limits } from '../core/limits.ts'
import { writeCommits } from '../feed/author.ts'
import { commitKinds, decodeHeader } from '../feed/commit.ts'
import type { StoreChange, StoredCommit } from '../feed/commit-store.ts'
import type { Lane } from '../feed/descriptor.ts'
import { encodeControlPayload } from '../identity/control-fact.ts'
import type { Fact } from '../identity/control-fact.ts'
import type { FeedTable } from '../records/feed-table.ts'
import { ownEdit } from '../records/own-edit.ts'
import type { FreeEdit } from '../records/own-edit.ts'
import { encodePayload } from '../records/record-payload.ts'
import type { ContextEntry, RecordUpdate } from '../records/record-payload.ts'
import { applyFreeUpdate, backOf, planWrites } from '../records/record-state.ts'
import type { CommitStamp, RecordState, Writer } from '../records/record-state.ts'
import type { Reading } from '../records/reading.ts'
import type { RecordView } from '../records/visibility.ts'
import type { PlannedWrite } from '../records/writes.ts'
import type { MeshStore } from '../store/mesh-store.ts'
import type { Replica } from '../sync/replica.ts'
import type { Measure } from './collection.ts'
import type { ControlPlane } from './control-plane.ts'
import type { Integrator } from './integrator.ts'
import { timeChange } from './integrator.ts'
import type { Mutex } from './mutex.ts'
import type { OwnFeed, OwnFeeds } from './own-feeds.ts'

/** What is to be done to one record, decided when its turn comes and the record's state is known. */
export interface RecordChange {
  readonly id: string
  /** Writes for the record as it is seen then, read so; none: nothing changes. */
  plan?(view: RecordView, reading: Reading): readonly PlannedWrite[]
  /**
   * An edit of its text and free types, for the state as it is then; undefined: none. Called after `plan`, and again where the commit
   * has to be made anew.
   */
  free?(state: RecordState, writer: Writer): FreeEdit | undefined
}

export interface Written {
  /** Ids of the records that changed. */
  readonly changed: readonly string[]
  /** Undefined when nothing did. */
  readonly commit: { readonly feed: string; readonly seq: number } | undefined
  readonly commits: number
}

interface Queued {
  readonly collection: string
  readonly lane: Lane
  readonly changes: readonly RecordChange[]
  readonly resolve: (written: Written) => void
  readonly reject: (error: unknown) => void
}

/** A write that finds its records being built again so often in a row meets damage that stays. */
const maxAttempts = 10

/** Changes of so many records are gathered into one commit at most, unless one caller brings more. */
const groupRecords = 256

export interface RecordWriterOptions {
  readonly store: MeshStore
  readonly replica: Replica
  readonly control: ControlPlane
  readonly integrator: Integrator
  readonly ownFeeds: OwnFeeds
  readonly lock: Mutex
  readonly clock: Clock
  readonly random: Random
  /** Durable and marked: may be offered. */
  readonly wrote: (feeds: readonly string[], commits: readonly StoredCommit[]) => void
  readonly changed: (collection: string, ids: readonly string[]) => void
  readonly failed: (error: unknown) => void
}

export class RecordWriter {
  readonly #options: RecordWriterOptions
  readonly #queue: Queued[] = []
  #running = false

  constructor(options: RecordWriterOptions) {
    this.#options = options
  }

  /**
   * Resolves when what changed is durable.
   *
   * @param options.alone - in a commit of its own: what is decided depends on what others had seen before this one
   */
  write(
    collection: string,
    lane: Lane,
    changes: readonly RecordChange[],
    options: { readonly alone?: boolean } = {},
  ): Promise<Written> {
    if (!this.#options.control.mayWriteHere(collection)) {
      const role = this.#options.control.ownRole
      return Promise.reject(
        new HavenError(
          'NOT_ALLOWED',
          `This device is a ${role} and can not write records. Ask an admin to invite it as a clinician.`,
        ),
      )
    }
    if (this.#options.store.failure !== undefined)
      return Promise.reject(this.#options.store.failure)
    return new Promise((resolve, reject) => {
      this.#queue.push({
        collection,
        lane,
        changes,
        resolve,
        reject,
        ...(options.alone === true && alone),
      })
      void this.#run()
    })
  }

  /**
   * Writes control facts into the device's own feed of `_mesh`.
   *
   * @param after - of what they are to come after, whatever the clock says
   * @throws HavenError `RETIRING`, unless they say just that
   */
  async writeFacts(facts: readonly Fact[], after = zeroTime): Promise<StoredCommit[]> {
    const { control, lock, clock, integrator } = this.#options
    const isOfRetiring = facts.some(({ kind }) => kind === 'retiring')
    const commits = await lock.run(async () => {
      if (!isOfRetiring) control.assertTakesWrites()
      const feed = await this.#options.ownFeeds.feed(control.meshCollection, 'routine')
      integrator.time = nextTime(integrator.time, clock.nowMs())
      const time =
        compareTimes(integrator.time, after) > 0 ? integrator.time : nextTime(after, after.ms)
      const payload = encodeControlPayload({ time, facts })
      const written = this.#seal(feed, commitKinds.control, payload)
      await this.#store(feed, written, [timeChange(integrator.time)])
      // While the lock is held: no write comes in between.
      if (isOfRetiring) control.stored(written)
      return written
    })
    this.#options.wrote([commits[0]!.feed], commits)
    return commits
  }

  async #run(): Promise<void> {
    if (this.#running) return
    this.#running = true
    let attempts = 0
    while (this.#queue.length > 0) {
      // What is held has to be part of what people see before they replace it.
      await this.#options.integrator.idle()
      const group = this.#takeGroup()
      try {
        const { written, commits } = await this.#options.lock.run(() => this.#write(group))
        for (const [index, queued] of group.entries()) queued.resolve(written[index]!)
        attempts = 0
        this.#offer(commits)
      } catch (error) {
        const { failure } = this.#options.store
        if (failure !== undefined) {
          // Nothing more goes in, and what is in memory is ahead of the disk: the store has to be opened again.
          for (const queued of [...group, ...this.#queue.splice(0)]) queued.reject(failure)
          this.#options.failed(failure)
        } else if (error instanceof FeedMoved && ++attempts < maxAttempts)
          this.#queue.unshift(...group)
        else if (error instanceof FeedMoved) {
          attempts = 0
          for (const queued of group) queued.reject(unreadable())
        } else if (group.length === 1) group[0]!.reject(error)
        // One bad change must not take its neighbours along.
        else for (const queued of group.toReversed()) this.#queue.unshift({ ...queued, ...alone })
      }
    }
    this.#running = false
  }

  /** Durable and marked. Whatever goes wrong from here on, it has been written. */
  #offer(commits: readonly StoredCommit[]): void {
    try {
      if (commits.length > 0) this.#options.wrote([commits[0]!.feed], commits)
    } catch (error) {
      this.#options.failed(error)
    }
  }

  #isTip(feed: OwnFeed): boolean {
    const chain = this.#options.replica.staged(feed.descriptor.feed)
    return feed.tip.seq === 0
      ? chain.segments.length === 0
      : chain.tips().some(({ id }) => id === feed.tip.id)
  }

  #takeGroup(): Queued[] {
    const first = this.#queue.shift()!
    const group = [first]
    let records = first.changes.length
    if ('alone' in first) return group
    for (;;) {
      const next = this.#queue[0]
      if (next === undefined || 'alone' in next) return group
      if (next.collection !== first.collection || next.lane !== first.lane) return group
      records += next.changes.length
      if (records > groupRecords) return group
      group.push(next)
      this.#queue.shift()
    }
  }

  async #write(group: readonly Queued[]): Promise<{ written: Written[]; commits: StoredCommit[] }> {
    const { control, integrator, ownFeeds, clock } = this.#options
    control.assertTakesWrites()
    const { collection: collectionId, lane } = group[0]!
    const collection = await integrator.collection(collectionId)
    const feed = await ownFeeds.feed(collectionId, lane)
    const chain = this.#options.replica.staged(feed.descriptor.feed)
    collection.nameWriters(chain)
    const segment = Math.max(
      0,
      chain.leaves().find((index) => chain.segments[index]!.head === feed.tip.id) ?? 0,
    )
    const writer = collection.writerOf(feed.descriptor, chain, segment)

    const ids = [...new Set(group.flatMap(({ changes }) => changes.map(({ id }) => id)))]
    const before = await collection.states(ids)
    if (
      before.some(
        (state) =>
          state.writers.size > 1 || (state.writers.size === 1 && !state.writers.has(writer.writer)),
      )
    ) {
      await collection.causalityReady()
    }
    const measures = new Map<string, Measure>(
      before.map((state) => [state.id, collection.measure(state)]),
    )
    const original = new Map(before.map((state) => [state.id, state]))
    const time = nextTime(integrator.time, clock.nowMs())
    const {
      entries: context,
      advanced,
      table,
    } = this.#context(collectionId, feed.descriptor.feed, feed.told, feed.table)
    const { reading } = collection
    const stamp = (seq: number) => ({ seq, time, schemaVersion: reading.version, actor: '' })

    // What each caller wants depends on what the callers before it have done.
    const states = new Map(original)
    const writesById = new Map<string, PlannedWrite[]>()
    const editsById = new Map<string, FreeEdit[]>()
    const guess = stamp(feed.tip.seq + 1)
    const place = { writer: writer.writer, seq: guess.seq }
    const plannedById = new Map<string, ReturnType<typeof planWrites>>()
    const changedByCaller: string[][] = []
    for (const { changes } of group) {
      const changed: string[] = []
      for (const change of changes) {
        if (change.plan !== undefined) {
          const state = await collection.settledFor(states.get(change.id)!, place)
          const view = await collection.viewFor(state, reading, place)
          const writes = change.plan(view, reading)
          if (writes.length > 0) {
            const all = [...(writesById.get(change.id) ?? []), ...writes]
            writesById.set(change.id, all)
            const planned = planWrites(original.get(change.id)!, writer, guess, {
              writes: all,
              feeds: table,
            })
            plannedById.set(change.id, planned)
            const edit = joined(editsById.get(change.id), planned.state, writer)
            states.set(change.id, withFreeEdit(planned.state, writer, { commit: guess, edit }))
            changed.push(change.id)
          }
        }
        if (change.free !== undefined) {
          const state = states.get(change.id)!
          const edit = change.free(await collection.settledFor(state, place), writer)
          if (edit !== undefined) {
            editsById.set(change.id, [...(editsById.get(change.id) ?? []), edit])
            states.set(change.id, withFreeEdit(state, writer, { commit: guess, edit }))
            if (!changed.includes(change.id)) changed.push(change.id)
          }
        }
      }
      changedByCaller.push(changed)
    }
    const changedIds = [...new Set([...writesById.keys(), ...editsById.keys()])]
    if (changedIds.length === 0) {
      return {
        written: group.map(() => ({ changed: [], commit: undefined, commits: 0 })),
        commits: [],
      }
    }

    const build = (seq: number): { records: RecordUpdate[]; after: RecordState[] } => {
      const records: RecordUpdate[] = []
      const after: RecordState[] = []
      for (const id of changedIds) {
        let state = original.get(id)!
        const back = backOf(state, writer.writer)
        const writes = writesById.get(id)
        const free = joined(editsById.get(id), state, writer)
        let fields: Uint8Array | undefined
        if (writes !== undefined) {
          const planned =
            seq === guess.seq
              ? plannedById.get(id)!
              : planWrites(state, writer, stamp(seq), { writes, feeds: table })
          state = planned.state
          fields = planned.update
        }
        state = withFreeEdit(state, writer, { commit: stamp(seq), edit: free })
        records.push({
          id,
          back,
          ...(fields === undefined ? {} : { fields }),
          ...(free === undefined ? {} : { free }),
        })
        after.push(state)
      }
      return { records, after }
    }
    let { records, after } = build(feed.tip.seq + 1)
    const payload = encodePayload(
      { time, schemaVersion: reading.version, actor: '', context, records },
      feed.table,
    )
    // Nobody reads a longer one. Callers that share it are then written one by one.
    if (payload.length > limits.updateBytes + limits.commitPlaintextBytes) {
      throw new HavenError(
        'TOO_LARGE',
        `What is written at once may have ${limits.updateBytes / 1024 / 1024} MiB. Write it in parts.`,
      )
    }
    const commits = this.#seal(feed, commitKinds.records, payload)
    const last = commits.at(-1)!
    if (commits.length > 1) ({ after } = build(last.seq))

    // Nothing is said to have been seen by a commit that will not be.
    if (!this.#isTip(feed)) throw new FeedMoved()
    const changes: StoreChange[] = await collection.sees(
      { feed: feed.descriptor.feed, writer: writer.writer, seq: last.seq, id: last.id },
      context,
    )
    // From here on nothing is awaited until the chain is staged: no other branch of this feed can get in between.
    if (!this.#isTip(feed)) throw new FeedMoved()
    // On less than all that this feed has written, what is written now would be accepted nowhere.
    if (!integrator.hasReached(feed.descriptor, writer.writer, feed.tip)) {
      if (!integrator.isAtWork) await ownFeeds.leave('its own commits can not all be read')
      integrator.wake([])
      throw new FeedMoved()
    }
    for (const state of after) changes.push(...collection.replace(measures.get(state.id)!, state))
    integrator.time = time
    changes.push(
      ...integrator.moved(feed.descriptor, undefined, {
        writer: writer.writer,
        seq: last.seq,
        id: bytesToHex(last.id),
        table,
      }),
      collection.sumChange(),
      timeChange(time),
    )
    await this.#store(feed, commits, changes)
    feed.table = table
    for (const [told, seq] of advanced) feed.told.set(told, seq)
    this.#options.changed(collectionId, changedIds)
    return {
      written: changedByCaller.map((changed) => ({
        changed,
        commit: changed.length === 0 ? undefined : { feed: last.feed, seq: last.seq },
        commits: commits.length,
      })),
      commits,
    }
  }

  /** What has advanced, of the other feeds of the collection, since this feed's previous commit. */
  #context(
    collection: string,
    own: string,
    told: ReadonlyMap<string, number>,
    table: FeedTable,
  ): { entries: ContextEntry[]; advanced: Map<string, number>; table: FeedTable } {
    const entries: ContextEntry[] = []
    const advanced = new Map<string, number>()
    for (const { feed } of this.#options.integrator.feedsOf(collection)) {
      if (feed === own) continue
      for (const position of this.#options.integrator.positions(feed)) {
        if (position.seq <= (told.get(position.writer) ?? 0)) continue
        entries.push({ feed, seq: position.seq, id: hexToBytes(position.id).subarray(0, 4) })
        advanced.set(position.writer, position.seq)
      }
    }
    return { entries, advanced, table: table.naming(entries.map(({ feed }) => feed)) }
  }

  #seal(feed: OwnFeed, kind: number, payload: Uint8Array): StoredCommit[] {
    const { control, clock, random } = this.#options
    const epoch = control.epochToWrite(bytesToHex(feed.descriptor.collection))
    if (epoch === undefined) {
      throw new HavenError(
        'NOT_READABLE_YET',
        'This device has no key to write here yet. Connect it to a device of the mesh once.',
      )
    }
    return writeCommits(
      {
        descriptor: feed.descriptor,
        tip: feed.tip,
        lastDay: feed.lastDay,
        epoch: hexToBytes(epoch.epoch),
        epochKey: epoch.key,
        key: control.keys.signing,
        nowMs: clock.nowMs(),
        random,
      },
      kind,
      payload,
    )
  }

  async #store(
    feed: OwnFeed,
    commits: readonly StoredCommit[],
    changes: readonly StoreChange[],
  ): Promise<void> {
    const { store, replica, ownFeeds } = this.#options
    const isNew = replica.descriptor(feed.descriptor.feed) === undefined
    let chain = replica.staged(feed.descriptor.feed)
    let at = chain.leaves().find((index) => chain.segments[index]!.head === feed.tip.id) ?? -1
    for (const commit of commits) {
      const link = {
        seq: commit.seq,
        id: bytesToHex(commit.id),
        prev: bytesToHex(decodeHeader(commit.header).prev),
      }
      chain = chain.with(link, at)
      at = chain.leaves().find((index) => chain.segments[index]!.head === link.id)!
    }
    if (isNew) replica.addDescriptor(feed.descriptor)
    replica.stage(chain)
    await store.batch([
      ...(isNew
        ? [
            {
              kind: 'descriptor' as const,
              descriptor: { feed: feed.descriptor.feed, bytes: feed.descriptor.bytes },
            },
          ]
        : []),
      ...commits.map((commit) => ({ kind: 'commit' as const, commit })),
      { kind: 'chain', feed: chain.feed, value: chain.encode() },
      ...changes,
    ])
    replica.durable(chain)
    const last = commits.at(-1)!
    feed.tip = { seq: last.seq, id: bytesToHex(last.id) }
    feed.lastDay = decodeHeader(last.header).day
    await ownFeeds.mark()
  }
}

/** Of several edits of one record one. */
function joined(
  edits: readonly FreeEdit[] | undefined,
  state: RecordState,
  writer: Writer,
): FreeEdit | undefined {
  if (edits === undefined || edits.length < 2) return edits?.[0]
  const nextClock = state.writers.get(writer.writer)?.free?.nextClock ?? 0
  const own = { clientId: writer.freeClientId, nextClock }
  return ownEdit(
    edits.map(({ update }) => update),
    own,
  ).edit
}

function withFreeEdit(
  state: RecordState,
  writer: Writer,
  { commit, edit }: { commit: CommitStamp; edit: FreeEdit | undefined },
): RecordState {
  if (edit === undefined) return state
  const applied = applyFreeUpdate(state, writer, commit, { ...edit, hidden: false })
  if (applied.accepted) return applied.state
  throw new HavenError(
    'INVALID_VALUE',
    `This edit of a document can't be shared: ${applied.reason}.`,
  )
}

/**
 * Commits of this feed came from others while one was being made, or its records are being built again: it is made again, where needed in
 * a new incarnation.
 */
class FeedMoved extends Error {}

function unreadable(): HavenError {
  return new HavenError(
    'STORE_DAMAGED',
    'The records can not be read whole, so nothing was written. Start this device again: it is repaired at the start.',
  )
}

const alone = { alone: true }

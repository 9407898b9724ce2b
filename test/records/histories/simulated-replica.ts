/** A replica of one collection over the real functions: what `device` does around them, in memory, without crypto. */
import * as Y from 'yjs'
import { bytesToHex, hexToBytes, utf8ToBytes } from '../../../src/core/bytes.ts'
import { followTime, nextTime, zeroTime, type HybridTime } from '../../../src/core/hybrid-time.ts'
import { domainHash } from '../../../src/crypto/hash.ts'
import { CausalIndex, type Place } from '../../../src/records/causality.ts'
import { ContentSum, recordHash } from '../../../src/records/content-hash.ts'
import { canonicalFreeUpdate, docUpdate } from '../../../src/records/doc.ts'
import { FeedTable } from '../../../src/records/feed-table.ts'
import { settleFree, settlesForGood } from '../../../src/records/settle-free.ts'
import { withPlanned } from '../../../src/records/planned-commit.ts'
import type { Reading } from '../../../src/records/reading.ts'
import { decodeRecordState, encodeRecordState } from '../../../src/records/record-bytes.ts'
import {
  decodePayload,
  encodePayload,
  type ContextEntry,
  type RecordPayload,
  type RecordUpdate,
} from '../../../src/records/record-payload.ts'
import {
  applyFieldsUpdate,
  applyFreeUpdate,
  backOf,
  emptyRecord,
  planWrites,
  type CommitStamp,
  type RecordState,
  type Writer,
} from '../../../src/records/record-state.ts'
import { viewRecord, type RecordView } from '../../../src/records/visibility.ts'
import type { PlannedWrite } from '../../../src/records/writes.ts'

export interface Commit {
  readonly id: string
  readonly feed: string
  readonly seq: number
  readonly prev: string
  readonly payload: Uint8Array
}

export const noCommit = ''

/** What is done to one record in one commit. */
export interface Change {
  /** One for each caller that shares the commit: its writes, given what it sees. */
  readonly plans: readonly ((view: RecordView) => readonly PlannedWrite[])[]
  readonly edit?: ((doc: Y.Doc) => void) | undefined
}

export interface Written {
  readonly commit: Commit
  /** What it says. */
  readonly time: HybridTime
  /** By record: what the callers asked for, in their order. */
  readonly planned: ReadonlyMap<string, readonly PlannedWrite[]>
}

/** What a device has on its disk; restoring a backup goes back to one. */
export interface Backup {
  readonly commits: ReadonlyMap<string, Commit>
  readonly own: ReadonlyMap<string, OwnFeed>
  readonly time: HybridTime
}

interface OwnFeed {
  readonly head: Commit | undefined
  /** Tips that its contexts have named. */
  readonly named: ReadonlySet<string>
}

const noFeed: OwnFeed = { head: undefined, named: new Set() }

export class Replica {
  readonly commits = new Map<string, Commit>()
  readonly reading: Reading
  /** The device's own clock. */
  nowMs: number
  /** `feed:seq record` of updates that were not accepted. */
  readonly refused: string[] = []
  #hidden: ReadonlySet<string> = new Set()
  #own = new Map<string, OwnFeed>()
  #time = zeroTime
  readonly #children = new Map<string, number>()
  readonly #tips = new Set<string>()
  readonly #byPlace = new Map<string, Commit[]>()
  /** Derived from here on. */
  #names = new Map<string, string>()
  #tables = new Map<string, FeedTable>()
  #records = new Map<string, RecordState>()
  #causal = new CausalIndex()
  #waiting = new Map<string, { place: Place; idPrefix: string }[]>()
  /** Between any two steps the states are read from bytes. */
  readonly #storesBytes: boolean

  constructor(
    reading: Reading,
    { nowMs = 0, storesBytes = false }: { nowMs?: number; storesBytes?: boolean } = {},
  ) {
    this.reading = reading
    this.nowMs = nowMs
    this.#storesBytes = storesBytes
  }

  backup(): Backup {
    return { commits: new Map(this.commits), own: new Map(this.#own), time: this.#time }
  }

  /** The same device, gone back to a backup. */
  restored(backup: Backup): Replica {
    const replica = new Replica(this.reading, { nowMs: this.nowMs, storesBytes: this.#storesBytes })
    for (const commit of backup.commits.values()) replica.receive(commit)
    replica.#own = new Map(backup.own)
    replica.#time = backup.time
    return replica
  }

  /** Its predecessor has to be held; a second time does nothing. */
  receive(commit: Commit): void {
    if (this.commits.has(commit.id)) return
    this.commits.set(commit.id, commit)
    this.#tips.delete(commit.prev)
    this.#tips.add(commit.id)
    const place = `${commit.feed}:${commit.seq}`
    this.#byPlace.set(place, [...(this.#byPlace.get(place) ?? []), commit])
    const parent = parentOf(commit)
    const children = (this.#children.get(parent) ?? 0) + 1
    this.#children.set(parent, children)
    if (children > 1) this.rebuild()
    else this.#integrate(commit)
  }

  hide(ids: ReadonlySet<string>): void {
    this.#hidden = ids
    this.rebuild()
  }

  isHidden(id: string): boolean {
    return this.#hidden.has(id)
  }

  /** Forgets all that is derived, and derives it from the commits, in any order that keeps each feed's. */
  rebuild(order: readonly Commit[] = [...this.commits.values()]): void {
    this.#names = new Map()
    this.#tables = new Map()
    this.#records = new Map()
    this.#causal = new CausalIndex()
    this.#waiting = new Map()
    this.refused.length = 0
    const names = writerNames(this.commits.values())
    for (const commit of order) this.#integrate(commit, names.get(commit.id))
  }

  /**
   * Writes one commit, as a device does for several callers whose turn comes at once.
   *
   * @param change.mischief - changes what honest code would have sent
   */
  write(
    feed: string,
    change: {
      readonly records: ReadonlyMap<string, Change>
      readonly schemaVersion?: number
      readonly mischief?: (payload: RecordPayload) => RecordPayload
    },
  ): Written {
    const { head, named } = this.#own.get(feed) ?? noFeed
    this.#time = nextTime(this.#time, this.nowMs)
    const tips = this.#tipsBut(head)
    const context = tips.filter(({ id }) => !named.has(id)).map(entryOf)
    const before = head === undefined ? FeedTable.empty : this.#tables.get(head.id)!
    const table = before.naming(context.map((entry) => entry.feed))
    const seq = (head?.seq ?? 0) + 1
    const writer = this.#writer(
      feed,
      head === undefined ? feed : this.#names.get(head.id)!,
      head?.prev,
    )
    if (head === undefined) this.#causal.addWriter(feed)
    const { schemaVersion = this.reading.version } = change
    const stamp = { seq, time: this.#time, schemaVersion, actor: '' }
    const planned = new Map<string, readonly PlannedWrite[]>()
    const records: RecordUpdate[] = []
    for (const [id, each] of change.records) {
      const writes = this.#plan(this.state(id), { writer, stamp, table, change: each })
      const update = this.#update(this.state(id), { writer, stamp, table, writes })
      const free = each.edit && this.#edit(id, writer, each.edit)
      if (update === undefined && free === undefined) continue
      planned.set(id, writes)
      records.push({
        id,
        back: backOf(this.state(id), writer.writer),
        ...(update !== undefined && { fields: update }),
        ...(free !== undefined && { free }),
      })
    }
    const honest: RecordPayload = { ...stamp, context, records }
    const payload = encodePayload(change.mischief?.(honest) ?? honest, before)
    const prev = head?.id ?? noCommit
    const id = bytesToHex(domainHash('test/commit', utf8ToBytes(feed + seq + prev), payload))
    const commit = { id, feed, seq, prev, payload }
    this.#own.set(feed, { head: commit, named: new Set(tips.map((tip) => tip.id)) })
    this.receive(commit)
    return { commit, planned, time: stamp.time }
  }

  /** Each caller sees what those before it have done. */
  #plan(
    original: RecordState,
    by: { writer: Writer; stamp: CommitStamp; table: FeedTable; change: Change },
  ): readonly PlannedWrite[] {
    const { writer, stamp, table: feeds, change } = by
    let writes: readonly PlannedWrite[] = []
    let state = original
    for (const plan of change.plans) {
      const causality = withPlanned(this.#causal, { writer: writer.writer, seq: stamp.seq })
      const settled = settleFree(state, causality)
      const view = viewRecord(settled, causality, this.reading, this.nowMs)
      writes = [...writes, ...plan(view)]
      state = planWrites(original, writer, stamp, { writes, feeds }).state
    }
    return writes
  }

  #update(
    state: RecordState,
    by: { writer: Writer; stamp: CommitStamp; table: FeedTable; writes: readonly PlannedWrite[] },
  ): Uint8Array | undefined {
    const { writer, stamp, table: feeds, writes } = by
    if (writes.length === 0) return undefined
    return planWrites(state, writer, stamp, { writes, feeds }).update
  }

  #edit(id: string, { freeClientId }: Writer, edit: (doc: Y.Doc) => void): RecordUpdate['free'] {
    const doc = new Y.Doc({ guid: id })
    Y.applyUpdate(doc, docUpdate(this.settled(id)))
    doc.clientID = freeClientId
    const stateVector = Y.encodeStateVector(doc)
    let written: Uint8Array | undefined
    doc.on('update', (update: Uint8Array) => {
      written = update
    })
    doc.transact(() => {
      edit(doc)
    })
    return written && { stateVector, update: written }
  }

  state(id: string): RecordState {
    return this.#records.get(id) ?? emptyRecord(id)
  }

  /** With the text that counts by what is known now. */
  settled(id: string): RecordState {
    return settleFree(this.state(id), this.#causal)
  }

  get causality(): CausalIndex {
    return this.#causal
  }

  view(id: string, reading = this.reading): RecordView {
    return viewRecord(this.settled(id), this.#causal, reading, this.nowMs)
  }

  contentHash(): string {
    const sum = new ContentSum()
    for (const id of this.#records.keys()) {
      const { live } = this.view(id)
      sum.add(recordHash(id, { live, free: canonicalFreeUpdate(this.settled(id)) }))
    }
    return bytesToHex(sum.toBytes())
  }

  /** Whether it has a commit of its own feed that it does not remember. */
  holdsOtherBranch(feed: string): boolean {
    let own = 0
    for (
      let commit = this.#own.get(feed)?.head;
      commit !== undefined;
      commit = this.commits.get(commit.prev)
    ) {
      own++
    }
    let held = 0
    for (const commit of this.commits.values()) if (commit.feed === feed) held++
    return held > own
  }

  /** Of its next commit in a feed of its own. */
  nextSeq(feed: string): number {
    return (this.#own.get(feed)?.head?.seq ?? 0) + 1
  }

  /** Whether nothing that it holds of its own feed goes on from where it stopped itself. */
  isTip(feed: string): boolean {
    const { head } = this.#own.get(feed) ?? noFeed
    return head !== undefined && this.#tips.has(head.id)
  }

  /** The feeds that a commit of this feed, made now, can name as places that it does not replace. */
  feedsNamedBy(feed: string): FeedTable {
    const { head, named } = this.#own.get(feed) ?? noFeed
    const before = head === undefined ? FeedTable.empty : this.#tables.get(head.id)!
    return before.naming(
      this.#tipsBut(head)
        .filter((tip) => !named.has(tip.id))
        .map((tip) => tip.feed),
    )
  }

  #tipsBut(head: Commit | undefined): Commit[] {
    return [...this.#tips].map((id) => this.commits.get(id)!).filter((tip) => tip !== head)
  }

  #integrate(commit: Commit, name?: string): void {
    const parentName = commit.prev === noCommit ? commit.feed : this.#names.get(commit.prev)!
    const writerName = name ?? parentName
    this.#names.set(commit.id, writerName)
    const place = { writer: writerName, seq: commit.seq }
    if (!this.#causal.has(writerName)) {
      const isBranch = writerName !== commit.feed && commit.prev !== noCommit
      if (isBranch) {
        this.#causal.addWriter(writerName, { writer: parentName, seq: commit.seq - 1 })
      } else this.#causal.addWriter(writerName)
    }
    const tableBefore = commit.prev === noCommit ? FeedTable.empty : this.#tables.get(commit.prev)!
    const { payload, feeds } = decodePayload(commit.payload, tableBefore)
    this.#tables.set(commit.id, feeds)
    this.#time = followTime(this.#time, payload.time, this.nowMs)
    const hidden = this.#hidden.has(commit.id)
    if (!hidden) for (const entry of payload.context) this.#seen(place, entry)
    this.#resolveWaiting(commit, place)
    const writer = this.#writer(commit.feed, writerName, commit.prev)
    const { time, schemaVersion, actor } = payload
    const stamp = { seq: commit.seq, time, schemaVersion, actor }
    for (const { id, fields, free } of payload.records) {
      if (fields !== undefined) {
        const update = { update: fields, hidden, feeds }
        this.#take(commit, applyFieldsUpdate(this.state(id), writer, stamp, update))
      }
      if (free !== undefined) {
        this.#take(commit, applyFreeUpdate(this.state(id), writer, stamp, { ...free, hidden }))
      }
    }
  }

  #take(commit: Commit, { state, accepted }: ReturnType<typeof applyFieldsUpdate>): void {
    if (!accepted) this.refused.push(`${commit.feed}:${commit.seq} ${state.id}`)
    const kept = settlesForGood(state) ? settleFree(state, this.#causal) : state
    this.#records.set(
      state.id,
      this.#storesBytes ? decodeRecordState(encodeRecordState(kept)) : kept,
    )
  }

  #seen(place: Place, { feed, seq, id }: ContextEntry): void {
    const idPrefix = bytesToHex(id)
    const key = `${feed}:${seq}`
    const named = this.#byPlace.get(key)?.find((commit) => commit.id.startsWith(idPrefix))
    const writer = named && this.#names.get(named.id)
    if (writer !== undefined) this.#causal.addSeen(place.writer, place.seq, [{ writer, seq }])
    else this.#waiting.set(key, [...(this.#waiting.get(key) ?? []), { place, idPrefix }])
  }

  #resolveWaiting(commit: Commit, place: Place): void {
    const key = `${commit.feed}:${commit.seq}`
    const waiting = this.#waiting.get(key)
    if (waiting === undefined) return
    for (const { place: by, idPrefix } of waiting) {
      if (commit.id.startsWith(idPrefix)) this.#causal.addSeen(by.writer, by.seq, [place])
    }
    this.#waiting.set(
      key,
      waiting.filter(({ idPrefix }) => !commit.id.startsWith(idPrefix)),
    )
  }

  #writer(feed: string, writer: string, prev = noCommit): Writer {
    const ancestors: string[] = []
    for (let id = prev; id !== noCommit; id = this.commits.get(id)!.prev) {
      const name = this.#names.get(id)!
      if (name !== writer && ancestors.at(-1) !== name) ancestors.push(name)
    }
    return { writer, feed, ancestors, ...clientsOf(feed) }
  }
}

/** The writer that each commit belongs to, given the commits that are held: from a fork on, each branch is one. */
export function writerNames(held: Iterable<Commit>): Map<string, string> {
  const commits = [...held].toSorted((a, b) => a.seq - b.seq)
  const children = new Map<string, number>()
  for (const commit of commits) {
    children.set(parentOf(commit), (children.get(parentOf(commit)) ?? 0) + 1)
  }
  const names = new Map<string, string>()
  for (const commit of commits) {
    const before = commit.prev === noCommit ? commit.feed : names.get(commit.prev)!
    names.set(commit.id, children.get(parentOf(commit)) === 1 ? before : commit.id)
  }
  return names
}

function parentOf({ feed, prev }: Commit): string {
  return prev === noCommit ? feed : prev
}

function entryOf({ feed, seq, id }: Commit): ContextEntry {
  return { feed, seq, id: hexToBytes(id.slice(0, 8)) }
}

const clients = new Map<string, { clientId: number; freeClientId: number }>()

export function clientsOf(feed: string): { clientId: number; freeClientId: number } {
  const known = clients.get(feed)
  if (known !== undefined) return known
  const hash = bytesToHex(domainHash('test/client', utf8ToBytes(feed)))
  const clientId = Number.parseInt(hash.slice(0, 13), 16)
  const both = { clientId, freeClientId: clientId + 1 }
  clients.set(feed, both)
  return both
}

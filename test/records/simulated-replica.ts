/** A replica of one collection over the real functions: what `device` does around them, in memory, without crypto. */
import { bytesToHex, hexToBytes, utf8ToBytes } from '../../src/core/bytes.ts'
import { nextTime, zeroTime, type HybridTime } from '../../src/core/hybrid-time.ts'
import { domainHash } from '../../src/crypto/hash.ts'
import { CausalIndex, type Place } from '../../src/records/causality.ts'
import { ContentSum, recordHash } from '../../src/records/content-hash.ts'
import { canonicalFreeUpdate } from '../../src/records/doc.ts'
import { FeedTable } from '../../src/records/feed-table.ts'
import { decodeRecordState, encodeRecordState } from '../../src/records/record-bytes.ts'
import {
  decodePayload,
  encodePayload,
  type ContextEntry,
  type RecordPayload,
  type RecordUpdate,
} from '../../src/records/record-payload.ts'
import {
  applyFieldsUpdate,
  backOf,
  emptyRecord,
  planWrites,
  type RecordState,
  type Writer,
} from '../../src/records/record-state.ts'
import { viewRecord, type RecordView } from '../../src/records/visibility.ts'
import type { Reading } from '../../src/records/reading.ts'
import type { PlannedWrite } from '../../src/records/writes.ts'

export interface Commit {
  readonly id: string
  readonly feed: string
  readonly seq: number
  readonly prev: string
  readonly payload: Uint8Array
}

/** Every field is one where a person decides. */
const everythingUndecided: Reading = {
  version: 0,
  digest: '',
  ruleOf: () => ({ strategy: 'mvr', rank: 'normal' }),
  deletePolicyOf: () => 'resurrect',
  textFieldsOf: () => [],
  knows: () => true,
  lensesOf: () => undefined,
}

export const noCommit = ''

/** The writer that each commit belongs to, given the commits that are held: from a fork on, each branch is one. */
export function writerNames(held: Iterable<Commit>): Map<string, string> {
  const commits = [...held].toSorted((a, b) => a.seq - b.seq)
  const children = new Map<string, number>()
  const parentOf = ({ feed, prev }: Commit): string => (prev === noCommit ? feed : prev)
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

/** What a device has on its disk; restoring a backup goes back to one. */
export interface Backup {
  readonly commits: ReadonlyMap<string, Commit>
  readonly own: ReadonlyMap<string, Lane>
  readonly time: HybridTime
}

interface Lane {
  readonly head: Commit | undefined
  /** Tips that its contexts have named. */
  readonly named: ReadonlySet<string>
}

export class Replica {
  readonly commits = new Map<string, Commit>()
  #hidden: ReadonlySet<string> = new Set()
  #own = new Map<string, Lane>()
  #time = zeroTime
  /** Derived from here on. */
  #names = new Map<string, string>()
  #tables = new Map<string, FeedTable>()
  #records = new Map<string, Uint8Array>()
  #causal = new CausalIndex()
  #waiting = new Map<string, { place: Place; idPrefix: string }[]>()

  backup(): Backup {
    return { commits: new Map(this.commits), own: new Map(this.#own), time: this.#time }
  }

  static restored(backup: Backup): Replica {
    const replica = new Replica()
    for (const commit of backup.commits.values()) replica.receive(commit)
    replica.#own = new Map(backup.own)
    replica.#time = backup.time
    return replica
  }

  /** Its predecessor has to be held; a second time does nothing. */
  receive(commit: Commit): void {
    if (this.commits.has(commit.id)) return
    this.commits.set(commit.id, commit)
    const siblings = [...this.commits.values()].some(
      (other) => other !== commit && other.feed === commit.feed && other.prev === commit.prev,
    )
    if (siblings) this.rebuild()
    else this.#integrate(commit)
  }

  hide(ids: ReadonlySet<string>): void {
    this.#hidden = ids
    this.rebuild()
  }

  /** Forgets all that is derived, and derives it from the commits, in any order that keeps each feed's. */
  rebuild(order: readonly Commit[] = [...this.commits.values()]): void {
    this.#names = new Map()
    this.#tables = new Map()
    this.#records = new Map()
    this.#causal = new CausalIndex()
    this.#waiting = new Map()
    const names = writerNames(this.commits.values())
    for (const commit of order) this.#integrate(commit, names.get(commit.id))
  }

  /** Writes one commit. `mischief` changes what honest code would have sent. */
  write(
    feed: string,
    nowMs: number,
    change: {
      readonly writes: ReadonlyMap<string, readonly PlannedWrite[]>
      readonly mischief?: (payload: RecordPayload) => RecordPayload
    },
  ): Commit {
    const { head, named } = this.#own.get(feed) ?? { head: undefined, named: new Set<string>() }
    this.#time = nextTime(this.#time, nowMs)
    const tips = this.#tips().filter((tip) => tip !== head)
    const context = tips.filter(({ id }) => !named.has(id)).map(entryOf)
    const before = head === undefined ? FeedTable.empty : this.#tables.get(head.id)!
    const feeds = before.naming(context.map((entry) => entry.feed))
    const seq = (head?.seq ?? 0) + 1
    const writer = this.#writer(
      feed,
      head === undefined ? feed : this.#names.get(head.id)!,
      head?.prev,
    )
    const stamp = { seq, time: this.#time, schemaVersion: 0, actor: '' }
    const records = [...change.writes].map(([id, writes]): RecordUpdate => {
      const state = this.state(id)
      const { update } = planWrites(state, writer, stamp, { writes, feeds })
      return { id, back: backOf(state, writer.writer), fields: update }
    })
    const honest: RecordPayload = { ...stamp, context, records }
    const payload = encodePayload(change.mischief?.(honest) ?? honest, before)
    const prev = head?.id ?? noCommit
    const id = bytesToHex(domainHash('test/commit', utf8ToBytes(feed + seq + prev), payload))
    const commit = { id, feed, seq, prev, payload }
    this.#own.set(feed, { head: commit, named: new Set(tips.map((tip) => tip.id)) })
    this.receive(commit)
    return commit
  }

  state(id: string): RecordState {
    const bytes = this.#records.get(id)
    return bytes === undefined ? emptyRecord(id) : decodeRecordState(bytes)
  }

  view(id: string): RecordView {
    return viewRecord(this.state(id), this.#causal, everythingUndecided)
  }

  contentHash(): string {
    const sum = new ContentSum()
    for (const id of this.#records.keys()) {
      sum.add(
        recordHash(id, {
          live: this.view(id).live,
          free: canonicalFreeUpdate(this.state(id)),
        }),
      )
    }
    return bytesToHex(sum.toBytes())
  }

  /** Whether it has a commit of its own feed that it does not remember. */
  holdsOtherBranch(feed: string): boolean {
    const own = new Set<string>()
    for (
      let commit = this.#own.get(feed)?.head;
      commit !== undefined;
      commit = this.commits.get(commit.prev)
    ) {
      own.add(commit.id)
    }
    return [...this.commits.values()].some((commit) => commit.feed === feed && !own.has(commit.id))
  }

  /** The numbers that a commit of this feed, made now, would use for unseen places. */
  feedsNamedBy(feed: string): FeedTable {
    const head = this.#own.get(feed)?.head
    const before = head === undefined ? FeedTable.empty : this.#tables.get(head.id)!
    const { named } = this.#own.get(feed) ?? { named: new Set<string>() }
    const fresh = this.#tips().filter((tip) => tip !== head && !named.has(tip.id))
    return before.naming(fresh.map((tip) => tip.feed))
  }

  #tips(): Commit[] {
    const previous = new Set([...this.commits.values()].map(({ prev }) => prev))
    return [...this.commits.values()].filter(({ id }) => !previous.has(id))
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
    const hidden = this.#hidden.has(commit.id)
    if (!hidden) for (const entry of payload.context) this.#seen(place, entry)
    this.#resolveWaiting(commit, place)
    const writer = this.#writer(commit.feed, writerName, commit.prev)
    for (const { id, fields } of payload.records) {
      const applied = applyFieldsUpdate(
        this.state(id),
        writer,
        { ...payload, seq: commit.seq },
        { update: fields!, hidden, feeds },
      )
      this.#records.set(id, encodeRecordState(applied.state))
    }
  }

  #seen(place: Place, { feed, seq, id }: ContextEntry): void {
    const idPrefix = bytesToHex(id)
    const named = [...this.commits.values()].find(
      (commit) => commit.feed === feed && commit.seq === seq && commit.id.startsWith(idPrefix),
    )
    const writer = named && this.#names.get(named.id)
    if (writer !== undefined) this.#causal.addSeen(place.writer, place.seq, [{ writer, seq }])
    else {
      const key = `${feed}:${seq}`
      this.#waiting.set(key, [...(this.#waiting.get(key) ?? []), { place, idPrefix }])
    }
  }

  #resolveWaiting(commit: Commit, place: Place): void {
    const key = `${commit.feed}:${commit.seq}`
    const waiting = this.#waiting.get(key) ?? []
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

function entryOf({ feed, seq, id }: Commit): ContextEntry {
  return { feed, seq, id: hexToBytes(id.slice(0, 8)) }
}

export function clientsOf(feed: string): { clientId: number; freeClientId: number } {
  const clientId = Number.parseInt(domainHashHex(feed).slice(0, 13), 16)
  return { clientId, freeClientId: clientId + 1 }
}

function domainHashHex(text: string): string {
  return bytesToHex(domainHash('test/client', utf8ToBytes(text)))
}

/** One transaction of the store of a mesh: what a process puts in is merged with what others have put in. */
import { bytesToHex, equalBytes, hexToBytes } from '../../core/bytes.ts'
import { HavenError } from '../../core/errors.ts'
import { FeedChain } from '../../feed/chain.ts'
import { encodeChecked } from '../checked-row.ts'
import type { Damage } from '../damage.ts'
import { feedKey, shortIdBytes } from '../layout.ts'
import { bigintArray, byteaArray } from './binary-array.ts'
import { commitOfRow, linkOf } from './commit-reader.ts'
import type { CommitRow } from './commit-reader.ts'
import type { Transaction } from './transaction.ts'
import { chainOfAll, feedRows, mergeChain } from './merge-chain.ts'
import type { FeedRows, Incoming } from './merge-chain.ts'
import { StateDraft, learnSince, readableChain } from './mesh-state.ts'
import type { Amount, MeshState } from './mesh-state.ts'
import { placeName } from './store-operation.ts'
import type { StoreOperation } from './store-operation.ts'
import { sql } from './store-sql.ts'

type CommitOperation = Extract<StoreOperation, { kind: 'commit' }>
type ChainOperation = Extract<StoreOperation, { kind: 'chain' }>
type RowOperation = Extract<StoreOperation, { kind: 'row' }>

export interface BatchContext {
  /** 16 bytes. */
  readonly mesh: Uint8Array
  /** For messages. */
  readonly place: string
  readonly state: MeshState
  readonly report: (damage: Damage) => void
  readonly nowMs: number
}

/**
 * @returns what the state is to become when the transaction has been committed
 * @throws HavenError `SERVER_UNKNOWN_MESH` when the mesh was removed; `STORE_FAILED` when the database has lost what it had
 */
export async function writeBatch(
  transaction: Transaction,
  operations: readonly StoreOperation[],
  context: BatchContext,
): Promise<StateDraft> {
  const draft = await nextDraft(transaction, context)
  const writer = new BatchWriter(transaction, draft, context)
  const commits = operations.filter((operation) => operation.kind === 'commit')
  const chains = operations.filter((operation) => operation.kind === 'chain')
  const rows = operations.filter((operation) => operation.kind === 'row')
  await writer.commits(uniqueCommits(commits))
  await writer.chains(chains)
  await writer.rows(rows)
  return draft
}

/** Takes this process's turn among the writers of the mesh, and learns what the others have done since its last one. */
async function nextDraft(
  transaction: Transaction,
  { mesh, place, state, report }: BatchContext,
): Promise<StateDraft> {
  const { rows } = await transaction.run<{ revision: number }>(sql.nextRevision, [mesh])
  const revision = rows[0]?.revision
  if (revision === undefined) throw removedError(place)
  if (revision <= state.revision) throw wentBackError(place)
  const draft = new StateDraft(state, revision)
  if (revision > state.revision + 1) {
    const since = { mesh, after: state.revision, before: revision }
    await learnSince(transaction, draft, since, report)
  }
  return draft
}

class BatchWriter {
  readonly #transaction: Transaction
  readonly #draft: StateDraft
  readonly #context: BatchContext
  /** What has come in, by feed. */
  readonly #incoming = new Map<string, Incoming[]>()
  /** How many commits were at the places of those that were there already, by feed and seq. */
  readonly #beside = new Map<string, number>()
  readonly #changedRows = new Map<string, { key: Uint8Array; row: Uint8Array | null }>()
  readonly #written: CommitOperation[] = []

  constructor(transaction: Transaction, draft: StateDraft, context: BatchContext) {
    this.#transaction = transaction
    this.#draft = draft
    this.#context = context
  }

  async commits(operations: readonly CommitOperation[]): Promise<void> {
    if (operations.length === 0) return
    const { rows } = await this.#transaction.run<CommitRow & { feed: Uint8Array }>(sql.addCommits, [
      this.#context.mesh,
      byteaArray(operations.map(({ key }) => key.subarray(1, 17))),
      bigintArray(operations.map(({ commit }) => commit.seq)),
      byteaArray(operations.map(({ commit }) => commit.id.subarray(0, shortIdBytes))),
      byteaArray(operations.map(({ value }) => value)),
      bigintArray(operations.map(bytesOf)),
      bigintArray(operations.map(({ commit }) => commit.ciphertext.length)),
      this.#context.nowMs,
    ])
    const added = new Set(rows.map(({ feed, seq, id8 }) => placeName(bytesToHex(feed), seq, id8)))
    const known: CommitOperation[] = []
    for (const operation of operations) {
      const { commit } = operation
      const isNew = added.has(nameOf(operation))
      if (isNew) this.#written.push(operation)
      else known.push(operation)
      const incoming = this.#incoming.get(commit.feed) ?? []
      incoming.push({ link: linkOf(commit), isNew })
      this.#incoming.set(commit.feed, incoming)
    }
    if (known.length > 0) await this.#lookAt(known, added)
  }

  /** Commits that were there already: a damaged one is written again, and one that had no signature may get it. */
  async #lookAt(known: readonly CommitOperation[], added: ReadonlySet<string>): Promise<void> {
    const places = new Map(known.map(({ commit }) => [placeOf(commit.feed, commit.seq), commit]))
    const { rows } = await this.#transaction.run<CommitRow & { feed: Uint8Array }>(
      sql.commitsBeside,
      [
        this.#context.mesh,
        byteaArray([...places.values()].map(({ feed }) => hexToBytes(feed))),
        bigintArray([...places.values()].map(({ seq }) => seq)),
      ],
    )
    const byName = new Map(known.map((operation) => [nameOf(operation), operation]))
    for (const row of rows) {
      const feed = bytesToHex(row.feed)
      const name = placeName(feed, row.seq, row.id8)
      if (added.has(name)) continue
      const place = placeOf(feed, row.seq)
      this.#beside.set(place, (this.#beside.get(place) ?? 0) + 1)
      const operation = byName.get(name)
      if (operation === undefined) continue
      const held = commitOfRow(feed, row)
      const isBetter =
        held === undefined ||
        (held.signature === undefined && operation.commit.signature !== undefined)
      if (isBetter) {
        const { mesh } = this.#context
        const values = [mesh, row.feed, row.seq, row.id8, operation.value]
        await this.#transaction.run(sql.replaceCommit, values)
      }
    }
  }

  async chains(operations: readonly ChainOperation[]): Promise<void> {
    const stated = new Map(operations.map((operation) => [operation.feed, operation]))
    for (const [feed, incoming] of this.#incoming) {
      const before = this.#draft.chain(feed)
      const inOrder = incoming.toSorted((a, b) => a.link.seq - b.link.seq)
      const chain = await mergeChain(before, inOrder, this.#rowsOf(feed))
      this.#chainIs(feed, { before, chain, stated: stated.get(feed) })
    }
    for (const operation of operations) if (operation.asItIs) await this.#chainAsItIs(operation)
  }

  async #chainAsItIs(operation: ChainOperation): Promise<void> {
    const { feed, key, stated } = operation
    if (this.#draft.chains.has(feed)) {
      // Others have changed it since it was worked out.
      const before = this.#draft.chain(feed)
      const chain = await chainOfAll(this.#rowsOf(feed))
      this.#chainIs(feed, { before, chain, stated: operation })
      return
    }
    this.#set(key, stated === undefined ? null : encodeChecked(key, stated))
    const chain = stated === undefined ? new FeedChain(feed) : readableChain(feed, stated)
    this.#draft.chains.set(feed, chain)
    this.#draft.known.chains.add(feed)
  }

  #rowsOf(feed: string): FeedRows {
    const countAt = (seq: number): number => this.#beside.get(placeOf(feed, seq)) ?? 0
    return feedRows(this.#transaction, this.#context.mesh, feed, countAt)
  }

  #chainIs(
    feed: string,
    {
      before,
      chain,
      stated,
    }: { before: FeedChain | undefined; chain: FeedChain; stated: ChainOperation | undefined },
  ): void {
    const value = chain.encode()
    const isChanged = before === undefined || !chain.equals(before)
    if (isChanged) {
      const key = feedKey('chain', feed)
      this.#set(key, encodeChecked(key, value))
      this.#draft.chains.set(feed, chain)
    }
    if (stated?.stated !== undefined && equalBytes(stated.stated, value)) {
      this.#draft.known.chains.add(feed)
    } else if (stated !== undefined || isChanged) {
      this.#draft.news.chains.set(feed, value)
    }
  }

  /** All rows, those of chains too; then what was written is counted. */
  async rows(operations: readonly RowOperation[]): Promise<void> {
    const last = lastOfEach(operations)
    const puts = last.filter(({ value }) => value !== undefined)
    const deleted = last.filter(({ value }) => value === undefined)
    const keys = [
      ...puts.map(({ key }) => key),
      ...[...this.#changedRows.values()].map((r) => r.key),
    ]
    if (keys.length > 0) {
      const changed = [...this.#changedRows.values()]
      const { rows } = await this.#transaction.run<{ key: Uint8Array }>(sql.setRows, [
        this.#context.mesh,
        byteaArray(keys),
        byteaArray([...puts.map(({ value }) => value!), ...changed.map(({ row }) => row)]),
        bigintArray([...puts.map(({ order }) => order), ...changed.map(() => null)]),
        this.#draft.revision,
      ])
      const written = new Set(rows.map(({ key }) => keyName(key)))
      for (const put of puts) if (written.has(keyName(put.key))) this.#isKnown(put)
    }
    if (deleted.length > 0) {
      const array = byteaArray(deleted.map(({ key }) => key))
      await this.#transaction.run(sql.deleteRows, [this.#context.mesh, array])
      for (const operation of deleted) this.#isKnown(operation)
    }
    for (const { names, descriptor } of last) {
      if (descriptor !== undefined) this.#draft.learnDescriptor(names!.name, descriptor)
    }
    await this.#count()
  }

  #isKnown({ names }: RowOperation): void {
    if (names === undefined) return
    this.#draft.news[names.as].delete(names.name)
    this.#draft.known[names.as].add(names.name)
  }

  #set(key: Uint8Array, row: Uint8Array | null): void {
    this.#changedRows.set(keyName(key), { key, row })
  }

  async #count(): Promise<void> {
    if (this.#written.length === 0) return
    const more = new Map<string, Amount>()
    for (const operation of this.#written) {
      const device = this.#draft.deviceOf(operation.commit.feed)
      const { commits, bytes } = more.get(device) ?? nothing
      more.set(device, { commits: commits + 1, bytes: bytes + bytesOf(operation) })
    }
    const amounts = [...more]
    await this.#transaction.run(sql.addUsage, [
      this.#context.mesh,
      byteaArray(amounts.map(([device]) => hexToBytes(device))),
      bigintArray(amounts.map(([, { commits }]) => commits)),
      bigintArray(amounts.map(([, { bytes }]) => bytes)),
    ])
    const usage = new Map(this.#draft.usage)
    for (const [device, { commits, bytes }] of amounts) {
      const before = usage.get(device) ?? nothing
      usage.set(device, { commits: before.commits + commits, bytes: before.bytes + bytes })
    }
    this.#draft.usage = usage
  }
}

const nothing: Amount = { commits: 0, bytes: 0 }

/** As it is sent. */
function bytesOf({ commit: { header, ciphertext, signature } }: CommitOperation): number {
  return header.length + ciphertext.length + (signature?.length ?? 0)
}

function nameOf({ commit: { feed, seq, id } }: CommitOperation): string {
  return placeName(feed, seq, id.subarray(0, shortIdBytes))
}

function placeOf(feed: string, seq: number): string {
  return `${feed} ${seq}`
}

function keyName(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')
}

/** Where one comes twice, the one that has a signature. */
function uniqueCommits(operations: readonly CommitOperation[]): CommitOperation[] {
  const unique = new Map<string, CommitOperation>()
  for (const operation of operations) {
    const name = nameOf(operation)
    if (unique.get(name)?.commit.signature === undefined) unique.set(name, operation)
  }
  return [...unique.values()]
}

/** Of each row its last change; of puts with an order the greatest. */
function lastOfEach(operations: readonly RowOperation[]): RowOperation[] {
  const last = new Map<string, RowOperation>()
  for (const operation of operations) {
    const name = keyName(operation.key)
    const before = last.get(name)
    const isOlder =
      operation.value !== undefined &&
      before?.value !== undefined &&
      operation.order !== null &&
      before.order !== null &&
      operation.order < before.order
    if (!isOlder) last.set(name, operation)
  }
  return [...last.values()]
}

export function removedError(place: string): HavenError {
  return new HavenError(
    'SERVER_UNKNOWN_MESH',
    `The mesh is not in the database ${place} (any more): it was removed there.`,
  )
}

export function wentBackError(place: string): HavenError {
  return new HavenError(
    'STORE_FAILED',
    `The database ${place} has gone back to an earlier state: it was put back from a backup, or another machine took over that had not got everything. What is missing comes again from devices.`,
  )
}

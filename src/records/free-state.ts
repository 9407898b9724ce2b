/**
 * What each writer has contributed to the text and free types of a record, and which of it counts.
 *
 * An update may delete what others wrote, so it counts only as far as its author can have seen it: docs/data-model.md, "Free
 * types".
 */
import * as Y from 'yjs'
import { hexToBytes } from '../core/bytes.ts'
import { domainHash } from '../crypto/hash.ts'
import type { Place } from './causality.ts'
import {
  checkFreeUpdate,
  decodeFreeUpdate,
  decodeStateVector,
  decodeStructs,
  encodeFreeUpdate,
  mergeFreeUpdates,
  parentOf,
  referencesOf,
} from './free-update.ts'
import type { DeleteRanges, FreeUpdate } from './free-update.ts'
import type { RecordState, WriterState } from './record-state.ts'

export interface FreeState {
  readonly clientId: number
  /** Where this writer's structs begin: above 0 for a branch. */
  readonly baseClock: number
  /** Where the next update has to begin: behind all that were accepted. */
  readonly nextClock: number
  /** Seq of the last commit whose update is accepted and not hidden; 0: none. */
  readonly shownSeq: number
  /** What counts, in Yjs V1: of a branch under the client id that it has in documents. Undefined for nothing. */
  readonly updates: Uint8Array | undefined
  /** The commits with accepted updates, in their order. */
  readonly commits: readonly FreeCommit[]
  /** Accepted, but not counting (yet), in their order. */
  readonly waiting: readonly WaitingUpdate[]
}

export interface FreeCommit {
  readonly seq: number
  /** Where its structs end: the next clock. */
  readonly end: number
}

export interface WaitingUpdate {
  readonly seq: number
  /** Of a hidden commit: structs without content, no deletions. */
  readonly hidden: boolean
  readonly update: Uint8Array
}

/** What it takes to know who had seen what: a CausalIndex. */
export interface SeenBefore {
  isInPast(a: Place, b: Place): boolean
}

export function newFreeState(clientId: number, baseClock: number): FreeState {
  return {
    clientId,
    baseClock,
    nextClock: baseClock,
    shownSeq: 0,
    updates: undefined,
    commits: [],
    waiting: [],
  }
}

/**
 * The writer's state with one more update, or why it is not accepted. Of a hidden update the structs are kept, as
 * deleted, since honest text may stand behind them; its content and its deletions are not. Never throws.
 *
 * What is accepted waits until {@link settleFree} finds that it counts.
 *
 * @param arriving.stateVector - what the update says that it builds on: it may refer to nothing beyond
 */
export function appendFreeUpdate(
  free: FreeState,
  arriving: {
    readonly seq: number
    readonly update: Uint8Array
    readonly stateVector: Uint8Array
    readonly hidden: boolean
  },
): FreeState | { readonly problem: string } {
  const decoded = decodeFreeUpdate(arriving.update)
  if (decoded === undefined) return { problem: 'no Yjs update' }
  const known = decodeStateVector(arriving.stateVector)
  if (known === undefined) return { problem: 'no state vector' }
  const checked = checkFreeUpdate(decoded, known, {
    clientId: free.clientId,
    from: free.nextClock,
  })
  if ('problem' in checked) return checked
  const { seq, hidden } = arriving
  const update = encodeFreeUpdate(hidden ? withoutContent(decoded) : decoded)
  return {
    ...free,
    nextClock: checked.end,
    shownSeq: hidden ? free.shownSeq : seq,
    commits: [...free.commits, { seq, end: checked.end }],
    waiting: [...free.waiting, { seq, hidden, update }],
  }
}

function withoutContent({ structs }: FreeUpdate): FreeUpdate {
  for (const struct of structs) {
    if (struct instanceof Y.Item) struct.content = new Y.ContentDeleted(struct.length)
  }
  return { structs, deletions: new Map() }
}

/**
 * The state in which every free update counts that may: whose earlier ones by the same writer count, and of which each place that it
 * refers to came with a commit that its author had seen. More of them do when more is known of who had seen what, never fewer.
 *
 * With branches of a forked feed the result is for this moment only, and not to be stored: which branch somebody meant may
 * turn out later.
 */
export function settleFree(state: RecordState, causality: SeenBefore): RecordState {
  let writers: Map<string, WriterState> | undefined
  let places: Places | undefined
  for (const writer of state.writers.values()) {
    if (writer.free === undefined || writer.free.waiting.length === 0) continue
    places ??= new Places(state, causality)
    const free = settled(writer, writer.free, places)
    if (free === undefined) continue
    writers ??= new Map(state.writers)
    writers.set(writer.writer, { ...writer, free })
  }
  return writers === undefined ? state : { ...state, writers }
}

/** Whether some of its updates do not count: knowing more of who had seen what may change that. */
export function hasWaitingUpdates(state: RecordState): boolean {
  for (const { free } of state.writers.values()) {
    if (free !== undefined && free.waiting.length > 0) return true
  }
  return false
}

/** For each client id of documents, where the structs that count end. */
export function documentClocks(state: RecordState): Map<number, number> {
  const clocks = new Map<number, number>()
  for (const writer of state.writers.values()) {
    if (writer.free === undefined) continue
    const { commits, waiting, baseClock } = writer.free
    const end = commits[commits.length - waiting.length - 1]?.end ?? baseClock
    const inDocument = writer as FreeWriter
    clocks.set(freeClientOf(inDocument), end - firstClock(inDocument))
  }
  return clocks
}

/** Whether {@link settleFree} gives something that may be stored. */
export function settlesForGood(state: RecordState): boolean {
  for (const { writer, feed } of state.writers.values()) if (writer !== feed) return false
  return true
}

/** Undefined when nothing changes. */
function settled(writer: WriterState, free: FreeState, places: Places): FreeState | undefined {
  const counting: FreeUpdate[] = []
  for (const waiting of free.waiting) {
    const update = places.counted(writer, waiting)
    if (update === undefined) break
    counting.push(update)
  }
  if (counting.length === 0) return undefined
  const before = free.updates === undefined ? undefined : decodeStructs(free.updates)
  return {
    ...free,
    updates: encodeFreeUpdate(
      mergeFreeUpdates(before === undefined ? counting : [before, ...counting]),
    ),
    waiting: free.waiting.slice(counting.length),
  }
}

type FreeWriter = WriterState & { readonly free: FreeState }

/** Whose structs stand at a place of a record. */
class Places {
  readonly #causality: SeenBefore
  /** By every client id that people may name them by, in the order in which one is taken where several fit. */
  readonly #writers = new Map<number, FreeWriter[]>()

  constructor(state: RecordState, causality: SeenBefore) {
    this.#causality = causality
    const inOrder = [...state.writers.values()]
      .filter((writer): writer is FreeWriter => writer.free !== undefined)
      .toSorted(byPlace)
    for (const writer of inOrder) {
      this.#name(writer.free.clientId, writer)
      if (isBranch(writer)) this.#name(freeClientOf(writer), writer)
    }
  }

  #name(clientId: number, writer: FreeWriter): void {
    const known = this.#writers.get(clientId)
    if (known === undefined) this.#writers.set(clientId, [writer])
    else known.push(writer)
  }

  /** The update as it stands in documents; undefined while it refers to something that its author can't be known to have seen. */
  counted(writer: WriterState, { seq, hidden, update }: WaitingUpdate): FreeUpdate | undefined {
    const decoded = decodeStructs(update)
    if (decoded === undefined) return { structs: [], deletions: new Map() }
    const by = { writer: writer.writer, seq }
    const references = referencesOf(decoded)
    if (!isBranch(writer) && [...references.keys()].every((client) => this.#isPlain(client))) {
      const mayCount =
        hidden ||
        [...references].every(([client, end]) => {
          const [owner] = this.#writers.get(client) ?? []
          return owner !== undefined && this.#hasSeen(by, owner, end - 1)
        })
      return mayCount ? decoded : undefined
    }
    return this.#translated(writer as FreeWriter, decoded, { ...by, hidden })
  }

  /** Whether a client id stands for one writer only, and documents have the same. */
  #isPlain(client: number): boolean {
    const writers = this.#writers.get(client)
    return writers === undefined || (writers.length === 1 && !isBranch(writers[0]!))
  }

  #hasSeen(by: Place, owner: FreeWriter, clock: number): boolean {
    const seq = seqAt(owner.free, clock)
    if (seq === undefined) return false
    const place = { writer: owner.writer, seq }
    return owner.writer === by.writer ? seq <= by.seq : this.#causality.isInPast(place, by)
  }

  /** With forked feeds in it: client ids that several writers used for different things become those of documents. */
  #translated(
    writer: FreeWriter,
    { structs, deletions }: FreeUpdate,
    by: Place & { readonly hidden: boolean },
  ): FreeUpdate | undefined {
    let complete = true
    const meant = (
      client: number,
      clock: number,
    ): { owner: FreeWriter; clock: number } | undefined => {
      if (client === writer.free.clientId && clock >= writer.free.baseClock) {
        return { owner: writer, clock }
      }
      for (const owner of this.#writers.get(client) ?? []) {
        const own = client === owner.free.clientId ? clock : clock + owner.free.baseClock
        if (own < owner.free.baseClock || own >= owner.free.nextClock) continue
        if (by.hidden || this.#hasSeen(by, owner, own)) return { owner, clock: own }
      }
      if (!by.hidden) complete = false
      return undefined
    }
    const inDocument = (place: Y.ID): Y.ID => {
      const found = meant(place.client, place.clock)
      if (found === undefined) return place
      return Y.createID(freeClientOf(found.owner), found.clock - firstClock(found.owner))
    }
    for (const struct of structs) {
      struct.id = inDocument(struct.id)
      if (!(struct instanceof Y.Item)) continue
      if (struct.origin !== null) struct.origin = inDocument(struct.origin)
      if (struct.rightOrigin !== null) struct.rightOrigin = inDocument(struct.rightOrigin)
      const parent = parentOf(struct)
      if (parent instanceof Y.ID) struct.parent = inDocument(parent)
    }
    const translated: DeleteRanges = new Map()
    for (const [client, ranges] of deletions) {
      for (const { clock, len } of ranges) {
        for (let at = clock; at < clock + len;) {
          const found = meant(client, at)
          if (found === undefined) break
          // As far as the structs of this writer go.
          const length = Math.min(clock + len - at, endOfOwn(found.owner, writer) - found.clock)
          addRange(translated, freeClientOf(found.owner), {
            clock: found.clock - firstClock(found.owner),
            len: length,
          })
          at += length
        }
      }
    }
    return complete ? { structs, deletions: translated } : undefined
  }
}

function endOfOwn(owner: FreeWriter, author: FreeWriter): number {
  return owner === author ? Infinity : owner.free.nextClock
}

function addRange(
  deletions: DeleteRanges,
  client: number,
  range: { clock: number; len: number },
): void {
  const ranges = deletions.get(client)
  if (ranges === undefined) deletions.set(client, [range])
  else ranges.push(range)
}

/** Seq of the commit that brought a struct; undefined for a clock that is still to come. */
function seqAt({ commits, baseClock, nextClock }: FreeState, clock: number): number | undefined {
  if (clock < baseClock || clock >= nextClock) return undefined
  let low = 0
  let high = commits.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if (commits[middle]!.end > clock) high = middle
    else low = middle + 1
  }
  return commits[low]?.seq
}

function byPlace(a: FreeWriter, b: FreeWriter): number {
  // Two feeds have one client id by intent only: the lower feed id keeps it.
  if (a.feed !== b.feed) return a.feed < b.feed ? -1 : 1
  return a.free.baseClock - b.free.baseClock || (a.writer < b.writer ? -1 : 1)
}

function isBranch({ writer, feed }: WriterState): boolean {
  return writer !== feed
}

function firstClock(writer: FreeWriter): number {
  return isBranch(writer) ? writer.free.baseClock : 0
}

/** The client id under which the free types of a writer stand in documents. */
function freeClientOf(writer: FreeWriter): number {
  return isBranch(writer) ? branchClientId(writer.writer, 'free') : writer.free.clientId
}

/** The client id of a branch in documents, with clocks from 0: `H(purpose ‖ writer)`, the first 53 bits. */
export function branchClientId(writer: string, purpose: 'fields' | 'free'): number {
  const hash = domainHash(
    'havenmesh/branch-client/v1',
    Uint8Array.of(purpose === 'fields' ? 0 : 1),
    hexToBytes(writer),
  )
  const view = new DataView(hash.buffer, hash.byteOffset, 8)
  return view.getUint32(0) * 0x20_0000 + (view.getUint32(4) >>> 11)
}

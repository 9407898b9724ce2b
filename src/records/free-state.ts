/**
 * What each writer has contributed to the text and free types of a record, and which of it counts.
 *
 * An update may delete what others wrote, so it counts only as far as its author can have seen it: docs/data-model.md, "Free
 * types".
 */
import * as Y from 'yjs'
import { hexToBytes } from '../core/bytes.ts'
import { domainHash } from '../crypto/hash.ts'
import {
  checkFreeUpdate,
  decodeFreeUpdate,
  decodeStateVector,
  encodeFreeUpdate,
} from './free-update.ts'
import type { FreeUpdate } from './free-update.ts'

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
  /** Of what counts, ascending. */
  readonly hiddenEntries: readonly HiddenEntry[]
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

/** An entry of a map that a hidden commit wrote: nobody finds it there, and who builds on it means what stood there before. */
export interface HiddenEntry {
  readonly clock: number
  /** As the commit named it. Null: it was the first one that its author knew of. */
  readonly origin: Y.ID | null
  /** Where there is no origin: the type, and the key in it. */
  readonly parent: string | Y.ID | null
  readonly key: string | null
}

/** Who contributed it. */
export interface FreeWriter {
  readonly writer: string
  readonly feed: string
  readonly free: FreeState
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
    hiddenEntries: [],
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

/** The client id under which the free types of a writer stand in documents, and which of its clocks is 0 there. */
export function freeClientOf({ writer, feed, free }: FreeWriter): {
  clientId: number
  firstClock: number
} {
  return writer === feed
    ? { clientId: free.clientId, firstClock: 0 }
    : { clientId: branchClientId(writer, 'free'), firstClock: free.baseClock }
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

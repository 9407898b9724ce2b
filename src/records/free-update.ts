/**
 * Updates of text and free types: what any shared type of Yjs wrote, under the feed's second client id.
 * docs/data-model.md, "Free types".
 */
import * as encoding from 'lib0/encoding'
import * as Y from 'yjs'
import { limits } from '../core/limits.ts'

/** What one writer has contributed to the free types of a record. */
export interface FreeState {
  readonly clientId: number
  /** Where this writer's structs begin: above 0 for a branch. */
  readonly baseClock: number
  readonly nextClock: number
  /** Yjs V1, merged. */
  readonly updates: Uint8Array | undefined
}

/** Root types with this prefix are fields. */
const reservedPrefix = '~'

/**
 * The writer's state with one more update, or why it is not accepted. Of a hidden update the structs are kept, as
 * deleted, since honest text may stand behind them; its content and its deletions are not. Never throws.
 *
 * @param arriving.stateVector - what the update says that it builds on: it may refer to nothing beyond
 */
export function appendFreeUpdate(
  free: FreeState,
  arriving: {
    readonly update: Uint8Array
    readonly stateVector: Uint8Array
    readonly hidden: boolean
  },
): FreeState | { readonly problem: string } {
  const decoded = decodeFreeUpdate(arriving.update)
  if (decoded === undefined) return { problem: 'no Yjs update' }
  const known = decodeStateVector(arriving.stateVector)
  if (known === undefined) return { problem: 'no state vector' }
  const nextClock = endOf(decoded.structs, free)
  if (nextClock === undefined) return { problem: 'structs that do not go on where the last ended' }
  const problem =
    decoded.structs.map((struct) => problemOf(struct, known)).find(Boolean) ??
    problemOfDeletions(decoded.ds, known, { clientId: free.clientId, nextClock })
  if (problem !== undefined) return { problem }
  const update = encodeStructs(
    arriving.hidden ? decoded.structs.map(withoutContent) : decoded.structs,
    arriving.hidden ? new Map() : decoded.ds.clients,
  )
  return {
    ...free,
    nextClock,
    updates: free.updates === undefined ? update : Y.mergeUpdates([free.updates, update]),
  }
}

type Struct = Y.Item | Y.GC | Y.Skip
type Decoded = ReturnType<typeof Y.decodeUpdate>
type DeleteRanges = Decoded['ds']['clients']

/** Undefined when the bytes are no update. */
function decodeFreeUpdate(update: Uint8Array): Decoded | undefined {
  if (update.length > limits.updateBytes) return undefined
  try {
    // A copy, since Yjs would read on behind the end of a view into a larger buffer.
    return Y.decodeUpdate(update.slice())
  } catch {
    return undefined
  }
}

function decodeStateVector(bytes: Uint8Array): Map<number, number> | undefined {
  try {
    return Y.decodeStateVector(bytes.slice())
  } catch {
    return undefined
  }
}

/** Where the structs end, if they are the writer's and leave no gap. */
function endOf(
  structs: readonly Struct[],
  { clientId, nextClock }: { clientId: number; nextClock: number },
): number | undefined {
  let clock = nextClock
  for (const struct of structs) {
    if (struct.id.client !== clientId || struct.id.clock !== clock) return undefined
    if (struct instanceof Y.Skip || !(struct.length > 0)) return undefined
    clock += struct.length
    if (!Number.isSafeInteger(clock)) return undefined
  }
  return clock
}

function problemOf(struct: Struct, known: ReadonlyMap<number, number>): string | undefined {
  if (!(struct instanceof Y.Item)) return undefined
  // As decoded, the parent is the name of a root type, or an id, or to be taken from the neighbours.
  const parent = struct.parent as unknown
  if (typeof parent === 'string' && parent.startsWith(reservedPrefix))
    return 'fields among free types'
  for (const place of [struct.origin, struct.rightOrigin, parent]) {
    if (!(place instanceof Y.ID)) continue
    const limit =
      place.client === struct.id.client ? struct.id.clock : (known.get(place.client) ?? 0)
    if (place.clock >= limit) return 'a place beyond its state vector'
  }
  return undefined
}

function problemOfDeletions(
  { clients }: Decoded['ds'],
  known: ReadonlyMap<number, number>,
  own: { clientId: number; nextClock: number },
): string | undefined {
  for (const [client, ranges] of clients) {
    const limit = client === own.clientId ? own.nextClock : (known.get(client) ?? 0)
    for (const { clock, len } of ranges) {
      if (len <= 0 || clock + len > limit) return 'deletions beyond its state vector'
    }
  }
  return undefined
}

function withoutContent(struct: Struct): Struct {
  if (struct instanceof Y.Item) struct.content = new Y.ContentDeleted(struct.length)
  return struct
}

/** Yjs V1 of structs of one client that leave no gap, and deletions. */
function encodeStructs(structs: readonly Struct[], deletions: DeleteRanges): Uint8Array {
  const encoder = new Y.UpdateEncoderV1()
  const rest = encoder.restEncoder
  const first = structs[0]
  if (first === undefined) encoding.writeVarUint(rest, 0)
  else {
    encoding.writeVarUint(rest, 1)
    encoding.writeVarUint(rest, structs.length)
    encoding.writeVarUint(rest, first.id.client)
    encoding.writeVarUint(rest, first.id.clock)
    for (const struct of structs) struct.write(encoder, 0)
  }
  const clients = [...deletions].filter(([, ranges]) => ranges.length > 0)
  encoding.writeVarUint(rest, clients.length)
  for (const [client, ranges] of clients.toSorted(([a], [b]) => b - a)) {
    encoding.writeVarUint(rest, client)
    encoding.writeVarUint(rest, ranges.length)
    for (const { clock, len } of ranges) {
      encoding.writeVarUint(rest, clock)
      encoding.writeVarUint(rest, len)
    }
  }
  return encoder.toUint8Array()
}

/**
 * The updates with the structs of this writer moved to another client id, beginning at clock 0: two branches of a feed
 * used the same ids for different things. Whoever wrote about the places of a branch means that of the original id.
 */
export function withClientId(free: FreeState, clientId: number): Uint8Array {
  const decoded = free.updates === undefined ? undefined : decodeFreeUpdate(free.updates)
  if (decoded === undefined) return encodeStructs([], new Map())
  const moved = (place: Y.ID): Y.ID =>
    place.client === free.clientId && place.clock >= free.baseClock
      ? Y.createID(clientId, place.clock - free.baseClock)
      : place
  for (const struct of decoded.structs) {
    struct.id = moved(struct.id)
    if (!(struct instanceof Y.Item)) continue
    if (struct.origin !== null) struct.origin = moved(struct.origin)
    if (struct.rightOrigin !== null) struct.rightOrigin = moved(struct.rightOrigin)
    if ((struct.parent as unknown) instanceof Y.ID) struct.parent = moved(struct.parent as Y.ID)
  }
  const deletions: DeleteRanges = new Map()
  for (const [client, ranges] of decoded.ds.clients) {
    for (const { clock, len } of ranges) {
      const own =
        client === free.clientId ? Math.max(0, clock + len - Math.max(clock, free.baseClock)) : 0
      const target = own > 0 ? clientId : client
      if (own < len) add(deletions, client, { clock, len: len - own })
      if (own > 0) {
        add(deletions, target, {
          clock: Math.max(clock, free.baseClock) - free.baseClock,
          len: own,
        })
      }
    }
  }
  return encodeStructs(decoded.structs, deletions)
}

function add(deletions: DeleteRanges, client: number, range: { clock: number; len: number }): void {
  const ranges = deletions.get(client) ?? []
  ranges.push(range)
  deletions.set(client, ranges)
}

/** The client ids that the updates refer to, their own among them. */
export function clientsIn(update: Uint8Array): Set<number> {
  const clients = new Set<number>()
  const decoded = decodeFreeUpdate(update)
  if (decoded === undefined) return clients
  for (const struct of decoded.structs) {
    clients.add(struct.id.client)
    if (!(struct instanceof Y.Item)) continue
    for (const place of [struct.origin, struct.rightOrigin, struct.parent as unknown]) {
      if (place instanceof Y.ID) clients.add(place.client)
    }
  }
  for (const client of decoded.ds.clients.keys()) clients.add(client)
  return clients
}

/**
 * The bytes of updates of text and free types: what any shared type of Yjs wrote, under the second client id of a feed.
 * docs/data-model.md, "Free types".
 */
import * as decoding from 'lib0/decoding'
import * as encoding from 'lib0/encoding'
import * as Y from 'yjs'
import { limits } from '../core/limits.ts'

export type Struct = Y.Item | Y.GC | Y.Skip
export type DeleteRanges = ReturnType<typeof Y.decodeUpdate>['ds']['clients']

export interface FreeUpdate {
  readonly structs: readonly Struct[]
  readonly deletions: DeleteRanges
}

/** Root types with this prefix are fields. */
const reservedPrefix = '~'

/** Undefined when the bytes are no update in Yjs V1. */
export function decodeFreeUpdate(update: Uint8Array): FreeUpdate | undefined {
  if (update.length > limits.updateBytes) return undefined
  return decodeStructs(update)
}

/** Of any length: what was accepted, merged. */
export function decodeStructs(update: Uint8Array): FreeUpdate | undefined {
  let bytes: decoding.Decoder | undefined
  class Watched extends Y.UpdateDecoderV1 {
    constructor(decoder: decoding.Decoder) {
      super(decoder)
      bytes = decoder
    }
  }
  try {
    // A copy, since Yjs would read on behind the end of a view into a larger buffer.
    const { structs, ds } = Y.decodeUpdateV2(update.slice(), Watched)
    // What goes on behind the end is something else, such as the second encoding.
    return decoding.hasContent(bytes!) ? undefined : { structs, deletions: ds.clients }
  } catch {
    return undefined
  }
}

/** Undefined when the bytes are none. */
export function decodeStateVector(bytes: Uint8Array): Map<number, number> | undefined {
  try {
    return Y.decodeStateVector(bytes.slice())
  } catch {
    return undefined
  }
}

/** As Yjs encodes it. */
export function encodeStateVector(clocks: ReadonlyMap<number, number>): Uint8Array {
  const encoder = encoding.createEncoder()
  const entries = [...clocks].filter(([, clock]) => clock > 0).toSorted(([a], [b]) => b - a)
  encoding.writeVarUint(encoder, entries.length)
  for (const [client, clock] of entries) {
    encoding.writeVarUint(encoder, client)
    encoding.writeVarUint(encoder, clock)
  }
  return encoding.toUint8Array(encoder)
}

/**
 * Where the structs end if they are the client's and go on from `from` without a gap, and what is wrong with the update
 * otherwise.
 *
 * @param known - the state vector that it declares: it may refer to nothing beyond
 */
export function checkFreeUpdate(
  { structs, deletions }: FreeUpdate,
  known: ReadonlyMap<number, number>,
  own: { readonly clientId: number; readonly from: number },
): { readonly end: number } | { readonly problem: string } {
  const end = endOf(structs, own)
  if (end === undefined) return { problem: 'structs that do not go on where the last ended' }
  const problem =
    structs.map((struct) => problemOf(struct, known)).find(Boolean) ??
    problemOfDeletions(deletions, known, { clientId: own.clientId, end })
  return problem === undefined ? { end } : { problem }
}

function endOf(
  structs: readonly Struct[],
  { clientId, from }: { clientId: number; from: number },
): number | undefined {
  let clock = from
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
  const parent = parentOf(struct)
  if (typeof parent === 'string' && parent.startsWith(reservedPrefix))
    return 'fields among free types'
  for (const place of placesOf(struct)) {
    const limit =
      place.client === struct.id.client ? struct.id.clock : (known.get(place.client) ?? 0)
    if (place.clock >= limit) return 'a place beyond its state vector'
  }
  return undefined
}

function problemOfDeletions(
  deletions: DeleteRanges,
  known: ReadonlyMap<number, number>,
  own: { clientId: number; end: number },
): string | undefined {
  for (const [client, ranges] of deletions) {
    const limit = client === own.clientId ? own.end : (known.get(client) ?? 0)
    for (const { clock, len } of ranges) {
      if (len <= 0 || clock + len > limit) return 'deletions beyond its state vector'
    }
  }
  return undefined
}

/** As decoded: the name of a root type, the id of a type, or null where it is that of the neighbours. */
export function parentOf(item: Y.Item): string | Y.ID | null {
  return item.parent as unknown as string | Y.ID | null
}

/** What a struct refers to. */
export function placesOf(struct: Struct): Y.ID[] {
  if (!(struct instanceof Y.Item)) return []
  return [struct.origin, struct.rightOrigin, parentOf(struct)].filter(
    (place) => place instanceof Y.ID,
  )
}

/** For each client id that an update refers to, where the places there end. Those that it brings itself are not among them. */
export function referencesOf({ structs, deletions }: FreeUpdate): Map<number, number> {
  const ends = new Map<number, number>()
  const brought = broughtBy(structs)
  const refer = (client: number, end: number): void => {
    const from = brought.get(client)
    // What lies behind the first struct of an update lies within it, or is refused.
    const outside = from === undefined ? end : Math.min(end, from)
    if (outside > (ends.get(client) ?? 0)) ends.set(client, outside)
  }
  for (const struct of structs)
    for (const place of placesOf(struct)) refer(place.client, place.clock + 1)
  for (const [client, ranges] of deletions) {
    for (const { clock, len } of ranges) refer(client, clock + len)
  }
  return ends
}

/** Where the structs of each client begin. */
function broughtBy(structs: readonly Struct[]): Map<number, number> {
  const from = new Map<number, number>()
  for (const { id } of structs) {
    const known = from.get(id.client)
    if (known === undefined || id.clock < known) from.set(id.client, id.clock)
  }
  return from
}

/** Yjs V1 of structs of one client that leave no gap, and deletions; neighbouring letters are one struct. */
export function encodeFreeUpdate({ structs, deletions }: FreeUpdate): Uint8Array {
  const encoder = new Y.UpdateEncoderV1()
  const rest = encoder.restEncoder
  const written = joined(structs)
  const first = written[0]
  if (first === undefined) encoding.writeVarUint(rest, 0)
  else {
    encoding.writeVarUint(rest, 1)
    encoding.writeVarUint(rest, written.length)
    encoding.writeVarUint(rest, first.id.client)
    encoding.writeVarUint(rest, first.id.clock)
    for (const struct of written) struct.write(encoder, 0)
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

/** Letters typed one after the other, each behind the one before: the same as if they had been typed at once, and far shorter. */
function joined(structs: readonly Struct[]): Struct[] {
  const result: Struct[] = []
  for (const struct of structs) {
    const last = result.at(-1)
    if (last === undefined || !joins(last, struct)) result.push(struct)
    else last.length += struct.length
  }
  return result
}

/** Moves the content of `right` to `left`, if it goes on there. */
function joins(left: Struct, right: Struct): boolean {
  if (!(left instanceof Y.Item) || !(right instanceof Y.Item)) return false
  if (left.id.clock + left.length !== right.id.clock) return false
  if (!Y.compareIDs(right.origin, left.lastId)) return false
  if (!Y.compareIDs(left.rightOrigin, right.rightOrigin)) return false
  if (left.content instanceof Y.ContentString && right.content instanceof Y.ContentString) {
    return left.content.mergeWith(right.content)
  }
  if (left.content instanceof Y.ContentDeleted && right.content instanceof Y.ContentDeleted) {
    return left.content.mergeWith(right.content)
  }
  return false
}

/** One after the other, of one client. */
export function mergeFreeUpdates(updates: readonly FreeUpdate[]): FreeUpdate {
  const sets = updates.map(({ deletions }) => {
    const set = Y.createDeleteSet()
    for (const [client, ranges] of deletions) set.clients.set(client, ranges)
    return set
  })
  return {
    structs: updates.flatMap(({ structs }) => structs),
    deletions: Y.mergeDeleteSets(sets).clients,
  }
}

/**
 * Edits of text and free types as this device may write them: under the client id of the feed that they go into, from the clock
 * where that goes on.
 *
 * Mostly they are made under these ids already. Not so what an application had in its document before, and what was on its way when the device
 * went on in a new feed, or wrote the text from somewhere else: that gets other ids, with the same content at the same places.
 */
import * as Y from 'yjs'
import {
  decodeStructs,
  encodeFreeUpdate,
  encodeStateVector,
  mergeFreeUpdates,
  parentOf,
  placesOf,
  referencesOf,
} from './free-update.ts'
import type { DeleteRanges, FreeUpdate, Struct } from './free-update.ts'

/** What a commit holds of a record's text and free types. */
export interface FreeEdit {
  /** What it builds on. */
  readonly stateVector: Uint8Array
  readonly update: Uint8Array
}

export interface OwnEdit {
  /** Undefined: there is nothing to be written. */
  readonly edit: FreeEdit | undefined
  /** Where the structs end. */
  readonly end: number
  /** For each client id of others, where the places end that it refers to. */
  readonly references: ReadonlyMap<number, number>
  /** What got other ids: empty where the edits had the right ones. */
  readonly renames: Renames
}

/**
 * One edit of several, in their order. The structs in them become this device's.
 *
 * @param updates - Yjs V1; each refers to what is known of the record, to those before it, or to what `renames` tells
 * @param options.isOthers - whether structs of a client id are somebody else's, who writes them
 */
export function ownEdit(
  updates: readonly Uint8Array[],
  own: { readonly clientId: number; readonly nextClock: number },
  {
    renames = Renames.none,
    isOthers = () => false,
  }: { readonly renames?: Renames; readonly isOthers?: (clientId: number) => boolean } = {},
): OwnEdit {
  const decoded = updates.map((update) => decodeStructs(update) ?? nothing)
  const structs = decoded.flatMap((update) =>
    update.structs.filter((struct) => !(struct instanceof Y.Skip) && !isOthers(struct.id.client)),
  )
  const { deletions } = mergeFreeUpdates(decoded)
  const isRight = renames.isEmpty && goesOn(structs, own)
  const renaming = isRight ? undefined : new Renaming(structs, own, renames)
  const merged: FreeUpdate =
    renaming === undefined
      ? { structs, deletions }
      : { structs: renaming.structs, deletions: renaming.deletions(deletions) }
  const end = own.nextClock + structs.reduce((sum, struct) => sum + struct.length, 0)
  const references = referencesOf(merged)
  const isEmpty = structs.length === 0 && [...merged.deletions.values()].every(isNone)
  const stateVector = encodeStateVector(new Map(references).set(own.clientId, own.nextClock))
  const edit = isEmpty ? undefined : { stateVector, update: encodeFreeUpdate(merged) }
  references.delete(own.clientId)
  return { edit, end, references, renames: renaming?.renames ?? Renames.none }
}

const nothing: FreeUpdate = { structs: [], deletions: new Map() }

function isNone(ranges: readonly unknown[]): boolean {
  return ranges.length === 0
}

function goesOn(
  structs: readonly Struct[],
  { clientId, nextClock }: { clientId: number; nextClock: number },
): boolean {
  let clock = nextClock
  for (const { id, length } of structs) {
    if (id.client !== clientId || id.clock !== clock) return false
    clock += length
  }
  return true
}

interface Renamed {
  readonly clock: number
  readonly length: number
  readonly to: Y.ID
}

/** Ids that became others. A value. */
export class Renames {
  /** By client id, ascending, without overlaps. */
  readonly #ranges: ReadonlyMap<number, readonly Renamed[]>

  static readonly none = new Renames(new Map())

  constructor(ranges: ReadonlyMap<number, readonly Renamed[]>) {
    this.#ranges = ranges
  }

  get isEmpty(): boolean {
    return this.#ranges.size === 0
  }

  of(place: Y.ID): Y.ID | undefined {
    const range = this.#at(place.client, place.clock)
    return range && Y.createID(range.to.client, range.to.clock + place.clock - range.clock)
  }

  /** The pieces of a stretch of ids, each as it is named now. */
  pieces(client: number, clock: number, length: number): { id: Y.ID; length: number }[] {
    const pieces: { id: Y.ID; length: number }[] = []
    const end = clock + length
    for (let at = clock; at < end;) {
      const range = this.#at(client, at)
      const next = this.#ranges.get(client)?.find((each) => each.clock > at)?.clock ?? end
      const until = Math.min(end, range === undefined ? next : range.clock + range.length)
      pieces.push({
        id: this.of(Y.createID(client, at)) ?? Y.createID(client, at),
        length: until - at,
      })
      at = until
    }
    return pieces
  }

  /** These and more; of one id the later name counts. */
  and(later: Renames): Renames {
    const ranges = new Map(this.#ranges)
    for (const [client, added] of later.#ranges) {
      const known = (ranges.get(client) ?? []).filter(
        ({ clock, length }) =>
          !added.some((each) => each.clock < clock + length && clock < each.clock + each.length),
      )
      ranges.set(
        client,
        [...known, ...added].toSorted((a, b) => a.clock - b.clock),
      )
    }
    return new Renames(ranges)
  }

  #at(client: number, clock: number): Renamed | undefined {
    const ranges = this.#ranges.get(client) ?? []
    let low = 0
    let high = ranges.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (ranges[middle]!.clock <= clock) low = middle + 1
      else high = middle
    }
    const range = ranges[low - 1]
    return range !== undefined && clock < range.clock + range.length ? range : undefined
  }
}

/** Gives structs new ids, each after what it refers to. */
class Renaming {
  readonly structs: readonly Struct[]
  readonly renames: Renames
  readonly #all: Renames

  constructor(
    structs: readonly Struct[],
    own: { readonly clientId: number; readonly nextClock: number },
    known: Renames,
  ) {
    const ordered = inOrder(structs)
    const ranges = new Map<number, Renamed[]>()
    let clock = own.nextClock
    for (const { id, length } of ordered) {
      const renamed = { clock: id.clock, length, to: Y.createID(own.clientId, clock) }
      const ofClient = ranges.get(id.client)
      if (ofClient === undefined) ranges.set(id.client, [renamed])
      else ofClient.push(renamed)
      clock += length
    }
    for (const ofClient of ranges.values()) ofClient.sort((a, b) => a.clock - b.clock)
    this.renames = new Renames(ranges)
    this.#all = known.and(this.renames)
    this.structs = ordered
    for (const struct of ordered) this.#rename(struct)
  }

  #rename(struct: Struct): void {
    const now = (place: Y.ID): Y.ID => this.#all.of(place) ?? place
    struct.id = this.renames.of(struct.id)!
    if (!(struct instanceof Y.Item)) return
    if (struct.origin !== null) struct.origin = now(struct.origin)
    if (struct.rightOrigin !== null) struct.rightOrigin = now(struct.rightOrigin)
    const parent = parentOf(struct)
    if (parent instanceof Y.ID) struct.parent = now(parent)
  }

  deletions(ranges: DeleteRanges): DeleteRanges {
    const set = Y.createDeleteSet()
    for (const [client, ofClient] of ranges) {
      for (const { clock, len } of ofClient) {
        for (const { id, length } of this.#all.pieces(client, clock, len)) {
          const known = set.clients.get(id.client)
          const range = { clock: id.clock, len: length }
          if (known === undefined) set.clients.set(id.client, [range])
          else known.push(range)
        }
      }
    }
    return Y.mergeDeleteSets([set]).clients
  }
}

/** Those of each client in their order, and each after what it refers to. */
function inOrder(structs: readonly Struct[]): Struct[] {
  const queues = new Map<number, { structs: Struct[]; next: number }>()
  for (const struct of structs) {
    const queue = queues.get(struct.id.client) ?? { structs: [], next: 0 }
    queues.set(struct.id.client, queue)
    queue.structs.push(struct)
  }
  for (const queue of queues.values()) queue.structs.sort((a, b) => a.id.clock - b.id.clock)
  const ordered: Struct[] = []
  const isFree = (struct: Struct): boolean =>
    placesOf(struct).every(({ client, clock }) => {
      const queue = client === struct.id.client ? undefined : queues.get(client)
      const head = queue?.structs[queue.next]
      return head === undefined || clock < head.id.clock
    })
  while (ordered.length < structs.length) {
    const before = ordered.length
    for (const queue of queues.values()) {
      for (;;) {
        const head = queue.structs[queue.next]
        if (head === undefined || !isFree(head)) break
        ordered.push(head)
        queue.next++
      }
    }
    // In a circle, which Yjs does not make: as they come.
    if (ordered.length === before) return [...structs]
  }
  return ordered
}

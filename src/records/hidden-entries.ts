/**
 * Entries of maps that hidden commits wrote. In a list a hidden item does no harm as long as it has no content; under a key of a map it would take the place of
 * what stood there before.
 */
import * as Y from 'yjs'
import { freeClientOf } from './free-state.ts'
import type { FreeWriter, HiddenEntry } from './free-state.ts'
import { decodeStructs, parentOf } from './free-update.ts'
import type { Struct } from './free-update.ts'

/** A struct of a writer, by its clock in the writer's own count. */
export interface Spot {
  readonly owner: FreeWriter
  readonly clock: number
}

/** Whose struct somebody names. */
export type Finder = (author: FreeWriter, place: Y.ID) => Spot | undefined

const noEntries: ReadonlyMap<number, HiddenEntry> = new Map()

export class HiddenEntries {
  readonly #find: Finder
  /** Of each writer, ascending. */
  readonly #structs = new Map<string, readonly Struct[]>()
  readonly #entries = new Map<string, ReadonlyMap<number, HiddenEntry> | undefined>()

  constructor(find: Finder) {
    this.#find = find
  }

  /** The entries of maps that hidden commits of a writer wrote; undefined while some of them may be one or not. */
  of(owner: FreeWriter): ReadonlyMap<number, HiddenEntry> | undefined {
    if (!hasHidden(owner)) return noEntries
    if (this.#entries.has(owner.writer)) return this.#entries.get(owner.writer)
    const entries = new Map(owner.free.hiddenEntries.map((entry) => [entry.clock, entry]))
    let all: Map<number, HiddenEntry> | undefined = entries
    for (const { hidden, update } of owner.free.waiting) {
      if (!hidden) continue
      const found = this.among(owner, decodeStructs(update)?.structs ?? [])
      if (found === undefined) all = undefined
      else for (const entry of found.values()) entries.set(entry.clock, entry)
    }
    this.#entries.set(owner.writer, all)
    return all
  }

  /** Those among the structs of a hidden commit. */
  among(
    owner: FreeWriter,
    structs: readonly Struct[],
  ): ReadonlyMap<number, HiddenEntry> | undefined {
    const entries = new Map<number, HiddenEntry>()
    for (const struct of structs) {
      if (!(struct instanceof Y.Item)) continue
      const isEntry = this.#isEntry(owner, struct)
      if (isEntry === undefined) return undefined
      if (!isEntry) continue
      const { id, length, origin, parentSub: key } = struct
      entries.set(id.clock, { clock: id.clock, origin, parent: parentOf(struct), key })
      // One that took the place of the other, told as one struct.
      for (let clock = id.clock + 1; clock < id.clock + length; clock++) {
        const before = Y.createID(id.client, clock - 1)
        entries.set(clock, { clock, origin: before, parent: null, key: null })
      }
    }
    return entries
  }

  /** Whether an item stands in a map, under a key, and not in a list. What does not say so itself stands where its neighbour does. */
  #isEntry(owner: FreeWriter, item: Y.Item): boolean | undefined {
    let author = owner
    let current: Y.Item | undefined = item
    // A neighbour is older than who names it; made-up circles end as well.
    for (let steps = 0; steps < stepsMax; steps++) {
      if (current.parentSub !== null) return true
      const neighbour: Y.ID | null = current.origin ?? current.rightOrigin
      if (neighbour === null) return false
      const spot = this.#find(author, neighbour)
      if (spot === undefined) return undefined
      if (spot.owner.free.hiddenEntries.some(({ clock }) => clock === spot.clock)) return true
      const struct = this.#structAt(spot)
      if (struct === undefined) return undefined
      if (!(struct instanceof Y.Item)) return false
      author = spot.owner
      current = struct
    }
    return false
  }

  #structAt({ owner, clock }: Spot): Struct | undefined {
    const structs = this.#structsOf(owner)
    const { clientId, firstClock } = freeClientOf(owner)
    const startOf = ({ id }: Struct): number =>
      id.client === clientId && clientId !== owner.free.clientId ? id.clock + firstClock : id.clock
    let low = 0
    let high = structs.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (startOf(structs[middle]!) <= clock) low = middle + 1
      else high = middle
    }
    return structs[low - 1]
  }

  #structsOf({ writer, free }: FreeWriter): readonly Struct[] {
    const known = this.#structs.get(writer)
    if (known !== undefined) return known
    const updates = [free.updates, ...free.waiting.map(({ update }) => update)]
    const structs = updates.flatMap((update) =>
      update === undefined ? [] : (decodeStructs(update)?.structs ?? []),
    )
    this.#structs.set(writer, structs)
    return structs
  }
}

/** A chain of so many neighbours has been made up: text that is typed on and on is one item. */
const stepsMax = 100_000

export function hasHidden({ free }: FreeWriter): boolean {
  return free.hiddenEntries.length > 0 || free.waiting.some(({ hidden }) => hidden)
}

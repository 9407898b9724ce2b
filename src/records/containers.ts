/** In which list, or under which key of which map, items of free types stand. What does not say so itself stands where its neighbour does. */
import * as Y from 'yjs'
import { freeClientOf } from './free-state.ts'
import type { FreeWriter } from './free-state.ts'
import { decodeStructs, parentOf } from './free-update.ts'
import type { Struct } from './free-update.ts'

/** A struct of a writer, by its clock in the writer's own count. */
export interface Spot {
  readonly owner: FreeWriter
  readonly clock: number
}

/** Whose struct somebody names; undefined while it is not held. */
export type Finder = (author: FreeWriter, place: Y.ID) => Spot | undefined

export interface Container {
  /** A name of the type; the same for the same type. */
  readonly type: string
  /** Of a map. Null: it is a list. */
  readonly key: string | null
}

const unknown = Symbol('unknown')
type Found = Container | 'gone' | typeof unknown

export class Containers {
  readonly #find: Finder
  /** Of each writer, ascending. */
  readonly #structs = new Map<string, readonly Struct[]>()
  readonly #known = new Map<Struct, Container | 'gone'>()

  constructor(find: Finder) {
    this.#find = find
  }

  /** `gone`: in none, since a neighbour has no place either. Undefined while that can't be told. */
  of(author: FreeWriter, item: Y.Item): Container | 'gone' | undefined {
    const path: Struct[] = []
    const found = this.#follow(author, item, path)
    if (found === unknown) return undefined
    for (const struct of path) this.#known.set(struct, found)
    return found
  }

  /**
   * Whether it is something that Yjs makes: whatever stands under a key is one value, with nothing to its right, and both neighbours of an
   * item stand in the same list. On anything else Yjs would stumble, sooner or later. Undefined while that can't be told.
   */
  areSound(author: FreeWriter, structs: readonly Struct[]): boolean | undefined {
    for (const item of structs) {
      if (!(item instanceof Y.Item)) continue
      const container = this.of(author, item)
      if (container === undefined) return undefined
      if (container === 'gone') continue
      const isValue = item.length === 1 || item.content instanceof Y.ContentDeleted
      if (container.key !== null && (!isValue || item.rightOrigin !== null)) return false
      if (item.origin === null || item.rightOrigin === null) continue
      const right = this.#ofPlace(author, item.rightOrigin)
      if (right === undefined) return undefined
      if (right === 'gone') continue
      if (right.type !== container.type || right.key !== container.key) return false
    }
    return true
  }

  #ofPlace(author: FreeWriter, place: Y.ID): Container | 'gone' | undefined {
    const path: Struct[] = []
    const found = this.#followPlace(author, place, path)
    return found === unknown ? undefined : found
  }

  #follow(author: FreeWriter, item: Y.Item, path: Struct[]): Found {
    let by = author
    let current = item
    for (;;) {
      const known = this.#known.get(current)
      if (known !== undefined) return known
      // A neighbour is older than who names it, or it is made up.
      if (path.length > stepsMax) return 'gone'
      path.push(current)
      const neighbour = current.origin ?? current.rightOrigin
      if (neighbour === null) return this.#named(by, parentOf(current), current.parentSub)
      const next = this.#neighbour(by, neighbour)
      if ('found' in next) return next.found
      ;({ author: by, item: current } = next)
    }
  }

  #followPlace(author: FreeWriter, place: Y.ID, path: Struct[]): Found {
    const next = this.#neighbour(author, place)
    return 'found' in next ? next.found : this.#follow(next.author, next.item, path)
  }

  #neighbour(
    author: FreeWriter,
    place: Y.ID,
  ): { readonly found: Found } | { readonly author: FreeWriter; readonly item: Y.Item } {
    let by = author
    let named = place
    for (;;) {
      const spot = this.#find(by, named)
      if (spot === undefined) return { found: unknown }
      const { owner, clock } = spot
      const hidden = owner.free.hiddenEntries.find((entry) => entry.clock === clock)
      if (hidden === undefined) {
        const struct = this.#structAt(spot)
        if (struct === undefined) return { found: unknown }
        return struct instanceof Y.Item ? { author: owner, item: struct } : { found: 'gone' }
      }
      if (hidden.origin === null) return { found: this.#named(owner, hidden.parent, hidden.key) }
      by = owner
      named = hidden.origin
    }
  }

  #named(author: FreeWriter, parent: string | Y.ID | null, key: string | null): Found {
    if (parent === null) return 'gone'
    if (typeof parent === 'string') return { type: `/${parent}`, key }
    const spot = this.#find(author, parent)
    return spot === undefined ? unknown : { type: `${spot.owner.writer}/${spot.clock}`, key }
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

/** A longer chain of neighbours has been made up. */
const stepsMax = 1_000_000

/**
 * Whose text and free types stand at a place of a record, who had seen them, and under which ids they stand in documents.
 *
 * In documents each branch of a forked feed has a client id of its own, and entries of maps that hidden commits wrote are not
 * there. What refers to them is told anew.
 */
import * as Y from 'yjs'
import type { Place } from './causality.ts'
import { Containers } from './containers.ts'
import type { Spot } from './containers.ts'
import { freeClientOf } from './free-state.ts'
import type { FreeState, FreeWriter, HiddenEntry, WaitingUpdate } from './free-state.ts'
import { decodeStructs, parentOf, referencesOf } from './free-update.ts'
import type { DeleteRanges, FreeUpdate, Struct } from './free-update.ts'
import { hasHidden, HiddenEntries } from './hidden-entries.ts'

/** What it takes to know who had seen what: a CausalIndex. */
export interface SeenBefore {
  isInPast(a: Place, b: Place): boolean
}

export interface CountedUpdate {
  readonly update: FreeUpdate
  readonly hiddenEntries: readonly HiddenEntry[]
}

const nothing: CountedUpdate = {
  update: { structs: [], deletions: new Map() },
  hiddenEntries: [],
}
const noEntries: ReadonlyMap<number, HiddenEntry> = new Map()

export class FreePlaces {
  readonly #causality: SeenBefore
  /** By every client id that people may name them by, in the order in which one is taken where several fit. */
  readonly #writers = new Map<number, FreeWriter[]>()
  readonly #containers = new Containers((author, place) => this.#meant(author, undefined, place))
  readonly #hidden = new HiddenEntries(this.#containers)

  constructor(writers: readonly FreeWriter[], causality: SeenBefore) {
    this.#causality = causality
    for (const writer of writers.toSorted(byPlace)) {
      this.#name(writer.free.clientId, writer)
      if (isBranch(writer)) this.#name(freeClientOf(writer).clientId, writer)
    }
  }

  #name(clientId: number, writer: FreeWriter): void {
    const known = this.#writers.get(clientId)
    if (known === undefined) this.#writers.set(clientId, [writer])
    else known.push(writer)
  }

  /** The update as it stands in documents; undefined while it refers to something that its author can't be known to have seen. */
  counted(writer: FreeWriter, waiting: WaitingUpdate): CountedUpdate | undefined {
    const update = decodeStructs(waiting.update)
    if (update === undefined) return nothing
    const by = { writer: writer.writer, seq: waiting.seq }
    const references = referencesOf(update)
    if (!waiting.hidden && this.#containers.areSound(writer, update.structs) !== true) {
      return undefined
    }
    if (!waiting.hidden && this.#isPlain(writer, references.keys())) {
      const mayCount = [...references].every(([client, end]) => {
        const [owner] = this.#writers.get(client) ?? []
        return owner !== undefined && this.#hasSeen(by, { owner, clock: end - 1 })
      })
      return mayCount ? { update, hiddenEntries: [] } : undefined
    }
    return this.#translated(writer, update, { ...by, hidden: waiting.hidden })
  }

  /** Whether all of these client ids stand for one writer each, in documents too, and nothing of these is hidden. */
  #isPlain(writer: FreeWriter, clients: Iterable<number>): boolean {
    if (isBranch(writer) || hasHidden(writer)) return false
    for (const client of clients) {
      const writers = this.#writers.get(client)
      if (writers === undefined) continue
      if (writers.length > 1 || isBranch(writers[0]!) || hasHidden(writers[0]!)) return false
    }
    return true
  }

  #hasSeen(by: Place, { owner, clock }: Spot): boolean {
    const seq = seqAt(owner.free, clock)
    if (seq === undefined) return false
    const place = { writer: owner.writer, seq }
    return owner.writer === by.writer ? seq <= by.seq : this.#causality.isInPast(place, by)
  }

  /** What the author meant; undefined where nothing says that they had seen any such thing. Of a hidden commit nothing has to say so. */
  #meant(
    author: FreeWriter,
    by: (Place & { readonly hidden?: boolean }) | undefined,
    { client, clock }: { readonly client: number; readonly clock: number },
  ): Spot | undefined {
    if (client === author.free.clientId && clock >= author.free.baseClock) {
      return { owner: author, clock }
    }
    for (const owner of this.#writers.get(client) ?? []) {
      const own = client === owner.free.clientId ? clock : clock + owner.free.baseClock
      if (own < owner.free.baseClock || own >= owner.free.nextClock) continue
      const spot = { owner, clock: own }
      if (by === undefined || by.hidden === true || this.#hasSeen(by, spot)) return spot
    }
    return undefined
  }

  #translated(
    author: FreeWriter,
    { structs, deletions }: FreeUpdate,
    by: Place & { readonly hidden: boolean },
  ): CountedUpdate | undefined {
    const meant = (place: { client: number; clock: number }): Spot | undefined =>
      this.#meant(author, by, place)
    // Told before anything is renamed.
    const entries = by.hidden ? this.#hidden.among(author, structs) : noEntries
    if (entries === undefined) return undefined
    const translated: Struct[] = []
    for (const struct of structs) {
      const { owner, clock } = meant(struct.id)!
      const id = inDocument({ owner, clock })
      const isGone = !(struct instanceof Y.Item) || entries.has(clock)
      const translatedStruct = isGone
        ? new Y.GC(id, struct.length)
        : this.#translatedItem(struct, id, { author, by })
      if (translatedStruct === undefined) return undefined
      translated.push(translatedStruct)
    }
    const moved = this.#translatedDeletions(author, deletions, by)
    if (moved === undefined) return undefined
    return {
      update: { structs: translated, deletions: moved },
      hiddenEntries: [...entries.values()],
    }
  }

  /**
   * What is followed: instead of an entry that a hidden commit put there, what stood there before. Undefined where that can't be known
   * (yet).
   */
  #followed(
    place: Y.ID,
    { author, by }: { author: FreeWriter; by: Place & { readonly hidden: boolean } },
  ): Pick<HiddenEntry, 'origin' | 'parent' | 'key'> | undefined {
    let told: Pick<HiddenEntry, 'origin' | 'parent' | 'key'> = {
      origin: place,
      parent: null,
      key: null,
    }
    while (told.origin !== null) {
      const spot = this.#meant(author, by, told.origin)
      if (spot === undefined) return by.hidden ? told : undefined
      const entries = this.#hidden.of(spot.owner)
      if (entries === undefined) return undefined
      const entry = entries.get(spot.clock)
      if (entry === undefined) return { ...told, origin: inDocument(spot) }
      told = entry
    }
    return told
  }

  #translatedItem(
    item: Y.Item,
    id: Y.ID,
    { author, by }: { author: FreeWriter; by: Place & { readonly hidden: boolean } },
  ): Struct | undefined {
    const isUnknown = (spot: Spot | undefined): boolean => spot === undefined && !by.hidden
    const at = (place: Y.ID): Spot | undefined => this.#meant(author, by, place)
    let parent: string | Y.ID | null = parentOf(item)
    let key = item.parentSub
    let { origin } = item
    if (origin !== null) {
      const followed = this.#followed(origin, { author, by })
      if (followed === undefined) return undefined
      ;({ origin, parent, key } = followed)
    }
    let rightOrigin: Y.ID | null = item.rightOrigin
    if (rightOrigin !== null) {
      const spot = at(rightOrigin)
      if (isUnknown(spot)) return undefined
      const entries = spot === undefined ? noEntries : this.#hidden.of(spot.owner)
      if (entries === undefined) return undefined
      if (spot !== undefined) {
        rightOrigin = entries.has(spot.clock) ? null : inDocument(spot)
      }
    }
    if (parent instanceof Y.ID) {
      const spot = at(parent)
      if (isUnknown(spot)) return undefined
      if (spot !== undefined) parent = inDocument(spot)
    }
    const isFirst = origin === null && rightOrigin === null
    // Nobody can stand behind what stands nowhere; no application says such things.
    if (isFirst && parent === null) return new Y.GC(id, item.length)
    item.id = id
    item.origin = origin
    item.rightOrigin = rightOrigin
    item.parent = (isFirst ? parent : null) as Y.Item['parent']
    item.parentSub = isFirst ? key : null
    return item
  }

  #translatedDeletions(
    author: FreeWriter,
    deletions: DeleteRanges,
    by: Place & { readonly hidden: boolean },
  ): DeleteRanges | undefined {
    const translated: DeleteRanges = new Map()
    const add = (id: Y.ID, length: number): void => {
      const known = translated.get(id.client)
      const range = { clock: id.clock, len: length }
      if (known === undefined) translated.set(id.client, [range])
      else known.push(range)
    }
    for (const [client, ranges] of deletions) {
      for (const { clock, len } of ranges) {
        for (let at = clock; at < clock + len;) {
          const found = this.#meant(author, by, { client, clock: at })
          if (found === undefined) return undefined
          const { owner } = found
          // As far as the structs of this writer go.
          const end = owner === author ? Infinity : owner.free.nextClock
          const length = Math.min(clock + len - at, end - found.clock)
          add(inDocument(found), length)
          const entries = this.#hidden.of(owner)
          if (entries === undefined) return undefined
          for (const entry of entries.values()) {
            if (entry.clock < found.clock || entry.clock >= found.clock + length) continue
            // Whoever took it away took away what it stood for, too.
            const followed =
              entry.origin === null ? entry : this.#followed(entry.origin, { author, by })
            if (followed === undefined) return undefined
            if (followed.origin !== null) add(followed.origin, 1)
          }
          at += length
        }
      }
    }
    return translated
  }
}

function inDocument({ owner, clock }: Spot): Y.ID {
  const { clientId, firstClock } = freeClientOf(owner)
  return Y.createID(clientId, clock - firstClock)
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

function isBranch({ writer, feed }: FreeWriter): boolean {
  return writer !== feed
}

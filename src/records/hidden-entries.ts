/**
 * Entries of maps that hidden commits wrote. In a list a hidden item does no harm as long as it has no content; under a key of a map it would take the place of
 * what stood there before.
 */
import * as Y from 'yjs'
import type { Containers } from './containers.ts'
import type { FreeWriter, HiddenEntry } from './free-state.ts'
import { decodeStructs, parentOf } from './free-update.ts'
import type { Struct } from './free-update.ts'

const noEntries: ReadonlyMap<number, HiddenEntry> = new Map()

export class HiddenEntries {
  readonly #containers: Containers
  readonly #entries = new Map<string, ReadonlyMap<number, HiddenEntry> | undefined>()

  constructor(containers: Containers) {
    this.#containers = containers
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
      const container = this.#containers.of(owner, struct)
      if (container === undefined) return undefined
      if (container === 'gone' || container.key === null) continue
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
}

export function hasHidden({ free }: FreeWriter): boolean {
  return free.hiddenEntries.length > 0 || free.waiting.some(({ hidden }) => hidden)
}

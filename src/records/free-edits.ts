/** What an update of free types did, in the terms of a person who reads it later: which text got which letters, and lost how many. */
import * as Y from 'yjs'
import { canonicalFreeUpdate } from './doc.ts'
import { branchClientId } from './free-state.ts'
import { decodeFreeUpdate } from './free-update.ts'
import type { DeleteRanges } from './free-update.ts'
import type { RecordState, WriterState } from './record-state.ts'

/** What one update did under one root type. */
export interface FreeEdit {
  /** Name of the root type; undefined where what it stands in is not shown here (yet). */
  readonly field: string | undefined
  /** Letters, each piece as it was typed in one place; what was taken away again at once is not there. */
  readonly inserted: readonly string[]
  /** Letters, or elements of another type, that were there before. */
  readonly deleted: number
  /** Something else than letters was written: elements of lists and maps, formats. */
  readonly other: boolean
}

/** The free types of a record, with all that was deleted in them. */
export class FreeTypes {
  readonly #state: RecordState
  #doc: Y.Doc | undefined

  /** @param state - settled (`settleFree`) */
  constructor(state: RecordState) {
    this.#state = state
  }

  /** @param update - of the writer, and accepted */
  editsOf(update: Uint8Array, writer: WriterState): FreeEdit[] {
    const decoded = decodeFreeUpdate(update)
    if (decoded === undefined) return []
    const { structs, deletions } = decoded
    const edits = new Map<string | undefined, EditInTheMaking>()
    const editOf = (field: string | undefined): EditInTheMaking => {
      const edit = edits.get(field) ?? { inserted: [], deleted: 0, other: false, end: -1 }
      edits.set(field, edit)
      return edit
    }
    for (const struct of structs) {
      if (!(struct instanceof Y.Item) || struct.content instanceof Y.ContentDeleted) continue
      const edit = editOf(rootOf(this.#structAt(struct.id, writer)))
      if (struct.content instanceof Y.ContentString) addLetters(edit, struct, deletions)
      else edit.other = true
    }
    for (const { struct, length } of this.#deletedBefore(deletions, structs[0]?.id, writer)) {
      if (!(struct instanceof Y.Item)) editOf(undefined).deleted += length
      else if (struct.countable) editOf(rootOf(struct)).deleted += length
    }
    return [...edits]
      .map(([field, { inserted, deleted, other }]) => ({ field, inserted, deleted, other }))
      .filter(({ inserted, deleted, other }) => inserted.length > 0 || deleted > 0 || other)
  }

  /** What the deletions met of what had been there before the update; what is not here (yet) is left out. */
  *#deletedBefore(
    deletions: DeleteRanges,
    firstOwn: Y.ID | undefined,
    writer: WriterState,
  ): Iterable<{ struct: Y.Item | Y.GC; length: number }> {
    for (const [client, ranges] of deletions) {
      const upTo = firstOwn?.client === client ? firstOwn.clock : Infinity
      for (const { clock, len } of ranges) {
        const end = Math.min(clock + len, upTo)
        for (let at = clock; at < end;) {
          const place = this.#inDocument(Y.createID(client, at), writer)
          const struct = structAt(this.#document, place)
          if (struct === undefined) break
          const length = Math.min(struct.id.clock + struct.length - place.clock, end - at)
          yield { struct, length }
          at += length
        }
      }
    }
  }

  #structAt(id: Y.ID, writer: WriterState): Y.Item | Y.GC | undefined {
    return structAt(this.#document, this.#inDocument(id, writer))
  }

  /** Branches of one feed used the same ids for different things: documents have other ids for them. */
  #inDocument(id: Y.ID, by: WriterState): Y.ID {
    const { clock } = id
    const isOwn = id.client === by.free?.clientId && clock >= by.free.baseClock
    const owners = isOwn ? [by] : this.#state.writers.values()
    for (const { writer, feed, free } of owners) {
      if (writer === feed || free === undefined || free.clientId !== id.client) continue
      if (!isOwn && (clock < free.baseClock || clock >= free.nextClock)) continue
      return Y.createID(branchClientId(writer, 'free'), clock - free.baseClock)
    }
    return id
  }

  get #document(): Y.Doc {
    if (this.#doc === undefined) {
      this.#doc = new Y.Doc({ gc: false, guid: this.#state.id })
      const update = canonicalFreeUpdate(this.#state)
      if (update !== undefined) Y.applyUpdate(this.#doc, update)
    }
    return this.#doc
  }
}

interface EditInTheMaking {
  inserted: string[]
  deleted: number
  other: boolean
  /** Clock of the last letter: one that was typed behind it belongs to the same piece. */
  end: number
}

function addLetters(
  edit: EditInTheMaking,
  { id, length, origin, content }: Y.Item,
  gone: DeleteRanges,
): void {
  if (!(content instanceof Y.ContentString)) return
  const kept = keptOf(content.str, id, gone.get(id.client) ?? [])
  const goesOn = origin?.client === id.client && origin.clock === edit.end
  edit.end = id.clock + length - 1
  if (kept === '') return
  const last = edit.inserted.length - 1
  if (goesOn && last >= 0) edit.inserted[last] += kept
  else edit.inserted.push(kept)
}

/** What is left of letters after the deletions of the same update. */
function keptOf(
  letters: string,
  { clock: start }: Y.ID,
  ranges: readonly { readonly clock: number; readonly len: number }[],
): string {
  let kept = ''
  let at = start
  for (const { clock, len } of ranges.toSorted((a, b) => a.clock - b.clock)) {
    if (clock + len <= at) continue
    if (clock >= start + letters.length) break
    kept += letters.slice(at - start, Math.max(at, clock) - start)
    at = clock + len
  }
  return kept + letters.slice(at - start)
}

function structAt(doc: Y.Doc, id: Y.ID): Y.Item | Y.GC | undefined {
  if (id.clock >= Y.getState(doc.store, id.client)) return undefined
  return Y.getItem(doc.store, id)
}

function rootOf(struct: Y.Item | Y.GC | undefined): string | undefined {
  let type: unknown = struct instanceof Y.Item ? struct.parent : undefined
  while (type instanceof Y.AbstractType) {
    if (type.parent === null) return Y.findRootTypeKey(type)
    type = type.parent
  }
  return undefined
}

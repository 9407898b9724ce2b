/** Fields that are texts: root `Y.Text`s of a record's free types. docs/data-model.md, "Free types". */
import * as Y from 'yjs'
import { HavenError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { canonicalFreeUpdate } from './doc.ts'
import { newFreeState } from './free-state.ts'
import { ownEdit } from './own-edit.ts'
import type { FreeEdit } from './own-edit.ts'
import type { RecordState, Writer } from './record-state.ts'
import { applyTextChanges, changesOnto, splitsCodePoint } from './text-changes.ts'
import type { TextChange } from './text-changes.ts'

/** What the texts of these names say, of those that say something. Edits that wait for others are not shown yet. */
export function textsOf(state: RecordState, names: readonly string[]): ReadonlyMap<string, string> {
  const texts = new Map<string, string>()
  const update = names.length === 0 ? undefined : canonicalFreeUpdate(state)
  if (update === undefined) return texts
  const doc = docOf(state, update)
  for (const name of names) {
    const text = doc.getText(name).toJSON()
    if (text !== '') texts.set(name, text)
  }
  return texts
}

/** What somebody wants of a text. Places and lengths in UTF-16 code units, as JavaScript counts. */
type TextEdit =
  /** It becomes this. `from`: what they had before them, where that may be older; only what they changed in it counts. */
  { readonly to: string; readonly from?: string | undefined } | Splice

interface Splice {
  readonly at: number
  readonly remove?: number | undefined
  readonly insert?: string | undefined
}

export interface FieldTextEdit {
  readonly field: string
  readonly edit: TextEdit
  /** A value that was put before the field became a text: shown while the text is empty, and moved into it by its first edit. */
  readonly put?: string | undefined
  /** What stands there goes: the edit is of an empty text. */
  readonly anew?: boolean | undefined
}

/**
 * The update that makes the edits, for a commit of the writer; undefined when all is so already. The smallest that says it, so that
 * what others write in the same text meanwhile stays beside it.
 *
 * @param state - settled (`settleFree`)
 * @throws HavenError `TEXT_RANGE` for a place that is not in the text, `TOO_LARGE`
 */
export function textEdit(
  state: RecordState,
  writer: Writer,
  edits: readonly FieldTextEdit[],
): FreeEdit | undefined {
  const free = state.writers.get(writer.writer)?.free ?? newFreeState(writer.freeClientId, 0)
  const doc = docOf(state, canonicalFreeUpdate(state))
  doc.clientID = writer.freeClientId
  const updates: Uint8Array[] = []
  doc.on('update', (update: Uint8Array) => updates.push(update))
  doc.transact(() => {
    for (const { field, edit, put = '', anew = false } of edits) {
      const text = doc.getText(field)
      if (anew && text.length > 0) text.delete(0, text.length)
      const shown = text.toJSON()
      const changes = changesFor(edit, shown === '' ? put : shown)
      if (shown === '') write(text, moveIn(put, changes))
      else write(text, changes)
    }
  })
  const { edit } = ownEdit(updates, free)
  if (edit !== undefined && edit.update.length > limits.updateBytes) {
    throw new HavenError('TOO_LARGE', 'One change of a record may take 8 MiB. Split it.')
  }
  return edit
}

/** Its content does not depend on the id; without one, Yjs would ask for chance. */
function docOf(state: RecordState, update: Uint8Array | undefined): Y.Doc {
  const doc = new Y.Doc({ guid: state.id })
  if (update !== undefined) Y.applyUpdate(doc, update)
  return doc
}

function changesFor(edit: TextEdit, shown: string): TextChange[] {
  if ('to' in edit) return changesOnto(edit.from ?? shown, edit.to, shown)
  return [checkedChange(edit, shown)]
}

/** @throws HavenError `TEXT_RANGE` */
export function checkedChange(edit: Splice, shown: string): TextChange {
  const { at, remove = 0, insert = '' } = edit
  const end = at + remove
  const isInside = [at, end].every(
    (place) => Number.isSafeInteger(place) && place >= 0 && place <= shown.length,
  )
  if (!isInside || remove < 0) {
    throw new HavenError(
      'TEXT_RANGE',
      `The text has ${shown.length} characters now: there is nothing to change there. Read it again.`,
    )
  }
  if (splitsCodePoint(shown, at) || splitsCodePoint(shown, end)) {
    throw new HavenError(
      'TEXT_RANGE',
      'A change of a text begins and ends between characters, not within one.',
    )
  }
  return { at, remove, insert }
}

function moveIn(put: string, changes: readonly TextChange[]): TextChange[] {
  const insert = applyTextChanges(put, changes)
  return insert === '' ? [] : [{ at: 0, remove: 0, insert }]
}

/** From the end, so that the places of the others stay. */
function write(text: Y.Text, changes: readonly TextChange[]): void {
  const placeOf = placesIn(text)
  for (const { at, remove, insert } of changes.toReversed()) {
    const place = placeOf(at)
    const until = placeOf(at + remove)
    if (until > place) text.delete(place, until - place)
    if (insert !== '') text.insert(place, insert.toWellFormed())
  }
}

/** Where a place of the letters is in the type, which may hold images and the like among them: each takes one place there. */
function placesIn(text: Y.Text): (at: number) => number {
  const others: { readonly letters: number }[] = []
  let letters = 0
  for (const { insert } of text.toDelta() as { insert: unknown }[]) {
    if (typeof insert === 'string') letters += insert.length
    else others.push({ letters })
  }
  return (at) => at + others.filter((other) => other.letters < at).length
}

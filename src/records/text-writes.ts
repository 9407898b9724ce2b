/** Of what is to be written, what goes into texts: docs/data-model.md, "Free types". */
import { HavenError } from '../core/errors.ts'
import { elementsOf } from './json-text.ts'
import type { Reading } from './reading.ts'
import type { FieldTextEdit } from './text.ts'
import type { RecordView } from './visibility.ts'
import type { PlannedWrite } from './writes.ts'

/** A change of some letters of a field. */
export interface TextSplice {
  readonly op: 'text'
  readonly field: string
  /** In UTF-16 code units, as `remove`. */
  readonly at: number
  readonly remove?: number | undefined
  readonly insert?: string | undefined
}

export interface TextWrites {
  /** What remains to be written as values. */
  readonly writes: readonly PlannedWrite[]
  readonly texts: readonly FieldTextEdit[]
}

/**
 * A text that is put into a field that is one becomes an edit of it. The value from before the field was a text, where there is
 * one, is taken back in the same commit: the edit moves it in. Values that are no text stay what they are.
 *
 * @param options.splices - further edits
 * @param options.shown - by field the JSON text that its author had before them, where that may be older than what is shown now
 * @param options.anew - its author sees none of the letters that are there: those of a record that was deleted
 * @throws HavenError `INVALID_VALUE` where a splice is of a field that is no text
 */
export function textWrites(
  view: RecordView,
  planned: readonly PlannedWrite[],
  {
    reading,
    splices = [],
    shown = new Map(),
    anew = view.withoutTexts,
  }: {
    readonly reading: Reading
    readonly splices?: readonly TextSplice[]
    readonly shown?: ReadonlyMap<string, string>
    readonly anew?: boolean
  },
): TextWrites {
  const isText = (field: string): boolean => reading.ruleOf(view.id, field).strategy === 'text'
  const writes: PlannedWrite[] = []
  const texts: FieldTextEdit[] = []
  for (const [index, write] of planned.entries()) {
    const to = write.op === 'put' && isText(write.field) ? textOf(write.value) : undefined
    if (to === undefined) {
      writes.push(write)
      continue
    }
    // Of several writes of one field the last counts.
    if (planned.some(({ field, op }, at) => at > index && field === write.field && op === 'put')) {
      continue
    }
    const from = anew ? undefined : shown.get(write.field)
    const put = putOf(view, write.field)
    texts.push({
      field: write.field,
      edit: { to, from: from === undefined ? undefined : textOf(from) },
      put: textOf(put?.value),
    })
    if (put !== undefined) writes.push({ ...write, value: undefined })
  }
  for (const { field, at, remove = 0, insert = '' } of splices) {
    if (!isText(field)) {
      throw new HavenError(
        'INVALID_VALUE',
        `The field ${JSON.stringify(field)} is no text by the schema of its collection: set it as a whole, or change the schema.`,
      )
    }
    const put = putOf(view, field)
    texts.push({ field, edit: { at, remove, insert }, put: textOf(put?.value), anew })
    const isTakenBack = writes.some((write) => write.field === field && write.op === 'put')
    if (put !== undefined && !isTakenBack) writes.push({ field, op: 'put', value: undefined })
  }
  return { writes, texts }
}

/** @throws HavenError `INVALID_VALUE` where somebody wants a text to be something else */
export function assertTexts(
  view: RecordView,
  writes: readonly PlannedWrite[],
  reading: Reading,
): void {
  for (const { field, op, value } of writes) {
    if (op !== 'put' || field === '' || textOf(value) !== undefined) continue
    if (reading.ruleOf(view.id, field).strategy !== 'text') continue
    throw new HavenError(
      'INVALID_VALUE',
      `The field ${JSON.stringify(field)} is a text by the schema of its collection: ${field}='"text"'.`,
    )
  }
}

/** Where both a text and what was put beside it are to be kept: one below the other. */
export function joinedTexts(
  view: RecordView,
  writes: readonly PlannedWrite[],
  reading: Reading,
): PlannedWrite[] {
  return writes.map((write) => {
    const { field, op, value } = write
    if (op !== 'put' && op !== 'keep') return write
    if (reading.ruleOf(view.id, field).strategy !== 'text') return write
    const added = op === 'keep' ? elementsOf(value!) : value === undefined ? [] : [value]
    const texts = [view.fields.get(field), ...added].flatMap((each) =>
      each === undefined ? [] : (textOf(each) ?? each),
    )
    return { ...write, op: 'put', value: JSON.stringify([...new Set(texts)].join('\n')) }
  })
}

/** What was put into the field as a whole, and is live: shown as long as the text is empty. */
function putOf(view: RecordView, field: string): { readonly value: string } | undefined {
  for (const write of view.live.toReversed()) {
    if (write.field === field && write.op === 'put' && write.value !== undefined) {
      return { value: write.value }
    }
  }
  return undefined
}

/** A field that is removed is a text without letters. Undefined: not a text. */
function textOf(value: string | undefined): string | undefined {
  if (value === undefined) return ''
  return value.startsWith('"') ? (JSON.parse(value) as string) : undefined
}

import type { Conflict, ListedValue } from '../device/api.ts'
import { countText } from './amounts.ts'
import { table, widthOf, wrapped } from './cells.ts'
import { nameOf } from './event-text.ts'
import { type JsonValue, RawJson } from './json.ts'
import { dateAndTime, printable } from './printable.ts'
import { shellWord } from './shell-word.ts'

/** Of what was decided by rule, so many are shown unless somebody asks for all. */
const reviewShown = 20

/** The document of `conflicts --json`. Values keep their number lexemes. */
export function conflictsDocument(conflicts: readonly Conflict[]): JsonValue {
  return conflicts.map((conflict) => ({
    collection: conflict.collection,
    id: conflict.id,
    field: conflict.field,
    kind: conflict.kind,
    state: conflict.state,
    rank: conflict.rank,
    values: conflict.values.map(valueDocument),
    base: conflict.base === null ? null : new RawJson(conflict.base),
    changes: conflict.changes?.map(({ field, device, time }) => ({
      field,
      device: { id: device.id, name: device.name },
      time,
    })),
    problem: conflict.problem,
    seen: conflict.seen,
  }))
}

function valueDocument({ n, value, device, actor, time, clockOff, together }: ListedValue): object {
  return {
    n,
    value: value === undefined ? null : new RawJson(value),
    // Tells it from a `null` that somebody wrote.
    removed: value === undefined ? true : undefined,
    together: together ? true : undefined,
    device: { id: device.id, name: device.name },
    actor,
    time,
    clockOff,
  }
}

/**
 * `haven conflicts` for people: what has to be settled, then what was decided by rule; for each the values, by whom and when, and the
 * command that settles it.
 *
 * @param width - nothing is cut: what is longer goes on in the next line
 */
export function conflictsText(
  conflicts: readonly Conflict[],
  { width, all }: { width: number; all: boolean },
): string {
  const open = conflicts.filter(({ state }) => state === 'open')
  const review = conflicts.filter(({ state }) => state === 'review')
  if (conflicts.length === 0) return 'There is nothing to settle.'
  const shown = all ? review : review.slice(0, reviewShown)
  const blocks = (title: string, list: readonly Conflict[]) =>
    list.length === 0 ? [] : [title, ...list.map((conflict) => blockText(conflict, width))]
  return [
    ...blocks(`To settle: ${countText(open.length, 'conflict')}`, open),
    ...blocks(
      `Decided by rule, the first value shows; to be looked at: ${review.length.toLocaleString('en')}`,
      shown,
    ),
    ...(shown.length < review.length
      ? [`${(review.length - shown.length).toLocaleString('en')} more: haven conflicts --all`]
      : []),
    legend([...open, ...shown], width),
  ].join('\n\n')
}

function legend(shown: readonly Conflict[], width: number): string {
  const ofFields = shown.some(({ field }) => field !== null)
  const ofRecords = shown.some(({ field }) => field === null)
  const sentences = [
    ...(ofFields
      ? [
          'N is the number of the right value. Instead of --keep N: --keep-both where they hold together, or --value JSON.',
        ]
      : []),
    ...(ofRecords ? ['A record goes with --delete instead of --keep.'] : []),
  ]
  return sentences.flatMap((sentence) => wrapped(sentence, width)).join('\n')
}

function blockText(conflict: Conflict, width: number): string {
  const { collection, id, title, rank } = conflict
  const place = `${printable(id)} in ${printable(collection)}`
  const head = title === null ? place : `${printable(title)} (${place})`
  const lines = [
    `${head}, ${rank}`,
    ...(conflict.field === null ? recordLines(conflict) : fieldLines(conflict)),
  ]
  return [
    ...lines.flatMap((line) => indented(line, width, 2)),
    ...valueLines(conflict, width),
    // Not broken into lines: it is to be copied.
    `  ${commandText(conflict)}`,
  ].join('\n')
}

function fieldLines({ field, base, problem }: Conflict): string[] {
  const before = base === null ? '' : `, before: ${printable(base)}`
  return [
    `${printable(field ?? '')}${before}`,
    ...(problem === undefined
      ? []
      : [`${printable(problem)} Say what is right with --value JSON.`]),
  ]
}

function recordLines({ values, changes = [] }: Conflict): string[] {
  const changed = changes.map(({ field, device, time }) => {
    const when = time === null ? '' : `, ${dateAndTime(time)}`
    return `${field === null ? 'a text' : printable(field)} (${nameOf(device)}${when})`
  })
  return [
    `deleted by ${values.map(whoAndWhen).join('; ')}`,
    ...(changed.length === 0 ? [] : [`who did not know of changes: ${changed.join('; ')}`]),
  ]
}

/** Side by side where they fit, else one below the other. */
function valueLines({ field, values }: Conflict, width: number): string[] {
  if (field === null) return []
  const rows = values.map((value) => [
    `${value.n}`,
    valueText(value),
    whoText(value),
    whenText(value),
  ])
  const aligned = table(rows, '    ').split('\n')
  if (aligned.every((line) => widthOf(line) <= width)) return aligned
  return values.flatMap((value) => [
    ...indented(`${value.n}   ${whoAndWhen(value)}`, width, 4),
    ...indented(valueText(value), width, 8),
  ])
}

function valueText({ value, together }: ListedValue): string {
  if (value === undefined) return '(removed)'
  return `${together ? 'together: ' : ''}${printable(value)}`
}

function whoAndWhen(value: ListedValue): string {
  return `${whoText(value)}, ${whenText(value)}`
}

function whoText({ device, actor }: ListedValue): string {
  return actor === null ? nameOf(device) : `${printable(actor)} on ${nameOf(device)}`
}

function whenText({ time, clockOff }: ListedValue): string {
  return `${dateAndTime(time)}${clockOff ? ' by a clock that is off' : ''}`
}

function commandText({ collection, id, field, kind, seen }: Conflict): string {
  const words = ['haven resolve', shellWord(collection), shellWord(id)]
  if (field === null) return [...words, '--seen', seen, '--keep'].join(' ')
  const how = kind === 'schema' ? '--value JSON' : '--keep N'
  return [...words, shellWord(field), '--seen', seen, how].join(' ')
}

function indented(text: string, width: number, by: number): string[] {
  return wrapped(text, Math.max(20, width - by)).map((line) => `${' '.repeat(by)}${line}`)
}

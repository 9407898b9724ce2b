import type { HistoryEntry, HistoryValue, RecordHistory, UnreadCommits } from '../device/api.ts'
import { countText } from './amounts.ts'
import { truncated } from './cells.ts'
import { nameOf } from './event-text.ts'
import { type JsonValue, RawJson } from './json.ts'
import { dateAndTime, printable } from './printable.ts'

/** The document of `history --json`. Values keep their number lexemes. */
export function historyDocument(history: RecordHistory): JsonValue {
  return {
    ...history,
    entries: history.entries.map(({ value, before, text, waits, ...entry }) => ({
      ...entry,
      ...valueDocument(value, entry.op),
      before: before.map((each) => ({ ...each, ...valueDocument(each.value, each.op) })),
      text: text ?? undefined,
      waits: waits ? true : undefined,
    })),
  }
}

function valueDocument(value: string | undefined, op: string): object {
  if (value !== undefined) return { value: new RawJson(value) }
  // Tells it from a `null` that somebody wrote.
  return { value: null, removed: op === 'put' ? true : undefined }
}

/**
 * `haven history` for people: the newest first, what one commit did together.
 *
 * @param width - long values are cut to it
 */
export function historyText(history: RecordHistory, width: number): string {
  const { id, collection, entries, more, unread } = history
  return [
    `${printable(id)} in ${printable(collection)}, the newest first`,
    ...commitsOf(entries).map((commit) => commitText(commit, width)),
    ...(more ? ['There are older changes: leave --limit out to see all.'] : []),
    ...unread.map(unreadText),
  ].join('\n\n')
}

/** Entries of one commit follow each other. */
function commitsOf(entries: readonly HistoryEntry[]): HistoryEntry[][] {
  const commits: HistoryEntry[][] = []
  for (const entry of entries) {
    const [last] = commits.at(-1) ?? []
    if (last?.commit.feed === entry.commit.feed && last.commit.seq === entry.commit.seq)
      commits.at(-1)!.push(entry)
    else commits.push([entry])
  }
  return commits
}

function commitText(entries: readonly HistoryEntry[], width: number): string {
  const [first] = entries as [HistoryEntry]
  const seen = first.seen.map(({ device, seq }) => `${nameOf(device)} up to ${seq}`)
  return [
    `${whenText(first)}  ${whoText(first)}, commit ${first.commit.seq}${first.hidden ? ', not shown: it was removed before, or may not write' : ''}`,
    ...entries.map((entry) => truncated(`  ${entryText(entry)}`, width)),
    ...(seen.length === 0 ? [] : [truncated(`  having seen ${seen.join(', ')}`, width)]),
  ].join('\n')
}

function whenText({ time, clockOff }: HistoryEntry): string {
  return `${dateAndTime(time)}${clockOff ? ' by a clock that is off' : ''}`
}

function whoText({ device, actor }: HistoryEntry): string {
  return actor === null ? nameOf(device) : `${printable(actor)} on ${nameOf(device)}`
}

function entryText(entry: HistoryEntry): string {
  const { field, op, refused, before, waits } = entry
  if (refused !== null) return `not accepted: ${printable(refused)}`
  const was = before.length === 0 ? '' : `   was ${before.map(beforeText).join(' and ')}`
  if (field === null) return `${recordDid[op] ?? changeText(entry)}${waits ? waitsText : ''}`
  return `${printable(field)}   ${changeText(entry)}${was}${waits ? waitsText : ''}`
}

function beforeText(value: HistoryValue): string {
  const { field, schemaVersion } = value
  return [
    ...(field === undefined ? [] : [printable(field)]),
    valueText(value),
    ...(schemaVersion === undefined ? [] : [`by schema ${schemaVersion}`]),
  ].join(' ')
}

const waitsText = ', shown when what it stands beside has arrived'

const recordDid: Record<string, string> = {
  delete: 'the record was deleted',
  restore: 'the record was restored',
}

function changeText({ op, value, text }: HistoryEntry): string {
  if (op === 'text' && text !== null) {
    const typed = text.inserted.map((piece) => printable(JSON.stringify(piece)))
    const parts = [
      ...(typed.length > 0 ? [`typed ${typed.join(' and ')}`] : []),
      ...(text.deleted > 0 ? [`took away ${countText(text.deleted, 'letter')}`] : []),
    ]
    return parts.join(', ')
  }
  if (op === 'edit') return 'edited'
  if ((op === 'link' || op === 'unlink') && value !== undefined)
    return `${op === 'link' ? 'linked' : 'no longer linked'} with ${printable(JSON.parse(value) as string)}`
  return valueText({ op, value })
}

function valueText({ op, value }: Pick<HistoryValue, 'op' | 'value'>): string {
  const shown = value === undefined ? '' : printable(value)
  switch (op) {
    case 'put':
      return value === undefined ? '(removed)' : shown
    case 'keep':
      return `together: ${shown}`
    case 'add':
      return `added ${shown}`
    case 'remove':
      return `removed ${shown}`
    case 'count':
      return shown.startsWith('-') ? shown : `+${shown}`
    default:
      return `${printable(op)}, written by a newer version${shown === '' ? '' : `: ${shown}`}`
  }
}

function unreadText({ device, commits, reason }: UnreadCommits): string {
  const what = `${countText(commits, 'commit')} of ${nameOf(device)}`
  return reason === 'key'
    ? `${what} can not be read here yet, and may hold more: meet a device that has the key.`
    : `${what} can not be read here just now, and may hold more: they come again from other devices.`
}

import type { KnownAuthor, RecordHolder, RecordStatus } from '../device/api.ts'
import { countText } from './amounts.ts'
import { table } from './cells.ts'
import { nameOf } from './event-text.ts'
import { momentText, timeText } from './moment-text.ts'

/** What `get --status` adds for people: who else holds the record, and how far what others wrote is known. */
export function recordStatusText(
  { holders, onServer, authors, unread }: RecordStatus,
  nowMs: number,
): string {
  const held = holders.filter(({ holds }) => holds === true)
  const others = holders.filter(({ holds }) => holds !== true)
  return [
    ...section(heldTitle(held.length), held, (holder) => sinceText(holder, nowMs)),
    ...section('Not known to hold it', others, (holder) => lackText(holder, nowMs)),
    ...(onServer === null
      ? []
      : [onServer ? 'A server holds it.' : 'No server is known to hold it yet.', '']),
    ...section('What others wrote is known', authors, (author) => untilText(author, nowMs)),
    ...(unread === 0
      ? []
      : [`${countText(unread, 'commit')} here can not be read yet, and may hold more of it.`, '']),
  ]
    .slice(0, -1)
    .join('\n')
}

function heldTitle(count: number): string {
  if (count === 0) return 'No other device is known to hold it.'
  return `Held safely on ${countText(count, 'other device')}`
}

function section<T extends { device: RecordHolder['device'] }>(
  title: string,
  rows: readonly T[],
  textOf: (row: T) => string,
): string[] {
  if (rows.length === 0 && !title.endsWith('.')) return []
  const lines =
    rows.length === 0 ? [] : [table(rows.map((row) => [nameOf(row.device), textOf(row)]))]
  return [title, ...lines, '']
}

function sinceText({ since, clockOff, retiring }: RecordHolder, nowMs: number): string {
  if (since === null) return ''
  return `since ${timeText(since, nowMs)}${offText(clockOff)}${retiring ? '; it is to be wiped' : ''}`
}

function lackText({ holds, heard }: RecordHolder, nowMs: number): string {
  if (heard === null) return 'not heard from yet'
  const asOf = `as of ${momentText(heard, nowMs)}`
  return holds === null
    ? `it holds something that is not here yet, ${asOf}`
    : `it lacks some, ${asOf}`
}

function untilText({ until, clockOff }: KnownAuthor, nowMs: number): string {
  if (until === null) return 'never heard'
  return `until ${momentText(until, nowMs)}${offText(clockOff)}`
}

function offText(clockOff: boolean): string {
  return clockOff ? ' by its clock, which is off' : ''
}

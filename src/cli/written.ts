import type { WriteResult } from '../device/api.ts'
import { printable } from './printable.ts'

/** What became of a write. */
export function writtenText(written: WriteResult): string {
  const { id, commit } = written
  if (commit === null) return `${printable(id)} is so already: nothing was written.`
  return `${printable(id)} is written${placeText(written)}.`
}

/** Where it stands, in parentheses. */
export function placeText({ commit }: Pick<WriteResult, 'commit'>): string {
  return commit === null ? '' : ` (commit ${commit.seq} of feed ${commit.feed.slice(0, 8)})`
}

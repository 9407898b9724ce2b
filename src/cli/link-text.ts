import type { LinkResult, RecordLink } from '../device/api.ts'
import { printable } from './printable.ts'
import { placeText } from './written.ts'

/** What became of `link` and `unlink`: with whom the first record is linked now. */
export function linkText({ ids, commit, links }: LinkResult): string {
  const first = printable(ids[0]!)
  const others = links.length === 0 ? 'no other record' : linksText(links)
  return commit === null
    ? `It is so already: nothing was written. ${first} is linked with ${others}.`
    : `${first} is linked with ${others} now${placeText({ commit })}.`
}

/** The others of a group, in a line. */
export function linksText(links: readonly RecordLink[]): string {
  return links.map(({ id, state }) => `${printable(id)}${stateText(state)}`).join(', ')
}

function stateText(state: RecordLink['state']): string {
  if (state === 'present') return ''
  return state === 'deleted' ? ' (deleted)' : ' (not here yet)'
}

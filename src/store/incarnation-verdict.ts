/** Whether a device may go on writing its feeds after a start, or must begin new ones (docs/storage.md, Rollback). */
import type { MarkContent, MarkState } from './mark.ts'

export interface IncarnationQuestion {
  readonly mark: {
    readonly state: MarkState
    readonly content?: MarkContent | undefined
    readonly writable: boolean
  }
  /** The store holds no own commit: nothing was offered to anybody that a rollback could have taken away. */
  readonly storeIsEmpty: boolean
  /** The incarnation that the store would go on with. */
  readonly storeIncarnation: string | undefined
  readonly storeContains: (feed: string, seq: number, id: Uint8Array) => boolean
}

type IncarnationReason =
  /** The store contains all that the mark names. */
  | 'contained'
  /** Nothing was written yet, so there is nothing to protect. */
  | 'empty'
  | 'not-writable'
  | 'missing'
  | 'unreadable'
  | 'foreign-machine'
  | 'other-incarnation'
  /** The mark names a commit that the store does not have: the store was rolled back. */
  | 'ahead'

export interface IncarnationVerdict {
  readonly verdict: 'continue' | 'new'
  readonly reason: IncarnationReason
}

/**
 * A wrong `new` costs a few feeds; a wrong `continue` writes a second history of a feed that others already have. So
 * everything that is not known to be right is `new`.
 */
export function incarnationVerdict(question: IncarnationQuestion): IncarnationVerdict {
  const { mark, storeIsEmpty, storeIncarnation, storeContains } = question
  const startNew = (reason: IncarnationReason): IncarnationVerdict => ({ verdict: 'new', reason })

  // A store that was emptied under the same keys is told from a fresh one by its mark.
  if (mark.state === 'ok' && mark.content !== undefined) {
    const { incarnation, feeds } = mark.content
    if (!feeds.every(({ feed, seq, id }) => storeContains(feed, seq, id))) return startNew('ahead')
    if (storeIncarnation !== undefined && storeIncarnation !== incarnation && !storeIsEmpty) {
      return startNew('other-incarnation')
    }
  }
  if (storeIsEmpty) return { verdict: 'continue', reason: 'empty' }
  if (mark.state !== 'ok') return startNew(mark.state)
  if (mark.content === undefined) return startNew('unreadable')
  // What is offered from now on would not be in the mark: the next start could not trust it.
  if (!mark.writable) return startNew('not-writable')
  return { verdict: 'continue', reason: 'contained' }
}

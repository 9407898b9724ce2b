/**
 * "These are the same person": linked records name each other in the set `~same`. Nothing is merged, and a link can be taken back.
 * docs/data-model.md, "Links".
 */
import { compareText } from './candidates.ts'
import type { RecordView } from './visibility.ts'
import type { PlannedWrite } from './writes.ts'

const field = '~same'

/** What a write says of links: with which record, and whether they are linked. Undefined: it is of something else. */
export function linkOf(write: {
  readonly field: string
  readonly op: string
  readonly value: string | undefined
}): { readonly with: string; readonly isLinked: boolean } | undefined {
  const { op, value } = write
  if (write.field !== field || value?.startsWith('"') !== true) return undefined
  if (op !== 'add' && op !== 'remove') return undefined
  return { with: JSON.parse(value) as string, isLinked: op === 'add' }
}

/** Ids of the records that this one was linked with, sorted. Of one that is deleted, too: a link is between records, shown or not. */
export function linkedWith({ id, live }: Pick<RecordView, 'id' | 'live'>): string[] {
  const ids = new Set<string>()
  for (const write of live) {
    if (write.field !== field || write.op !== 'add' || !write.value!.startsWith('"')) continue
    const other = JSON.parse(write.value!) as string
    if (other !== id) ids.add(other)
  }
  return [...ids].toSorted(compareText)
}

/** None where they are linked already. The other record has to say the same, in the same commit. */
export function writesToLink(view: RecordView, others: readonly string[]): PlannedWrite[] {
  const linked = new Set(linkedWith(view))
  return others
    .filter((other) => !linked.has(other))
    .map((other) => ({ field, op: 'add', value: JSON.stringify(other) }))
}

/** None where they are not linked. */
export function writesToUnlink(view: RecordView, others: readonly string[]): PlannedWrite[] {
  const linked = new Set(linkedWith(view))
  return others
    .filter((other) => linked.has(other))
    .map((other) => ({ field, op: 'remove', value: JSON.stringify(other) }))
}

/** Makes a schedule that fails smaller, as long as it fails in the same way: delta debugging (Zeller and Hildebrandt, IEEE TSE 28(2), 2002). */
import type { Schedule } from '../schedule.ts'

type Part = 'faults' | 'contacts' | 'writes'

/** @param fails - plays a schedule; true: it still does not hold */
export async function shrink(
  schedule: Schedule,
  fails: (schedule: Schedule) => Promise<boolean>,
): Promise<Schedule> {
  let smallest = schedule
  for (let size = Infinity; sizeOf(smallest) < size;) {
    size = sizeOf(smallest)
    for (const part of ['faults', 'contacts', 'writes'] as const)
      smallest = await withoutParts(smallest, part, fails)
    smallest = await shorter(smallest, fails)
  }
  return smallest
}

function sizeOf({ faults, contacts, writes, endUs }: Schedule): number {
  return (faults.length + contacts.length + writes.length) * 1e9 + endUs / 1e6
}

/** ddmin over one list. */
async function withoutParts(
  schedule: Schedule,
  part: Part,
  fails: (schedule: Schedule) => Promise<boolean>,
): Promise<Schedule> {
  let items: readonly unknown[] = schedule[part]
  const withItems = (kept: readonly unknown[]) => ({ ...schedule, [part]: kept }) as Schedule
  for (let pieces = Math.min(2, items.length); pieces <= items.length && items.length > 0;) {
    const length = Math.ceil(items.length / pieces)
    let isSmaller = false
    for (let from = 0; from < items.length; from += length) {
      const kept = items.filter((_, index) => index < from || index >= from + length)
      if (!(await fails(withItems(kept)))) continue
      items = kept
      isSmaller = true
      break
    }
    if (isSmaller) pieces = Math.max(2, pieces - 1)
    else if (pieces >= items.length) break
    else pieces = Math.min(items.length, 2 * pieces)
  }
  return withItems(items)
}

/** It ends with the last thing that happens. */
async function shorter(
  schedule: Schedule,
  fails: (schedule: Schedule) => Promise<boolean>,
): Promise<Schedule> {
  const lastUs = Math.max(
    0,
    ...schedule.contacts.map(({ toUs }) => toUs),
    ...schedule.writes.map(({ atUs }) => atUs),
    ...schedule.faults.map((fault) => fault.atUs + ('forUs' in fault ? fault.forUs : 0)),
  )
  const cut = { ...schedule, endUs: lastUs + 1_000_000 }
  return cut.endUs < schedule.endUs && (await fails(cut)) ? cut : schedule
}

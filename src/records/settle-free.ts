/** Which of the text and free types of a record count. docs/data-model.md, "Free types". */
import { FreePlaces, type SeenBefore } from './free-places.ts'
import { freeClientOf } from './free-state.ts'
import type { FreeState, FreeWriter, HiddenEntry } from './free-state.ts'
import { decodeStructs, encodeFreeUpdate, mergeFreeUpdates } from './free-update.ts'
import type { FreeUpdate } from './free-update.ts'
import type { RecordState, WriterState } from './record-state.ts'

/**
 * The state in which every free update counts that may: whose earlier ones by the same writer count, and of which each place that it
 * refers to came with a commit that its author had seen. More of them do when more is known of who had seen what, never fewer.
 *
 * With branches of a forked feed the result is for this moment only, and not to be stored: which branch somebody meant may
 * turn out later.
 */
export function settleFree(state: RecordState, causality: SeenBefore): RecordState {
  let writers: Map<string, WriterState> | undefined
  let places: FreePlaces | undefined
  for (const writer of state.writers.values()) {
    if (writer.free === undefined || writer.free.waiting.length === 0) continue
    places ??= new FreePlaces(writersOf(state), causality)
    const { free } = writer
    const settledFree = settled({ ...writer, free }, places)
    if (settledFree === undefined) continue
    writers ??= new Map(state.writers)
    writers.set(writer.writer, { ...writer, free: settledFree })
  }
  return writers === undefined ? state : { ...state, writers }
}

/** Whether some of its updates do not count: knowing more of who had seen what may change that. */
export function hasWaitingUpdates(state: RecordState): boolean {
  for (const { free } of state.writers.values()) {
    if (free !== undefined && free.waiting.length > 0) return true
  }
  return false
}

/** For each client id of documents, where the structs that count end. */
export function documentClocks(state: RecordState): Map<number, number> {
  const clocks = new Map<number, number>()
  for (const writer of state.writers.values()) {
    if (writer.free === undefined) continue
    const { commits, waiting, baseClock } = writer.free
    const end = commits[commits.length - waiting.length - 1]?.end ?? baseClock
    const { clientId, firstClock } = freeClientOf({ ...writer, free: writer.free })
    clocks.set(clientId, end - firstClock)
  }
  return clocks
}

/** Whether {@link settleFree} gives something that may be stored. */
export function settlesForGood(state: RecordState): boolean {
  for (const { writer, feed } of state.writers.values()) if (writer !== feed) return false
  return true
}

/** Undefined when nothing changes. */
function settled(writer: FreeWriter, places: FreePlaces): FreeState | undefined {
  const { free } = writer
  const counting: FreeUpdate[] = []
  const hiddenEntries: HiddenEntry[] = []
  for (const waiting of free.waiting) {
    const counted = places.counted(writer, waiting)
    if (counted === undefined) break
    counting.push(counted.update)
    hiddenEntries.push(...counted.hiddenEntries)
  }
  if (counting.length === 0) return undefined
  const before = free.updates === undefined ? undefined : decodeStructs(free.updates)
  return {
    ...free,
    updates: encodeFreeUpdate(
      mergeFreeUpdates(before === undefined ? counting : [before, ...counting]),
    ),
    waiting: free.waiting.slice(counting.length),
    hiddenEntries:
      hiddenEntries.length === 0 ? free.hiddenEntries : [...free.hiddenEntries, ...hiddenEntries],
  }
}

function writersOf({ writers }: RecordState): FreeWriter[] {
  return [...writers.values()].flatMap(({ writer, feed, free }) =>
    free === undefined ? [] : [{ writer, feed, free }],
  )
}

/** A record as a Yjs document: what `device.doc` opens, and the canonical form of its free types. */
import * as encoding from 'lib0/encoding'
import * as Y from 'yjs'
import { arrayName, contentAny, elementOf, writeDeletions, writeItemHead } from './fields-update.ts'
import { branchClientId } from './free-state.ts'
import { acceptedWrites } from './record-state.ts'
import type { RecordState, WriterState } from './record-state.ts'
import type { WriterId } from './writes.ts'

/** Yjs V1 bytes that hold all of the record: the writers' arrays, with what is replaced as deleted, and the free types. */
export function docUpdate(state: RecordState): Uint8Array {
  return mergedUpdates([...fieldsUpdates(state).values(), ...freeUpdates(state).values()])
}

/** Of each writer the array, with what is replaced as deleted. */
export function fieldsUpdates(state: RecordState): Map<WriterId, Uint8Array> {
  const updates = new Map<WriterId, Uint8Array>()
  for (const writer of state.writers.values()) {
    if (writer.nextClock > writer.baseClock) updates.set(writer.writer, arrayUpdate(writer))
  }
  return updates
}

/** One of several, or of none. */
export function mergedUpdates(updates: readonly Uint8Array[]): Uint8Array {
  return updates.length === 0 ? Uint8Array.of(0, 0) : Y.mergeUpdates([...updates])
}

/**
 * The free updates of a record that count, merged: the same bytes wherever the same commits are held. Undefined for none.
 *
 * @param state - settled (`settleFree`): what waits is left out
 */
export function canonicalFreeUpdate(state: RecordState): Uint8Array | undefined {
  // Most records are fields only.
  if (!hasFreeUpdates(state)) return undefined
  const updates = freeUpdates(state)
  return updates.size === 0 ? undefined : mergedUpdates([...updates.values()])
}

function hasFreeUpdates({ writers }: RecordState): boolean {
  for (const { free } of writers.values()) if (free?.updates !== undefined) return true
  return false
}

/** Of each writer the free updates that count. */
export function freeUpdates(state: RecordState): Map<WriterId, Uint8Array> {
  const updates = new Map<WriterId, Uint8Array>()
  const taken = new Set<number>()
  for (const { clientId } of state.writers.values()) taken.add(clientId)
  // Feeds with one client id are nobody's mistake: the lower feed id keeps it.
  for (const { writer, feed, free } of [...state.writers.values()].toSorted(byFeed)) {
    if (free?.updates === undefined) continue
    const clientId = writer === feed ? free.clientId : branchClientId(writer, 'free')
    if (taken.has(clientId)) continue
    taken.add(clientId)
    updates.set(writer, free.updates)
  }
  return updates
}

function byFeed(a: WriterState, b: WriterState): number {
  return a.feed < b.feed ? -1 : a.feed > b.feed ? 1 : 0
}

/**
 * A writer's array, from its state. Replaced and hidden writes leave nothing but their places: no write stands behind one
 * of them, so that Yjs needs to know no more of them than how many they are.
 */
function arrayUpdate(writer: WriterState): Uint8Array {
  const clientId =
    writer.writer === writer.feed ? writer.clientId : branchClientId(writer.writer, 'fields')
  const writes = [...acceptedWrites(writer)].toSorted((a, b) => a.clock - b.clock)
  const structs = encoding.createEncoder()
  const gaps: number[] = []
  let count = 0
  let clock = writer.baseClock
  const gapUpTo = (end: number): void => {
    if (end <= clock) return
    encoding.writeUint8(structs, collected)
    encoding.writeVarUint(structs, end - clock)
    gaps.push(clock - writer.baseClock, end - clock)
    clock = end
    count++
  }
  let last: number | undefined
  for (let i = 0; i < writes.length;) {
    gapUpTo(writes[i]!.clock)
    let run = 1
    while (writes[i + run]?.clock === clock + run) run++
    writeItemHead(structs, clientId, last, contentAny)
    encoding.writeVarUint(structs, run)
    for (const { field, op, value } of writes.slice(i, i + run)) {
      encoding.writeAny(structs, elementOf({ field, op, value }))
    }
    i += run
    clock += run
    last = clock - 1 - writer.baseClock
    count++
  }
  gapUpTo(writer.nextClock)
  const update = encoding.createEncoder()
  encoding.writeVarUint(update, 1)
  encoding.writeVarUint(update, count)
  encoding.writeVarUint(update, clientId)
  encoding.writeVarUint(update, 0)
  encoding.writeBinaryEncoder(update, structs)
  // For documents in which they still stand.
  writeDeletions(update, clientId, gaps)
  return encoding.toUint8Array(update)
}

/** A struct of which nothing but its length is left. */
const collected = 0

/** Name of the root array under which a document shows a writer's fields. */
export function arrayNameOf(writer: WriterState): string {
  return arrayName(
    writer.writer === writer.feed ? writer.clientId : branchClientId(writer.writer, 'fields'),
  )
}

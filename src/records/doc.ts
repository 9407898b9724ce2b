/** A record as a Yjs document: what `device.doc` opens, and the canonical form of its free types. */
import * as encoding from 'lib0/encoding'
import * as Y from 'yjs'
import { arrayName, contentAny, contentDeleted, elementOf, writeItemHead } from './fields-update.ts'
import { branchClientId } from './free-state.ts'
import { acceptedWrites } from './record-state.ts'
import type { RecordState, WriterState } from './record-state.ts'

/** Yjs V1 bytes that hold all of the record: the writers' arrays, with what is replaced as deleted, and the free types. */
export function docUpdate(state: RecordState): Uint8Array {
  const updates = [...state.writers.values()]
    .filter((writer) => writer.nextClock > writer.baseClock)
    .map(arrayUpdate)
  const free = canonicalFreeUpdate(state)
  if (free !== undefined) updates.push(free)
  return Y.mergeUpdates(updates.length === 0 ? [Uint8Array.of(0, 0)] : updates)
}

/**
 * The free updates of a record that count, merged: the same bytes wherever the same commits are held. Undefined for none.
 *
 * @param state - settled (`settleFree`): what waits is left out
 */
export function canonicalFreeUpdate(state: RecordState): Uint8Array | undefined {
  const taken = new Set<number>()
  for (const { clientId } of state.writers.values()) taken.add(clientId)
  const updates: Uint8Array[] = []
  // Feeds with one client id are nobody's mistake: the lower feed id keeps it.
  for (const { writer, feed, free } of [...state.writers.values()].toSorted(byFeed)) {
    if (free?.updates === undefined) continue
    const clientId = writer === feed ? free.clientId : branchClientId(writer, 'free')
    if (taken.has(clientId)) continue
    taken.add(clientId)
    updates.push(free.updates)
  }
  return updates.length === 0 ? undefined : Y.mergeUpdates(updates)
}

function byFeed(a: WriterState, b: WriterState): number {
  return a.feed < b.feed ? -1 : a.feed > b.feed ? 1 : 0
}

/** A writer's array, from its state: replaced and hidden writes are deleted elements. */
function arrayUpdate(writer: WriterState): Uint8Array {
  const clientId =
    writer.writer === writer.feed ? writer.clientId : branchClientId(writer.writer, 'fields')
  const writes = [...acceptedWrites(writer)].toSorted((a, b) => a.clock - b.clock)
  const structs = encoding.createEncoder()
  let count = 0
  let clock = writer.baseClock
  const deletedUpTo = (end: number): void => {
    if (end <= clock) return
    writeItemHead(structs, clientId, clock - writer.baseClock, contentDeleted)
    encoding.writeVarUint(structs, end - clock)
    clock = end
    count++
  }
  for (const write of writes) {
    deletedUpTo(write.clock)
    writeItemHead(structs, clientId, clock - writer.baseClock, contentAny)
    encoding.writeVarUint(structs, 1)
    encoding.writeAny(structs, elementOf({ field: write.field, op: write.op, value: write.value }))
    clock++
    count++
  }
  deletedUpTo(writer.nextClock)
  const update = encoding.createEncoder()
  encoding.writeVarUint(update, 1)
  encoding.writeVarUint(update, count)
  encoding.writeVarUint(update, clientId)
  encoding.writeVarUint(update, 0)
  encoding.writeBinaryEncoder(update, structs)
  encoding.writeVarUint(update, 0)
  return encoding.toUint8Array(update)
}

/** Name of the root array under which a document shows a writer's fields. */
export function arrayNameOf(writer: WriterState): string {
  return arrayName(
    writer.writer === writer.feed ? writer.clientId : branchClientId(writer.writer, 'fields'),
  )
}

/** A record as a Yjs document: what `device.doc` opens, and the canonical form of its free types. */
import * as encoding from 'lib0/encoding'
import * as Y from 'yjs'
import { hexToBytes } from '../core/bytes.ts'
import { domainHash } from '../crypto/hash.ts'
import { arrayName, contentAny, contentDeleted, elementOf, writeItemHead } from './fields-update.ts'
import { clientsIn, withClientId } from './free-update.ts'
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
 * The accepted free updates of a record, merged: the same bytes wherever the same commits are held. Undefined for none.
 *
 * Contributions of a writer who refers to an array of fields are left out, all of them, since they would change it.
 */
export function canonicalFreeUpdate(state: RecordState): Uint8Array | undefined {
  const writers = [...state.writers.values()].filter(({ free }) => free?.updates !== undefined)
  if (writers.length === 0) return undefined
  const fieldsClients = new Set([...state.writers.values()].map(({ clientId }) => clientId))
  const takenUpTo = new Map<number, number>()
  const updates: Uint8Array[] = []
  for (const { writer, free } of writers.toSorted(byPlace)) {
    if (free?.updates === undefined) continue
    if ([...clientsIn(free.updates)].some((client) => fieldsClients.has(client))) continue
    // Two branches of a feed used the same ids: the first one keeps them.
    const keepsIds = (takenUpTo.get(free.clientId) ?? free.baseClock) === free.baseClock
    if (keepsIds) takenUpTo.set(free.clientId, free.nextClock)
    updates.push(keepsIds ? free.updates : withClientId(free, branchClientId(writer, 'free')))
  }
  return updates.length === 0 ? undefined : Y.mergeUpdates(updates)
}

function byPlace(a: WriterState, b: WriterState): number {
  return a.free!.baseClock - b.free!.baseClock || (a.writer < b.writer ? -1 : 1)
}

/** The client id under which a document shows a branch: its own, for `H(purpose ‖ writer)`, the first 53 bits. */
function branchClientId(writer: string, purpose: 'fields' | 'free'): number {
  const hash = domainHash(
    'havenmesh/branch-client/v1',
    Uint8Array.of(purpose === 'fields' ? 0 : 1),
    hexToBytes(writer),
  )
  const view = new DataView(hash.buffer, hash.byteOffset, 8)
  return view.getUint32(0) * 0x20_0000 + (view.getUint32(4) >>> 11)
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

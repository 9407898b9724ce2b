/** What waits to go to a server, and to come from it. */
import { bytesToHex } from '../core/bytes.ts'
import type { FeedDescriptor } from '../feed/descriptor.ts'
import type { VectorClock } from '../feed/vector-clock.ts'
import type { SyncEngine } from '../sync/engine.ts'
import type { ControlPlane } from './control-plane.ts'

export function isUrgent(descriptor: FeedDescriptor, control: ControlPlane): boolean {
  return descriptor.lane === 'urgent' || control.priorityOf(bytesToHex(descriptor.collection)) < 0
}

/** What a device holds by the newest of its words that are known here. */
export function lastClockOf(engine: SyncEngine, device: string): VectorClock | undefined {
  return engine.sessionWith(device)?.theirs ?? engine.book.entries.get(device)?.known?.clock
}

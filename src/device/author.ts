import { bytesToHex } from '../core/bytes.ts'
import type { DeviceRef } from './api.ts'
import type { MeshRuntime } from './mesh-runtime.ts'

/** The device whose feed this is; without id where nobody has shown the feed's descriptor. */
export function authorOf(runtime: MeshRuntime, feed: string): DeviceRef {
  const descriptor = runtime.replica.descriptor(feed)
  const id = descriptor === undefined ? '' : bytesToHex(descriptor.device)
  return { id, name: runtime.control.nameOf(id) }
}

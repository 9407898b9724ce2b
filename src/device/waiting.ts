/** What waits to go to a server, and to come from it. */
import { bytesToHex } from '../core/bytes.ts'
import type { FeedDescriptor } from '../feed/descriptor.ts'
import { runBytesOf } from '../feed/run.ts'
import type { VectorClock } from '../feed/vector-clock.ts'
import type { SyncEngine } from '../sync/engine.ts'
import type { WaitingClass, WaitingSide } from './api.ts'
import type { ControlPlane } from './control-plane.ts'
import type { MeshRuntime } from './mesh-runtime.ts'

export function isUrgent(descriptor: FeedDescriptor, control: ControlPlane): boolean {
  return descriptor.lane === 'urgent' || control.priorityOf(bytesToHex(descriptor.collection)) < 0
}

/** What a device holds by the newest of its words that are known here. */
export function lastClockOf(engine: SyncEngine, device: string): VectorClock | undefined {
  return engine.sessionWith(device)?.theirs ?? engine.book.entries.get(device)?.known?.clock
}

/** Of a feed with more commits waiting, only some are looked at. */
const lookedAt = 64
/** Of commits that are not here nothing is known but their number: they are taken to be like those before them. */
const likeThoseBefore = 16
/** Where there is nothing to go by. */
const usualBytes = 600
const unknownPriority = Number.MAX_SAFE_INTEGER

/** What waits one way, in the order in which it goes. */
export async function waiting(
  runtime: MeshRuntime,
  clock: VectorClock,
  way: 'up' | 'down',
  bytesPerSecond: number | undefined,
): Promise<WaitingSide> {
  const { replica } = runtime
  const classes = new Map<string, Size & { of: Kind['of']; priority: number }>()
  const feeds = new Set([...clock.keys(), ...[...replica.chains()].map(({ feed }) => feed)])
  for (const feed of feeds) {
    const entries = clock.get(feed) ?? []
    const commits =
      way === 'up' ? replica.aheadOf(feed, entries) : replica.behindOf(feed, entries, () => true)
    if (commits === 0) continue
    const size =
      way === 'up'
        ? await sizeOf(runtime, feed, commits)
        : { bytes: commits * (await usualSize(runtime, feed)), estimated: true }
    const kind = kindOf(runtime, feed)
    const before = classes.get(kind.key)
    classes.set(kind.key, {
      of: kind.of,
      priority: kind.priority,
      commits: (before?.commits ?? 0) + commits,
      bytes: (before?.bytes ?? 0) + Math.round(size.bytes),
      estimated: (before?.estimated ?? false) || size.estimated,
    })
  }
  const sorted = [...classes.values()]
    .toSorted((a, b) => a.priority - b.priority)
    .map(({ of, commits, bytes, estimated }) => ({ ...of, commits, bytes, estimated }))
  const bytes = sorted.reduce((sum, one) => sum + one.bytes, 0)
  return {
    commits: sorted.reduce((sum, one) => sum + one.commits, 0),
    bytes,
    estimated: sorted.some(({ estimated }) => estimated),
    bytesPerSecond: bytesPerSecond ?? null,
    ms: bytesPerSecond === undefined ? null : Math.round((bytes / bytesPerSecond) * 1_000),
    classes: sorted,
  }
}

type Size = Pick<WaitingClass, 'commits' | 'bytes' | 'estimated'>

interface Kind {
  readonly key: string
  readonly priority: number
  readonly of: Pick<WaitingClass, 'kind' | 'collection'>
}

function kindOf(runtime: MeshRuntime, feed: string): Kind {
  const { replica, control } = runtime
  const descriptor = replica.descriptor(feed)
  if (descriptor === undefined) {
    const of = { kind: 'unknown', collection: null } as const
    return { key: 'unknown', priority: unknownPriority, of }
  }
  const collection = bytesToHex(descriptor.collection)
  const priority = control.priorityOf(collection)
  if (priority < 0)
    return { key: 'control', priority: -2, of: { kind: 'control', collection: null } as const }
  if (descriptor.lane === 'urgent')
    return { key: 'urgent', priority: -1, of: { kind: 'urgent', collection: null } as const }
  const of = { kind: 'routine', collection: runtime.collectionName(collection) } as const
  return { key: collection, priority, of }
}

/** Of the last commits of a feed. */
async function sizeOf(
  { store, replica }: MeshRuntime,
  feed: string,
  count: number,
): Promise<{ bytes: number; estimated: boolean }> {
  const { seq } = replica.chain(feed)
  const after = Math.max(0, seq - count)
  const half = lookedAt / 2
  const ranges =
    count <= lookedAt
      ? [{ after, upTo: seq }]
      : [
          { after, upTo: after + half },
          { after: seq - half, upTo: seq },
        ]
  let bytes = 0
  let looked = 0
  for (const range of ranges)
    for (const commit of await store.commits({ feed, ...range })) {
      bytes += runBytesOf(commit)
      looked += 1
    }
  // Branches lie beside each other, and are counted once each.
  if (looked === 0) return { bytes: count * usualBytes, estimated: true }
  return { bytes: (bytes / looked) * count, estimated: count !== looked }
}

async function usualSize(runtime: MeshRuntime, feed: string): Promise<number> {
  const { seq } = runtime.replica.chain(feed)
  const count = Math.min(seq, likeThoseBefore)
  return count === 0 ? usualBytes : (await sizeOf(runtime, feed, count)).bytes / count
}

/** What there is to say of one mesh on a server, from its store alone. */
import type { HavenError } from '../core/errors.ts'
import { rfc3339 } from '../device/system.ts'
import { ByteReader } from '../core/codec.ts'
import type { MeshStore } from '../store/mesh-store.ts'
import { serverRowNames } from './server-rows.ts'
import type { MeshUsage } from './usage.ts'

/** The store of a mesh, opened by whoever. */
export interface UsedMesh {
  readonly store: MeshStore
  readonly usage: MeshUsage
  /** Why it is not served just now. */
  readonly failure: HavenError | undefined
  release(): Promise<void>
}

export interface MeshSummary {
  readonly mesh: string
  /** When it was registered; null: never to its end. */
  readonly since: string | null
  readonly commits: number
  readonly bytes: number
  /** Null: the server does not run, and gives it anew at each start. */
  readonly quotaBytes: number | null
  /** That were connected at some time. */
  readonly devices: number
  readonly lastContact: string | null
  /** Why it is not served just now, as an error code. */
  readonly problem: string | null
}

export async function summaryOf(
  mesh: string,
  { store, usage, failure }: UsedMesh,
  quotaBytes: number | undefined,
): Promise<MeshSummary> {
  const since = await store.meta(serverRowNames.since)
  const contacts = await store.metas(serverRowNames.contact)
  const lastMs = Math.max(0, ...contacts.map(({ value }) => readTime(value)))
  const isMember = (await store.secret('member/self')) !== undefined
  return {
    mesh,
    since: since === undefined ? null : rfc3339(readTime(since)),
    commits: usage.total.commits,
    bytes: usage.total.bytes,
    quotaBytes: quotaBytes ?? null,
    devices: contacts.length,
    lastContact: lastMs === 0 ? null : rfc3339(lastMs),
    problem: failure?.code ?? (isMember ? null : 'NOT_MEMBER'),
  }
}

function readTime(value: Uint8Array): number {
  return new ByteReader(value, 'time').u64()
}

/** Which versions of a collection's schema count (docs/protocol.md, What the facts mean). */
import type { HybridTime } from '../core/hybrid-time.ts'
import type { SchemaFact } from './control-fact.ts'

/** A version of a schema, as an admin announced it. */
export interface AnnouncedSchema {
  readonly collection: string
  readonly version: number
  /** Sealed. */
  readonly schema: Uint8Array
  /** The admin's device. */
  readonly author: string
  readonly time: HybridTime
  /** False where another admin had announced the same version before. */
  readonly counts: boolean
}

interface Placed {
  readonly fact: SchemaFact
  readonly author: string
  readonly time: HybridTime
}

/**
 * By collection, the lowest version first, and of one version the one that counts first. An admin's own versions only go
 * up; of several admins who announced the same one, the first by (time, commit id) counts, so that a version that
 * records were written in does not change its meaning when one more admin is heard of.
 *
 * @param byAdmins - in the order of (time, commit id)
 */
export function announcedSchemas(
  byAdmins: readonly Placed[],
): ReadonlyMap<string, readonly AnnouncedSchema[]> {
  const byCollection = new Map<string, AnnouncedSchema[]>()
  const highest = new Map<string, number>()
  for (const { fact, author, time } of byAdmins) {
    const { collection, version, schema } = fact
    const own = `${collection} ${author}`
    if (version <= (highest.get(own) ?? 0)) continue
    highest.set(own, version)
    const others = byCollection.get(collection) ?? []
    byCollection.set(collection, others)
    const counts = others.every((other) => other.version !== version)
    others.push({ collection, version, schema, author, time, counts })
  }
  for (const announced of byCollection.values()) announced.sort((a, b) => a.version - b.version)
  return byCollection
}

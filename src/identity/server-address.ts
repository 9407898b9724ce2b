/** Where the servers of a mesh can be reached (docs/protocol.md, What the facts mean). */
import type { ServerFact } from './control-fact.ts'

/**
 * Addresses by device, best first, for servers that have any: the last that an admin said of each.
 *
 * @param byAdmins - in the order of (time, commit id)
 * @param isServer - whether a device is a member, as a server
 */
export function serverAddresses(
  byAdmins: readonly { readonly fact: ServerFact }[],
  isServer: (device: string) => boolean,
): ReadonlyMap<string, readonly string[]> {
  const last = new Map<string, readonly string[]>()
  for (const { fact } of byAdmins) last.set(fact.device, fact.addresses)
  return new Map(
    [...last]
      .filter(([device, addresses]) => addresses.length > 0 && isServer(device))
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  )
}

/**
 * What a device is called, and where it is used: sealed texts that it says of itself. A courier or server can't seal them: an admin says
 * them for it (docs/protocol.md, What the facts mean).
 */
import type { DeviceNameFact, Fact, SiteFact } from './control-fact.ts'

interface Said<F extends Fact> {
  readonly fact: F
  /** The device that signed the commit. */
  readonly author: string
}

/** @param said - in the order of (time, commit id) */
export function deviceNames<S extends Said<DeviceNameFact>>(
  said: readonly S[],
  isByAdmin: (said: S) => boolean,
): Map<string, Uint8Array> {
  return lastWords(said, ({ fact }) => fact.name, isByAdmin)
}

/**
 * Sites by device, of those for which one was said and not taken back.
 *
 * @param said - in the order of (time, commit id)
 */
export function deviceSites<S extends Said<SiteFact>>(
  said: readonly S[],
  isByAdmin: (said: S) => boolean,
): Map<string, Uint8Array> {
  return lastWords(said, ({ fact }) => (fact.site.length === 0 ? undefined : fact.site), isByAdmin)
}

/** The last word of each device on itself; of one that has none, the last of an admin. */
function lastWords<S extends Said<DeviceNameFact | SiteFact>>(
  said: readonly S[],
  labelOf: (said: S) => Uint8Array | undefined,
  isByAdmin: (said: S) => boolean,
): Map<string, Uint8Array> {
  const own = new Map<string, Uint8Array>()
  const given = new Map<string, Uint8Array>()
  for (const each of said) {
    const { device } = each.fact
    const isOwn = device === each.author
    if (!isOwn && !isByAdmin(each)) continue
    const label = labelOf(each)
    const words = isOwn ? own : given
    if (label === undefined) words.delete(device)
    else words.set(device, label)
  }
  return new Map([...given, ...own])
}

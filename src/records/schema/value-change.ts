/** What a step of a lens does to one value, both ways. Values are JSON texts; undefined: it can't be said there. */
import { canonicalJson } from '../json-text.ts'
import { shortestNumber, toNewUnit, toOldUnit, type UnitChange } from './decimal.ts'

/** From the older version to the newer one, and back. */
export interface ValueChange {
  readonly toNew: (value: string) => string | undefined
  readonly toOld: (value: string) => string | undefined
}

export function changeOfUnit(unit: UnitChange): ValueChange {
  return {
    toNew: (value) => toNewUnit(value, unit),
    toOld: (value) => toOldUnit(value, unit),
  }
}

/** The same change seen from the other side. */
export function reversed({ toNew, toOld }: ValueChange): ValueChange {
  return { toNew: toOld, toOld: toNew }
}

/** @param changes - the last one made first */
export function composed(changes: readonly ValueChange[]): ValueChange {
  return {
    toNew: (value) =>
      changes.reduceRight<string | undefined>((at, { toNew }) => at && toNew(at), value),
    toOld: (value) => changes.reduce<string | undefined>((at, { toOld }) => at && toOld(at), value),
  }
}

/**
 * Values by values. What is not listed goes through as it is, unless it is a value of the other side with a meaning of
 * its own: then it can't be said.
 *
 * @param pairs - old and new; of several old ones with the same new one, the first is the way back
 */
export function changeOfValues(pairs: readonly (readonly [string, string])[]): ValueChange {
  const newByOld = new Map<string, string>()
  const oldByNew = new Map<string, string>()
  for (const [old, now] of pairs) {
    newByOld.set(valueKey(old), now)
    if (!oldByNew.has(valueKey(now))) oldByNew.set(valueKey(now), old)
  }
  const through =
    (listed: ReadonlyMap<string, string>, taken: ReadonlyMap<string, string>) =>
    (value: string): string | undefined => {
      const key = valueKey(value)
      return listed.get(key) ?? (taken.has(key) ? undefined : value)
    }
  return { toNew: through(newByOld, oldByNew), toOld: through(oldByNew, newByOld) }
}

/** One text for all texts of a scalar. */
export function valueKey(value: string): string {
  return shortestNumber(value) ?? (value.startsWith('"') ? canonicalJson(value) : value)
}

/** Of a text as many parts as asked for, or fewer: what is left goes into the last. Undefined: it is no text. */
export function splitText(
  value: string,
  separator: string,
  count: number,
): (string | undefined)[] | undefined {
  if (!value.startsWith('"')) return undefined
  const pieces = (JSON.parse(value) as string).split(separator)
  const parts = pieces.length <= count ? pieces : pieces.slice(0, count - 1)
  if (pieces.length > count) parts.push(pieces.slice(count - 1).join(separator))
  return Array.from({ length: count }, (_, index) =>
    index < parts.length ? JSON.stringify(parts[index]) : undefined,
  )
}

/** The parts that are there, in one text. Undefined: one of them is no text. */
export function joinTexts(values: readonly string[], separator: string): string | undefined {
  if (!values.every((value) => value.startsWith('"'))) return undefined
  return JSON.stringify(values.map((value) => JSON.parse(value) as string).join(separator))
}

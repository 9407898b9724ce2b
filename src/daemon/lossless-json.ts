/**
 * JSON that also carries `undefined` and `Map`, which results and arguments have: a removed value is `undefined`, and names from
 * outside are keys of a `Map`.
 *
 * Both are objects with the member `$`: `{"$":"undefined"}`, `{"$":"map","entries":[[key,value],…]}`. An object that has a member
 * of that name itself becomes `{"$":"object","entries":…}`. Everything else stands as it is.
 */

const tag = '$'

/** What `JSON.stringify` writes without loss. A list of another kind (a set, a generator) becomes an array. */
export function toPlain(value: unknown): unknown {
  if (value === undefined) return { [tag]: 'undefined' }
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(toPlain)
  if (value instanceof Map) return { [tag]: 'map', entries: plainEntries(value) }
  if (Symbol.iterator in value) return Array.from(value as Iterable<unknown>, toPlain)
  const entries = Object.entries(value)
  if (Object.hasOwn(value, tag)) return { [tag]: 'object', entries: plainEntries(entries) }
  return Object.fromEntries(entries.map(([name, member]) => [name, toPlain(member)]))
}

/**
 * What {@link toPlain} was given.
 *
 * @throws Error when a tag is unknown or not complete
 */
export function fromPlain(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(fromPlain)
  if (!Object.hasOwn(value, tag))
    return Object.fromEntries(
      Object.entries(value).map(([name, member]) => [name, fromPlain(member)]),
    )
  const { [tag]: kind, entries } = value as { [tag]: unknown; entries?: unknown }
  if (kind === 'undefined') return undefined
  if (kind === 'map') return new Map(entriesOf(entries))
  if (kind === 'object')
    return Object.fromEntries(entriesOf(entries).map(([name, member]) => [String(name), member]))
  throw new Error('unknown tag')
}

function plainEntries(entries: Iterable<readonly [unknown, unknown]>): unknown[] {
  return Array.from(entries, ([key, member]) => [toPlain(key), toPlain(member)])
}

function entriesOf(entries: unknown): [unknown, unknown][] {
  if (!Array.isArray(entries)) throw new Error('no entries')
  return entries.map((entry: unknown) => {
    if (!Array.isArray(entry) || entry.length !== 2) throw new Error('no entry')
    return [fromPlain(entry[0]), fromPlain(entry[1])]
  })
}

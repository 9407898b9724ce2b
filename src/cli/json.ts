/** Writes the JSON documents of `--json`. */

/**
 * JSON text that goes out as it came in: a value of a record, whose number lexemes (`1.50`, `1e400`) would not survive
 * being read into JavaScript.
 */
export class RawJson {
  readonly text: string

  /** @param text - one valid JSON value */
  constructor(text: string) {
    this.text = text
  }
}

/** Plain objects, lists, and what they are made of; interfaces count as plain. */
export type JsonValue = null | boolean | number | string | object

/**
 * A member that is `undefined` is left out. A `Map` is written as an object: it is for names from outside, where `__proto__` is a
 * name like any other.
 */
export function jsonText(value: JsonValue): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  if (value instanceof RawJson) return value.text
  if (Array.isArray(value)) return `[${(value as JsonValue[]).map(jsonText).join(',')}]`
  const members = value instanceof Map ? value : Object.entries(value)
  return `{${membersText(members as Iterable<[string, JsonValue | undefined]>)}}`
}

function membersText(members: Iterable<[string, JsonValue | undefined]>): string {
  const texts: string[] = []
  for (const [name, value] of members)
    if (value !== undefined) texts.push(`${JSON.stringify(name)}:${jsonText(value)}`)
  return texts.join(',')
}

/** Shapes of what comes over the local socket: each takes a value from outside, and gives it with a type or throws. */
import { HavenError } from '../core/errors.ts'

/** @throws HavenError `MALFORMED` */
export type Shape<T> = (value: unknown) => T

export const text: Shape<string> = (value) => {
  if (typeof value !== 'string') throw malformed()
  return value
}

/** No NaN and no infinity: JSON has none. */
export const number: Shape<number> = (value) => {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw malformed()
  return value
}

export const boolean: Shape<boolean> = (value) => {
  if (typeof value !== 'boolean') throw malformed()
  return value
}

export function oneOf<const T extends string>(...known: readonly T[]): Shape<T> {
  return (value) => {
    const found = known.find((one) => one === value)
    if (found === undefined) throw malformed()
    return found
  }
}

export function optional<T>(shape: Shape<T>): Shape<T | undefined> {
  return (value) => (value === undefined ? undefined : shape(value))
}

export function orNull<T>(shape: Shape<T>): Shape<T | null> {
  return (value) => (value === null ? null : shape(value))
}

export function listOf<T>(shape: Shape<T>): Shape<T[]> {
  return (value) => {
    if (!Array.isArray(value)) throw malformed()
    return value.map(shape)
  }
}

/** A `Map`, or its pairs. */
export function pairsOf<T>(shape: Shape<T>): Shape<[string, T][]> {
  return (value) =>
    listOf((pair): [string, T] => {
      if (!Array.isArray(pair) || pair.length !== 2) throw malformed()
      return [text(pair[0]), shape(pair[1])]
    })(value instanceof Map ? [...value] : value)
}

/** An object of one of several forms, told apart by the text of one member; every form has just these members. */
export function tagged<T extends object>(
  tag: string,
  forms: Readonly<Record<string, Readonly<Record<string, Shape<unknown>>>>>,
): Shape<T> {
  return (value) => {
    const given = object(value)
    const kind = oneOf(...Object.keys(forms))(given[tag])
    const members = Object.entries(forms[kind]!).map(([name, shape]) => [name, shape(given[name])])
    return { [tag]: kind, ...Object.fromEntries(members) } as T
  }
}

/** An object of optional members, of which those that are not there stay away. Members of a later version are ignored. */
export function options<M extends object>(members: {
  [K in keyof M]-?: Shape<Exclude<M[K], undefined>>
}): Shape<M> {
  return (value) => {
    const given = object(value)
    const entries = Object.entries<Shape<unknown>>(members)
      .filter(([name]) => given[name] !== undefined)
      .map(([name, shape]) => [name, shape(given[name])])
    return Object.fromEntries(entries) as M
  }
}

/** @throws HavenError `MALFORMED` */
export function object(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Map)
    throw malformed()
  return value as Record<string, unknown>
}

export function malformed(): HavenError {
  return new HavenError(
    'MALFORMED',
    'The running device and this command do not understand each other: stop `haven up` and start it again.',
  )
}

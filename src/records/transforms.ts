/**
 * Named transforms: pure functions of the live writes of a field, for what is best merged by what it means. A schema
 * names them; each is registered here, with its property test in test/records/transforms.test.ts.
 */
import { compactJson } from './json-text.ts'
import { mergeMedicationLists } from './medication-list.ts'
import { shapePatterns } from './schema/schema-format.ts'

/**
 * Makes one value of several that were written without seeing each other.
 *
 * Has to be a function of the set of values: the order in which they are given tells which was written last, and may
 * decide how the result is arranged, not what is in it.
 *
 * @param values - JSON texts, all different, the greatest by the total order first
 * @returns undefined when these are not values that it understands: the field then shows as one where a person decides
 */
export type Transform = (values: readonly string[]) => Transformed | undefined

export interface Transformed {
  /** JSON text. */
  readonly value: string
  /** A person has to look: it could not all be merged. */
  readonly undecided: boolean
}

const registered = new Map<string, Transform>([['medication-list', mergeMedicationLists]])

export function transformNamed(name: string): Transform | undefined {
  return registered.get(name)
}

/**
 * For programs that bring their own, before they open a device. All devices of a mesh have to know it under the same name, and to be given
 * the same function; where one is not known, the field shows as one where a person decides, and also where it throws, or returns what is
 * no JSON.
 *
 * @param name - lower-case letters, digits and `-`, as a schema names it
 * @throws TypeError when the name is none, or taken
 */
export function registerTransform(name: string, transform: Transform): void {
  if (!new RegExp(shapePatterns.transform).test(name)) {
    throw new TypeError('the name of a transform has lower-case letters, digits and -')
  }
  if (registered.has(name)) throw new TypeError(`a transform named ${name} is registered`)
  registered.set(name, guarded(transform))
}

/** Whatever others wrote, and whatever is made of it: a view must not end in an exception. */
function guarded(transform: Transform): Transform {
  return (values) => {
    try {
      const result = transform([...values])
      return result && { value: compactJson(result.value), undecided: result.undecided }
    } catch {
      return undefined
    }
  }
}

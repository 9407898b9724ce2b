/** A list of rules by field name, as FHIR names fields. */
import type { FieldRule } from '../reading.ts'

/** Names are up to whoever writes: of more of them than records have, not all are remembered. */
const askedMax = 2_000

/**
 * The rule that names a field: by its own name, by one that ends in `[x]` (any of the names that FHIR forms with a data
 * type), or, for what FHIR says about a primitive value (`_birthDate`), by that of the value.
 */
export class FieldRules {
  readonly #rules: ReadonlyMap<string, FieldRule>
  /** Of names with `[x]`, what stands before it. */
  readonly #stems: readonly (readonly [string, FieldRule])[]
  /** Every record has much the same fields, and each is asked about whenever it is seen or written. */
  readonly #asked = new Map<string, FieldRule | undefined>()

  constructor(rules: ReadonlyMap<string, FieldRule>) {
    this.#rules = rules
    this.#stems = [...rules]
      .filter(([name]) => name.endsWith('[x]'))
      .map(([name, rule]) => [name.slice(0, -'[x]'.length), rule])
  }

  ruleOf(field: string): FieldRule | undefined {
    const known = this.#asked.get(field)
    if (known !== undefined || this.#asked.has(field)) return known
    const rule = this.#found(field)
    if (this.#asked.size >= askedMax) this.#asked.clear()
    this.#asked.set(field, rule)
    return rule
  }

  #found(field: string): FieldRule | undefined {
    const rule = this.#named(field)
    if (rule !== undefined || !field.startsWith('_')) return rule
    const ofValue = this.#named(field.slice(1))
    return ofValue && ruleBesideValue(ofValue)
  }

  #named(name: string): FieldRule | undefined {
    return (
      this.#rules.get(name) ??
      this.#stems.find(
        ([stem]) => name.startsWith(stem) && /^[A-Z]/.test(name.slice(stem.length)),
      )?.[1]
    )
  }
}

/** What stands beside a value is no text, set or counter itself. */
function ruleBesideValue({ strategy, rank }: FieldRule): FieldRule {
  return { strategy: strategy === 'lww' || strategy === 'text' ? 'lww' : 'mvr', rank }
}

/** Of `Type/id`; undefined for records of other forms. */
export function typeOf(recordId: string): string | undefined {
  const slash = recordId.indexOf('/')
  return slash <= 0 ? undefined : recordId.slice(0, slash)
}

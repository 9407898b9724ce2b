/**
 * When two doses are the same: by what they say, not by how it was typed.
 *
 * A dose that is taken for another could harm somebody, one that is not recognised as the same only asks a person to look. So
 * only what is certain counts as equal: 500 mg, 500.0 mg, "500mg" and 0.5 g; never 5 mg and "5 mg twice a day".
 */
import { shortestNumber, toNewUnit, unitChange } from './schema/decimal.ts'
import type { JsonNode } from './schema/json-tree.ts'

/** Texts that differ only in case and white space have the same. */
export function folded(text: string): string {
  return text.normalize('NFKC').toLowerCase().replaceAll(/\s+/g, ' ').trim()
}

/** Equal for values that say the same dose: a text, a number, a FHIR Quantity, a Dosage, or a list of these. */
export function doseKey(node: JsonNode): string {
  switch (node.kind) {
    case 'string':
      return textKey(node.value)
    case 'array':
      return node.elements.length === 1
        ? doseKey(node.elements[0]!)
        : listKey('list', node.elements.map(doseKey))
    case 'object':
      return objectKey(new Map([...node.members].map(([name, { value }]) => [name, value])))
    case 'number':
      return quantityKey(node.text, '')
    case 'boolean':
    case 'null':
    default:
      return listKey('literal', [node.text])
  }
}

/** Of the members of an entry, or of an object within it, that say the dose. */
export function objectKey(members: ReadonlyMap<string, JsonNode>): string {
  const quantity = quantityOf(members) ?? numberWithUnit(members)
  if (quantity !== undefined) return quantity
  const [only] = members
  if (only !== undefined && members.size === 1 && wrappers.has(only[0])) return doseKey(only[1])
  const parts = [...members].map(([name, value]) => listKey(name, [doseKey(value)]))
  return listKey('object', parts.toSorted())
}

/** Around nothing else than a dose they add nothing to it. */
const wrappers: ReadonlySet<string> = new Set([
  'dosageInstruction',
  'dosage',
  'doseAndRate',
  'doseQuantity',
  'dose',
  'text',
])

/** Unambiguous, whatever the parts are. */
function listKey(kind: string, parts: readonly string[]): string {
  return JSON.stringify([kind, ...parts])
}

// ---- quantities ----

const quantityMembers: ReadonlySet<string> = new Set(['value', 'unit', 'system', 'code'])
const ucum = 'http://unitsofmeasure.org'

/** A FHIR Quantity, or an object like it; one with a comparator or an extension says more than an amount. */
function quantityOf(members: ReadonlyMap<string, JsonNode>): string | undefined {
  const value = members.get('value')
  if (value?.kind !== 'number') return undefined
  const texts = new Map<string, string>()
  for (const [name, node] of members) {
    if (!quantityMembers.has(name)) return undefined
    if (name === 'value') continue
    if (node.kind !== 'string') return undefined
    texts.set(name, node.value)
  }
  const unit = unitName(texts.get('unit') ?? '')
  const code = unitName(texts.get('code') ?? '')
  const system = texts.get('system') ?? ucum
  if (system !== ucum) return listKey('coded', [quantityKey(value.text, unit), system, code])
  // A name beside a code that is another one: who is to say which of them counts.
  if (unit !== '' && code !== '' && unit !== code) {
    return listKey('named', [quantityKey(value.text, code), unit])
  }
  return quantityKey(value.text, code === '' ? unit : code)
}

/** `"dose": 500, "unit": "mg"` */
function numberWithUnit(members: ReadonlyMap<string, JsonNode>): string | undefined {
  if (members.size !== 2) return undefined
  const unit = members.get('unit')
  const dose = members.get('dose') ?? members.get('dosage')
  if (unit?.kind !== 'string' || dose?.kind !== 'number') return undefined
  return quantityKey(dose.text, unitName(unit.value))
}

/** Powers of ten that are certain, by unit: to milligrams and to millilitres. */
const metric: ReadonlyMap<string, { readonly base: string; readonly exponent: number }> = new Map(
  [
    ['mg', 6, ['kg', 'kilogram', 'kilograms']],
    ['mg', 3, ['g', 'gram', 'grams']],
    ['mg', 0, ['mg', 'milligram', 'milligrams']],
    // NFKC makes the micro sign the Greek letter.
    ['mg', -3, ['ug', 'μg', 'mcg', 'microgram', 'micrograms']],
    ['mg', -6, ['ng', 'nanogram', 'nanograms']],
    ['ml', 3, ['l', 'litre', 'litres', 'liter', 'liters']],
    ['ml', 2, ['dl']],
    ['ml', 1, ['cl']],
    ['ml', 0, ['ml', 'millilitre', 'millilitres', 'milliliter', 'milliliters']],
    ['ml', -3, ['ul', 'μl', 'microlitre', 'microlitres', 'microliter', 'microliters']],
  ].flatMap(([base, exponent, names]) =>
    (names as string[]).map((name) => [
      name,
      { base: base as string, exponent: exponent as number },
    ]),
  ),
)

/** One name for all spellings of a unit. In a dose nobody means megagrams. */
function unitName(unit: string): string {
  const name = folded(unit)
  const known = metric.get(name)
  if (known === undefined) return name
  for (const [spelling, { base, exponent }] of metric) {
    if (base === known.base && exponent === known.exponent) return spelling
  }
  return name
}

/** @param number - JSON number @param unit - as {@link unitName} gives it */
function quantityKey(number: string, unit: string): string {
  const known = metric.get(unit)
  const change = known && unitChange(`1e${known.exponent}`, '0')
  const inBase = change && toNewUnit(number, change)
  return inBase === undefined
    ? listKey('quantity', [shortestNumber(number) ?? number, unit])
    : listKey('quantity', [inBase, known!.base])
}

// ---- texts ----

/** Numbers, words and signs, without the white space between: "500mg/5ml" is "500 mg / 5 ml". */
function textKey(text: string): string {
  const plain = folded(text)
  const [, number, unit = ''] = /^([\d.]+) ?([^\s\d]+)?$/.exec(plain) ?? []
  if (isPlainNumber(number)) return quantityKey(number, unitName(unit))
  const parts = plain.match(/\d+(?:\.\d+)?|\p{L}+|[^\s\d\p{L}]/gu) ?? []
  return listKey(
    'text',
    parts.map((part) => (isPlainNumber(part) ? (shortestNumber(part) ?? part) : part)),
  )
}

/** Three digits after a point may be a European's thousands: 1.000 is left as it is. */
function isPlainNumber(part: string | undefined): part is string {
  return part !== undefined && /^(?:0|[1-9]\d*)(?:\.(?!\d{3}$)\d+)?$/.test(part)
}

/** What the devices of random histories write about: two records with a field of every strategy. */
import type { DeletePolicy, FieldRule, Reading } from '../../../src/records/reading.ts'
import { registerTransform, type Transform } from '../../../src/records/transforms.ts'

export const records = ['r0', 'Patient/00000000-0000-4000-8000-000000000001']

/** All the different texts, sorted, as one list. */
export const listOfAll: Transform = (values) =>
  values.every((value) => value.startsWith('"'))
    ? { value: `[${values.toSorted(compare).join(',')}]`, undecided: values.length > 3 }
    : undefined

registerTransform('test-list-of-all', listOfAll)

const rules: Readonly<Record<string, FieldRule>> = {
  last: { strategy: 'lww', rank: 'normal' },
  // A name that looks like the place of a counter in a writer's state.
  '\0cstock': { strategy: 'lww', rank: 'low' },
  all: { strategy: 'mvr', rank: 'critical' },
  set: { strategy: 'set', rank: 'high' },
  stock: { strategy: 'counter', rank: 'normal' },
  merged: { strategy: 'transform', transform: 'test-list-of-all', rank: 'high' },
  note: { strategy: 'text', rank: 'normal' },
  '~same': { strategy: 'set', rank: 'normal' },
}

export const fieldNames = Object.keys(rules)

/** @param deletePolicy - what becomes of a record that was deleted by somebody who had not seen an edit */
export function wardReading(deletePolicy: DeletePolicy = 'resurrect'): Reading {
  return {
    version: 0,
    digest: `ward ${deletePolicy}`,
    ruleOf: (_, field) => rules[field] ?? { strategy: 'mvr', rank: 'normal' },
    deletePolicyOf: () => deletePolicy,
    textFieldsOf: () => ['note'],
    knows: () => true,
    lensesOf: () => undefined,
  }
}

/** Whether what is shown of the merged field says what was written there. */
export function saysMerged(field: string, whole: string, value: string): boolean {
  return (
    field === 'merged' &&
    whole.startsWith('[') &&
    (JSON.parse(whole) as unknown[]).includes(JSON.parse(value))
  )
}

/** Elements of sets, some of them the same in other words. */
export const elements = [
  '"x"',
  '"\\u0078"',
  '"y"',
  '1',
  '1.0',
  '{"code":"z","note":["a"]}',
  '{"note":["a"],"code":"z"}',
  'null',
]

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

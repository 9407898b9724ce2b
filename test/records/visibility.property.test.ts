import { test } from '@fast-check/vitest'
import { expect } from 'vitest'
import { lostWrites } from '../../simulations/checks/lost-writes.ts'
import { elementName, elementsOf } from '../../simulations/checks/truth.ts'
import { hasConflicts } from '../../src/records/conflict-check.ts'
import { summaryOf, type RecordView } from '../../src/records/visibility.ts'
import { expectedOf, nameOf, type ExpectedField, type Value } from './histories/expected.ts'
import { randomHistory, replicaOf } from './histories/random-history.ts'
import { anySeed, histories, timeoutMs } from './histories/runs.ts'
import { listOfAll, records, saysMerged } from './histories/ward.ts'

test.prop([anySeed], histories(2000))(
  'whoever holds all commits sees exactly what no later author had seen',
  (seed) => {
    const { commits, dated, reading } = randomHistory(seed)
    const replica = replicaOf(commits, reading)
    const all = dated(commits)
    for (const record of records) {
      const isSet = (field: string): boolean => reading.ruleOf(record, field).strategy === 'set'
      const expected = expectedOf(record, all, isSet)
      const view = replica.view(record)
      expect(liveOf(view)).toEqual(expected.live)
      expect(view.deleted).toBe(expected.deleted)
      expect(view.resurrected).toBe(expected.resurrected)
      for (const [field, value] of expected.fields) expectField(view, field, value)
      expect(lostWrites({ record, commits: all, shown: view, says: saysMerged })).toEqual([])
    }
  },
  timeoutMs,
)

test.prop([anySeed], histories(700))(
  'what is kept of a record in short agrees with its view',
  (seed) => {
    const { commits, reading } = randomHistory(seed)
    const replica = replicaOf(commits, reading)
    for (const record of records) {
      const state = replica.settled(record)
      const view = replica.view(record)
      const { live, exists, contested } = summaryOf(state, replica.causality)
      const textOf = ({ field, op, value }: (typeof live)[number]): string =>
        JSON.stringify([field, op, value])
      expect(new Set(live.map(textOf))).toEqual(new Set(view.live.map(textOf)))
      expect(live).toHaveLength(view.live.length)
      expect(exists).toBe(view.exists)
      const how = { causality: replica.causality, reading }
      expect(hasConflicts(state, contested, how)).toBe(view.conflicts.length > 0)
    }
  },
  timeoutMs,
)

function liveOf({ live }: RecordView): string[] {
  return live
    .map((one) => nameOf(one.writer, one.seq, one))
    .toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0))
}

function expectField(view: RecordView, field: string, expected: ExpectedField): void {
  const conflict = view.conflicts.find((each) => each.field === field)
  const listed = conflict?.values.map(({ op, value }) => ({ op, value }))
  const shown = view.fields.get(field)
  // Letters stand in place of a value, which is listed then: what is lost of either, the other check finds.
  if (field === 'note' && view.edits.length > 0) return
  switch (expected.kind) {
    case 'sum':
      expect(shown).toBe(expected.sum)
      expect(listed).toEqual(expected.bases.length > 1 ? expected.bases : undefined)
      break
    case 'set':
      expect(new Set(elementsOf(shown).map(elementName))).toEqual(expected.elements)
      expect(conflict).toBeUndefined()
      break
    case 'mixture':
      expect(conflict).toMatchObject({ kind: 'schema', state: 'open' })
      expect(listed).toEqual(expected.values)
      break
    case 'values':
    default:
      expectValues(view, field, expected.values)
  }
}

function expectValues(view: RecordView, field: string, values: readonly Value[]): void {
  const conflict = view.conflicts.find((each) => each.field === field)
  const shown = view.fields.get(field)
  const merged = field === 'merged' && values.length > 1 ? mergedOf(values) : undefined
  if (merged !== undefined) {
    expect(shown).toBe(merged.value)
    expect(conflict !== undefined).toBe(merged.undecided)
    return
  }
  const [{ op, value }] = values as [Value, ...Value[]]
  const [first] = op === 'keep' ? elementsOf(value) : [value]
  expect(shown).toBe(first)
  expect(conflict?.values.map((each) => ({ op: each.op, value: each.value }))).toEqual(
    values.length > 1 ? values : undefined,
  )
  if (op === 'keep' && values.length === 1) expect(view.kept.get(field)).toEqual(elementsOf(value))
}

function mergedOf(values: readonly Value[]): ReturnType<typeof listOfAll> {
  return values.every(({ op, value }) => op === 'put' && value !== undefined)
    ? listOfAll(values.map(({ value }) => value!))
    : undefined
}

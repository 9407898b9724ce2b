/** Devices with two versions of a schema in one mesh, over random histories. */
import { test } from '@fast-check/vitest'
import { expect } from 'vitest'
import { hasConflicts } from '../../../src/records/conflict-check.ts'
import type { Reading } from '../../../src/records/reading.ts'
import { SchemaBook } from '../../../src/records/schema/schema-book.ts'
import { parseSchemaDocument } from '../../../src/records/schema/schema-parser.ts'
import { summaryOf, type LiveWrite, type RecordView } from '../../../src/records/visibility.ts'
import { interleaved, randomHistory, replicaOf, type History } from '../histories/random-history.ts'
import { anySeed, histories, timeoutMs } from '../histories/runs.ts'
import { fieldNames, records } from '../histories/ward.ts'

const rules = {
  last: { strategy: 'lww' },
  all: { strategy: 'mvr', rank: 'critical' },
  set: { strategy: 'set' },
  stock: { strategy: 'counter' },
  note: { strategy: 'text' },
}
const book = new SchemaBook(
  [
    { version: 1, fields: { ...rules, merged: { strategy: 'mvr' } } },
    {
      version: 2,
      fields: {
        latest: rules.last,
        every: rules.all,
        group: rules.set,
        store: rules.stock,
        note: rules.note,
        first: { strategy: 'mvr' },
        second: { strategy: 'lww' },
      },
      lens: {
        from: 1,
        steps: [
          { rename: { from: 'last', to: 'latest' } },
          { rename: { from: 'all', to: 'every' } },
          { map: { field: 'every', values: { same: 'alike' } } },
          { rename: { from: 'set', to: 'group' } },
          { map: { field: 'group', values: { x: 'X', 1: 'one' } } },
          { rename: { from: 'stock', to: 'store' } },
          { split: { from: 'merged', to: ['first', 'second'], separator: 'v' } },
        ],
      },
    },
  ].map((schema) => {
    const text = JSON.stringify({ collection: 'ward', ...schema })
    return { document: parseSchemaDocument(text), text }
  }),
)
const readings = [book.reading(1), book.reading(2)]
const names = [...fieldNames, 'latest', 'every', 'group', 'store', 'first', 'second', 'last@1']

test.prop([anySeed], histories(150))(
  'the order of arrival makes no difference in either version',
  (seed) => {
    const { commits, chance } = randomHistory(seed, { readings, names })
    const one = replicaOf(commits, readings[0]!)
    const other = replicaOf(interleaved(commits, chance), readings[1]!)
    expect(other.contentHash()).toBe(one.contentHash())
    for (const record of records) {
      for (const reading of readings) {
        const view = one.view(record, reading)
        expect(other.view(record, reading)).toEqual(view)
        expect([...other.view(record, reading).fields]).toEqual([...view.fields])
        const state = one.settled(record)
        const { contested } = summaryOf(state, one.causality)
        const how = { causality: one.causality, reading }
        expect(hasConflicts(state, contested, how)).toBe(view.conflicts.length > 0)
      }
    }
  },
  timeoutMs,
)

test.prop([anySeed], histories(150))(
  'what nobody has seen since is there in both versions, whichever it was written in',
  (seed) => {
    // The place of a write names its commit where no feed has two histories.
    const history = randomHistory(seed, { readings, names, honest: true, restores: false })
    const replica = replicaOf(history.commits, readings[0]!)
    for (const record of records) {
      for (const reading of readings) {
        const view = replica.view(record, reading)
        if (view.deleted) continue
        for (const write of view.live) {
          if (
            write.op === 'put' &&
            !write.field.startsWith('~') &&
            isLast(write, history, view, reading)
          ) {
            expectShown(write, view, reading)
          }
        }
      }
    }
  },
  timeoutMs,
)

/** Whether no other write can have taken its place. */
function isLast(
  { field, feed, seq, clock, ...write }: LiveWrite,
  { commits, truths }: History,
  view: RecordView,
  reading: Reading,
): boolean {
  const { id } = commits.find((commit) => commit.feed === feed && commit.seq === seq)!
  if (commits.some((commit) => truths.get(commit.id)!.held.has(id))) return false
  // Two names of one field in one commit, or a deletion after it: the later one counts.
  const places = placesOf({ field, ...write }, view, reading)
  return !view.live.some(
    (other) =>
      other.feed === feed &&
      other.seq === seq &&
      other.clock > clock &&
      (other.field === '' ||
        placesOf(other, view, reading).some((place) => places.includes(place))),
  )
}

function placesOf(
  write: Omit<LiveWrite, 'feed' | 'seq' | 'clock'>,
  view: RecordView,
  reading: Reading,
): string[] {
  const parts = reading.lensesOf(view.id)!.partsOf(write)
  return 'problem' in parts ? [write.field] : parts.map(({ field }) => field)
}

function expectShown(write: LiveWrite, view: RecordView, reading: Reading): void {
  const lenses = reading.lensesOf(view.id)!
  const parts = lenses.partsOf(write)
  if ('problem' in parts) throw new Error('every version is known here')
  const values = new Map(parts.map(({ field, value }) => [field, value]))
  for (const { field, from, read } of lenses.fieldsFrom(values.keys())) {
    const { strategy } = reading.ruleOf(view.id, field)
    // What these show is made of several writes.
    if (!['lww', 'mvr'].includes(strategy) || from.some((name) => !values.has(name))) continue
    const said = read(from.map((name) => values.get(name)))
    const conflict = view.conflicts.find((each) => each.field === field)
    const what = JSON.stringify({ write, field, conflict, shown: view.fields.get(field) })
    if (conflict === undefined) {
      const isMixed = view.live.some(
        (other) =>
          other.op !== 'put' && placesOf(other, view, reading).some((at) => from.includes(at)),
      )
      if (!isMixed) expect(view.fields.get(field), what).toBe(said)
    } else if (from.length === 1) {
      // Beside what can't be said a removal is no value.
      if (said === undefined && conflict.kind === 'schema') continue
      const value = typeof said === 'object' ? write.value : said
      expect(
        conflict.values.map((each) => each.value),
        what,
      ).toContain(value)
    } else {
      // Of a field that is made of parts, each value listed differs in one of them.
      expect(
        conflict.values.some(({ feed, seq }) => feed === write.feed && seq === write.seq) ||
          view.fields.get(field) === said ||
          conflict.values.length > 1,
        what,
      ).toBe(true)
    }
  }
}

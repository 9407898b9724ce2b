import { expect, test } from 'vitest'

import type { HistoryEntry, RecordHistory } from '../../src/device/api.ts'
import { fakeDevice } from './support/fake-device.ts'
import { runCli } from './support/run-cli.ts'

const pharmacy = { id: 'a1'.repeat(32), name: 'pharmacy' }
const triage = { id: 'b2'.repeat(32), name: 'triage' }

function entry(parts: Partial<HistoryEntry>): HistoryEntry {
  return {
    device: pharmacy,
    actor: null,
    time: '2026-11-22T10:00:00.000Z',
    clockOff: false,
    commit: { feed: 'f1'.repeat(16), seq: 3 },
    field: 'dose',
    op: 'put',
    value: undefined,
    before: [],
    text: null,
    seen: [],
    hidden: false,
    refused: null,
    waits: false,
    ...parts,
  }
}

const was = (value: string) => ({
  op: 'put',
  value,
  device: triage,
  time: '2026-11-22T09:00:00.000Z',
  commit: { feed: 'f2'.repeat(16), seq: 7 },
})

async function shown(history: Partial<RecordHistory>, ...args: string[]) {
  const whole = { id: 'r', collection: 'records', entries: [], more: false, unread: [], ...history }
  const device = fakeDevice({ history: async () => whole })
  return (await runCli(['history', 'records', 'r', ...args], { device })).stdout
}

test('what one commit did is told together, with what it replaced and had seen', async () => {
  const seen = [{ device: triage, feed: 'f2'.repeat(16), seq: 7 }]
  const entries = [
    entry({ value: '7.50', before: [was('5'), was('6')], seen }),
    entry({ field: 'note', seen }),
    entry({
      device: triage,
      actor: 'Dr. Ngũgĩ',
      clockOff: true,
      commit: { feed: 'f2'.repeat(16), seq: 7 },
      value: '5',
    }),
  ]
  const text = await shown({ entries, more: true })
  expect(text.split('\n').map((line) => line.replace(/\d{4}-\d\d-\d\d \d\d:\d\d/, 'TIME'))).toEqual(
    [
      'r in records, the newest first',
      '',
      'TIME  pharmacy, commit 3',
      '  dose   7.50   was 5 and 6',
      '  note   (removed)',
      '  having seen triage up to 7',
      '',
      'TIME by a clock that is off  Dr. Ngũgĩ on triage, commit 7',
      '  dose   5',
      '',
      'There are older changes: leave --limit out to see all.',
      '',
    ],
  )
})

test.each<[Partial<HistoryEntry>, string]>([
  [{ op: 'delete', field: null }, '  the record was deleted'],
  [{ op: 'add', value: '"latex"' }, '  dose   added "latex"'],
  [{ op: 'remove', value: '"latex"' }, '  dose   removed "latex"'],
  [{ op: 'count', value: '5' }, '  dose   +5'],
  [{ op: 'count', value: '-2', before: [{ ...was('5'), op: 'count' }] }, '  dose   -2   was +5'],
  [{ op: 'keep', value: '[1,2]' }, '  dose   together: [1,2]'],
  [{ op: 'blend', value: '1' }, '  dose   blend, written by a newer version: 1'],
  [
    { op: 'text', text: { inserted: ['fever', '39.5'], deleted: 1 } },
    '  dose   typed "fever" and "39.5", took away 1 letter',
  ],
  [{ op: 'edit' }, '  dose   edited'],
  [
    { op: 'text', field: null, text: { inserted: ['x'], deleted: 0 }, waits: true },
    '  typed "x", shown when what it stands beside has arrived',
  ],
  [{ op: 'refused', field: null, refused: 'no Yjs update' }, '  not accepted: no Yjs update'],
])('%j is told as %s', async (parts, line) => {
  const text = await shown({ entries: [entry(parts)] })
  expect(text.split('\n')[3]).toBe(line)
})

test('what is hidden, and what can not be read, is said', async () => {
  const text = await shown({
    entries: [entry({ value: '1', hidden: true })],
    unread: [
      { device: triage, feed: 'f2'.repeat(16), commits: 1, reason: 'key' },
      { device: pharmacy, feed: 'f1'.repeat(16), commits: 2, reason: 'damaged' },
    ],
  })
  expect(text).toContain('pharmacy, commit 3, not shown: it was removed before, or may not write')
  expect(text).toContain('1 commit of triage can not be read here yet')
  expect(text).toContain('2 commits of pharmacy can not be read here just now')
})

test('the document keeps number lexemes, and tells a removal from null', async () => {
  const entries = [entry({ value: '1.50', before: [was('1e400')] }), entry({ field: 'note' })]
  const text = await shown({ entries }, '--json')
  expect(text).toContain('"value":1.50')
  expect(text).toContain('"value":1e400')
  const { entries: documents } = JSON.parse(text.replaceAll('1e400', '0')) as RecordHistory
  expect(documents[1]).toMatchObject({ field: 'note', value: null, removed: true, hidden: false })
})

test('a limit is a number', async () => {
  const asked: unknown[] = []
  const device = fakeDevice({
    history: async (collection, id, options) => {
      asked.push([collection, id, options])
      return { collection, id, entries: [], more: false, unread: [] }
    },
  })
  await runCli(['history', 'records', 'r', '--limit', '20'], { device })
  expect(asked).toEqual([['records', 'r', { limit: 20 }]])
  for (const limit of ['0', '-1', 'x', '1.5'])
    expect((await runCli(['history', 'records', 'r', '--limit', limit])).exitCode).toBe(2)
})

test('links are told in words, and what was written in another version of the schema by its name there', async () => {
  const entries = [
    entry({ field: null, op: 'link', value: '"Patient/x"' }),
    entry({ field: null, op: 'unlink', value: '"Patient/y"' }),
    entry({
      field: 'gender',
      value: '"male"',
      before: [{ ...was('"f"'), field: 'sex', schemaVersion: 1 }],
    }),
  ]
  const lines = (await shown({ entries })).split('\n')
  expect(lines.slice(3, 6)).toEqual([
    '  linked with Patient/x',
    '  no longer linked with Patient/y',
    '  gender   "male"   was sex "f" by schema 1',
  ])
})

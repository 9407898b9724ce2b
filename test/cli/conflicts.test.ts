import { expect, test } from 'vitest'

import { conflictsText } from '../../src/cli/conflict-text.ts'
import type { Conflict, ListedValue, RecordChange, Resolution } from '../../src/device/api.ts'
import { fakeDevice } from './support/fake-device.ts'
import { runCli } from './support/run-cli.ts'

const pharmacy = { id: 'b2'.repeat(32), name: 'pharmacy' }
const triage = { id: 'a1'.repeat(32), name: 'triage' }

function value(n: number, parts: Partial<ListedValue> = {}): ListedValue {
  return {
    n,
    value: `"value ${n}"`,
    together: false,
    device: n % 2 === 0 ? pharmacy : triage,
    actor: null,
    time: '2026-11-22T10:00:00.000Z',
    clockOff: false,
    ...parts,
  }
}

function conflict(parts: Partial<Conflict> = {}): Conflict {
  return {
    collection: 'patients',
    id: 'Patient/1',
    field: 'gender',
    title: null,
    kind: 'update-update',
    state: 'open',
    rank: 'critical',
    values: [value(1), value(2)],
    base: null,
    seen: '0a1b2c3d',
    ...parts,
  }
}

async function textOf(conflicts: Conflict[], ...args: string[]): Promise<string> {
  const device = fakeDevice({ conflicts: async () => conflicts })
  return (await runCli(['conflicts', ...args], { device })).stdout
}

test('the document has values as they were written, removals, deletions, and nothing else', async () => {
  const stdout = await textOf(
    [
      conflict({
        title: 'not part of it',
        base: '1.00',
        values: [
          value(1, { value: '1.50', actor: 'Ana', clockOff: true }),
          value(2, { value: undefined }),
        ],
      }),
      conflict({
        field: null,
        kind: 'delete-update',
        state: 'review',
        values: [value(1, { value: undefined })],
        changes: [{ field: 'note', device: pharmacy, time: '2026-11-22T10:00:00.000Z' }],
      }),
      conflict({
        kind: 'schema',
        problem: 'It has no name here.',
        values: [value(1, { value: '["a","b"]', together: true })],
      }),
    ],
    '--json',
  )
  const device = (which: object) => JSON.stringify(which)
  const time = '"time":"2026-11-22T10:00:00.000Z"'
  expect(stdout).toBe(
    `[{"collection":"patients","id":"Patient/1","field":"gender","kind":"update-update","state":"open","rank":"critical","values":[` +
      `{"n":1,"value":1.50,"device":${device(triage)},"actor":"Ana",${time},"clockOff":true},` +
      `{"n":2,"value":null,"removed":true,"device":${device(pharmacy)},"actor":null,${time},"clockOff":false}],"base":1.00,"seen":"0a1b2c3d"},` +
      `{"collection":"patients","id":"Patient/1","field":null,"kind":"delete-update","state":"review","rank":"critical","values":[` +
      `{"n":1,"value":null,"removed":true,"device":${device(triage)},"actor":null,${time},"clockOff":false}],"base":null,` +
      `"changes":[{"field":"note","device":${device(pharmacy)},${time}}],"seen":"0a1b2c3d"},` +
      `{"collection":"patients","id":"Patient/1","field":"gender","kind":"schema","state":"open","rank":"critical","values":[` +
      `{"n":1,"value":["a","b"],"together":true,"device":${device(triage)},"actor":null,${time},"clockOff":false}],"base":null,` +
      `"problem":"It has no name here.","seen":"0a1b2c3d"}]\n`,
  )
})

test('people see what it is about, the values side by side with who and when, and what to type', async () => {
  const text = await textOf([
    conflict({
      title: 'Ana Mejía, born 1994-05-01',
      base: '"female"',
      values: [
        value(1, { value: '"other"', actor: 'Sami' }),
        value(2, { value: undefined, clockOff: true }),
      ],
    }),
  ])
  expect(text).toMatch(/^To settle: 1 conflict\n/)
  expect(text).toContain('Ana Mejía, born 1994-05-01 (Patient/1 in patients), critical')
  expect(text).toContain('gender, before: "female"')
  expect(text).toMatch(/ 1 {3}"other" {5}Sami on triage {3}2026-11-22 \d\d:00\n/)
  expect(text).toMatch(
    / 2 {3}\(removed\) {3}pharmacy {9}2026-11-22 \d\d:00 by a clock that is off\n/,
  )
  expect(text).toContain('haven resolve patients Patient/1 gender --seen 0a1b2c3d --keep N\n')
})

test('a record that was deleted and changed says by whom, and how to settle it', async () => {
  const changes = [
    { field: 'note', device: pharmacy, time: '2026-11-22T10:00:00.000Z' },
    { field: null, device: triage, time: null },
  ]
  const text = await textOf([
    conflict({ field: null, kind: 'delete-update', values: [value(1)], changes }),
  ])
  expect(text).toMatch(/deleted by triage, 2026-11-22 /)
  expect(text).toMatch(
    /did not know of changes: note \(pharmacy, 2026-11-22 \d\d:00\); a text \(triage\)\n/,
  )
  expect(text).toContain('haven resolve patients Patient/1 --seen 0a1b2c3d --keep')
})

test('what has to be settled comes before what was decided by rule, of which the rest is named', async () => {
  const open = Array.from({ length: 30 }, (_, n) => conflict({ id: `open${n}.` }))
  const review = Array.from({ length: 25 }, (_, n) =>
    conflict({ id: `review${n}.`, state: 'review', rank: 'low' }),
  )
  const text = await textOf([...review, ...open])
  for (const { id } of [...open, ...review.slice(0, 20)]) expect(text).toContain(id)
  expect(text).not.toContain('review20.')
  expect(text).toContain('5 more: haven conflicts --all')
  expect(text.indexOf('open29.')).toBeLessThan(text.indexOf('review0.'))
  expect(await textOf([...review, ...open], '--all')).toContain('review24.')
  expect(await textOf([])).toBe('There is nothing to settle.\n')
})

test('long values go on in the next line, whole, and no line is wider than the terminal', () => {
  const long = JSON.stringify([{ text: '注射用青霉素 penicillin '.repeat(12) }])
  const text = conflictsText([conflict({ values: [value(1, { value: long }), value(2)] })], {
    width: 60,
    all: false,
  })
  const lines = text.split('\n')
  // A command is to be copied.
  const wide = lines.filter((line) => widthInCells(line) > 60 && !line.includes('haven resolve'))
  expect(wide).toEqual([])
  const joined = lines.map((line) => line.trim()).join('')
  expect(joined.replaceAll(' ', '')).toContain(long.replaceAll(' ', ''))
})

/** As a terminal counts the characters of these tests. */
function widthInCells(line: string): number {
  return Array.from(line, (character) => (character > '\u2e80' ? 2 : 1)).reduce((a, b) => a + b, 0)
}

test('what is to be typed is quoted for the shell, and what others wrote steers no terminal', async () => {
  const text = await textOf([
    conflict({ id: "it's 1", title: '\u001b[2J', values: [value(1, { value: '"\u202e"' })] }),
  ])
  expect(text).toContain(`haven resolve patients 'it'\\''s 1' gender`)
  for (const steering of ['\u001b', '\u202e']) expect(text).not.toContain(steering)
})

test('resolve hands over what was decided', async () => {
  const asked: unknown[] = []
  const device = fakeDevice({
    resolve: async (...args) => {
      asked.push(args)
      return { id: args[1], commit: { feed: 'f3'.repeat(16), seq: 9 } }
    },
  })
  const record = ['resolve', 'patients', 'Patient/1']
  const field = [...record, 'gender']
  const cases: [string[], string | null, Resolution][] = [
    [[...field, '--keep', '2'], 'gender', { keep: 2 }],
    [[...field, '--value', '"x"'], 'gender', { value: '"x"' }],
    [[...field, '--value', ''], 'gender', { value: undefined }],
    [[...field, '--keep-both'], 'gender', { keepBoth: true }],
    [[...record, '--keep'], null, { record: 'keep' }],
    [[...record, '--delete'], null, { record: 'delete' }],
  ]
  for (const [args] of cases) expect((await runCli(args, { device })).exitCode).toBe(0)
  await runCli([...field, '--keep', '1', '--seen', '0a1b2c3d', '--urgent'], { device })
  const options = { urgent: false, seen: undefined }
  expect(asked).toEqual([
    ...cases.map(([, name, resolution]) => ['patients', 'Patient/1', name, resolution, options]),
    ['patients', 'Patient/1', 'gender', { keep: 1 }, { urgent: true, seen: '0a1b2c3d' }],
  ])
})

test.each([
  [[]],
  [['--keep']],
  [['--keep', '0']],
  [['--keep', 'first']],
  [['--keep', '1', '--keep-both']],
  [['--delete']],
])('resolve of a field with %j is wrong usage', async (args) => {
  const ended = await runCli(['resolve', 'patients', 'Patient/1', 'gender', ...args])
  expect(ended.exitCode).toBe(2)
  expect(ended.opened).toEqual([])
})

test.each([[[]], [['--keep', '1']], [['--keep-both']], [['--keep', '--delete']]])(
  'resolve of a record with %j is wrong usage',
  async (args) => {
    const { exitCode } = await runCli(['resolve', 'patients', 'Patient/1', ...args])
    expect(exitCode).toBe(2)
  },
)

test('add, remove and count hand over their changes', async () => {
  const asked: [string, RecordChange[], unknown][] = []
  const device = fakeDevice({
    write: async (collection, id, changes, options) => {
      asked.push([`${collection} ${id}`, [...changes], options])
      return { id, commit: null }
    },
  })
  await runCli(['add', 'records', 'r', 'codes', '"a"', '{"b":1}', '--urgent'], { device })
  await runCli(['remove', 'records', 'r', 'codes', '"a"'], { device })
  await runCli(['count', 'records', 'r', 'doses', '-3'], { device })
  const { stdout } = await runCli(['count', 'records', 'r', 'doses', '+20'], { device })
  expect(asked).toEqual([
    [
      'records r',
      [
        { op: 'add', field: 'codes', value: '"a"' },
        { op: 'add', field: 'codes', value: '{"b":1}' },
      ],
      { urgent: true },
    ],
    ['records r', [{ op: 'remove', field: 'codes', value: '"a"' }], { urgent: false }],
    ['records r', [{ op: 'count', field: 'doses', delta: -3 }], { urgent: false }],
    ['records r', [{ op: 'count', field: 'doses', delta: 20 }], { urgent: false }],
  ])
  expect(stdout).toBe('r is so already: nothing was written.\n')
  for (const delta of ['1.5', 'one', '99999999999999999'])
    expect((await runCli(['count', 'records', 'r', 'doses', delta], { device })).exitCode).toBe(2)
})

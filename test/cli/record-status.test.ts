import { expect, test } from 'vitest'

import type { KnownAuthor, RecordHolder } from '../../src/device/api.ts'
import { fakeDevice } from './support/fake-device.ts'
import { runCli } from './support/run-cli.ts'

/** Of the fake clock of these tests; times are shown by the local one. */
const nowMs = Date.UTC(2026, 10, 22, 10, 32)
const ago = (ms: number) => new Date(nowMs - ms).toISOString()
const minuteMs = 60_000
const dayMs = 24 * 60 * minuteMs

const info = (name: string) => ({ id: name.repeat(4), name, role: 'clinician' as const })
const holder = (name: string, parts: Partial<RecordHolder>): RecordHolder => ({
  device: info(name),
  holds: null,
  since: null,
  heard: null,
  clockOff: false,
  retiring: false,
  ...parts,
})
const author = (name: string, until: string | null, clockOff = false): KnownAuthor => ({
  device: info(name),
  until,
  clockOff,
})

async function shown(
  holders: RecordHolder[],
  authors: KnownAuthor[],
  onServer: boolean | null = null,
  unread = 0,
) {
  const device = fakeDevice({
    recordStatus: async (collection, id) => ({
      id,
      collection,
      holders,
      onServer,
      authors,
      unread,
    }),
  })
  const { stdout } = await runCli(['get', 'patients', 'Patient/1', '--status'], { device })
  const lines = stdout.split('\n')
  return lines.slice(lines.indexOf('') + 1).join('\n')
}

test('get --status says who holds the record, and how fresh it is', async () => {
  const text = await shown(
    [
      holder('pharmacy', { holds: true, since: ago(2 * minuteMs), heard: ago(0) }),
      holder('triage', { holds: true, since: ago(30 * dayMs), heard: ago(0), clockOff: true }),
      holder('old', { holds: true, since: ago(minuteMs), heard: ago(0), retiring: true }),
      holder('outreach', { holds: false, heard: ago(2 * dayMs) }),
      holder('car', { holds: null, heard: ago(0) }),
      holder('new', {}),
    ],
    [author('pharmacy', ago(0)), author('outreach', ago(2 * dayMs)), author('new', null)],
    false,
    3,
  )
  const time = (ms: number) => {
    const date = new Date(nowMs - ms)
    const two = (n: number) => String(n).padStart(2, '0')
    return `${two(date.getHours())}:${two(date.getMinutes())}`
  }
  expect(
    text.split('\n').slice(text.split('\n').indexOf('Held safely on 3 other devices')),
  ).toEqual([
    'Held safely on 3 other devices',
    `  pharmacy   since ${time(2 * minuteMs)}`,
    expect.stringMatching(/^  triage     since 2026-10-2\d \d\d:\d\d by its clock, which is off$/),
    `  old        since ${time(minuteMs)}; it is to be wiped`,
    '',
    'Not known to hold it',
    '  outreach   it lacks some, as of 2 days ago',
    '  car        it holds something that is not here yet, as of now',
    '  new        not heard from yet',
    '',
    'No server is known to hold it yet.',
    '',
    'What others wrote is known',
    '  pharmacy   until now',
    '  outreach   until 2 days ago',
    '  new        never heard',
    '',
    '3 commits here can not be read yet, and may hold more of it.',
    '',
  ])
})

test('a record that is nowhere else is called so', async () => {
  const text = await shown([holder('triage', { holds: false, heard: ago(0) })], [], true)
  expect(text).toContain('No other device is known to hold it.\n\nNot known to hold it\n')
  expect(text).toContain('A server holds it.')
})

test('the document has it under "status"', async () => {
  const holders = [holder('pharmacy', { holds: true, since: ago(0), heard: ago(0) })]
  const device = fakeDevice({
    recordStatus: async (collection, id) => ({
      id,
      collection,
      holders,
      onServer: null,
      unread: 0,
      authors: [author('pharmacy', ago(0))],
    }),
  })
  const args = ['get', 'patients', 'Patient/1', '--status', '--json']
  const document = JSON.parse((await runCli(args, { device })).stdout) as { status: object }
  expect(document).toMatchObject({ id: 'Patient/1', fields: { gender: 'female' } })
  expect(document.status).toEqual({
    holders,
    onServer: null,
    authors: [author('pharmacy', ago(0))],
    unread: 0,
  })
})

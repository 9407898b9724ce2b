import { expect, test } from 'vitest'

import type { WipeAnswer, WipeHolder, WipeOptions } from '../../src/device/api.ts'
import { fakeDevice, wipeAnswer } from './support/fake-device.ts'
import { Place } from './support/haven-process.ts'
import { runCli } from './support/run-cli.ts'

const minuteMs = 60_000
const nowMs = Date.UTC(2026, 10, 22, 10, 32)
const ago = (ms: number) => new Date(nowMs - ms).toISOString()

function holder(name: string, parts: Partial<WipeHolder> = {}): WipeHolder {
  const device = { id: name.repeat(8), name, role: 'clinician' as const }
  return { device, state: 'holds', lacks: 0, reads: true, heard: ago(0), ...parts }
}

async function told(parts: Partial<WipeAnswer>, ...args: string[]) {
  const asked: (WipeOptions | undefined)[] = []
  const device = fakeDevice({
    safeToWipe: async (options) => {
      asked.push(options)
      return wipeAnswer(parts)
    },
  })
  const run = await runCli(['safe-to-wipe', ...args], { device })
  return { ...run, asked }
}

test('yes names those who have it all, and ends well', async () => {
  const devices = [
    holder('pharmacy'),
    holder('triage'),
    holder('car', { state: 'lacks', lacks: 3 }),
  ]
  const { exitCode, stdout, stderr } = await told({ devices, asOf: ago(2 * 24 * 60 * minuteMs) })
  expect([exitCode, stderr]).toEqual([0, ''])
  expect(stdout).toBe(
    `Yes, as of 2 days ago: everything that is here is also on pharmacy and triage.
They know that this device goes, and do not rely on it. It takes no writes any more; --cancel takes that back.
`,
  )
})

test('no says what would be lost, why, and what to do, and fails', async () => {
  const triage = holder('triage', { state: 'lacks', lacks: 3 })
  const { exitCode, stdout, stderr } = await told({
    safe: false,
    asOf: ago(0),
    devices: [
      triage,
      holder('pharmacy', { state: 'unaware' }),
      holder('car', { state: 'unsure' }),
      holder('old', { state: 'retiring' }),
      holder('new', { state: 'unheard', lacks: null, heard: null, reads: false }),
    ],
    lost: [
      {
        collection: 'patients',
        commits: 12,
        records: 3,
        heldBy: [{ device: triage.device, commits: 12 }],
      },
      {
        collection: 'records',
        commits: 2,
        records: 1,
        heldBy: [{ device: triage.device, commits: 1 }],
      },
      { collection: null, commits: 1, records: null, heldBy: [] },
    ],
    lostEpochs: [{ collection: 'records', epoch: 'ab'.repeat(16) }],
  })
  expect(exitCode).toBe(1)
  expect(stderr).toMatch(/^haven: \S.*\n$/)
  expect(stdout.split('\n')).toEqual([
    'No, not yet, as of now.',
    '',
    'Would be lost, as far as is known',
    '  patients           12 commits, of 3 records   triage has them',
    '  records            2 commits, of 1 record     triage has 1 of them',
    '  members and keys   1 commit                   nobody else has them',
    '',
    'Keys that nobody else is known to have',
    '  records   abababab',
    '',
    'Other devices',
    '  triage     lacks 3 commits, heard now',
    '  pharmacy   holds it all, and has not said that it knows that this device goes, heard now',
    '  car        holds it all, and something that is not here yet, heard now',
    '  old        is to be wiped itself',
    '  new        never heard',
    '',
    'Run `haven up` here, near the others, until a server or 2 other devices have it all, and ask again.',
    'This device takes no writes any more; --cancel takes that back.',
    '',
  ])
})

test('no, only because the others have not said that they know', async () => {
  const devices = [holder('triage', { state: 'unaware' })]
  const { stdout } = await told({ safe: false, devices })
  expect(stdout).toContain('they have it all, and only have to say that they know')
  const keyless = [holder('courier', { reads: false })]
  expect((await told({ safe: false, devices: keyless })).stdout).toContain(
    'near a device that can read what this one can',
  )
})

test('what is asked for is handed over, and the answer is the document', async () => {
  const { asked, stdout, exitCode } = await told({ safe: false }, '--holders', '1', '--json')
  expect(asked).toEqual([{ holders: 1 }])
  expect([exitCode, JSON.parse(stdout)]).toEqual([1, wipeAnswer({ safe: false })])
  const waiting = await told({}, '--wait', '2m')
  expect(waiting.asked).toEqual([{ holders: undefined, waitMs: 120_000 }])
  expect(waiting.stdout).toMatch(/^Waiting up to 2 minutes for the others…\nYes/)
})

test('--cancel takes it back', async () => {
  const { exitCode, stdout } = await runCli(['safe-to-wipe', '--cancel'])
  expect([exitCode, stdout]).toEqual([0, 'This device goes on, and takes writes again.\n'])
  const device = fakeDevice({ cancelRetirement: async () => false })
  const json = await runCli(['safe-to-wipe', '--cancel', '--json'], { device })
  expect(JSON.parse(json.stdout)).toEqual({ cancelled: false })
})

test.each([
  ['--holders', '0'],
  ['--holders', 'x'],
  ['--wait', 'long'],
  ['--cancel', '--wait', '1m'],
])('%s is wrong usage', async (...args) => {
  const { exitCode, opened } = await runCli(['safe-to-wipe', ...args])
  expect([exitCode, opened]).toEqual([2, []])
})

test(
  'two devices: no writes after it was asked, no before and yes after the other knows, and back',
  async () => {
    const place = new Place()
    await place.json('a', 'init', '--mesh', 'Camp', '--device', 'a')
    const a = await place.up('a')
    const { code } = await place.json<{ code: string }>('a', 'invite')
    await place.json('b', 'join', code, '--device', 'b')
    await place.json('b', 'set', 'patients', 'Patient/1', 'active=true')
    const retiring = await place.run('b', 'safe-to-wipe', '--holders', '1', '--json')
    expect(retiring.exitCode).toBe(1)
    expect(retiring.document).toMatchObject({
      safe: false,
      needed: 1,
      lost: expect.arrayContaining([
        expect.objectContaining({ collection: 'patients', commits: 1, records: 1 }),
      ]) as unknown,
    })
    expect(await place.failure('b', 'set', 'patients', 'Patient/1', 'active=false')).toEqual([
      'RETIRING',
      1,
    ])
    const notices = (await place.json<{ notices: { code: string }[] }>('b', 'status')).notices
    expect(notices.map(({ code: each }) => each)).toContain('RETIRING')

    // Over the socket of a running device, which others are told by.
    const b = await place.up('b', '--peer', a.address)
    const { message } = await b.process.event<{ message: string }>(
      (event) => event.event === 'notice' && event.code === 'RETIRING',
    )
    expect(message).toContain('--cancel')
    const yes = await place.json<WipeAnswer>('b', 'safe-to-wipe', '--holders', '1', '--wait', '20s')
    expect(yes).toMatchObject({ safe: true, lost: [], lostEpochs: [] })
    expect(yes.devices).toEqual([
      expect.objectContaining({ state: 'holds', device: expect.objectContaining({ name: 'a' }) }),
    ])
    expect(await place.failure('b', 'import', place.path('a'))).toEqual(['RETIRING', 1])

    expect(await place.json('b', 'safe-to-wipe', '--cancel')).toEqual({ cancelled: true })
    await place.json('b', 'set', 'patients', 'Patient/1', 'active=false')
    const id = ['patients', 'Patient/1'] as const
    const { status } = await place.json<{ status: { holders: object[] } }>(
      'b',
      'get',
      ...id,
      '--status',
    )
    expect(status.holders).toEqual([
      expect.objectContaining({ device: expect.objectContaining({ name: 'a' }), retiring: false }),
    ])
    const { entries } = await place.json<{ entries: object[] }>('b', 'history', ...id)
    expect(entries).toMatchObject([
      { field: 'active', op: 'put', value: false, before: [{ value: true }] },
      { field: 'active', op: 'put', value: true, before: [] },
    ])
  },
  3 * minuteMs,
)

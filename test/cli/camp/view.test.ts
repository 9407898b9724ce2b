import { expect, test } from 'vitest'

import type { CampDevice, Traffic } from '../../../src/cli/camp/camp-device.ts'
import { jsonStage, liveStage, plainStage } from '../../../src/cli/camp/stage.ts'
import { headLines } from '../../../src/cli/camp/view.ts'
import type { DeviceStatus } from '../../../src/device/api.ts'
import { statusOf } from '../support/fake-device.ts'

const noTraffic: Traffic = { commits: { in: 0, out: 0 }, bytes: { in: 0, out: 0 } }

test('shows who holds what, and what has travelled', () => {
  const lines = headLines([
    device('registration', {
      status: {
        peers: [peer('COMPLETE'), peer('SYNCING')],
        collections: { patients: { records: 22, contentHash: '' } },
      },
      traffic: { commits: { in: 0, out: 3 }, bytes: { in: 820, out: 61_000 } },
    }),
    device('triage', { status: { peers: [] } }),
    device('pharmacy', { isUp: false }),
  ])
  expect(lines.join('\n')).toBe(`Havenmesh: a camp in a box, three devices on this computer

  device         records   links           commits in   out   bytes in   out
  registration   22        2, exchanging   0            3     820 B      61 kB
  triage         0         looking         0            0     0 B        0 B
  pharmacy       –         not started     0            0     0 B        0 B
`)
})

test('on a low terminal, shows the last steps and the commands to copy whole', async () => {
  const { output, written } = recorder()
  using stage = liveStage({ ...output, rows: 12 }, { devices: [], nowMs: () => 0 })
  for (let step = 1; step <= 20; step++) {
    stage.begins('step', `step ${step}`)
    stage.happened({ name: 'step', outcome: 'done', details: {} })
  }
  const command = `npx haven --data ${'x'.repeat(90)}`
  stage.says(command)
  stage[Symbol.dispose]()
  const shown = written.at(-1)!.replaceAll('\u001b[K', '').split('\n')
  expect(shown).toContain(command)
  expect(shown.filter((line) => line.includes('step')).map((line) => line.slice(0, 12))).toEqual([
    '  ✓ step 17 ',
    '  ✓ step 18 ',
    '  ✓ step 19 ',
    '  ✓ step 20 ',
  ])
})

test('without a terminal, each step is a line', () => {
  const { output, written } = recorder()
  const stage = plainStage(output, () => 0)
  stage.begins('cut', 'pharmacy is cut off')
  stage.happened({ name: 'cut', outcome: 'no link', details: {} })
  stage.begins('heal', 'pharmacy comes back')
  stage.failed({ code: 'TIMED_OUT', message: 'It took too long.' })
  expect(written).toEqual([
    '✓ pharmacy is cut off                      0.0 s   no link\n',
    '✗ pharmacy comes back: It took too long.\n',
  ])
})

test('with --json, each step is an object that says whether it happened', () => {
  const { output, written } = recorder()
  const stage = jsonStage(output, () => '2026-11-22T10:32:00.000Z')
  stage.begins('cut', 'pharmacy is cut off')
  stage.happened({ name: 'cut', outcome: 'no link', details: { device: 'pharmacy' } })
  stage.begins('heal', 'pharmacy comes back')
  stage.failed({ code: 'TIMED_OUT', message: 'It took too long.' })
  expect(written.map((line) => JSON.parse(line) as unknown)).toEqual([
    { step: 'cut', ok: true, time: '2026-11-22T10:32:00.000Z', device: 'pharmacy' },
    {
      step: 'heal',
      ok: false,
      time: '2026-11-22T10:32:00.000Z',
      error: { code: 'TIMED_OUT', message: 'It took too long.' },
    },
  ])
})

/** As much of a device as is shown of it. */
function device(
  name: string,
  parts: { status?: Partial<DeviceStatus>; traffic?: Traffic; isUp?: boolean },
): CampDevice {
  const { status, traffic = noTraffic, isUp = true } = parts
  return { name, isUp, traffic, status: status && statusOf(status) } as CampDevice
}

function peer(state: 'COMPLETE' | 'SYNCING'): DeviceStatus['peers'][number] {
  const other = { id: 'a1'.repeat(32), name: 'other', role: 'clinician' } as const
  return {
    device: other,
    name: other.name,
    site: null,
    connected: true,
    state,
    behind: 0,
    ahead: 0,
    lastSeen: null,
  }
}

function recorder() {
  const written: string[] = []
  const output = {
    isTerminal: false,
    columns: 80,
    rows: 24,
    closed: new AbortController().signal,
    write: async (text: string) => {
      written.push(text)
    },
  }
  return { output, written }
}

import { expect, test } from 'vitest'

import type { CampDevice, Traffic } from '../../../src/cli/camp/camp-device.ts'
import { jsonStage, plainStage } from '../../../src/cli/camp/stage.ts'
import { sceneText } from '../../../src/cli/camp/view.ts'
import type { DeviceStatus } from '../../../src/device/api.ts'
import { statusOf } from '../support/fake-device.ts'

const noTraffic: Traffic = { commits: { in: 0, out: 0 }, bytes: { in: 0, out: 0 } }

test('shows who holds what, what has travelled, and how far the story is', () => {
  const text = sceneText({
    devices: [
      device('registration', {
        status: {
          peers: [peer('COMPLETE'), peer('SYNCING')],
          collections: { patients: { records: 22, contentHash: '' } },
        },
        traffic: { commits: { in: 0, out: 3 }, bytes: { in: 820, out: 61_000 } },
      }),
      device('triage', { status: { peers: [] } }),
      device('pharmacy', { isUp: false }),
    ],
    steps: [
      { title: 'registration founds a mesh', outcome: 'the mesh is called Camp', seconds: 0.42 },
      { title: 'they find each other' },
    ],
    remarks: [],
  })
  expect(text).toBe(`Havenmesh: a camp in a box, three devices on this computer

  device         role        holds        links           received           sent
  registration   clinician   22 records   2, exchanging   0 commits, 820 B   3 commits, 61 kB
  triage         clinician   0 records    looking         0 commits, 0 B     0 commits, 0 B
  pharmacy       –           –            not started     0 commits, 0 B     0 commits, 0 B

  ✓ registration founds a mesh                               0.4 s   the mesh is called Camp
  … they find each other`)
})

test('without a terminal, each step is a line', () => {
  const { output, written } = recorder()
  const stage = plainStage(output, () => 0)
  stage.begins('cut', 'pharmacy is cut off')
  stage.happened({ name: 'cut', outcome: 'no link', details: {} })
  stage.begins('heal', 'pharmacy comes back')
  stage.failed({ code: 'TIMED_OUT', message: 'It took too long.' })
  expect(written).toEqual([
    '✓ pharmacy is cut off                                      0.0 s   no link\n',
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
  return { device: other, connected: true, state, behind: 0, ahead: 0, lastSeen: null }
}

function recorder() {
  const written: string[] = []
  const output = {
    isTerminal: false,
    columns: 80,
    closed: new AbortController().signal,
    write: async (text: string) => {
      written.push(text)
    },
  }
  return { output, written }
}

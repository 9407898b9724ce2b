import { expect, test } from 'vitest'

import { statusText } from '../../src/cli/status-text.ts'
import type { DeviceStatus, PeerStatus } from '../../src/device/api.ts'
import { statusOf } from './support/fake-device.ts'

const nowMs = Date.UTC(2026, 10, 22, 10, 32)

test('says first that everything is safe when all others hold it', () => {
  const text = statusTextOf({
    peers: [peer('registration', { role: 'admin' }), peer('pharmacy')],
    collections: { patients: { records: 22, contentHash: '7f3a9c01'.repeat(8) } },
  })
  expect(text).toBe(`triage, clinician in Camp North
  Everything that is here is also on all 2 other devices.
  Nothing that is known of is missing here.

Devices
  registration   admin       in sync   holds the same
  pharmacy       clinician   in sync   holds the same

Collections
  patients   22 records   7f3a9c01`)
})

test('names who lacks what, and what is missing here', () => {
  const text = statusTextOf({
    peers: [
      peer('pharmacy', { state: 'SYNCING', behind: 34, ahead: 2 }),
      peer('courier', {
        connected: false,
        state: 'IDLE',
        ahead: 12,
        behind: 0,
        lastSeen: '2026-11-22T07:31:00.000Z',
      }),
      peer('new', { connected: false, state: 'IDLE', behind: null, ahead: null, lastSeen: null }),
    ],
  })
  expect(text).toContain('No other device holds everything that is here; pharmacy lacks 2 commits.')
  expect(text).toContain('34 commits of pharmacy are not here yet.')
  expect(text).toMatch(/pharmacy +clinician +exchanging +has 34 commits more, lacks 2 commits/)
  expect(text).toMatch(/courier +clinician +met 3 hours ago +lacks 12 commits/)
  expect(text).toMatch(/new +clinician +not met yet +holds: not known/)
})

test('says where devices are used, if anybody has said', () => {
  const text = statusTextOf({
    site: 'North',
    peers: [peer('pharmacy', { site: 'South' }), peer('new')],
  })
  expect(text).toMatch(/^triage, clinician in Camp North, used at North\n/)
  expect(text).toMatch(/\n {2}pharmacy +clinician +South +in sync +holds the same\n/)
  expect(text).toMatch(/\n {2}new +clinician {3} +in sync +holds the same$/)
})

test('promises nothing about devices that have not been heard', () => {
  const text = statusTextOf({
    peers: [peer('pharmacy', { connected: false, state: 'IDLE', behind: null, ahead: null })],
  })
  expect(text).toContain('No other device has said yet what it holds.')
  expect(text).not.toContain('Nothing that is known of is missing')
})

test('says what to do when alone, not running, or without a mesh', () => {
  expect(statusTextOf({})).toContain('`haven invite`')
  expect(statusTextOf({ running: false })).toContain('`haven up`')
  expect(statusTextOf({ device: null, mesh: null })).toContain('`haven init --mesh NAME`')
})

test('shows notices, and no name can steer the terminal', () => {
  const text = statusTextOf({
    peers: [peer('\u001b[2Jevil')],
    notices: [{ code: 'MARK_NOT_WRITABLE', message: 'The mark could not be written.' }],
  })
  expect(text).toContain('The mark could not be written.   MARK_NOT_WRITABLE')
  expect(text).not.toContain('\u001b')
})

function statusTextOf(parts: Partial<DeviceStatus>): string {
  return statusText(statusOf(parts), nowMs)
}

function peer(name: string, parts: Partial<PeerStatus> & { role?: 'admin' } = {}): PeerStatus {
  const { role = 'clinician', ...rest } = parts
  return {
    device: { id: 'a1'.repeat(32), name, role },
    name,
    site: null,
    connected: true,
    state: 'COMPLETE',
    behind: 0,
    ahead: 0,
    lastSeen: '2026-11-22T10:31:59.000Z',
    ...rest,
  }
}

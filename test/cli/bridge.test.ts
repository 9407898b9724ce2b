import { expect, test } from 'vitest'

import type { BridgeStatus, ServerStatus } from '../../src/device/api.ts'
import { bridgeText } from '../../src/cli/bridge-text.ts'
import { budgetText } from '../../src/cli/budget.ts'
import { fakeDevice } from './support/fake-device.ts'
import { runCli } from './support/run-cli.ts'

const nowMs = Date.UTC(2026, 10, 22, 10, 42)
const server: ServerStatus = {
  device: { id: 'c5'.repeat(32), name: 'haven.example.org', role: 'server' },
  addresses: ['https://haven.example.org'],
  allowed: true,
  state: 'connected',
  carrier: 'websocket',
  since: '2026-11-22T10:32:00.000Z',
  nextTry: null,
  problem: null,
  lost: null,
  behind: 0,
  ahead: 0,
  lastSeen: '2026-11-22T10:32:00.000Z',
  waiting: null,
}
const bridge = (parts: Partial<BridgeStatus> = {}): BridgeStatus => ({
  mayBridge: true,
  paused: false,
  running: true,
  budget: null,
  carried: { day: 1_200_000, month: 30_000_000 },
  servers: [server],
  ...parts,
})

test('the state of a bridge, as it is told', () => {
  expect(bridgeText(bridge(), nowMs)).toBe(`This device is connected with a server.

  haven.example.org (c5c5c5c5) at https://haven.example.org
    Connected for 10 minutes.
    It holds what is here, and nothing more.`)
  expect(bridgeText(bridge({ servers: [{ ...server, carrier: 'post' }] }), nowMs)).toContain(
    'Connected for 10 minutes, in plain requests: WebSockets don’t get through.',
  )
  const waiting: ServerStatus = {
    ...server,
    state: 'waiting',
    nextTry: '2026-11-22T10:44:00.000Z',
    problem: { code: 'SERVER_NOT_FOUND', message: 'No server was found.' },
    behind: 3,
    ahead: 1,
  }
  expect(bridgeText(bridge({ servers: [waiting] }), nowMs))
    .toBe(`This device is not connected with any server.

  haven.example.org (c5c5c5c5) at https://haven.example.org
    Not reached; tried again in 2 minutes, and when the network changes.
    Last time: No server was found. (SERVER_NOT_FOUND)
    It lacks 1 commit, and has 3 commits that are not here.`)
})

const budget: NonNullable<BridgeStatus['budget']> = {
  bytes: 50_000_000,
  per: 'day',
  urgentBytes: 5_000_000,
  state: 'open',
  usedBytes: 42_000_000,
  leftBytes: 8_000_000,
  until: '2026-11-23T00:00:00.000Z',
}

test('what waits, in the order in which it goes, and how long it takes', () => {
  const known = { estimated: false }
  const waiting: ServerStatus['waiting'] = {
    up: {
      commits: 215,
      bytes: 3_242_000,
      estimated: true,
      bytesPerSecond: 13_000,
      ms: 249_000,
      classes: [
        { kind: 'control', collection: null, commits: 1, bytes: 2_000, ...known },
        { kind: 'urgent', collection: null, commits: 4, bytes: 40_000, ...known },
        {
          kind: 'routine',
          collection: 'patients',
          commits: 210,
          bytes: 3_200_000,
          estimated: true,
        },
      ],
    },
    down: { commits: 0, bytes: 0, estimated: false, bytesPerSecond: null, ms: null, classes: [] },
  }
  const text = bridgeText(bridge({ budget, servers: [{ ...server, ahead: 215, waiting }] }), nowMs)
  expect(text).toContain(
    '    To go up: about 3.2 MB, about 4 minutes at the last rate (facts about members 2.0 kB, urgent 40 kB, patients about 3.2 MB).',
  )
  expect(text).not.toContain('To come down')
  expect(text).toContain("8.0 MB of today's 50 MB left")
  const unmeasured = { ...waiting, up: { ...waiting.up, ms: null, bytesPerSecond: null } }
  expect(bridgeText(bridge({ servers: [{ ...server, waiting: unmeasured }] }), nowMs)).toContain(
    'To go up: about 3.2 MB (facts',
  )
})

test('a server that lost what it had', () => {
  const lost = { commits: 3, since: '2026-11-20T10:32:00.000Z' }
  expect(bridgeText(bridge({ servers: [{ ...server, lost }] }), nowMs)).toContain(
    'It has lost 3 commits that it had held, since 2026-11-20',
  )
})

test.each([
  [{ mayBridge: false }, 'no right to bridge'],
  [{ servers: [] }, 'no server yet'],
  [{ paused: true }, 'haven bridge resume'],
  [{ running: false }, 'haven up'],
  [{ servers: [{ ...server, allowed: false, state: 'idle' as const }] }, 'haven bridge allow'],
  [{ servers: [{ ...server, behind: null, ahead: null }] }, 'not known yet'],
])('%j says what to do', (parts, words) => {
  expect(bridgeText(bridge(parts), nowMs)).toContain(words)
})

test.each([
  [
    { ...budget },
    "Budget: 8.0 MB of today's 50 MB left, 5.0 MB of them for what is urgent; all of it again in 13 hours.",
  ],
  [
    { ...budget, per: 'month' as const, state: 'urgent' as const, leftBytes: 900_000 },
    "Budget: 900 kB of this month's 50 MB left, for what is urgent only; all of it again in 13 hours.",
  ],
  [
    { ...budget, state: 'used' as const, leftBytes: 0 },
    "Budget: today's 50 MB are used up, and servers are left alone; all of it again in 13 hours.",
  ],
])('a budget, as it is told: %j', (parts, line) => {
  expect(bridgeText(bridge({ budget: parts }), nowMs)).toContain(`\n${line}\n`)
  expect(budgetText(bridge({ budget: parts }), nowMs)).toBe(
    `${line}\nUplinks have carried 1.2 MB today and 30 MB this month (by UTC).`,
  )
})

test('a budget is set by its command, taken away, and shown', async () => {
  const asked: unknown[] = []
  const device = fakeDevice({
    setBridgeBudget: async (setting) => {
      asked.push(setting)
      return bridge({ budget: setting === null ? null : { ...budget, ...setting } })
    },
    bridgeStatus: async () => bridge({ budget }),
  })
  const run = async (...args: string[]) => {
    const { exitCode, stdout } = await runCli(['bridge', 'budget', ...args, '--json'], { device })
    expect(exitCode).toBe(0)
    return JSON.parse(stdout) as Pick<BridgeStatus, 'budget' | 'carried'>
  }
  expect(await run()).toEqual({ budget, carried: bridge().carried })
  expect(asked).toEqual([])
  await run('50MB/day', '--urgent', '4MB')
  await run('2GB/month')
  expect((await run('off')).budget).toBeNull()
  expect(asked).toEqual([
    { bytes: 50e6, per: 'day', urgentBytes: 4e6 },
    { bytes: 2e9, per: 'month', urgentBytes: 2e8 },
    null,
  ])
})

test('what others wrote can not steer the terminal', () => {
  const hostile = { ...server, addresses: ['http://x\u001b[2J'] }
  expect(bridgeText(bridge({ servers: [hostile] }), nowMs)).not.toContain('\u001b')
})

test('each command asks the device for one thing', async () => {
  const asked: unknown[] = []
  const note =
    <T>(name: string, answer: T) =>
    async (...args: unknown[]) => {
      asked.push([name, ...args])
      return answer
    }
  const device = fakeDevice({
    addServer: note('addServer', server),
    allowServer: note('allowServer', bridge()),
    pauseBridge: note('pauseBridge', bridge()),
    bridgeStatus: note('bridgeStatus', bridge()),
  })
  const commands = ['add ABCDE', 'allow', 'allow c5c5', 'pause', 'resume', 'status']
  for (const command of commands) {
    const { exitCode, stdout } = await runCli(['bridge', ...command.split(' '), '--json'], {
      device,
    })
    expect(exitCode).toBe(0)
    expect(JSON.parse(stdout)).toEqual(command.startsWith('add') ? server : bridge())
  }
  expect(asked).toEqual([
    ['addServer', 'ABCDE'],
    ['allowServer', undefined],
    ['allowServer', 'c5c5'],
    ['pauseBridge', true],
    ['pauseBridge', false],
    ['bridgeStatus'],
  ])
})

test('an invitation may bring the right to bridge', async () => {
  const device = fakeDevice()
  await runCli(['invite', '--role', 'courier', '--bridge'], { device })
  expect(device.asked.invited).toMatchObject([{ role: 'courier', bridge: true }])
})

test.each([
  [['bridge']],
  [['bridge', 'add']],
  [['bridge', 'nonsense']],
  [['bridge', 'budget', '50MB']],
  [['bridge', 'budget', 'lots/day']],
  [['bridge', 'budget', '50MB/week']],
  [['bridge', 'budget', '50MB/day', '--urgent', '50MB']],
  [['bridge', 'budget', '--urgent', '5MB']],
  [['bridge', 'budget', 'off', '--urgent', '5MB']],
  [['up', '--bridge', 'manual']],
  [['server', '--listen', 'somewhere']],
  [['server', '--listen', '127.0.0.1:99999']],
  [['server', '--tls-cert', 'cert.pem']],
  [['server', 'invite', '--ttl', 'soon']],
  [['server', '--mesh-quota', 'much']],
  [['server', '--device-quota', '5']],
])('%j is wrong usage', async (args) => {
  const { exitCode, stdout } = await runCli([...args, '--json'])
  expect(exitCode).toBe(2)
  expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'USAGE' } })
})

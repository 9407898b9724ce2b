import { expect, test } from 'vitest'

import type { BridgeStatus, ServerStatus } from '../../src/device/api.ts'
import { bridgeText } from '../../src/cli/bridge-text.ts'
import { fakeDevice } from './support/fake-device.ts'
import { runCli } from './support/run-cli.ts'

const nowMs = Date.UTC(2026, 10, 22, 10, 42)
const server: ServerStatus = {
  device: { id: 'c5'.repeat(32), name: 'haven.example.org', role: 'server' },
  addresses: ['https://haven.example.org'],
  allowed: true,
  state: 'connected',
  since: '2026-11-22T10:32:00.000Z',
  nextTry: null,
  problem: null,
  behind: 0,
  ahead: 0,
  lastSeen: '2026-11-22T10:32:00.000Z',
}
const bridge = (parts: Partial<BridgeStatus> = {}): BridgeStatus => ({
  mayBridge: true,
  paused: false,
  running: true,
  servers: [server],
  ...parts,
})

test('the state of a bridge, as it is told', () => {
  expect(bridgeText(bridge(), nowMs)).toBe(`This device is connected with a server.

  haven.example.org (c5c5c5c5) at https://haven.example.org
    Connected for 10 minutes.
    It holds what is here, and nothing more.`)
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

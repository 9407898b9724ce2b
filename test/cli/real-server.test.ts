/** A server and devices as processes of their own, over loopback. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import type {
  BridgeStatus,
  Invitation,
  MembershipResult,
  ServerStatus,
} from '../../src/device/api.ts'
import type { Process } from './support/haven-process.ts'
import { Place } from './support/haven-process.ts'

const minuteMs = 60_000
const waiting = { timeout: 20_000 }

interface Ready {
  event: string
  address: string
  device: string
  meshes: string[]
}

async function serverIn(place: Place, ...args: string[]): Promise<Ready & { process: Process }> {
  const process = place.start('server', 'server', '--json', '--listen', '127.0.0.1:0', ...args)
  const ready = await process.event<Ready & Record<string, unknown>>((it) => it.event === 'ready')
  return { ...ready, process }
}

test(
  'a mesh is registered, and devices that may bridge keep it up to date',
  async () => {
    const place = new Place()
    const server = await serverIn(place)
    const { mesh } = await place.json<MembershipResult>('a', 'init', '--mesh', 'Camp')
    const { code } = await place.json<{ code: string }>('server', 'server', 'invite')
    const added = await place.json<ServerStatus>('a', 'bridge', 'add', code)
    expect(added).toMatchObject({
      device: { id: server.device, name: '127.0.0.1', role: 'server' },
      addresses: [server.address],
      allowed: true,
      state: 'idle',
    })
    expect(existsSync(join(place.path('server'), 'meshes', mesh.id))).toBe(true)
    await place.up('a')
    const bridge = () => place.json<BridgeStatus>('a', 'bridge', 'status')
    await expect.poll(async () => (await bridge()).servers[0]?.ahead, waiting).toBe(0)
    await place.json('a', 'set', 'patients', 'p', 'n=1')
    await expect
      .poll(async () => {
        const [{ ahead, behind, state }] = (await bridge()).servers as [ServerStatus]
        return [ahead, behind, state]
      }, waiting)
      .toEqual([0, 0, 'connected'])
    expect(await place.json('a', 'bridge', 'pause')).toMatchObject({
      paused: true,
      servers: [{ state: 'idle' }],
    })
    await place.json('a', 'bridge', 'resume')

    // A courier that may bridge, after one yes.
    const invited = await place.json<Invitation>('a', 'invite', '--role', 'courier', '--bridge')
    await place.json('b', 'join', invited.code)
    const before = await place.json<BridgeStatus>('b', 'bridge', 'status')
    expect(before).toMatchObject({ mayBridge: true, servers: [{ allowed: false }] })
    expect(await place.json('b', 'status')).toMatchObject({
      notices: [{ code: 'SERVER_NOT_ALLOWED' }],
    })
    await place.json('b', 'bridge', 'allow')
    const { process } = await place.up('b')
    await process.event((it) => it.event === 'peer' && isServer(it.device) && it.connected === true)

    expect(await server.process.stop()).toMatchObject({ exitCode: 0, stderr: '' })
    const again = await serverIn(place)
    expect(again).toMatchObject({ device: server.device, meshes: [mesh.id] })
  },
  2 * minuteMs,
)

test(
  'what can go wrong is said by its code',
  async () => {
    const place = new Place()
    expect(await place.failure('server', 'server', 'invite')).toEqual(['NOT_FOUND', 1])
    await serverIn(place, '--public-url', 'http://127.0.0.1:9')
    expect(await place.failure('server', 'server', '--listen', '127.0.0.1:0')).toEqual([
      'STORE_BUSY',
      1,
    ])
    await place.json('a', 'init', '--mesh', 'Camp')
    expect(await place.failure('a', 'server', '--listen', '127.0.0.1:0')).toEqual(['USAGE', 2])
    expect(await place.failure('server', 'status')).toEqual(['KEYSTORE_UNREADABLE', 1])
    const { code, address } = await place.json<Record<string, string>>('server', 'server', 'invite')
    expect(address).toBe('http://127.0.0.1:9')
    expect(await place.failure('a', 'bridge', 'add', code!)).toEqual(['SERVER_NOT_FOUND', 1])
    expect(await place.failure('a', 'bridge', 'add', 'ABCDE')).toEqual(['INVITATION_INVALID', 1])
    expect(await place.failure('a', 'bridge', 'allow')).toEqual(['NOT_FOUND', 1])
  },
  minuteMs,
)

function isServer(device: unknown): boolean {
  return (device as { role: string }).role === 'server'
}

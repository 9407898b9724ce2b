/** Looking after a server with its commands: a server and devices as processes of their own, over loopback. */
import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import type {
  BridgeStatus,
  MembershipResult,
  RecordStatus,
  ServerStatus,
} from '../../src/device/api.ts'
import type { MeshSummary } from '../../src/server/mesh-summary.ts'
import { findInFiles } from '../support/process-memory.ts'
import { Place } from './support/haven-process.ts'
import type { Process } from './support/haven-process.ts'

const minuteMs = 60_000
const waiting = { timeout: 30_000 }

interface Ready {
  event: string
  address: string
  device: string
  meshes: string[]
}

async function serverIn(
  place: Place,
  directory = 'server',
  listen = '127.0.0.1:0',
): Promise<Ready & { process: Process }> {
  const process = place.start(directory, 'server', '--json', '--listen', listen)
  const ready = await process.event<Ready & Record<string, unknown>>((it) => it.event === 'ready')
  return { ...ready, process }
}

async function founded(place: Place, device = 'a'): Promise<string> {
  const { mesh } = await place.json<MembershipResult>(device, 'init', '--mesh', 'Camp')
  const { code } = await place.json<{ code: string }>('server', 'server', 'invite')
  await place.json('a', 'bridge', 'add', code)
  return mesh.id
}

async function standing(place: Place, device: string): Promise<ServerStatus> {
  const { servers } = await place.json<BridgeStatus>(device, 'bridge', 'status')
  return servers[0]!
}

/** Until the server has all that is here, and this device all that is there. */
async function upToDate(place: Place, device: string): Promise<void> {
  const look = async () => {
    const { ahead, behind, state } = await standing(place, device)
    return [ahead, behind, state]
  }
  await expect.poll(look, waiting).toEqual([0, 0, 'connected'])
}

async function meshesOf(place: Place, directory = 'server'): Promise<MeshSummary[]> {
  const { meshes } = await place.json<{ meshes: MeshSummary[] }>(directory, 'server', 'meshes')
  return meshes
}

test(
  'the drill: a backup, the loss of the machine, a restore elsewhere, and devices bring what the backup did not have',
  async () => {
    const place = new Place()
    const server = await serverIn(place)
    const port = new URL(server.address).port
    const mesh = await founded(place)
    await place.up('a')
    for (let i = 0; i < 5; i++) await place.json('a', 'set', 'patients', `p${i}`, 'n=1')
    await upToDate(place, 'a')

    const file = place.path('server.backup')
    const backup = await place.json<Record<string, unknown>>('server', 'server', 'backup', file)
    expect(backup).toMatchObject({ file, meshes: 1, sealed: false })
    expect(statSync(file).mode & 0o777).toBe(0o600)
    const commits = backup.commits as number
    expect(commits).toBeGreaterThanOrEqual(5)
    expect(await place.json('server', 'server', 'verify', file)).toMatchObject({
      device: server.device,
      meshes: 1,
      commits,
      damages: [],
      keys: true,
    })

    // More is written, the server is started anew, and has it; then its machine is lost.
    await place.json('a', 'set', 'patients', 'later', 'n=2')
    await upToDate(place, 'a')
    await server.process.stop('SIGKILL')

    expect(await place.json('elsewhere', 'server', 'restore', file)).toMatchObject({
      device: server.device,
      meshes: 1,
      commits,
      damages: [],
    })
    const [restored] = await meshesOf(place, 'elsewhere')
    expect(restored).toMatchObject({ mesh, commits, devices: 1, quotaBytes: null, problem: null })
    expect(restored!.lastContact).not.toBeNull()
    const again = await serverIn(place, 'elsewhere', `127.0.0.1:${port}`)
    expect(again).toMatchObject({ device: server.device, meshes: [mesh] })
    await upToDate(place, 'a')
    const [whole] = await meshesOf(place, 'elsewhere')
    expect(whole!.commits).toBeGreaterThan(commits)

    for (const record of ['p0', 'later']) {
      const shown = () =>
        place.json<{ status: RecordStatus }>('a', 'get', 'patients', record, '--status')
      await expect.poll(async () => (await shown()).status.onServer, waiting).toBe(true)
    }
  },
  3 * minuteMs,
)

test(
  'a mesh is removed beside the running server, and can be added again',
  async () => {
    const place = new Place()
    const server = await serverIn(place)
    const mesh = await founded(place)
    await place.up('a')
    await place.json('a', 'set', 'patients', 'p', 'n=1')
    await upToDate(place, 'a')
    const [before] = await meshesOf(place)
    expect(before).toMatchObject({ mesh, devices: 1, problem: null, quotaBytes: 20e9 })
    expect(Date.now() - Date.parse(before!.lastContact!)).toBeLessThan(minuteMs)

    expect(await place.failure('server', 'server', 'remove', '0'.repeat(32), '--yes')).toEqual([
      'NOT_FOUND',
      1,
    ])
    const unasked = await place.run('server', 'server', 'remove', mesh)
    expect(unasked).toMatchObject({ exitCode: 2, stdout: '' })
    expect(unasked.stderr).toContain('give --yes')
    expect(await meshesOf(place)).toHaveLength(1)
    await place.json('server', 'server', 'remove', mesh, '--yes')
    expect(await meshesOf(place)).toEqual([])
    expect(await findInFiles([place.path('server')], [mesh])).toEqual([])
    await expect
      .poll(async () => (await standing(place, 'a')).problem?.code, waiting)
      .toBe('SERVER_UNKNOWN_MESH')

    const { code } = await place.json<{ code: string }>('server', 'server', 'invite')
    await place.json('a', 'bridge', 'add', code)
    await upToDate(place, 'a')
    const [again] = await meshesOf(place)
    expect(Date.parse(again!.since!)).toBeGreaterThan(Date.parse(before!.since!))
    expect(await server.process.stop()).toMatchObject({ exitCode: 0, stderr: '' })
    // Without a server all the same.
    await place.json('server', 'server', 'remove', mesh, '--yes')
    expect(await meshesOf(place)).toEqual([])
  },
  4 * minuteMs,
)

test(
  'a backup that is not whole is refused, and nothing is restored',
  async () => {
    const place = new Place()
    const server = await serverIn(place)
    await founded(place)
    await server.process.stop()
    const file = place.path('server.backup')
    await place.json('server', 'server', 'backup', file)

    expect(await place.failure('server', 'server', 'restore', file)).toEqual(['NOT_EMPTY', 1])
    const bytes = readFileSync(file)
    const cut = place.path('cut.backup')
    writeFileSync(cut, bytes)
    truncateSync(cut, bytes.length - 1)
    expect(await place.failure('new', 'server', 'restore', cut)).toEqual(['BACKUP_DAMAGED', 1])
    const verified = await place.run('new', 'server', 'verify', cut, '--json')
    expect(verified).toMatchObject({
      exitCode: 1,
      document: { meshes: 1, damages: [expect.stringContaining('cut off'), expect.anything()] },
    })
    expect(await place.failure('new', 'server', 'restore', join(place.directory, 'no'))).toEqual([
      'PATH_UNREADABLE',
      1,
    ])
    expect(await place.failure('new', 'server', 'meshes')).toEqual(['NOT_FOUND', 1])
    await place.json('new', 'server', 'restore', file)
    expect(await meshesOf(place, 'new')).toHaveLength(1)
  },
  2 * minuteMs,
)

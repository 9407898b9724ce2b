import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { checkBackup, restoreBackup } from '../../src/server/backup/restore-backup.ts'
import { openServerHome } from '../../src/server/open-server-home.ts'
import { PartWriter, readParts } from '../../src/server/backup/part-file.ts'
import type { PartContent } from '../../src/server/backup/part-file.ts'
import { partKinds } from '../../src/server/backup/part-kinds.ts'
import { writeBackup } from '../../src/server/backup/write-backup.ts'
import { withControl } from '../../src/server/reach-server.ts'
import { TestMesh, connect, until } from '../device/support/test-device.ts'
import type { TestDevice } from '../device/support/test-device.ts'
import { temporaryDirectory } from '../cli/support/run-cli.ts'
import { bridged, register, TestServer } from './support.ts'

const text = (): string => JSON.stringify('x'.repeat(2_000))

function holdsAllOf(server: TestServer, device: TestDevice): boolean {
  const runtime = server.server.runtimeOf(device.mesh.mesh)
  return runtime?.replica.digest === device.runtime.replica.digest
}

function fileIn(): string {
  return join(temporaryDirectory(), 'server.backup')
}

/** A server that holds all that a device has written, and a backup of it. */
async function backedUp(records = 20, seed = 1) {
  const server = await TestServer.start()
  const mesh = await TestMesh.found(seed)
  await register(mesh.founder, server)
  for (let i = 0; i < records; i++) await mesh.founder.set(`r${i}`, { x: text() })
  const link = await bridged(mesh.founder, server)
  await until(() => holdsAllOf(server, mesh.founder))
  link.cut()
  const file = fileIn()
  await writeBackup({ dataDir: server.dataDir }, file)
  return { server, mesh, file }
}

/** What was backed up, on another machine. */
async function restored(file: string, salvage = false) {
  const dataDir = join(temporaryDirectory(), 'elsewhere')
  const report = await restoreBackup({ dataDir }, file, { salvage })
  return { dataDir, report, start: () => TestServer.start({ dataDir }) }
}

/** The same backup, with other parts, and checksums that are right. */
async function rewritten(
  file: string,
  change: (part: PartContent, index: number) => PartContent,
): Promise<string> {
  const path = fileIn()
  const writer = await PartWriter.create(path)
  for await (const part of readParts(file))
    if (!('what' in part)) await writer.write(change(part, part.index))
  await writer.finish()
  return path
}

describe('a server that is put back from a backup', () => {
  test('is the same one, holds what it held, and gets the rest from devices', async () => {
    const { server, mesh, file } = await backedUp()
    const { keys } = server.server
    const { commits } = server.server.usageOf(mesh.mesh)!.total
    await mesh.founder.set('later', { x: '1' })
    await server.server.close()
    const elsewhere = await restored(file)
    expect(elsewhere.report).toMatchObject({ meshes: 1, commits, damages: [], device: keys.device })
    const again = await elsewhere.start()
    expect(again.server.keys).toEqual(keys)
    expect(again.server.usageOf(mesh.mesh)!.total.commits).toBe(commits)
    expect(again.server.runtimeOf(mesh.mesh)!.replica.commits).toBe(commits)
    await bridged(mesh.founder, again)
    await until(() => holdsAllOf(again, mesh.founder))
  })

  test('takes back what it said after the backup: nobody counts on it for what is gone', async () => {
    const { server, mesh, file } = await backedUp(3)
    const { founder } = mesh
    const [inside] = await mesh.enrolAll(['admin'])
    await inside!.set('later', { x: '1' })
    const cut = connect(founder, inside!)
    const link = await bridged(founder, server)
    const { device } = server.server.keys
    const claims = (it: TestDevice) => it.runtime.peers.status(device)
    // The receipt reaches a device that the server never sees.
    await until(() => claims(inside!).ahead === 0 && holdsAllOf(server, inside!), 20_000)
    link.cut()
    await server.server.close()

    const again = await (await restored(file)).start()
    // Nothing is brought: that is too much for today.
    await again.restart({ quota: { meshBytes: 1, deviceBytesPerDay: 1e9 } })
    await bridged(founder, again)
    await until(() => (claims(inside!).ahead ?? 0) > 0, 20_000)
    expect(holdsAllOf(again, inside!)).toBe(false)

    await again.restart()
    await bridged(founder, again)
    await until(() => claims(inside!).ahead === 0 && holdsAllOf(again, inside!), 20_000)
    cut()
  })

  test('is heard also where it had begun anew more often than the backup knows', async () => {
    const { server, mesh, file } = await backedUp(3)
    const { founder } = mesh
    const { device } = server.server.keys
    const number = () =>
      founder.runtime.driver.engine.book.entries.get(device)?.announcement?.number
    // As a server that has written facts of its own, and was started again and again.
    let lost = server
    for (let i = 0; i < 3; i++) {
      const before = fileIn()
      await writeBackup({ dataDir: lost.dataDir }, before)
      lost = await (await restored(before)).start()
    }
    await founder.set('later', { x: '1' })
    const link = await bridged(founder, lost)
    const generations = () => Math.floor((number() ?? 0) / 2 ** 34)
    await until(() => holdsAllOf(lost, founder) && generations() >= 3, 20_000)
    const said = number()!
    link.cut()
    await lost.server.close()

    const again = await (await restored(file)).start()
    await bridged(founder, again)
    await until(() => number()! > said && holdsAllOf(again, founder), 20_000)
  })

  test('also as a copy of its directory: what it does not remember is said anew', async () => {
    const { server, mesh } = await backedUp(3)
    const { founder } = mesh
    const { device } = server.server.keys
    const claimed = () => founder.runtime.driver.engine.book.entries.get(device)?.announcement
    await bridged(founder, server)
    await until(() => claimed() !== undefined, 20_000)
    const { incarnation } = claimed()!
    await server.server.close()
    // What it said last is gone, as from a copy that was made before.
    const home = await openServerHome(server.place)
    const { store } = await home.openMesh(mesh.mesh, () => {})
    await store.batch([{ kind: 'meta', name: `clock/${device}`, value: undefined }])
    await store.close()
    await home.close()
    await server.start()
    await bridged(founder, server)
    await until(() => claimed()!.incarnation !== incarnation, 20_000)
  })

  test('keeps its keys under a passphrase, and nobody restores them without', async () => {
    const server = await TestServer.start()
    await server.server.close()
    const file = fileIn()
    const place = { dataDir: server.dataDir, passphrase: 'a passphrase' }
    expect(await writeBackup(place, file)).toMatchObject({ sealed: true })
    const dataDir = join(temporaryDirectory(), 'elsewhere')
    for (const passphrase of [undefined, 'another'])
      await expect(
        restoreBackup({ dataDir, passphrase }, file, { salvage: false }),
      ).rejects.toMatchObject({ code: 'KEYSTORE_UNREADABLE' })
    expect(await checkBackup(file, undefined)).toMatchObject({ keys: null, damages: [] })
    await restoreBackup({ ...place, dataDir }, file, { salvage: false })
    await expect(TestServer.start({ dataDir })).rejects.toMatchObject({
      code: 'KEYSTORE_UNREADABLE',
    })
  })
})

describe('a backup', () => {
  test('has of each feed all that goes before what it has, while more is written', async () => {
    const { server, mesh } = await backedUp(3)
    const { founder } = mesh
    await bridged(founder, server)
    const writing = (async () => {
      for (let i = 0; i < 40; i++) await founder.set(`more${i}`, { x: text() }, i % 3 === 0)
    })()
    const files = [fileIn(), fileIn(), fileIn()]
    for (const file of files) await writeBackup({ dataDir: server.dataDir }, file)
    await writing
    for (const file of files)
      expect(await checkBackup(file, undefined)).toMatchObject({ damages: [], keys: true })
    await until(() => holdsAllOf(server, founder))
  })

  test('is for its owner alone, as is the socket', async () => {
    const { server, file } = await backedUp(1)
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    const socket = await stat(join(server.dataDir, 'control'))
    expect([socket.isSocket(), socket.mode & 0o777]).toEqual([true, 0o600])
    await server.server.close()
    await expect(stat(join(server.dataDir, 'control'))).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test('is made of a running server whose path is too long for a socket', async () => {
    const dataDir = join(temporaryDirectory(), 'long'.repeat(20), 'path'.repeat(20))
    const server = await TestServer.start({ dataDir })
    expect(await withControl({ dataDir }, (control) => control.meshes())).toEqual([])
    expect(await writeBackup({ dataDir }, fileIn())).toMatchObject({ meshes: 0 })
    await server.server.close()
  })

  test('of any part of which a bit is flipped is refused with nothing restored; what is whole can be salvaged', async () => {
    const { server, mesh, file } = await backedUp(4)
    const { commits } = server.server.usageOf(mesh.mesh)!.total
    await server.server.close()
    const bytes = await readFile(file)
    const parts: { at: number; kind: number }[] = []
    let at = 14
    for await (const part of readParts(file)) {
      if ('what' in part) throw new Error(part.what)
      parts.push({ at, kind: part.kind })
      at += 49 + part.payload.length
    }
    expect(at).toBe(bytes.length)
    expect(new Set(parts.map(({ kind }) => kind))).toEqual(new Set(Object.values(partKinds)))
    const damaged = fileIn()
    for (const { at: start, kind } of parts) {
      // In the payload; and in the frame around it.
      for (const offset of [49, 3, 14]) {
        const copy = Buffer.from(bytes)
        copy[start + offset]! ^= 1
        await writeFile(damaged, copy)
        const dataDir = join(temporaryDirectory(), 'elsewhere')
        const strict = restoreBackup({ dataDir }, damaged, { salvage: false })
        await expect(strict).rejects.toMatchObject({ code: 'BACKUP_DAMAGED' })
        await expect(stat(join(dataDir, 'keys'))).rejects.toMatchObject({ code: 'ENOENT' })
        expect((await checkBackup(damaged, undefined)).damages).not.toEqual([])
        if (kind === partKinds.keys) continue
        const report = await restoreBackup({ dataDir }, damaged, { salvage: true })
        expect(report.damages).not.toEqual([])
        const expected = kind === partKinds.mesh ? 0 : 1
        expect(report.meshes).toBe(expected)
        const isEnd = kind === partKinds.meshEnd || kind === partKinds.end
        expect(report.commits).toBeGreaterThanOrEqual(isEnd ? commits : 0)
        expect(report.commits).toBeLessThanOrEqual(commits)
      }
    }
  }, 120_000)

  test('that was cut anywhere is known as cut', async () => {
    const { server, file } = await backedUp(2)
    await server.server.close()
    const bytes = await readFile(file)
    const cut = fileIn()
    for (let length = 0; length < bytes.length; length += 97) {
      await writeFile(cut, bytes.subarray(0, length))
      const check = checkBackup(cut, undefined).then(
        ({ damages }) => damages.length,
        (error: { code: string }) => error.code,
      )
      expect([1, 2, 3, 'BACKUP_DAMAGED']).toContain(await check)
    }
  })

  test('of which a commit was exchanged for another one is refused, checksums or not', async () => {
    const { server, file } = await backedUp(2)
    const { file: other } = await backedUp(2, 2)
    await server.server.close()
    // Whole parts of another backup in the place of this one's.
    const theirs: Uint8Array[] = []
    for await (const part of readParts(other))
      if (!('what' in part) && part.kind === partKinds.commits) theirs.push(part.payload)
    const forged = await rewritten(file, (part, index) =>
      part.kind === partKinds.commits ? { ...part, payload: theirs[index % theirs.length]! } : part,
    )
    const check = await checkBackup(forged, undefined)
    expect(check.damages.join('\n')).toContain('do not follow')
    expect(check.commits).toBe(0)
  })
})

test('a restore that was interrupted leaves nothing that can be served, and is done again', async () => {
  const { server, file } = await backedUp(2)
  await server.server.close()
  const elsewhere = await restored(file)
  await writeFile(join(elsewhere.dataDir, 'restoring'), '')
  await expect(elsewhere.start()).rejects.toMatchObject({ code: 'NOT_FOUND' })
  await restoreBackup({ dataDir: elsewhere.dataDir }, file, { salvage: false })
  const again = await elsewhere.start()
  expect(again.server.meshes).toHaveLength(1)
  await expect(
    restoreBackup({ dataDir: elsewhere.dataDir }, file, { salvage: false }),
  ).rejects.toMatchObject({ code: 'NOT_EMPTY' })
})

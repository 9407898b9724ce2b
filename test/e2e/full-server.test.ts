import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { smallDisk } from '../store/tmpfs.ts'
import { CampServer } from '../support/camp-server.ts'
import { FarCamps, planted, serverUrl } from '../support/far-camps.ts'
import { canUseNamespaces } from '../support/namespaces.ts'
import { findInFiles } from '../support/process-memory.ts'
import { commitsOfServer, expectOnceEach } from '../support/stored-commits.ts'
import { until } from '../support/until.ts'

const metrics = '127.0.0.1:9420'
const listen = ['--listen', '0.0.0.0:8420', '--public-url', serverUrl, '--metrics', metrics]

describe.skipIf(!canUseNamespaces())('a server whose disk is full', () => {
  test('is waited for by both camps, which lose nothing, and goes on by itself when there is room', async () => {
    const disk = (await smallDisk('128m'))!
    onTestFinished(() => disk.unmount())
    const camps = await FarCamps.pitch({ kbit: 8_000 })
    const place = camps.serverPlace('server', { dataDir: join(disk.path, 'server') })
    const server = new CampServer(place)
    let id = ''
    const up = async () => {
      ;({ device: id } = await server.up(...listen))
    }
    await camps.settle({ up, invite: () => server.invite() })
    await camps.up()
    await camps.import({ patients: 400, bytesEach: 4_000 })
    for (const { uplink } of camps.bridges) uplink.plugIn()
    await until(
      'the transfer is in the middle',
      async () => (await server.metric('haven_stored_bytes', metrics)) > 3_000_000,
    )
    await disk.fill()
    await until(
      'the server says that its disk is full',
      async () => (await server.read('http://127.0.0.1:8420/readyz')).includes('failing'),
      { withinMs: 60_000 },
    )
    await until(
      'the bridges are told',
      async () => {
        const all = await Promise.all(camps.bridges.map((it) => it.device.running.bridgeStatus()))
        return all.some(({ servers }) => servers[0]?.problem?.code === 'DISK_FULL')
      },
      { withinMs: 60_000 },
    )
    expect(await camps.isWhole(id)).toBe(false)
    // Meanwhile the camps go on.
    await camps.write({ patients: 10 })
    await disk.makeRoom()
    await camps.untilWhole(id, 120_000)
    await camps.expectSame()
    await camps.expectReceipts(id)
    expect(await server.read('http://127.0.0.1:8420/readyz')).toContain('"ok"')
    expect(server.said.join('\n')).not.toContain(planted)
    await camps.down()
    await server.down()
    expect(await findInFiles([server.dataDir], [planted, 'remarks', 'patients'])).toEqual([])
    await expectOnceEach(camps.all, await commitsOfServer({ dataDir: server.dataDir }, camps.mesh))
  }, 600_000)
})

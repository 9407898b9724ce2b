import { describe, expect, test } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { CampServer } from '../support/camp-server.ts'
import { FarCamps, planted, serverUrl, turn } from '../support/far-camps.ts'
import type { FarDevice } from '../support/far-camps.ts'
import { canUseNamespaces } from '../support/namespaces.ts'
import { findInFiles, findInMemory } from '../support/process-memory.ts'
import { commitsOfServer, expectOnceEach } from '../support/stored-commits.ts'

const turnMs = 20_000
const metrics = '127.0.0.1:9420'

describe.skipIf(!canUseNamespaces())('two camps whose bridges have uplinks in turns', () => {
  test('converge over cuts in the middle of transfers; the server has each commit once, and can read nothing', async () => {
    const camps = await FarCamps.pitch({ kbit: 512 })
    const { north, south } = camps
    const server = new CampServer(camps.serverPlace('server'))
    let id = ''
    await camps.settle({
      async up() {
        const listen = ['--listen', '0.0.0.0:8420', '--public-url', serverUrl]
        ;({ device: id } = await server.up(...listen, '--metrics', metrics))
      },
      invite: () => server.invite(),
    })
    expect(await camps.canReachEachOther()).toBe(false)
    await camps.up()
    await camps.import({ patients: 120, bytesEach: 4_000 })
    await camps.write({ patients: 40 })

    // The cable is pulled out, or nothing comes through any more and nobody is told; each time in the middle of a transfer.
    const turns: [FarDevice[], 'pullOut' | 'mute'][] = [
      [[north.first], 'pullOut'],
      [[south.first], 'mute'],
      [[north.first, north.second], 'mute'],
      [[south.second], 'pullOut'],
      [[north.second], 'pullOut'],
      [[south.first, south.second], 'pullOut'],
    ]
    const isOver = () => camps.isWhole(id)
    let taken = 0
    while (taken < 2 * turns.length && !(await isOver())) {
      const [bridges, end] = turns[taken++ % turns.length]!
      await turn(bridges, { ms: turnMs, end, isOver })
    }
    expect(await camps.isWhole(id), JSON.stringify(await camps.summary())).toBe(true)
    await camps.expectSame()
    await camps.expectReceipts(id)

    const found = await findInMemory(north.clinic.pid, [planted])
    expect(found, 'the search finds what is there').toEqual([planted])
    expect(await findInMemory(server.pid, [planted])).toEqual([])
    expect(server.said.join('\n')).not.toContain(planted)
    const receivedBytes = await server.metric('haven_received_bytes_total', metrics)
    await camps.down()
    await server.down()
    expect(await findInFiles([server.dataDir], [planted, 'remarks', 'patients'])).toEqual([])

    const there = await commitsOfServer({ dataDir: server.dataDir }, camps.mesh)
    await expectOnceEach(camps.all, there)
    // What had been acknowledged before a cut was not sent again: a cut costs what was on its way, which is a commit of the largest size or less.
    const mayCost = 1.1 * there.bytes + taken * limits.frameBytes
    expect(receivedBytes).toBeLessThan(mayCost)
    const { sentBytes: downBytes, receivedBytes: upBytes } = camps.uplinkTraffic()
    console.log(
      `${there.places.length} commits of ${there.bytes} bytes in ${taken} turns: ${upBytes} bytes up, ${downBytes} down on the uplinks`,
    )
    expect(upBytes).toBeLessThan(mayCost)
    // Each camp lacked what the other has: together all of it.
    expect(downBytes).toBeLessThan(mayCost)
  }, 600_000)
})

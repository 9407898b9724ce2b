import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { ImportResult, Invitation, ServerStatus } from '../../src/device/api.ts'
import { Camp, untilAgreed } from '../support/camp.ts'
import type { CampDevice } from '../support/camp.ts'
import { CampServer } from '../support/camp-server.ts'
import { canUseNamespaces, createRow } from '../support/namespaces.ts'
import type { NamespaceNetwork } from '../support/namespaces.ts'
import { findInFiles, findInMemory } from '../support/process-memory.ts'
import { until } from '../support/until.ts'

/** In every planted name; no word of any language, so that nobody but us can have written it. */
const planted = 'Zxqvwy'
/** On the server's host, and reached from the two next to it. */
const serverIp = '10.99.0.1'

/** North clinic, north bridge, server, south bridge, south clinic: each reaches its neighbours only. */
const place = { northClinic: 1, northBridge: 2, server: 3, southBridge: 4, southClinic: 5 } as const

async function ip(network: NamespaceNetwork, host: number, ...args: string[]): Promise<void> {
  const child = network.host(host).exec(['ip', ...args], { stdio: 'inherit' })
  await new Promise((resolve) => {
    child.once('exit', resolve)
  })
  expect(child.exitCode).toBe(0)
}

async function twoCamps() {
  const network = createRow(5)
  await ip(network, place.server, 'addr', 'add', `${serverIp}/32`, 'dev', 'lo')
  await ip(network, place.northBridge, 'route', 'add', serverIp, 'via', '10.77.2.3')
  await ip(network, place.southBridge, 'route', 'add', serverIp, 'via', '10.77.3.3')
  const camp = await Camp.pitch({ network })
  const server = new CampServer(camp.device('server', place.server))
  const ready = await server.up(
    '--listen',
    '0.0.0.0:8420',
    '--public-url',
    `http://${serverIp}:8420`,
  )
  const named = (name: string, host: number) => camp.device(`${planted}-${name}`, host)
  const north = {
    bridge: named('north-bridge', place.northBridge),
    clinic: named('north-clinic', place.northClinic),
  }
  // Enrolled next to the admin, then carried to where they never meet it again.
  const south = {
    bridge: named('south-bridge', place.northClinic),
    clinic: named('south-clinic', place.northClinic),
  }
  await north.bridge.init()
  await north.bridge.up()
  await north.bridge.run<ServerStatus>('bridge', 'add', await server.invite())
  for (const [device, ...right] of [[north.clinic], [south.bridge, '--bridge'], [south.clinic]] as [
    CampDevice,
    ...string[],
  ][]) {
    const { code } = await north.bridge.run<Invitation>('invite', ...right)
    await device.join(code)
  }
  south.bridge.moveTo(place.southBridge)
  south.clinic.moveTo(place.southClinic)
  const all = [north.bridge, north.clinic, south.bridge, south.clinic]
  return { network, camp, server, ready, north, south, all }
}

describe.skipIf(!canUseNamespaces())('two camps that never see each other, and a server', () => {
  test('converge through one bridge in each; receipts reach who has no uplink; the server can read nothing', async () => {
    const { camp, server, ready, north, south, all } = await twoCamps()
    const patients = 200
    for (const clinic of [north.clinic, south.clinic]) {
      const file = join(camp.directory, `${clinic.name}.ndjson`)
      await writeFile(file, ndjson(clinic.name, patients))
      const imported = await clinic.run<ImportResult>('import', file)
      expect(imported).toMatchObject({ records: patients, rejected: [] })
    }
    await Promise.all([north.clinic.up(), south.bridge.up('--bridge', 'auto'), south.clinic.up()])
    await untilAgreed(all, {
      withinMs: 60_000,
      also: async () => {
        const { collections } = await south.clinic.status()
        return collections.patients?.records === 2 * patients
      },
    })

    // Live, from one end to the other.
    const id = `Patient/${planted}-live`
    await north.clinic.set('patients', id, `name=[{"family":"${planted}live"}]`)
    await until('it has come to the far end', async () => {
      const ids = await south.clinic.running.list('patients')
      return ids.some((record) => record.id === id)
    })

    // The clinics never met the server, nor anybody of the other camp.
    for (const clinic of [north.clinic, south.clinic]) {
      await until(
        `the receipt is at ${clinic.name}`,
        async () => (await clinic.running.recordStatus('patients', id)).onServer === true,
        { withinMs: 60_000, state: () => clinic.running.recordStatus('patients', id) },
      )
      const { holders } = await clinic.running.recordStatus('patients', id)
      const receipt = holders.find(({ device }) => device.role === 'server')
      expect(receipt).toMatchObject({ device: { id: ready.device }, holds: true })
      expect(Date.parse(receipt!.since!)).toBeGreaterThan(Date.now() - 10 * 60_000)
      const { peers } = await clinic.status()
      const met = peers.filter(({ connected }) => connected)
      expect(met.map(({ device }) => device.name)).toHaveLength(1)
      expect(peers.find(({ device }) => device.role === 'server')).toMatchObject({
        connected: false,
        ahead: 0,
        behind: 0,
      })
    }

    const sought = [planted, `Patient/${planted}`, 'birthPlaceOfRecord']
    // In whatever order they lie there.
    const found = await findInMemory(north.clinic.pid, sought)
    expect(new Set(found), 'the search finds what is there').toEqual(new Set(sought))
    expect(await findInMemory(server.pid, sought)).toEqual([])
    await server.down()
    expect(await findInFiles([server.dataDir], [...sought, 'patients', 'Camp'])).toEqual([])
    await Promise.all(all.map((device) => device.down()))
  })

  test('lose nothing when cables are pulled and the server is killed in the middle', async () => {
    const { network, camp, server, north, south, all } = await twoCamps()
    const patients = 3_000
    const file = join(camp.directory, 'many.ndjson')
    await writeFile(file, ndjson('many', patients))
    await Promise.all([north.clinic.up(), south.bridge.up('--bridge', 'auto'), south.clinic.up()])
    const importing = north.clinic.run<ImportResult>('import', file)
    const records = async (device: CampDevice): Promise<number> =>
      (await device.status()).collections.patients?.records ?? 0
    await until('it has begun to arrive', async () => (await records(south.bridge)) > 0, {
      withinMs: 60_000,
    })
    await server.kill()
    network.cut(place.southBridge)
    await server.up('--listen', '0.0.0.0:8420', '--public-url', `http://${serverIp}:8420`)
    network.heal(place.southBridge)
    expect(await importing).toMatchObject({ records: patients })
    await untilAgreed(all, {
      withinMs: 120_000,
      also: async () => (await records(south.clinic)) === patients,
    })
    // Each commit is there once: as many as each device counts, and no fork of any feed.
    const counts = await Promise.all(all.map(async (device) => (await device.status()).clock))
    expect(new Set(counts.map(({ commits }) => commits)).size).toBe(1)
    for (const device of all) expect(await device.noticeCodes()).not.toContain('FEED_FORKED')
    await Promise.all(all.map((device) => device.down()))
    await server.down()
  })
})

function ndjson(clinic: string, count: number): string {
  const lines = Array.from({ length: count }, (_, index) =>
    JSON.stringify({
      resourceType: 'Patient',
      id: `${planted}-${clinic.replaceAll(/[^a-z]/g, '')}-${index}`,
      name: [{ family: `${planted}${index}`, given: [clinic] }],
      birthPlaceOfRecord: index,
    }),
  )
  return lines.map((line) => `${line}\n`).join('')
}

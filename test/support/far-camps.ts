/**
 * Two camps of three devices each, on networks of their own between which there is no way, and a server. Two devices of each camp may have an
 * uplink to the server, which is slow, and comes and goes as the test says.
 */
import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { expect } from 'vitest'
import type { RecordStatus } from '../../src/device/api.ts'
import { Camp, ending, untilAgreed } from './camp.ts'
import type { CampDevice } from './camp.ts'
import { createSegments } from './namespaces.ts'
import type { NamespaceNetwork } from './namespaces.ts'
import { pause, until } from './until.ts'

/** In every planted name; no word of any language, so that nobody but us can have written it. */
export const planted = 'Zxqvwy'
/** On the server's host. */
const serverIp = '10.99.0.1'
export const serverUrl = `http://${serverIp}:8420`
/** All members see it. */
const sharedPatient = `Patient/${planted}-shared`

const serverHost = 7
const schema = {
  collection: 'patients',
  version: 1,
  fields: { remarks: { strategy: 'text' } },
}
const network = {
  north: [1, 2, 3],
  south: [4, 5, 6],
  uplinks: [
    [1, serverHost],
    [2, serverHost],
    [4, serverHost],
    [5, serverHost],
  ],
} as const

export interface FarCamp {
  /** Its uplink. */
  readonly first: FarDevice
  readonly second: FarDevice
  /** Never has an uplink. */
  readonly clinic: CampDevice
}

export interface FarDevice {
  readonly device: CampDevice
  readonly uplink: Uplink
}

/** What the test needs of a server, of whatever kind. */
export interface FarServer {
  /** Starts it, reachable at {@link serverUrl} in its network. */
  up(): Promise<void>
  /** The code for one mesh. */
  invite(): Promise<string>
}

/** A slow cable from a device to the server; it is out at first. */
class Uplink {
  readonly #network: NamespaceNetwork
  readonly #host: number
  readonly #segment: number

  constructor(made: NamespaceNetwork, host: number, segment: number) {
    this.#network = made
    this.#host = host
    this.#segment = segment
  }

  plugIn(): void {
    this.#network.heal(this.#host, this.#segment)
  }

  pullOut(): void {
    this.#network.cut(this.#host, this.#segment)
  }

  /** As a satellite out of sight: the cable is in, and nothing comes through. */
  mute(): void {
    this.#network.mute(this.#host, this.#segment)
  }
}

export class FarCamps {
  readonly camp: Camp
  readonly network: NamespaceNetwork
  readonly north: FarCamp
  readonly south: FarCamp
  mesh = ''
  readonly #startMs = Date.now()

  private constructor(camp: Camp, made: NamespaceNetwork) {
    this.camp = camp
    this.network = made
    const [north, south] = [network.north, network.south].map((hosts, index) => {
      const name = `${planted}-${index === 0 ? 'north' : 'south'}`
      const bridge = (number: number): FarDevice => {
        const host = hosts[number]!
        const segment = 3 + network.uplinks.findIndex(([device]) => device === host)
        return {
          device: camp.device(`${name}-${number + 1}`, host),
          uplink: new Uplink(made, host, segment),
        }
      }
      return { first: bridge(0), second: bridge(1), clinic: camp.device(`${name}-3`, hosts[2]) }
    })
    this.north = north!
    this.south = south!
  }

  /** @param options.kbit - of each uplink, each way */
  static async pitch({ kbit }: { kbit: number }): Promise<FarCamps> {
    const made = createSegments([network.north, network.south, ...network.uplinks])
    const camps = new FarCamps(await Camp.pitch({ network: made }), made)
    await camps.#ip(serverHost, 'addr', 'add', `${serverIp}/32`, 'dev', 'lo')
    for (const [index, [host]] of network.uplinks.entries()) {
      const segment = 3 + index
      await camps.#ip(host, 'route', 'add', serverIp, 'via', `10.77.${segment}.${serverHost}`)
      for (const end of [host, serverHost]) made.shape(end, { kbit, latencyMs: 200 }, segment)
    }
    return camps
  }

  /** For a server, where the uplinks lead to. */
  serverPlace(name: string, options: { dataDir?: string } = {}): CampDevice {
    return this.camp.device(name, serverHost, options)
  }

  get all(): CampDevice[] {
    return [this.north, this.south].flatMap(({ first, second, clinic }) => [
      first.device,
      second.device,
      clinic,
    ])
  }

  get bridges(): FarDevice[] {
    return [this.north, this.south].flatMap(({ first, second }) => [first, second])
  }

  /** Founds the mesh, lets the server in, and enrols everybody; afterwards no device is up, and no uplink in. */
  async settle(server: FarServer): Promise<void> {
    const { north, south } = this
    const founder = north.first.device
    await server.up()
    const { mesh } = await founder.run<{ mesh: { id: string } }>(
      'init',
      '--mesh',
      `${planted}Camp`,
      '--device',
      founder.name,
    )
    this.mesh = mesh.id
    await founder.up()
    await founder.running.applySchema(JSON.stringify(schema))
    await founder.running.set('patients', sharedPatient, [['remarks', '"begin\\n"']])
    await founder.running.addServer(await server.invite())
    for (const [device, bridge] of [
      [north.second.device, true],
      [north.clinic, false],
      [south.first.device, true],
      [south.second.device, true],
      [south.clinic, false],
    ] as const) {
      const host = network.south[[south.first.device, south.second.device].indexOf(device)] ?? 6
      const isSouthern = !device.name.includes('north')
      if (isSouthern) device.moveTo(network.north[2])
      const { code } = await founder.running.invite({ bridge })
      await device.join(code)
      if (isSouthern) device.moveTo(host)
    }
    await founder.down()
    for (const { uplink } of this.bridges) uplink.pullOut()
  }

  /** Each device, up, brings so many patients, `bytesEach` large however they are compressed, in a few large commits. */
  async import({ patients, bytesEach }: { patients: number; bytesEach: number }): Promise<void> {
    for (const { name, running } of this.all) {
      const chunks = Readable.from([Buffer.from(ndjson(name, patients, bytesEach))])
      const { records } = await running.import([{ name, format: 'ndjson', chunks }])
      if (records !== patients) throw new Error(`${name} imported ${records} records`)
    }
  }

  /** Each device, up, registers so many patients, a commit each; and each camp adds to a text that the other has, too. */
  async write({ patients }: { patients: number }): Promise<void> {
    await Promise.all(
      this.all.map(async ({ name, running }) => {
        for (let index = 0; index < patients; index++)
          await running.set('patients', patientOf(name, `visit-${index}`), [
            ['name', JSON.stringify([{ family: `${planted}family${index}` }])],
          ])
      }),
    )
    for (const [at, { clinic }] of [this.north, this.south].entries())
      await clinic.running.write('patients', sharedPatient, [
        // Into "begin", before and after its first letter.
        { op: 'text', field: 'remarks', at, insert: `${planted}${at}` },
      ])
  }

  async up(): Promise<void> {
    await Promise.all(this.all.map((device) => device.up('--bridge', 'auto')))
  }

  async down(): Promise<void> {
    await Promise.all(this.all.map((device) => device.down()))
  }

  /** Of the server's host, over all uplinks, with all headers. */
  uplinkTraffic(): ReturnType<NamespaceNetwork['traffic']> {
    return this.network.traffic(serverHost)
  }

  /** Whether the first device of the north has any way to one of the south. */
  async canReachEachOther(): Promise<boolean> {
    const child = this.network
      .host(network.north[0])
      .exec(['ip', 'route', 'get', `10.77.2.${network.south[0]}`], { stdio: 'ignore' })
    await ending(child)
    return child.exitCode === 0
  }

  /** Everybody has everything that anybody has, and so has the server, which everybody knows. */
  async untilWhole(server: string, withinMs: number): Promise<void> {
    await until('all have all, and know that the server has it', () => this.isWhole(server), {
      withinMs,
      state: () => this.summary(),
    })
  }

  async isWhole(server: string): Promise<boolean> {
    const all = await Promise.all(this.all.map((device) => device.status()))
    return all.every(({ clock, peers }) => {
      const receipt = peers.find(({ device }) => device.id === server)
      return clock.digest === all[0]!.clock.digest && receipt?.behind === 0 && receipt.ahead === 0
    })
  }

  /** What people see is the same everywhere, and made of what everybody wrote. */
  async expectSame(): Promise<void> {
    // What is stored is integrated a moment later.
    await untilAgreed(this.all, { withinMs: 60_000 })
    const texts = new Set<unknown>()
    for (const device of this.all) {
      const { fields } = await device.running.get('patients', sharedPatient)
      texts.add(fields.get('remarks'))
    }
    expect([...texts]).toEqual([JSON.stringify(`${planted}0b${planted}1egin\n`)])
  }

  /** Devices that never had an uplink know of the records, whoever wrote them, that the server has them. */
  async expectReceipts(server: string): Promise<void> {
    for (const { clinic } of [this.north, this.south]) {
      const all = (await clinic.running.list('patients')).map((record) => record.id)
      // Each that is a commit of its own, and some of the many that share one.
      const ids = all.filter((id, index) => id.includes('visit') || index % 20 === 0)
      const lacking: string[] = []
      for (const id of ids) {
        const { onServer } = await clinic.running.recordStatus('patients', id)
        if (onServer !== true) lacking.push(id)
      }
      expect({ clinic: clinic.name, lacking }).toEqual({ clinic: clinic.name, lacking: [] })
      // As a person asks.
      const { status } = await clinic.run<{ status: RecordStatus }>(
        'get',
        'patients',
        sharedPatient,
        '--status',
      )
      const receipt = status.holders.find(({ device }) => device.id === server)
      expect(receipt).toMatchObject({ device: { role: 'server' }, holds: true })
      const sinceMs = Date.parse(receipt!.since!)
      expect(sinceMs).toBeGreaterThan(this.#startMs)
      expect(sinceMs).toBeLessThan(Date.now() + 1_000)
      const { peers } = await clinic.status()
      expect(peers.filter(({ connected }) => connected).length).toBeGreaterThan(0)
      expect(peers.find(({ device }) => device.id === server)?.connected).toBe(false)
    }
  }

  async summary(): Promise<unknown> {
    return Promise.all(
      this.all.map(async (device) => {
        const { clock, peers, notices } = await device.status()
        const server = peers.find((peer) => peer.device.role === 'server')
        return { name: device.name, clock, server, notices }
      }),
    )
  }

  async #ip(host: number, ...args: string[]): Promise<void> {
    const child = this.network.host(host).exec(['ip', ...args], { stdio: 'inherit' })
    await ending(child)
    if (child.exitCode !== 0) throw new Error(`ip ${args.join(' ')} failed`)
  }
}

/** Uplinks for so long, or until there is nothing more to do, and then none, in the middle of whatever goes over them. */
export async function turn(
  bridges: readonly FarDevice[],
  {
    ms,
    end,
    isOver,
  }: { ms: number; end: 'pullOut' | 'mute'; isOver: () => boolean | Promise<boolean> },
): Promise<void> {
  const endMs = performance.now() + ms
  for (const { uplink } of bridges) uplink.plugIn()
  while (performance.now() < endMs && !(await isOver())) await pause(1_000)
  for (const { uplink } of bridges) uplink[end]()
}

/** Contents that can't be compressed much, so that the link is what takes time. */
function ndjson(name: string, count: number, bytesEach: number): string {
  const lines = Array.from({ length: count }, (_, index) =>
    JSON.stringify({
      resourceType: 'Patient',
      id: patientOf(name, `${index}`).slice('Patient/'.length),
      name: [{ family: `${planted}family${index}`, given: [name] }],
      photo: randomBytes(bytesEach).toString('base64'),
    }),
  )
  return lines.map((line) => `${line}\n`).join('')
}

function patientOf(device: string, name: string): string {
  return `Patient/${planted}-${device.replaceAll(/[^a-z0-9]/g, '')}-${name}`
}

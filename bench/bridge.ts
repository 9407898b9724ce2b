/** What a bridge pays for having a server where others have a neighbour: real devices, a real server, and a proxy that counts. */
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { ByteCountingProxy } from './byte-counting-proxy.ts'
import type { FieldValue } from './device-process.ts'
import type { Measuring } from './measuring.ts'
import { nothingMoreMs, reconnectDelayMs } from './pair.ts'
import { collection } from './records-file.ts'
import type { RowName } from './rows.ts'
import { ServedDevices } from './served-devices.ts'

const catchUpNames: RowName[] = ['bridge-catch-up']
const reconnectNames: RowName[] = ['bridge-reconnect-bytes', 'bridge-reconnect-trips']
export const bridgeNames: RowName[] = [...catchUpNames, ...reconnectNames]

export async function measureBridge(measuring: Measuring): Promise<void> {
  const { directory, rounds, isWanted } = measuring
  await using proxy = await ByteCountingProxy.start()
  const names = (kind: string): string[] =>
    Array.from({ length: rounds }, (_, round) => `${kind}-${round}`)
  const [neighbours, bridges] = [names('neighbour'), names('bridge')]
  await using served = await ServedDevices.enrol(mkdtempSync(join(directory, 'bridge-')), {
    way: proxy,
    admin: 'author',
    others: isWanted(...catchUpNames) ? [...neighbours, ...bridges] : [bridges[0]!],
  })
  if (isWanted(...catchUpNames)) {
    const neighbour = (round: number): string => neighbours[round]!
    const bridge = (round: number): string => bridges[round]!
    await measureCatchUp(measuring, { served, proxy, neighbour, bridge })
  }
  if (isWanted(...reconnectNames))
    await measureReconnect(measuring, { served, proxy, bridge: bridges[0]! })
}

/** Two devices that lack the same; one gets it from the author over libp2p, the other from the server. */
async function measureCatchUp(
  { samples, scale, rounds }: Measuring,
  {
    served,
    proxy,
    neighbour,
    bridge,
  }: {
    served: ServedDevices
    proxy: ByteCountingProxy
    neighbour: (round: number) => string
    bridge: (round: number) => string
  },
): Promise<void> {
  const author = await served.open('author')
  await author.ask('set', valuesOf(scale.catchUp))
  await author.ask('upAsBridge')
  const digest = await author.ask('digest')
  await served.server.ask('untilDigest', { mesh: served.mesh, digest })
  await served.close('author')
  await using direct = await ByteCountingProxy.start()
  for (let round = 0; round < rounds; round++) {
    // Nobody has a way out.
    await proxy.cut()
    const near = await served.open('author')
    direct.leadTo(await near.ask('up', []))
    direct.reset()
    const behind = await served.open(neighbour(round))
    const held = behind.ask('untilDigest', digest)
    await behind.ask('up', [direct.address])
    samples.add('bridge-catch-up', 'reference', (await held) - direct.firstByteMs)
    await served.close(neighbour(round))
    await served.close('author')

    proxy.reset()
    await proxy.heal()
    const bridging = await served.open(bridge(round))
    const caughtUp = bridging.ask('untilDigest', digest)
    await bridging.ask('upAsBridge')
    samples.add('bridge-catch-up', 'ours', (await caughtUp) - proxy.firstByteMs)
    await served.close(bridge(round))
  }
}

/** The link is cut and comes back while nothing is new. */
async function measureReconnect(
  { samples, rounds }: Measuring,
  { served, proxy, bridge }: { served: ServedDevices; proxy: ByteCountingProxy; bridge: string },
): Promise<void> {
  const device = await served.open(bridge)
  await device.ask('upAsBridge')
  await device.ask('untilInSync')
  await proxy.quiet(nothingMoreMs)
  for (let round = 0; round < rounds; round++) {
    await proxy.cut()
    await device.ask('untilDisconnected')
    proxy.delayMs = reconnectDelayMs
    proxy.reset()
    await proxy.heal()
    await device.ask('untilInSync')
    await proxy.quiet(nothingMoreMs)
    const { traffic, crossings } = proxy
    proxy.delayMs = 0
    const bytes = Math.max(traffic.fromDialler, traffic.fromListener)
    samples.add('bridge-reconnect-bytes', 'ours', bytes)
    // The proxy answers TCP's handshake itself: a round trip more.
    samples.add('bridge-reconnect-trips', 'ours', 1 + crossings / 2)
  }
  await served.close(bridge)
}

/** Each is a commit of its own. */
function valuesOf(count: number): FieldValue[] {
  return Array.from({ length: count }, (_, index) => ({
    collection,
    id: `Encounter/${index}`,
    field: 'status',
    json: JSON.stringify(`seen ${index * 7919}`),
  }))
}

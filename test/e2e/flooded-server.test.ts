/** A real server process under a flood from several hosts, on loopback. */
import { randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import { startChannelLink } from '../../src/bridge/channel-link.ts'
import { dialServer } from '../../src/bridge/dial-server.ts'
import { decodeServerInvitation } from '../../src/bridge/server-invitation.ts'
import { limits } from '../../src/core/limits.ts'
import { systemRandom } from '../../src/device/system.ts'
import { sameClock, TestMesh } from '../device/support/test-device.ts'
import type { TestDevice } from '../device/support/test-device.ts'
import { bridged, register } from '../server/support.ts'
import type { TestServer } from '../server/support.ts'
import { Camp } from '../support/camp.ts'
import { CampServer } from '../support/camp-server.ts'
import { pause, until } from '../support/until.ts'

const kib = 1024
const mib = 1024 * kib
const floodMs = 25_000
const hosts = ['127.0.3.1', '127.0.3.2', '127.0.3.3', '127.0.3.4', '127.0.3.5', '127.0.3.6']

test('a flood, and devices that ask for everything and read nothing, take no memory without end, and other devices go on', async () => {
  const camp = await Camp.pitch()
  const server = new CampServer(camp.device('server'))
  const { address } = await server.up('--listen', '127.0.0.1:0')
  const { server: keys } = decodeServerInvitation(await server.invite())
  const invite = async () => decodeServerInvitation(await server.invite())
  const there = { server: { address, keys }, invite } as unknown as TestServer
  const port = Number(new URL(address).port)

  // A mesh with much in it, whose devices mean no good.
  const bad = await TestMesh.found(1)
  await register(bad.founder, there)
  for (let index = 0; index < 60; index++)
    await bad.founder.set(`r${index}`, {
      x: JSON.stringify(randomBytes(100_000).toString('base64')),
    })
  const up = await bridged(bad.founder, there)
  await until(
    'all of it is there',
    () => bad.founder.runtime.driver.engine.sessionWith(keys.device)?.ahead === 0,
  )
  up.cut()
  const greedy: TestDevice[] = []
  for (let index = 0; index < 12; index++) greedy.push(await bad.enrol('admin'))
  const good = await TestMesh.found(2)
  const [far] = await good.enrolAll(['admin'])
  await register(good.founder, there)
  await bridged(good.founder, there)
  await bridged(far!, there)
  await pause(2_000)
  const beforeBytes = await rssOf(server.pid)

  const flood = new Flood(port)
  for (const device of greedy) await askAndReadNothing(device, there)
  const endMs = performance.now() + floodMs
  let peakBytes = 0
  let peakFiles = 0
  const delays: number[] = []
  for (let index = 0; performance.now() < endMs; index++) {
    for (const host of hosts) flood.wave(host)
    const startMs = performance.now()
    await good.founder.set(`live-${index}`, { x: '1' })
    await until('it has come through', () => sameClock(good.founder, far!), { withinMs: 15_000 })
    delays.push(performance.now() - startMs)
    peakBytes = Math.max(peakBytes, await rssOf(server.pid))
    peakFiles = Math.max(peakFiles, (await readdir(`/proc/${server.pid}/fd`)).length)
    await pause(200)
  }
  flood.end()
  console.log(
    `${flood.made} connections; a record took at most ${Math.round(Math.max(...delays))} ms; memory: ${Math.round(beforeBytes / mib)} MiB before, ${Math.round(peakBytes / mib)} at most; at most ${peakFiles} files`,
  )
  // What waits for a device that does not read, and is read from the store for it; a message of each stranger; what a socket takes that is silent;
  // and what is garbage already.
  const mayTake =
    greedy.length * (limits.windowMaxBytes + limits.frameBytes) +
    limits.serverStrangers * 128 * kib +
    hosts.length * limits.serverStrangers * 16 * kib +
    32 * mib
  expect(peakBytes - beforeBytes).toBeLessThan(mayTake)
  // Descriptors are not used up either: those of the silent, of strangers, and what the server needs.
  expect(peakFiles).toBeLessThan((hosts.length + 1) * limits.serverStrangers + 200)
})

/** Everything that strangers can do. */
class Flood {
  readonly #port: number
  readonly #open = new Set<{ destroy(): void }>()
  made = 0

  constructor(port: number) {
    this.#port = port
    onTestFinished(() => this.end())
  }

  wave(host: string): void {
    const silent = Buffer.alloc(0)
    const half = Buffer.from('GET /v1/sync HTTP/1.1\r\nHost: haven\r\nX-Long: ')
    for (const said of [silent, half, randomBytes(100_000)])
      for (let index = 0; index < 20; index++) this.#connect(host, said)
    for (let index = 0; index < 10; index++) this.#socket(host, index % 2 === 0)
  }

  #connect(localAddress: string, said: Buffer): void {
    const socket = createConnection({ host: '127.0.0.1', port: this.#port, localAddress })
    this.#keep(socket)
    socket.on('error', () => socket.destroy())
    socket.write(said)
  }

  #socket(localAddress: string, isLoud: boolean): void {
    const socket = new WebSocket(`ws://127.0.0.1:${this.#port}/v1/sync`, { localAddress })
    this.#keep({ destroy: () => socket.terminate() })
    socket.on('error', () => socket.terminate())
    socket.on('open', () => {
      if (isLoud) for (let index = 0; index < 20; index++) socket.send(randomBytes(70_000))
    })
  }

  #keep(connection: { destroy(): void }): void {
    this.made += 1
    this.#open.add(connection)
  }

  end(): void {
    for (const connection of this.#open) connection.destroy()
    this.#open.clear()
  }
}

/** As its bridge would, until the server has begun to send. */
async function askAndReadNothing(device: TestDevice, { server }: TestServer): Promise<void> {
  const { socket, connection } = await dialServer({
    address: server.address,
    server: server.keys,
    keys: device.keys,
    mesh: device.mesh.mesh,
    purpose: 'sync',
    random: systemRandom,
  })
  onTestFinished(() => socket.terminate())
  let frames = 0
  startChannelLink({
    socket,
    connection,
    side: 'dialler',
    remoteAddress: server.address,
    firstFrameBytes: limits.frameBytes,
    accept(link) {
      const handler = device.runtime.driver.accept(link)
      return {
        ...handler,
        received(frame) {
          frames += 1
          handler.received(frame)
          if (frames === 3) socket.pause()
        },
      }
    },
  })
  await until('the server answers', () => frames >= 3)
}

async function rssOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) * 1024
}

/** What is seen and kept on the way between devices and a server is of no use. */
import { createConnection } from 'node:net'
import { deflateRawSync } from 'node:zlib'
import { describe, expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import { dialServer } from '../../src/bridge/dial-server.ts'
import { registerMesh } from '../../src/bridge/register-mesh.ts'
import { limits } from '../../src/core/limits.ts'
import { systemRandom } from '../../src/device/system.ts'
import { sameClock, TestMesh, until } from '../device/support/test-device.ts'
import type { TestDevice } from '../device/support/test-device.ts'
import { startRecordingProxy, webSocketMessages } from './recording-proxy.ts'
import type { Recording } from './recording-proxy.ts'
import { bridged, termsOf, TestServer } from './support.ts'

const planted = 'Zxqvwy'

/** A mesh whose devices have exchanged records through a proxy that recorded everything. */
async function recorded() {
  const server = await TestServer.start({ metrics: { host: '127.0.0.1', port: 0 } })
  const mesh = await TestMesh.found()
  const { founder } = mesh
  const [far] = await mesh.enrolAll(['admin'])
  const proxy = await startRecordingProxy(Number(new URL(server.server.address).port))
  const { address } = proxy
  const terms = await termsOf(founder, server)
  await registerMesh({ ...terms, invitation: { ...terms.invitation, address } })
  await founder.facts([{ kind: 'certificate', certificate: terms.certificate }])
  for (let i = 0; i < 20; i++)
    await founder.set(`Patient/${planted}-${i}`, { name: `"${planted} ${i}"` }, i % 2 === 0)
  const near = await bridged(founder, server, { address })
  await until(() => holdsAllOf(server, founder))
  near.cut()
  const there = await bridged(far!, server, { address })
  await until(() => sameClock(far!, founder))
  there.cut()
  // Once more, with the token of an earlier connection.
  const first = await dialServer({
    address,
    server: server.server.keys,
    keys: founder.keys,
    mesh: mesh.mesh,
    purpose: 'sync',
    random: systemRandom,
  })
  first.socket.terminate()
  const again = await bridged(founder, server, { address, ticket: first.ticket })
  await founder.set(`Patient/${planted}-last`, { name: `"${planted}"` })
  await until(() => holdsAllOf(server, founder))
  again.cut()
  await untilAlone(server, mesh.mesh)
  expect(proxy.recordings).toHaveLength(5)
  return { server, mesh, founder, far: far!, recordings: proxy.recordings }
}

function holdsAllOf(server: TestServer, device: TestDevice): boolean {
  const runtime = server.server.runtimeOf(device.mesh.mesh)
  return runtime?.replica.digest === device.runtime.replica.digest
}

async function untilAlone({ server }: TestServer, mesh: string): Promise<void> {
  const { engine } = server.runtimeOf(mesh)!.driver
  await until(() => [...engine.sessions()].length === 0, 2 * limits.helloMs)
}

/** As at `/metrics`, added up. */
async function numbers({ server }: TestServer): Promise<Record<string, number>> {
  const text = await (await fetch(server.metricsAddress!)).text()
  const sums: Record<string, number> = {}
  for (const line of text.split('\n').filter((each) => each.startsWith('haven_'))) {
    const [, name, value] = /^(\w+)(?:\{.*\})? (\S+)$/.exec(line)!
    sums[name!] = (sums[name!] ?? 0) + Number(value)
  }
  return sums
}

/** What must stay as it is, whatever strangers say. */
async function kept(server: TestServer, device: TestDevice) {
  const { haven_stored_commits, haven_stored_bytes, haven_received_bytes_total } =
    await numbers(server)
  const runtime = server.server.runtimeOf(device.mesh.mesh)!
  return {
    haven_stored_commits,
    haven_stored_bytes,
    haven_received_bytes_total,
    digest: runtime.replica.digest,
    sessions: [...runtime.driver.engine.sessions()].length,
  }
}

test('a proxy that ends TLS sees no record, no name, and not who it is that talks', async () => {
  const { mesh, founder, far, recordings, server } = await recorded()
  const ids = [founder.id, far.id, mesh.mesh, server.server.keys.device]
  const sought = [
    ...[planted, 'Camp', 'first', 'patients', 'Patient'].flatMap((text) => [
      Buffer.from(text),
      Buffer.from(text, 'utf16le'),
    ]),
    ...ids.flatMap((id) => [
      Buffer.from(id, 'hex'),
      Buffer.from(id),
      Buffer.from(Buffer.from(id, 'hex').toString('base64').slice(0, 20)),
    ]),
  ]
  for (const { toServer, toDevice } of recordings)
    for (const chunks of [toServer, toDevice]) {
      const { head, messages } = webSocketMessages(chunks)
      // It is what they said that is looked at: a proof or a token, or a challenge.
      expect(messages.length).toBeGreaterThan(0)
      expect(messages[0]![0]).toBeOneOf([1, 2])
      expect(head).toContain('HTTP/1.1')
      const seen = Buffer.concat([Buffer.from(head), ...messages])
      for (const text of sought) expect(seen.includes(text), String(text)).toBe(false)
      // Nor anything else that has a form.
      const sealed = Buffer.concat(messages)
      expect(deflateRawSync(sealed, { level: 9 }).length).toBeGreaterThanOrEqual(sealed.length)
    }
})

describe('what was recorded and is said again', () => {
  test('does nothing, in whatever order and by whomever', async () => {
    const { server, founder, far, recordings } = await recorded()
    const before = await kept(server, founder)
    const logged = server.log.length
    const said = recordings.map(({ toServer }) => Buffer.concat(toServer))
    const attempts: Buffer[] = []
    for (const [index, { toServer, toDevice }] of recordings.entries()) {
      const { head, messages } = webSocketMessages(toServer)
      const whole = said[index]!
      const [first, second, ...rest] = messages as [Buffer, ...Buffer[]]
      attempts.push(
        whole,
        Buffer.concat([whole, whole]),
        Buffer.concat([whole, ...said]),
        whole.subarray(0, Math.floor(whole.length / 2)),
        ...[
          messages.toReversed(),
          messages.slice(1),
          [first],
          [first, first],
          [first, ...rest],
          [first, ...rest, ...(second === undefined ? [] : [second])],
          [first, ...webSocketMessages(toDevice).messages],
          webSocketMessages(toDevice).messages,
          // The frames of one connection in another, which somebody else has begun.
          [
            first,
            ...webSocketMessages(recordings[(index + 1) % recordings.length]!.toServer).messages,
          ],
        ].map((each) => streamOf(head, each)),
      )
    }
    // The server does listen to who comes with these words.
    const [{ toServer: token }] = recordings.slice(-1) as [Recording]
    const { head, messages } = webSocketMessages(token)
    const heard = await say(server, streamOf(head, messages.slice(0, 1)), '127.0.1.1')
    expect(webSocketMessages([heard]).messages.map(([kind]) => kind)).toEqual([1, 1])
    const answers = await Promise.all(
      attempts.map((bytes, index) => say(server, bytes, `127.0.1.${1 + (index % 20)}`)),
    )
    // A challenge, and an answer that only the device can read: nothing of what is stored.
    for (const answer of answers) expect(answer.length).toBeLessThan(1_024)
    // Another device, of the same mesh, with keys of its own.
    for (const { toServer } of recordings) {
      const { socket } = await dialServer({
        address: server.server.address,
        server: server.server.keys,
        keys: far.keys,
        mesh: far.mesh.mesh,
        purpose: 'sync',
        random: systemRandom,
      })
      for (const message of webSocketMessages(toServer).messages) socket.send(message)
      await until(() => socket.readyState === WebSocket.CLOSED)
    }
    await untilAlone(server, founder.mesh.mesh)
    expect(await kept(server, founder)).toEqual(before)
    expect(server.log.length - logged).toBeLessThanOrEqual(attempts.length + recordings.length)
    // The devices are not held off for what others have said with their words.
    await founder.set('after', { x: '1' })
    await bridged(founder, server)
    await until(() => holdsAllOf(server, founder))
  })

  test('holds no device off, however often a token of it is shown', async () => {
    const { server, founder, recordings } = await recorded()
    const { toServer } = recordings.at(-1)!
    const times = limits.serverCallsOfDevice + 5
    for (let index = 0; index < 2 * times; index++)
      await say(server, Buffer.concat(toServer), `127.0.1.${1 + (index % 20)}`)
    await founder.set('after', { x: '1' })
    await bridged(founder, server)
    await until(() => holdsAllOf(server, founder))
  })
})

/** The head of a request as it was, and messages after it. */
function streamOf(head: string, messages: readonly Buffer[]): Buffer {
  const frames = messages.map((message) => {
    const length = Buffer.alloc(message.length < 126 ? 1 : 3)
    // Masked, by nothing.
    if (message.length < 126) length[0] = 0x80 | message.length
    else {
      length[0] = 0x80 | 126
      length.writeUInt16BE(message.length, 1)
    }
    return Buffer.concat([Buffer.of(0x82), length, Buffer.alloc(4), message])
  })
  return Buffer.concat([Buffer.from(head, 'latin1'), ...frames])
}

/** Says these bytes on a new connection of another host. @returns what was answered, until the server ended it or said nothing more */
async function say({ server }: TestServer, bytes: Buffer, from: string): Promise<Buffer> {
  const port = Number(new URL(server.address).port)
  const socket = createConnection({ host: '127.0.0.1', port, localAddress: from })
  onTestFinished(() => {
    socket.destroy()
  })
  const answer: Buffer[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  socket.on('data', (data: Buffer) => answer.push(data))
  socket.on('close', () => resolve())
  socket.on('error', () => socket.destroy())
  socket.setTimeout(500, () => socket.destroy())
  socket.write(bytes)
  await promise
  return Buffer.concat(answer)
}

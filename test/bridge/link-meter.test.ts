import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { connect, createServer as createTcpServer } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { LinkMeter } from '../../src/bridge/link-meter.ts'
import { until } from '../support/until.ts'
import { callOf, dialled, testServer } from './support.ts'

test.each(['http', 'https'])('counts what goes over the wire with %s', async (scheme) => {
  const tls = join(import.meta.dirname, '..', 'fixtures', 'tls')
  const server = await testServer({
    http:
      scheme === 'http'
        ? createServer()
        : createTlsServer({
            key: readFileSync(join(tls, 'expired.key')),
            cert: readFileSync(join(tls, 'expired.crt')),
          }),
    onFrame: (end, frame) => void end.link.send(frame),
  })
  const wire = await countingProxy(Number(new URL(server.address).port))
  const meter = new LinkMeter()
  const address = `${scheme}://127.0.0.1:${wire.port}`
  const device = await dialled(callOf({ ...server, address }, { meter }))
  await until('counted', () => meter.take().inBytes === 0)
  const before = { ...wire.bytes }
  const frames = [10, 200_000, 200_000].map((size) => randomBytes(size))
  for (const frame of frames) device.link.send(frame)
  await until('echoed', () => device.frames.length === frames.length)
  const { inBytes, outBytes } = meter.take()
  const carried = { up: wire.bytes.up - before.up, down: wire.bytes.down - before.down }
  expect(carried.up).toBeGreaterThan(400_000)
  // What TCP and IP add is estimated, never below their headers.
  for (const [counted, bytes] of [
    [outBytes, carried.up],
    [inBytes, carried.down],
  ] as const) {
    expect(counted).toBeGreaterThan(bytes * (1 + 40 / 1460))
    expect(counted).toBeLessThan(bytes * 1.1 + 1_000)
  }
  expect(meter.take()).toEqual({ inBytes: 0, outBytes: 0, connections: 0 })
})

test('counts a connection that ended before it was asked, once', async () => {
  const server = await testServer()
  const meter = new LinkMeter()
  const device = await dialled(callOf(server, { meter }))
  device.socket.terminate()
  await until('ended', () => device.reasons.length === 1)
  const first = meter.take()
  expect(first.connections).toBe(1)
  expect(first.inBytes).toBeGreaterThan(300)
  expect(first.outBytes).toBeGreaterThan(800)
  expect(meter.take()).toEqual({ inBytes: 0, outBytes: 0, connections: 0 })
})

async function countingProxy(to: number) {
  const bytes = { up: 0, down: 0 }
  const proxy = createTcpServer((device) => {
    const server = connect(to, '127.0.0.1')
    device.on('data', (data) => void (bytes.up += data.length))
    server.on('data', (data) => void (bytes.down += data.length))
    device.pipe(server).pipe(device)
    for (const socket of [device, server])
      socket.on('error', () => {}).on('close', () => [device, server].map((one) => one.destroy()))
  })
  await new Promise<void>((resolve) => {
    proxy.listen(0, '127.0.0.1', resolve)
  })
  onTestFinished(() => void proxy.close())
  return { bytes, port: (proxy.address() as { port: number }).port }
}

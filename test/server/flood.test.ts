import { describe, expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import { limits } from '../../src/core/limits.ts'
import { FloodGuard } from '../../src/server/flood-guard.ts'
import { TestMesh, until } from '../device/support/test-device.ts'
import { bridged, register, TestServer } from './support.ts'

test('each host and each device is counted by itself, anew in each window of time', () => {
  let nowMs = 0
  const guard = new FloodGuard(() => nowMs)
  const come = (times: number) => Array.from({ length: times }, () => guard.hostComes('a'))
  expect(come(limits.serverCallsOfHost + 2)).toEqual([
    ...Array.from({ length: limits.serverCallsOfHost }, () => true),
    false,
    false,
  ])
  expect(guard.hostComes('b')).toBe(true)
  for (let i = 0; i < limits.serverCallsOfDevice; i++) {
    expect(guard.mayCome('a')).toBe(true)
    guard.deviceCame('a')
  }
  expect(guard.mayCome('a')).toBe(false)
  expect(guard.mayCome('b')).toBe(true)
  nowMs = 9_999
  expect(guard.hostComes('a')).toBe(false)
  nowMs = 10_000
  expect(guard.hostComes('a')).toBe(true)
})

describe('a flood', () => {
  /** What became of one connection of another host. */
  async function call(address: string, said?: Uint8Array): Promise<'open' | number> {
    const socket = new WebSocket(`${address.replace('http', 'ws')}/v1/sync`, {
      localAddress: '127.0.0.2',
    })
    onTestFinished(() => socket.terminate())
    const { promise, resolve } = Promise.withResolvers<'open' | number>()
    socket.on('error', () => resolve(0))
    socket.on('unexpected-response', (_request, { statusCode }) => resolve(statusCode ?? 0))
    socket.on('open', () => {
      if (said !== undefined) socket.send(said)
      resolve('open')
    })
    return promise
  }

  test.each([
    ['of connections that say nothing', undefined],
    ['of something that is no handshake', new Uint8Array(500).fill(1)],
  ])('%s is held off, and devices elsewhere don’t notice', async (_, said) => {
    const server = await TestServer.start()
    const mesh = await TestMesh.found()
    await register(mesh.founder, server)
    const { address } = server.server
    const calls = await Promise.all(
      Array.from({ length: 3 * limits.serverCallsOfHost }, () => call(address, said)),
    )
    // The flood may have lasted from one window of time into the next.
    const opened = calls.filter((became) => became === 'open').length
    expect(opened).toBeLessThanOrEqual(2 * limits.serverCallsOfHost)
    expect(opened).toBeLessThanOrEqual(limits.serverStrangers)
    expect(new Set(calls)).toEqual(new Set(['open', 429]))
    await mesh.founder.set('a', { x: '1' })
    await bridged(mesh.founder, server)
    await until(() => {
      const runtime = server.server.runtimeOf(mesh.mesh)!
      return runtime.replica.digest === mesh.founder.runtime.replica.digest
    })
  })

  test('of one device ends with a code for it', async () => {
    const server = await TestServer.start()
    const mesh = await TestMesh.found()
    await register(mesh.founder, server)
    const codes: string[] = []
    for (let i = 0; i < 2 * limits.serverCallsOfDevice + 5; i++) {
      try {
        const { cut } = await bridged(mesh.founder, server)
        const { device } = server.server.keys
        await until(() => mesh.founder.runtime.driver.engine.sessionWith(device) !== undefined)
        cut()
      } catch (error) {
        codes.push((error as { code: string }).code)
      }
    }
    expect(codes.length).toBeGreaterThan(0)
    expect(new Set(codes)).toEqual(new Set(['LIMIT_EXCEEDED']))
    expect(server.log.map(({ code }) => code)).toContain('LIMIT_EXCEEDED')
  })
})

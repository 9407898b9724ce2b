import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { pause, testHost, until } from './support.ts'
import type { TestHost } from './support.ts'

const hosts: TestHost[] = []

async function started(...args: Parameters<typeof testHost>): Promise<TestHost> {
  const host = testHost(...args)
  hosts.push(host)
  await host.start()
  return host
}

function addressOf(host: TestHost): string {
  const [address] = host.addresses()
  if (address === undefined) throw new Error('not listening')
  return address
}

afterEach(async () => {
  await Promise.all(hosts.splice(0).map((host) => host.stop()))
})

describe('two hosts', () => {
  test('get one link each, with the same binding, when both dial at once', async () => {
    const a = await started()
    const b = await started()
    await Promise.all([a.dial(addressOf(b)), b.dial(addressOf(a))])
    await until('both have a link', () => a.open().length === 1 && b.open().length === 1)
    await pause(1_000)
    expect([a.open().length, b.open().length]).toEqual([1, 1])
    const [inA, inB] = [a.open()[0]!.link, b.open()[0]!.link]
    expect(inA.binding).toEqual(inB.binding)
    expect(inA.binding).toHaveLength(32)
    expect([inA.side, inB.side].toSorted()).toEqual(['dialler', 'listener'])
    inA.send(new Uint8Array([1, 2, 3]))
    inB.send(new Uint8Array([4]))
    await until(
      'frames both ways',
      () => a.open()[0]!.frames.length + b.open()[0]!.frames.length === 2,
    )
  })

  test('keep to one link however often they dial', async () => {
    const a = await started()
    const b = await started()
    for (let i = 0; i < 5; i++) {
      await Promise.all([a.dial(addressOf(b)), a.dial(addressOf(b)), b.dial(addressOf(a))])
    }
    await pause(500)
    expect([a.open().length, b.open().length]).toEqual([1, 1])
  })

  test('connect again after one was killed and came back', async () => {
    const first = await started()
    const port = addressOf(first).split('/').at(-1)
    const b = await started({ peers: [addressOf(first)] })
    await until('first link', () => b.open().length === 1)
    await first.stop()
    await until('end noticed', () => b.open().length === 0)
    expect(b.links[0]?.reasons).toEqual(['PEER_CLOSED'])
    const again = await started({ listen: [`/ip4/127.0.0.1/tcp/${port}`] })
    await until('second link', () => b.open().length === 1 && again.open().length === 1, 6_000)
  })

  test('learn which addresses work', async () => {
    const a = await started({ onFrame: (seen) => seen.link.send(new Uint8Array([1])) })
    const b = await started({ remembered: [addressOf(a), 'not an address'] })
    await until('link', () => b.open().length === 1)
    await until('reported', () => b.worked.length === 1)
    expect(b.worked).toEqual([addressOf(a)])
    expect(b.worked[0]).not.toContain('p2p')
  })

  test('a refused peer is left alone', async () => {
    const a = await started()
    const b = await started({ peers: [addressOf(a)] })
    await until('link', () => b.open().length === 1)
    b.open()[0]!.link.close('NOT_A_MEMBER')
    await until('closed', () => b.links[0]!.reasons.length === 1)
    expect(b.links[0]!.reasons).toEqual(['NOT_A_MEMBER'])
    await pause(4_000)
    expect(b.links).toHaveLength(1)
    expect(b.worked).toEqual([])
    await b.dial(addressOf(a))
    await until('asked for by a person', () => b.open().length === 1)
  })

  test('what was queued before a close arrives', async () => {
    const a = await started()
    const b = await started()
    await a.dial(addressOf(b))
    await until('links', () => a.open().length === 1 && b.open().length === 1)
    const frame = randomBytes(limits.helloBytes)
    a.open()[0]!.link.send(frame)
    a.open()[0]!.link.close('STOPPED')
    await until(
      'closed',
      () => b.links[0]!.reasons.length === 1 && a.links[0]!.reasons.length === 1,
    )
    expect(b.links[0]!.frames.map((bytes) => Buffer.from(bytes))).toEqual([frame])
    expect(b.links[0]!.reasons).toEqual(['PEER_CLOSED'])
  })
})

describe('one host', () => {
  test('says what is wrong with an address', async () => {
    const a = await started()
    await expect(a.dial('somewhere')).rejects.toMatchObject({ code: 'ADDRESS_INVALID' })
    await expect(a.dial(addressOf(a))).rejects.toMatchObject({ code: 'ADDRESS_INVALID' })
    await expect(a.dial('/ip4/127.0.0.1/udp/1')).rejects.toMatchObject({ code: 'ADDRESS_INVALID' })
    await expect(a.dial('127.0.0.1:1')).rejects.toMatchObject({ code: 'PEER_CLOSED' })
    await expect(testHost({ peers: ['x'] }).start()).rejects.toMatchObject({
      code: 'ADDRESS_INVALID',
    })
  })

  test('says so when it can not listen', async () => {
    const a = await started()
    const b = testHost({ listen: [addressOf(a)] })
    await expect(b.start()).rejects.toMatchObject({
      code: 'LISTEN_FAILED',
      message: expect.stringContaining(addressOf(a)),
    })
    await b.stop()
  })

  test('listens on every interface by default and names no unspecified address', async () => {
    const a = await started({ listen: [] })
    expect(a.addresses()).toEqual([])
    const b = await started({ listen: ['/ip4/0.0.0.0/tcp/0'] })
    expect(b.addresses().length).toBeGreaterThan(0)
    expect(b.addresses().join(' ')).not.toMatch(/0\.0\.0\.0|p2p/)
  })

  test('leaves a stranger that speaks something else without harm', async () => {
    const a = await started()
    const server = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
    server.listen(0, '127.0.0.1')
    await until('listening', () => server.listening)
    const { port } = server.address() as AddressInfo
    await expect(a.dial(`127.0.0.1:${port}`)).rejects.toMatchObject({ code: 'PEER_CLOSED' })
    server.close()
  })

  test('can be stopped, at once and twice, and started again', async () => {
    const a = testHost()
    const starting = a.start()
    await a.stop()
    await starting
    await a.stop()
    await expect(a.dial('127.0.0.1:1')).rejects.toMatchObject({ code: 'STOPPED' })
    await a.start()
    expect(a.addresses()).toHaveLength(1)
    await a.stop()
    expect(a.addresses()).toEqual([])
  })
})

import type { ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { canUseNamespaces, createLan, createRow } from '../support/namespaces.ts'
import type { NamespaceNetwork } from '../support/namespaces.ts'
import { pause, until } from './support.ts'

const program = fileURLToPath(new URL('mesh-host-process.ts', import.meta.url))

interface Said {
  event: string
  id?: string
  address?: string
  side?: string
  works?: boolean
  atMs: number
}

/** A running mesh host, and what it has said. */
interface Running {
  said: Said[]
  child: ChildProcess
  open(): string[]
}

let network: NamespaceNetwork | undefined

afterEach(async () => {
  await network?.remove()
})

function run(number: number, ...typed: string[]): Running {
  const said: Said[] = []
  const child = network!
    .host(number)
    .exec([process.execPath, program, ...typed], { stdio: ['ignore', 'pipe', 'inherit'] })
  let rest = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    const lines = `${rest}${chunk.toString()}`.split('\n')
    rest = lines.pop() ?? ''
    said.push(...lines.map((line) => JSON.parse(line) as Said))
  })
  const open = (): string[] => {
    const closed = new Set(said.filter(({ event }) => event === 'closed').map(({ id }) => id))
    return said.flatMap(({ event, id }) => (event === 'frame' && !closed.has(id) ? [id!] : []))
  }
  return { said, child, open }
}

describe.skipIf(!canUseNamespaces())('on a network without any route', () => {
  test(
    'two hosts find each other by multicast, and again after a cut',
    { timeout: 60_000 },
    async () => {
      network = createLan(2)
      const [a, b] = [run(1), run(2)]
      await until('a link with a frame', () => a.open().length === 1 && b.open().length === 1)
      await until('multicast seen', () =>
        [a, b].every(({ said }) => said.some(({ works }) => works)),
      )
      network.cut(2)
      await pause(15_000)
      expect([a.open(), b.open()], 'the end was noticed').toEqual([[], []])
      network.heal(2)
      await until('a new link', () => a.open().length === 1 && b.open().length === 1, 10_000)
    },
  )

  test('hosts in a row are linked to their neighbours only', { timeout: 60_000 }, async () => {
    network = createRow(3)
    const [a, c] = [run(1), run(3)]
    const b = run(2)
    await until('neighbours', () => b.open().length === 2 && a.open().length === 1)
    await pause(2_000)
    expect([a, b, c].map((host) => host.open().length)).toEqual([1, 2, 1])
    const ends = [a, c].flatMap(({ said }) => said.flatMap(({ address }) => address ?? []))
    expect(
      ends.every((address) => /10\.77\.[12]\.2\b/.test(address)),
      String(ends),
    ).toBe(true)
  })

  test('a host that is asked to stop leaves nothing behind', { timeout: 60_000 }, async () => {
    network = createLan(1)
    const a = run(1)
    await until('started', () => a.said.some(({ event }) => event === 'started'))
    a.child.kill('SIGTERM')
    await until('ended by itself', () => a.child.exitCode !== null, 5_000)
    expect(a.child.exitCode).toBe(0)
  })
})

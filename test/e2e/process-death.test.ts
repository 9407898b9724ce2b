import type { ChildProcess } from 'node:child_process'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { Camp, eachLine, ending, enrol } from '../support/camp.ts'
import type { CampDevice } from '../support/camp.ts'
import { pause, until } from '../support/until.ts'

const program = fileURLToPath(new URL('writer-process.ts', import.meta.url))
/** Among three devices. */
const deaths = 51
const seed = Number(process.env.HAVEN_TEST_SEED ?? Date.now() % 2 ** 31)

interface Start {
  own: number[]
  shared: number
  notices: string[]
}
interface Quiet {
  notices: string[]
  digest: string
  contentHash: string
}
type Said =
  | { start: Start }
  | { written: number }
  | { shared: number }
  | { connected: true }
  | { quiet: Quiet }

/** A device whose process is killed again and again, and what it has ever acknowledged. */
class Mortal {
  readonly device: CampDevice
  readonly acknowledged = new Set<number>()
  readonly notices = new Set<string>()
  readonly lost: string[] = []
  quiet: Quiet | undefined
  connections = 0
  starts = 0
  /** Writes that were acknowledged since the last start. */
  written = 0
  #sharedAcknowledged = 0
  readonly #ports: readonly number[]
  #child: ChildProcess | undefined
  #heard: Promise<void> = Promise.resolve()

  /** @param ports - its own first */
  constructor(device: CampDevice, ports: readonly number[]) {
    this.device = device
    this.#ports = ports
  }

  start(): void {
    this.written = 0
    const args = [this.device.dataDir, this.device.name, ...this.#ports.map(String)]
    this.#child = this.device.start(program, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#heard = eachLine(this.#child.stdout!, (line) => this.#hear(JSON.parse(line) as Said))
  }

  async kill(): Promise<void> {
    const child = this.#child!
    const end = ending(child)
    if (child.exitCode !== null) throw new Error(`${this.device.name} ended by itself`)
    child.kill('SIGKILL')
    await end
    // What it said before it died counts.
    await this.#heard
  }

  stopWriting(): void {
    this.#child?.stdin?.write('stop\n')
  }

  #hear(said: Said): void {
    if ('written' in said) {
      this.written++
      this.acknowledged.add(said.written)
    } else if ('shared' in said) this.#sharedAcknowledged = said.shared
    else if ('connected' in said) this.connections++
    else if ('quiet' in said) this.quiet = said.quiet
    else this.#started(said.start)
  }

  #started({ own, shared, notices }: Start): void {
    this.starts++
    for (const notice of notices) this.notices.add(notice)
    const held = new Set(own)
    const lost = [...this.acknowledged].filter((number) => !held.has(number))
    if (lost.length > 0) this.lost.push(`start ${this.starts}: ${lost.join()}`)
    if (shared < this.#sharedAcknowledged) {
      this.lost.push(`start ${this.starts}: shared ${shared} of ${this.#sharedAcknowledged}`)
    }
  }
}

test('kill -9 at any moment loses nothing that was acknowledged, forks no feed, and sync goes on', async () => {
  console.log(`seed ${seed} (HAVEN_TEST_SEED repeats it)`)
  const camp = await Camp.pitch()
  const devices = ['a', 'b', 'c'].map((name) => camp.device(name))
  const [a, b, c] = devices as [CampDevice, CampDevice, CampDevice]
  await a.init()
  await a.upOnLoopback()
  await enrol(b, a)
  await enrol(c, a)
  await a.down()

  const ports = await freePorts(devices.length)
  const mortals = devices.map((device, index) => {
    const others = ports.filter((_, at) => at !== index)
    return new Mortal(device, [ports[index]!, ...others])
  })
  await Promise.all(
    mortals.map((mortal, index) => live(mortal, deaths / devices.length, randomFrom(seed + index))),
  )

  for (const mortal of mortals) mortal.stopWriting()
  const state = (): unknown => mortals.map(({ device, quiet }) => [device.name, quiet])
  const same = (part: 'digest' | 'contentHash'): boolean =>
    new Set(mortals.map(({ quiet }) => quiet?.[part])).size === 1 && mortals[0]!.quiet !== undefined
  await until('all hold the same', () => same('digest') && same('contentHash'), {
    withinMs: 45_000,
    state,
  })
  await Promise.all(mortals.map((mortal) => mortal.kill()))

  const message = `seed ${seed}`
  for (const { lost, notices, quiet, acknowledged, connections } of mortals) {
    expect(lost, message).toEqual([])
    for (const codes of [[...notices], quiet!.notices]) {
      expect(codes, message).not.toContain('NEW_INCARNATION')
      expect(codes, message).not.toContain('FEED_FORKED')
    }
    // It had a life in between.
    expect(acknowledged.size, message).toBeGreaterThan(deaths)
    expect(connections, message).toBeGreaterThan(0)
  }
  for (const { device } of mortals) {
    const ids = new Set(
      (await device.run<{ id: string }[]>('list', 'patients')).map(({ id }) => id),
    )
    const missing = mortals.flatMap(({ device: { name }, acknowledged }) =>
      [...acknowledged].map((n) => `Patient/${name}-${n}`).filter((id) => !ids.has(id)),
    )
    expect(missing, `${message}, on ${device.name}`).toEqual([])
  }
})

/** Starts it, kills it somewhere between its start and its thirtieth write, and again. It is alive at the end. */
async function live(mortal: Mortal, times: number, random: () => number): Promise<void> {
  mortal.start()
  for (let time = 0; time < times; time++) {
    if (random() < 0.75) {
      const writes = 1 + Math.floor(random() ** 2 * 30)
      await until(`${writes} writes`, () => mortal.written >= writes)
    }
    await pause(random() * 300)
    await mortal.kill()
    mortal.start()
  }
  await until('alive', () => mortal.written > 0)
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  const ports = servers.map(async (server) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    server.listen(0, '127.0.0.1', resolve)
    await promise
    return (server.address() as { port: number }).port
  })
  const free = await Promise.all(ports)
  for (const server of servers) server.close()
  return free
}

/** When and whom to kill: numbers from 0 to 1, the same for the same seed. */
function randomFrom(start: number): () => number {
  let state = start
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

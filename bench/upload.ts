/** How fast one server process takes what bridges bring, and what bridges cost it that bring nothing. */
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BridgesCommands } from './bridges-process.ts'
import { ByteCountingProxy } from './byte-counting-proxy.ts'
import { Child } from './child.ts'
import type { PostgresServer } from '../test/support/postgres.ts'
import type { Measuring } from './measuring.ts'
import type { RowName } from './rows.ts'
import type { Bulk } from './scale.ts'
import type { ServerCommands } from './server-process.ts'

export const uploadNames: RowName[] = ['server-level-upload', 'server-level-commits']
export const postgresNames: RowName[] = ['server-postgres-upload']
export const idleNames: RowName[] = ['server-idle-memory', 'server-idle-memory-meshes']

/** As many as a server lets come from one address at a time. */
const bridgesPerHost = 90

export async function measureUploads(measuring: Measuring): Promise<void> {
  const { samples, scale, rounds, isWanted } = measuring
  for (let round = 0; round < rounds; round++) {
    if (isWanted('server-level-upload')) {
      const { ms, bytes } = await upload(measuring, scale.largeCommits)
      samples.add('server-level-upload', 'ours', bytes / 1e6 / (ms / 1000))
    }
    if (isWanted('server-level-commits')) {
      const { ms, commits } = await upload(measuring, scale.smallCommits)
      samples.add('server-level-commits', 'ours', commits / (ms / 1000))
    }
  }
}

/** @returns why nothing was measured, if so */
export async function measurePostgres(measuring: Measuring): Promise<string | undefined> {
  const { samples, scale, rounds } = measuring
  const { noPostgres, PostgresServer } = await import('../test/support/postgres.ts')
  if (noPostgres !== undefined) return noPostgres
  for (let round = 0; round < rounds; round++) {
    const postgres = await PostgresServer.start()
    try {
      const { ms, commits } = await upload(measuring, scale.smallCommits, postgres)
      samples.add('server-postgres-upload', 'ours', commits / (ms / 1000))
    } finally {
      await postgres.stop()
    }
  }
  return undefined
}

/**
 * A bridge of each of several meshes brings what others have written. At the moment when the server has acknowledged the last of it, it is killed.
 *
 * @param postgres - where the server keeps it, if not in a directory; ends at that moment too, as if its machine had gone
 * @throws Error when it has not kept everything
 */
async function upload(
  { directory }: Measuring,
  { meshes, authors, commits, bytes }: Bulk,
  postgres?: PostgresServer,
): Promise<{ ms: number; commits: number; bytes: number }> {
  const place =
    postgres === undefined
      ? { dataDir: join(mkdtempSync(join(directory, 'upload-')), 'server') }
      : { postgres: await postgres.freshDatabase() }
  await using bridges = new Child<BridgesCommands>('bridges-process.ts')
  const ids: string[] = []
  let expected = 0
  let ms: number
  {
    await using server = new Child<ServerCommands>('server-process.ts')
    const address = await server.ask('start', { place })
    for (let mesh = 0; mesh < meshes; mesh++) {
      const code = await server.ask('invite')
      ids.push(await bridges.ask('found', { members: authors, code }))
    }
    expected = await bridges.ask('load', { commits, bytes })
    const beganMs = await bridges.ask('connect', [address])
    ms = (await bridges.ask('untilComplete')) - beganMs
    await server.kill()
  }
  await postgres?.crash()
  await postgres?.launch()
  await using again = new Child<ServerCommands>('server-process.ts')
  await again.ask('start', { place })
  let kept = 0
  for (const id of ids) kept += await again.ask('storedCommits', id)
  if (kept !== expected) throw new Error(`Killed, the server kept ${kept} of ${expected} commits.`)
  await again.ask('close')
  const count = meshes * authors * commits
  return { ms, commits: count, bytes: count * bytes }
}

export async function measureIdle(measuring: Measuring): Promise<void> {
  const { samples, scale, isWanted } = measuring
  const { bridges, meshes } = scale.idle
  if (isWanted('server-idle-memory')) {
    const bytes = await idleMemory(measuring, [bridges])
    samples.add('server-idle-memory', 'ours', bytes / 1e6)
  }
  if (isWanted('server-idle-memory-meshes')) {
    const each = Array.from({ length: meshes }, () => Math.ceil(bridges / meshes))
    samples.add('server-idle-memory-meshes', 'ours', (await idleMemory(measuring, each)) / 1e6)
  }
}

/** @param counts - of the bridges of each mesh, which are all of its members. @returns bytes that are resident in the server */
async function idleMemory(
  { directory, scale }: Measuring,
  counts: readonly number[],
): Promise<number> {
  await using server = new Child<ServerCommands>('server-process.ts')
  await using bridges = new Child<BridgesCommands>('bridges-process.ts')
  const dataDir = join(mkdtempSync(join(directory, 'idle-')), 'server')
  const address = await server.ask('start', { place: { dataDir } })
  for (const members of counts)
    await bridges.ask('found', { members, code: await server.ask('invite') })
  const count = await bridges.ask('join', address)
  const hosts = await Promise.all(
    Array.from({ length: Math.ceil(count / bridgesPerHost) }, (_, host) =>
      ByteCountingProxy.start(`127.0.0.${host + 2}`),
    ),
  )
  try {
    for (const host of hosts) host.leadTo(address)
    await bridges.ask(
      'connect',
      hosts.map(({ port }) => `http://127.0.0.1:${port}`),
    )
    await bridges.ask('untilComplete')
    await sleep(scale.idle.ms)
    const sessions = await server.ask('sessions')
    if (sessions !== count) throw new Error(`Of ${count} bridges, ${sessions} are connected.`)
    return await server.ask('memory')
  } finally {
    for (const host of hosts) await host[Symbol.asyncDispose]()
  }
}

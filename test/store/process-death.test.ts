import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { openLevelStore } from '../../src/store/level-store.ts'
import { feedA } from '../contract/commit-store-contract.ts'
import { scratchDirectory } from './scratch.ts'

const storeKey = new Uint8Array(32).fill(9)
const script = fileURLToPath(new URL('writer-process.ts', import.meta.url))

interface Writer {
  readonly child: ChildProcess
  readonly lines: string[]
  until(count: number): Promise<void>
  kill(): Promise<void>
}

function startWriter(location: string, mode: 'write' | 'hold'): Writer {
  const child = spawn(process.execPath, [script, location, mode], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  let text = ''
  const lines: string[] = []
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString()
    lines.splice(0, lines.length, ...text.split('\n').slice(0, -1))
  })
  return {
    child,
    lines,
    until: async (count) => {
      while (lines.length < count) await once(child.stdout, 'data')
    },
    kill: async () => {
      const closed = once(child, 'close')
      child.kill('SIGKILL')
      await closed
    },
  }
}

test('what was acknowledged is there after kill -9, whole batches only, ten times over', async () => {
  const location = await scratchDirectory()
  let acknowledged = 0
  for (let round = 0; round < 10; round++) {
    const writer = startWriter(location, 'write')
    await writer.until(2 + round * 7)
    await writer.kill()
    acknowledged = Math.max(acknowledged, Number(writer.lines.at(-1)))

    const store = await openLevelStore({ location, storeKey })
    const { seq } = await store.tipOf(feedA)
    const count = await store.record('c', 'count')
    const holes = await store.verifyTails()
    await store.close()
    expect(seq).toBeGreaterThanOrEqual(acknowledged)
    expect(seq % 5).toBe(0)
    expect(count).toEqual(Uint8Array.of(Math.floor(seq / 256), seq % 256))
    expect(holes).toEqual([])
    expect(store.opening.salvage).toBeUndefined()
  }
})

test('a store that keeps dying is made anew, without losing anything', async () => {
  const location = await scratchDirectory()
  let acknowledged = 0
  for (let round = 0; round < 5; round++) {
    const writer = startWriter(location, 'write')
    await writer.until(10)
    await writer.kill()
    acknowledged = Math.max(acknowledged, Number(writer.lines.at(-1)))
  }
  const store = await openLevelStore({ location, storeKey })
  onTestFinished(() => store.close())
  expect(store.opening.salvage?.reason).toMatch(/runs within a minute/)
  expect(store.opening.salvage?.isWhole).toBe(true)
  expect((await store.tipOf(feedA)).seq).toBeGreaterThanOrEqual(acknowledged)
})

test('one that is made anew has what is in use, and nothing that an old file still says', async () => {
  const locations = [await scratchDirectory(), await scratchDirectory()] as const
  for (const [index, location] of locations.entries()) {
    const store = await openLevelStore({ location, storeKey })
    const rows = index === 0 ? ['a', 'b', 'c'] : ['old']
    for (const name of rows)
      await store.batch([{ kind: 'secret', name, value: Uint8Array.of(index) }])
    await store.close()
    // Opened again, what was in the log comes to lie in a table.
    await (await openLevelStore({ location, storeKey })).close()
  }
  const [database, other] = locations.map((location) => join(location, 'db')) as [string, string]
  const tables = (await readdir(other)).filter((name) => name.endsWith('.ldb'))
  expect(tables).not.toEqual([])
  for (const name of tables) await copyFile(join(other, name), join(database, `9${name}`))
  const now = Date.now()
  await writeFile(join(locations[0], 'runs'), JSON.stringify([now, now, now, now]))

  const replaced = await openLevelStore({ location: locations[0], storeKey })
  onTestFinished(() => replaced.close())
  expect(replaced.opening.salvage?.isWhole).toBe(true)
  expect(await replaced.secret('old')).toBeUndefined()
  expect((await replaced.secrets('')).map(({ name }) => name)).toEqual(['a', 'b', 'c'])
})

test('a second process waits, and is told that the store is busy', async () => {
  const location = await scratchDirectory()
  const holder = startWriter(location, 'hold')
  await holder.until(1)
  const busy = { code: 'STORE_BUSY' }
  const startedMs = performance.now()
  await expect(openLevelStore({ location, storeKey, lockWaitMs: 0 })).rejects.toMatchObject(busy)
  await expect(openLevelStore({ location, storeKey, lockWaitMs: 300 })).rejects.toMatchObject(busy)
  expect(performance.now() - startedMs).toBeGreaterThan(250)

  const opening = openLevelStore({ location, storeKey })
  await holder.kill()
  const store = await opening
  await expect(openLevelStore({ location, storeKey, lockWaitMs: 0 })).rejects.toMatchObject(busy)
  await store.close()
})

/** Full disks and disks that can't be written. Skipped where a small disk can't be mounted. */
import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { openLevelStore } from '../../src/store/level-store.ts'
import { openMark } from '../../src/store/mark.ts'
import type { SmallDisk } from './tmpfs.ts'
import { chainOf, feedA, putCommit } from '../contract/commit-store-contract.ts'
import { smallDisk } from './tmpfs.ts'

const storeKey = new Uint8Array(32).fill(9)
const probe = await smallDisk('1m')
await probe?.unmount()

async function disk(size: string): Promise<SmallDisk> {
  const mounted = await smallDisk(size)
  if (mounted === undefined) throw new Error('a disk could be mounted a moment ago')
  onTestFinished(() => mounted.unmount())
  return mounted
}

/** Takes all that is left. */
async function fill(path: string): Promise<void> {
  for (const bytes of [1024 * 1024, 64 * 1024, 4096]) {
    for (let index = 0; ; index++) {
      try {
        await writeFile(join(path, `filler-${bytes}-${index}`), new Uint8Array(bytes))
      } catch {
        break
      }
    }
  }
}

async function removeFillers(path: string): Promise<void> {
  const names = await readdir(path)
  await Promise.all(names.filter((n) => n.startsWith('filler')).map((n) => rm(join(path, n))))
}

describe.skipIf(probe === undefined)('on a small disk', () => {
  test('a full disk ends writing, not reading, and costs nothing that was saved', async () => {
    const { path } = await disk('24m')
    const location = join(path, 'data')
    const store = await openLevelStore({ location, storeKey })
    const chain = chainOf(20_000, { ciphertextBytes: 1_000 })
    const write = (from: number): Promise<void> =>
      store.batch(chain.slice(from, from + 10).map(putCommit))
    for (let from = 0; from < 1_000; from += 10) await write(from)
    await fill(path)

    let acknowledged = 1_000
    const failures: unknown[] = []
    for (let from = acknowledged; failures.length === 0 && from < chain.length; from += 10) {
      // The second one waits behind the first, and may not overtake it.
      const results = await Promise.allSettled([write(from), write(from + 10)])
      for (const result of results) {
        if (result.status === 'fulfilled') acknowledged = from + 10
        else failures.push(result.reason)
      }
    }
    expect(failures.at(-1)).toMatchObject({ code: 'DISK_FULL' })
    expect(store.failure).toBe(failures.at(-1))
    await removeFillers(path)
    await expect(write(acknowledged)).rejects.toBe(store.failure)
    expect((await store.tipOf(feedA)).seq).toBeGreaterThanOrEqual(acknowledged)
    await fill(path)
    await store.close()

    // Still full: it opens, shows what it has, and says that nothing can be written.
    const full = await openLevelStore({ location, storeKey })
    expect((await full.tipOf(feedA)).seq).toBeGreaterThanOrEqual(acknowledged)
    expect(full.opening).toMatchObject({ firstRun: false, salvage: undefined })
    await fill(path)
    const isFull = full.failure !== undefined
    await full.close()
    expect(isFull).toBe(full.opening.reserveReleased)

    await removeFillers(path)
    const roomy = await openLevelStore({ location, storeKey })
    expect(roomy.failure).toBeUndefined()
    const { seq } = await roomy.tipOf(feedA)
    expect(seq).toBeGreaterThanOrEqual(acknowledged)
    await roomy.batch(chain.slice(seq, seq + 10).map(putCommit))
    expect(await readdir(location)).toContain('reserve')
    await roomy.close()
  })

  test('a disk that is too full to open the store gives up its reserve', async () => {
    const { path } = await disk('16m')
    const location = join(path, 'data')
    const store = await openLevelStore({ location, storeKey })
    for (const commit of chainOf(150, { ciphertextBytes: 1_000 })) {
      await store.batch([putCommit(commit)])
    }
    await store.close()
    await fill(path)
    for (let start = 0; start < 3; start++) {
      const full = await openLevelStore({ location, storeKey })
      expect(full.failure).toMatchObject({ code: 'DISK_FULL' })
      expect((await full.tipOf(feedA)).seq).toBe(150)
      await expect(full.batch([])).rejects.toMatchObject({ code: 'DISK_FULL' })
      await full.close()
    }
  })

  test('a first start on a full disk says so', async () => {
    const { path } = await disk('8m')
    await fill(path)
    await expect(openLevelStore({ location: join(path, 'data'), storeKey })).rejects.toMatchObject({
      code: 'DISK_FULL',
    })
  })

  test('a disk that cannot be written is told from one that is full', async () => {
    const mounted = await disk('16m')
    const location = join(mounted.path, 'data')
    await (await openLevelStore({ location, storeKey })).close()
    await mounted.remount('ro')
    const notWritable = { code: 'STORE_NOT_WRITABLE' }
    await expect(openLevelStore({ location, storeKey })).rejects.toMatchObject(notWritable)
    await expect(
      openLevelStore({ location: join(mounted.path, 'other'), storeKey }),
    ).rejects.toMatchObject(notWritable)
  })

  test('a mark on a disk that can only be read makes every start a new incarnation', async () => {
    const mounted = await disk('1m')
    const options = { stateDirectory: mounted.path, deviceId: 'd', dataDirectory: mounted.path }
    const content = { incarnation: 'aa'.repeat(16), feeds: [] }
    const mark = await openMark(options)
    await mark.write(content)
    await mark.close()
    await mounted.remount('ro')
    const readOnly = await openMark(options)
    expect(readOnly).toMatchObject({ state: 'ok', writable: false, content })
    await expect(readOnly.write(content)).rejects.toMatchObject({ code: 'STORE_FAILED' })
    await readOnly.close()
  })

  test('a mark is still kept on a full disk', async () => {
    const mounted = await disk('1m')
    const options = { stateDirectory: mounted.path, deviceId: 'd', dataDirectory: mounted.path }
    const mark = await openMark(options)
    await mark.write({ incarnation: 'aa'.repeat(16), feeds: [] })
    await fill(mounted.path)
    await mark.write({ incarnation: 'bb'.repeat(16), feeds: [] })
    await mark.close()
    const reopened = await openMark(options)
    expect(reopened).toMatchObject({ writable: true, content: { incarnation: 'bb'.repeat(16) } })
    await reopened.close()
  })
})

import { mkdir, readFile, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openMark } from '../../src/store/mark.ts'
import type { Mark, MarkContent } from '../../src/store/mark.ts'
import { scratchDirectory } from './scratch.ts'

const incarnation = 'aa'.repeat(16)

function contentOf(seq: number, feedCount = 1): MarkContent {
  const feeds = Array.from({ length: feedCount }, (_, index) => ({
    feed: index.toString(16).padStart(32, '0'),
    seq,
    id: new Uint8Array(32).fill(seq),
  }))
  return { incarnation, feeds }
}

async function places(): Promise<{ stateDirectory: string; dataDirectory: string }> {
  const root = await scratchDirectory()
  await mkdir(join(root, 'data'))
  return { stateDirectory: join(root, 'state', 'haven'), dataDirectory: join(root, 'data') }
}

async function openAt(
  at: { stateDirectory: string; dataDirectory: string },
  machineId = 'machine 1',
): Promise<Mark> {
  const mark = await openMark({ ...at, deviceId: 'd1'.repeat(32), machineId })
  onTestFinished(() => mark.close())
  return mark
}

async function writeOnce(mark: Mark, content: MarkContent): Promise<void> {
  await mark.write(content)
  await mark.close()
}

test('a mark that was never written is missing, also at the next start', async () => {
  const at = await places()
  const first = await openAt(at)
  await first.close()
  const second = await openAt(at)
  expect([first.state, second.state]).toEqual(['missing', 'missing'])
  expect(second.writable).toBe(true)
  await second.close()
})

test('what was written last is found at the next start', async () => {
  const at = await places()
  for (const seq of [1, 2, 3, 4, 5]) {
    const mark = await openAt(at)
    expect(mark.content).toEqual(seq === 1 ? undefined : contentOf(seq - 1))
    await mark.write(contentOf(100))
    await writeOnce(mark, contentOf(seq))
  }
})

test('grows with the number of feeds', async () => {
  const at = await places()
  const mark = await openAt(at)
  for (const count of [1, 80, 500, 3]) await mark.write(contentOf(count, count))
  await mark.write(contentOf(9, 3_000))
  await mark.close()
  expect((await openAt(at)).content).toEqual(contentOf(9, 3_000))
})

test('writes that wait are replaced by the newest of them', async () => {
  const at = await places()
  const mark = await openAt(at)
  const done = Array.from({ length: 200 }, (_, index) => mark.write(contentOf(index % 256)))
  await Promise.all(done)
  await mark.close()
  expect((await openAt(at)).content).toEqual(contentOf(199))
  await expect(mark.write(contentOf(7))).rejects.toMatchObject({ code: 'STOPPED' })
  expect((await openAt(at)).content).toEqual(contentOf(199))
})

test('a write torn at any byte leaves the older content or the newer one', async () => {
  const at = await places()
  const mark = await openAt(at)
  for (const seq of [1, 2]) await mark.write(contentOf(seq, 3))
  const before = await readFile(mark.path)
  await writeOnce(mark, contentOf(3, 3))
  const after = await readFile(mark.path)
  const found: (MarkContent | undefined)[] = []
  for (let cut = 0; cut <= 300; cut++) {
    const torn = before.slice()
    torn.set(after.subarray(0, cut), 0)
    await writeFile(mark.path, torn)
    const reopened = await openAt(at)
    await reopened.close()
    found.push(reopened.content)
  }
  const firstNewer = found.findIndex((content) => content?.feeds[0]?.seq === 3)
  expect(firstNewer).toBeGreaterThan(0)
  expect(found).toEqual(found.map((_, cut) => contentOf(cut < firstNewer ? 2 : 3, 3)))
})

test('a mark without one good slot is unreadable, and can be written again', async () => {
  const at = await places()
  const mark = await openAt(at)
  await mark.write(contentOf(1))
  await writeOnce(mark, contentOf(2))
  for (const damage of [Buffer.from('x'), Buffer.alloc(8192, 0xff)]) {
    await writeFile(mark.path, damage)
    const found = await openAt(at)
    expect(found.state).toBe('unreadable')
    await writeOnce(found, contentOf(5))
    expect((await openAt(at)).content).toEqual(contentOf(5))
  }
})

test('a mark of another machine is foreign', async () => {
  const at = await places()
  await writeOnce(await openAt(at), contentOf(1))
  const foreign = await openAt(at, 'machine 2')
  expect(foreign).toMatchObject({ state: 'foreign-machine', content: undefined })
  await writeOnce(foreign, contentOf(2))
  expect((await openAt(at, 'machine 2')).content).toEqual(contentOf(2))
})

test('a copied or moved data directory has no mark; one named by a symbolic link has', async () => {
  const at = await places()
  await writeOnce(await openAt(at), contentOf(1))
  const link = join(at.dataDirectory, '..', 'link')
  await symlink(at.dataDirectory, link)
  expect((await openAt({ ...at, dataDirectory: link })).content).toEqual(contentOf(1))
  const moved = join(at.dataDirectory, '..', 'moved')
  await rename(at.dataDirectory, moved)
  expect((await openAt({ ...at, dataDirectory: moved })).state).toBe('missing')
})

test('where the mark cannot be written it says so, and leaves nothing to trust', async () => {
  const at = await places()
  await writeFile(join(at.stateDirectory, '..', '..', 'file'), '')
  const stateDirectory = join(at.stateDirectory, '..', '..', 'file', 'haven')
  const mark = await openAt({ ...at, stateDirectory })
  expect(mark).toMatchObject({ state: 'missing', writable: false })
  await mark.write(contentOf(1))
})

test('a mark that can no longer be kept up is removed', async () => {
  const at = await places()
  await writeOnce(await openAt(at), contentOf(1))
  const mark = await openAt(at)
  // The file has to grow, and can't.
  await mkdir(`${mark.path}.tmp`)
  await mark.write(contentOf(2, 500))
  expect(mark.writable).toBe(false)
  await mark.write(contentOf(3))
  expect((await openAt(at)).state).toBe('missing')
})

test('a mark that can neither be kept up nor removed stops the offering', async () => {
  const at = await places()
  await writeOnce(await openAt(at), contentOf(1))
  const mark = await openAt(at)
  await rm(mark.path)
  await mkdir(join(mark.path, 'in the way'), { recursive: true })
  await mkdir(`${mark.path}.tmp`)
  await expect(mark.write(contentOf(2, 500))).rejects.toMatchObject({ code: 'STORE_FAILED' })
  await expect(mark.write(contentOf(3))).rejects.toMatchObject({ code: 'STORE_FAILED' })
})

test('is a file for this user alone, of a size that stays', async () => {
  const at = await places()
  const mark = await openAt(at)
  await mark.write(contentOf(1))
  const { mode, size } = await stat(mark.path)
  for (const seq of [2, 3, 4]) await mark.write(contentOf(seq))
  expect((await stat(mark.path)).size).toBe(size)
  expect(mode & 0o777).toBe(0o600)
  expect(await readdir(at.stateDirectory)).toHaveLength(1)
  await mark.close()
})

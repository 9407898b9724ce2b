import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  dataDirectory,
  defaultDirectories,
  prepareDataDirectory,
  readStoreFormat,
  storeFormat,
  writeStoreFormat,
} from '../../src/store/data-dir.ts'
import { scratchDirectory } from './scratch.ts'

test('follows the XDG variables that are absolute paths', () => {
  const home = '/users/nurse'
  const env = { XDG_DATA_HOME: '/srv/data', XDG_STATE_HOME: 'relative' }
  expect(defaultDirectories({ env, home })).toEqual({
    data: '/srv/data/haven',
    state: '/users/nurse/.local/state/haven',
  })
  expect(defaultDirectories({ env: {}, home }).data).toBe('/users/nurse/.local/share/haven')
})

test('creates the data directory for this user alone', async () => {
  const path = join(await scratchDirectory(), 'a', 'b')
  await prepareDataDirectory(path)
  await prepareDataDirectory(path)
  expect((await stat(path)).mode & 0o777).toBe(0o700)
})

test('a file in the place of the directory is not writable', async () => {
  const path = join(await scratchDirectory(), 'file')
  await writeFile(path, '')
  for (const place of [path, join(path, 'below')]) {
    await expect(prepareDataDirectory(place)).rejects.toMatchObject({ code: 'STORE_NOT_WRITABLE' })
  }
})

test('reads its own format, no newer one, and takes a damaged file for none', async () => {
  const directory = dataDirectory(await scratchDirectory())
  expect(await readStoreFormat(directory)).toBeUndefined()
  await writeStoreFormat(directory)
  expect(await readStoreFormat(directory)).toBe(storeFormat)
  for (const text of ['', '{', 'null', '{"format":"1"}', '[]']) {
    await writeFile(directory.versionFile, text)
    expect(await readStoreFormat(directory)).toBeUndefined()
  }
  await writeFile(directory.versionFile, JSON.stringify({ format: storeFormat + 1 }))
  await expect(readStoreFormat(directory)).rejects.toMatchObject({ code: 'STORE_NEWER_VERSION' })
})

import { chmod, mkdir, readFile, readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createKeystore, openKeystore } from '../../src/store/keystore.ts'
import { scratchDirectory } from './scratch.ts'

const cost = { memoryKib: 32 * 1024, passes: 1, parallelism: 1 }
const storeKey = new Uint8Array(32).fill(7)
const seed = Buffer.from('a seed that must not be seen on a disk')

test('there are no keys before the first start', async () => {
  expect(await openKeystore(join(await scratchDirectory(), 'keys'))).toBeUndefined()
})

test('keeps secrets in a file for this user alone', async () => {
  const path = join(await scratchDirectory(), 'keys')
  const created = await createKeystore(path, { store: storeKey })
  await created.update({ seed, gone: seed })
  await created.update({ gone: undefined })
  const opened = await openKeystore(path)
  expect(opened?.names()).toEqual(['seed', 'store'])
  expect(opened?.get('store')).toEqual(storeKey)
  expect(opened?.get('none')).toBeUndefined()
  expect(opened).toMatchObject({ hasPassphrase: false, readableByOthers: false })
  expect((await stat(path)).mode & 0o777).toBe(0o600)
  await chmod(path, 0o644)
  expect((await openKeystore(path))?.readableByOthers).toBe(true)
})

test('never replaces keys that are there', async () => {
  const path = join(await scratchDirectory(), 'keys')
  await createKeystore(path, { store: storeKey })
  await expect(createKeystore(path, { store: seed })).rejects.toMatchObject({
    code: 'KEYSTORE_UNREADABLE',
  })
  expect((await openKeystore(path))?.get('store')).toEqual(storeKey)
})

test('seals by a passphrase, which can be changed and removed', async () => {
  const path = join(await scratchDirectory(), 'keys')
  const created = await createKeystore(path, { seed }, { passphrase: 'née', cost })
  expect((await readFile(path)).includes(seed)).toBe(false)
  for (const passphrase of [undefined, '', 'nee']) {
    await expect(openKeystore(path, { passphrase, cost })).rejects.toMatchObject({
      code: 'KEYSTORE_UNREADABLE',
    })
  }
  // The same word, composed differently.
  const decomposed = await openKeystore(path, { passphrase: 'ne\u0301e', cost })
  expect(decomposed?.get('seed')).toEqual(new Uint8Array(seed))
  expect(decomposed?.hasPassphrase).toBe(true)

  await created.changePassphrase('other')
  await expect(openKeystore(path, { passphrase: 'née', cost })).rejects.toThrow('passphrase')
  const opened = await openKeystore(path, { passphrase: 'other', cost })
  await opened?.update({ more: storeKey })
  await opened?.changePassphrase(undefined)
  expect((await openKeystore(path))?.names()).toEqual(['more', 'seed'])
})

test('a passphrase that is not needed does no harm and adds nothing', async () => {
  const path = join(await scratchDirectory(), 'keys')
  await createKeystore(path, { seed })
  const opened = await openKeystore(path, { passphrase: 'not needed', cost })
  await opened?.update({ more: storeKey })
  expect((await openKeystore(path))?.names()).toEqual(['more', 'seed'])
})

test('every flipped bit and every shorter file is told from a good one', async () => {
  const path = join(await scratchDirectory(), 'keys')
  await createKeystore(path, { seed }, { passphrase: 'x', cost })
  const good = await readFile(path)
  for (let at = 0; at < good.length; at++) {
    const flipped = Buffer.from(good)
    flipped[at]! ^= 1 << (at % 8)
    for (const bytes of [flipped, good.subarray(0, at)]) {
      await writeFile(path, bytes)
      await expect(openKeystore(path, { passphrase: 'x', cost })).rejects.toThrow('damaged')
    }
  }
  await writeFile(path, good)
  expect((await openKeystore(path, { passphrase: 'x', cost }))?.names()).toEqual(['seed'])
})

test('a file that cannot be read says so', async () => {
  const path = join(await scratchDirectory(), 'keys')
  await mkdir(path)
  await expect(openKeystore(path)).rejects.toMatchObject({ code: 'KEYSTORE_UNREADABLE' })
})

test('destroying leaves neither file nor secret', async () => {
  const directory = await scratchDirectory()
  const keystore = await createKeystore(join(directory, 'keys'), { seed })
  await keystore.destroy()
  await keystore.destroy()
  expect(await readdir(directory)).toEqual([])
  expect(keystore.get('seed')).toBeUndefined()
})

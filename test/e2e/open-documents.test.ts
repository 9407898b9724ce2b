/** Documents of applications on a real device, with a disk that gets full. Skipped where a small disk can't be mounted. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import * as Y from 'yjs'

import { createDevice, HavenProvider } from '../../src/index.ts'
import type { DeviceEvent } from '../../src/index.ts'
import { smallDisk } from '../store/tmpfs.ts'
import { until } from '../support/until.ts'

const probe = await smallDisk('1m')
await probe?.unmount()

async function scratch(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'haven-documents-'))
  onTestFinished(() => rm(path, { recursive: true }))
  return path
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

function textOf(doc: Y.Doc): string {
  return doc.getText('note').toJSON()
}

test('a document follows a record of a device, from one run to the next', async () => {
  const dataDir = await scratch()
  const stateDir = await scratch()
  const doc = new Y.Doc()
  {
    await using device = await createDevice({ dataDir, stateDir })
    await device.found({ meshName: 'Camp' })
    const provider = new HavenProvider(device, 'records/note', doc)
    await provider.whenSynced
    doc.getText('note').insert(0, 'typed last')
    expect(provider.unsavedChanges).toBe(1)
  }
  await using device = await createDevice({ dataDir, stateDir })
  const again = await device.doc('records', 'note')
  expect(textOf(again)).toBe('typed last')
  // The one of the run before begins again where it was.
  const provider = new HavenProvider(device, 'records/note', doc)
  await provider.whenSynced
  again.getText('note').insert(0, 'and ')
  await until('the document follows', () => textOf(doc) === 'and typed last')
  await provider.destroy()
})

describe.skipIf(probe === undefined)('on a disk that is full', () => {
  test('what is typed into an open document is kept, told, and stored when there is room', async () => {
    const disk = (await smallDisk('24m'))!
    onTestFinished(() => disk.unmount())
    const dataDir = join(disk.path, 'data')
    const stateDir = await scratch()
    await using device = await createDevice({ dataDir, stateDir })
    await device.found({ meshName: 'Camp' })
    const events: DeviceEvent[] = []
    device.subscribe((event) => events.push(event))
    const doc = new Y.Doc()
    const provider = new HavenProvider(device, 'records/note', doc)
    const errors: [string, boolean][] = []
    provider.on('error', (error, { refused }) => errors.push([error.code, refused]))
    await provider.whenSynced
    doc.getText('note').insert(0, 'Before. ')
    await provider.whenSaved()
    await fill(disk.path)
    // Until even the reserve is used up.
    const noise = (): string =>
      Array.from({ length: 20_000 }, () => String.fromCharCode(33 + Math.random() * 90)).join('')
    let lines = 0
    while (errors.length === 0) {
      doc.getText('note').insert(doc.getText('note').length, `<${lines++}>${noise()}`)
      await provider.whenSaved()
    }
    expect(errors).toEqual([['DISK_FULL', false]])
    expect(provider.synced).toBe(false)
    expect(events).toContainEqual(
      expect.objectContaining({ event: 'edit-problem', code: 'DISK_FULL', id: 'note' }),
    )
    doc.getText('note').insert(0, 'While it is full. ')
    expect(provider.unsavedChanges).toBeGreaterThan(0)
    const typed = textOf(doc)
    await removeFillers(disk.path)
    await until('all is stored', () => provider.synced, { withinMs: 60_000 })
    expect(provider.unsavedChanges).toBe(0)
    doc.getText('note').insert(0, 'After. ')
    await provider.destroy()
    expect(textOf(doc)).toBe(`After. ${typed}`)
    const stored = await device.doc('records', 'note')
    expect(textOf(stored) === textOf(doc)).toBe(true)
    expect(errors.map(([code]) => code)).not.toContain('NEW_INCARNATION')
  })
})

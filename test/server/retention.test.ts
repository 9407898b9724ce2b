import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { StoreChange } from '../../src/feed/commit-store.ts'
import { IdleWatch, lookEveryMs } from '../../src/server/idle-watch.ts'
import { TestMesh, until } from '../device/support/test-device.ts'
import { bridged, register, TestServer } from './support.ts'

const dayMs = 24 * 60 * 60_000

/** Time and a store of one row. */
function watched() {
  let [nowMs, commits] = [10_000 * dayMs, 5]
  let row: Uint8Array | undefined
  let next: (() => void) | undefined
  const idle: number[] = []
  const start = (): IdleWatch =>
    new IdleWatch({
      store: {
        meta: () => Promise.resolve(row),
        batch: (changes: readonly StoreChange[]) => {
          for (const change of changes) if (change.kind === 'meta') row = change.value
          return Promise.resolve()
        },
      },
      commits: () => commits,
      clock: { nowMs: () => nowMs },
      timers: {
        after: (delayMs, run) => {
          expect(delayMs).toBe(lookEveryMs)
          next = run
          return () => {
            next = undefined
          }
        },
      },
      looked: (idleMs) => idle.push(idleMs / dayMs),
    })
  const look = async (): Promise<void> => {
    const count = idle.length
    next?.()
    await until(() => idle.length > count)
  }
  return {
    idle,
    start,
    look,
    pass: (days: number) => (nowMs += days * dayMs),
    arrive: () => (commits += 1),
  }
}

test('the time since the last arrival is counted over restarts, and begins anew with each arrival', async () => {
  const { idle, start, look, pass, arrive } = watched()
  const watch = start()
  await until(() => idle.length === 1)
  pass(3)
  await look()
  watch.close()
  pass(4)
  start()
  await until(() => idle.length === 3)
  arrive()
  await look()
  pass(1)
  await look()
  // A clock that is put right by years must not remove anything.
  pass(-2_000)
  await look()
  expect(idle).toEqual([0, 3, 7, 0, 1, 0])
})

test('a mesh of which nothing arrives for so long is removed with all that it had, and others stay', async () => {
  const server = await TestServer.start()
  const [idle, busy] = [await TestMesh.found(1), await TestMesh.found(2)]
  for (const { founder } of [idle, busy]) {
    await register(founder, server)
    await founder.set('a', { x: '1' })
    const link = await bridged(founder, server)
    await until(
      () =>
        server.server.runtimeOf(founder.mesh.mesh)?.replica.digest ===
        founder.runtime.replica.digest,
    )
    link.cut()
  }
  // It looks at the start, and notes when there was more than before.
  await server.restart({ retainMs: 60_000 })
  await until(async () => (await noted(server, idle.mesh)) && noted(server, busy.mesh))
  const link = await bridged(busy.founder, server)
  await busy.founder.set('b', { x: '1' })
  await until(
    () =>
      server.server.runtimeOf(busy.mesh)?.replica.digest === busy.founder.runtime.replica.digest,
  )
  link.cut()
  await server.restart({ retainMs: 1 })
  await until(() => server.server.meshes.length === 1)
  expect(server.server.meshes).toEqual([busy.mesh])
  await until(async () => (await readdir(join(server.dataDir, 'meshes'))).length === 1)
  await expect(bridged(idle.founder, server)).rejects.toMatchObject({ code: 'SERVER_UNKNOWN_MESH' })
})

async function noted(server: TestServer, mesh: string): Promise<boolean> {
  return (await server.server.runtimeOf(mesh)?.store.meta('server/arrived')) !== undefined
}

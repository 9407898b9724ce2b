/** PostgreSQL for processes in network namespaces: a socket file leads to the port where it listens, wherever who opens it is. */
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

/** @returns the URL of the same database, by the file; it is gone when the test has finished */
export async function bySocketFile(url: string): Promise<string> {
  const { port, username, pathname } = new URL(url)
  const directory = await mkdtemp(join(tmpdir(), 'haven-relay-'))
  const sockets = new Set<Socket>()
  const relay = createServer((client) => {
    const database = connect(Number(port), '127.0.0.1')
    for (const [from, to] of [
      [client, database],
      [database, client],
    ] as const) {
      sockets.add(from)
      from.pipe(to)
      from.on('error', () => from.destroy())
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
    }
  })
  const { promise, resolve } = Promise.withResolvers<void>()
  relay.listen(join(directory, `.s.PGSQL.${port}`), resolve)
  await promise
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy()
    relay.close()
    await rm(directory, { recursive: true, force: true })
  })
  return `postgres://${username}@localhost:${port}${pathname}?host=${encodeURIComponent(directory)}`
}

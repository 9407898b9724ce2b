import { chmod, unlink } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'

import { HavenError, isHavenError } from '../core/errors.ts'
import type { DeviceOperations, ImportOptions, ImportSource } from '../device/api.ts'
import { answers, drained } from './connect.ts'
import { readLines } from './lines.ts'
import {
  type Answer,
  line,
  localLimits,
  parseRequest,
  parseUploadLine,
  type Request,
} from './local-protocol.ts'
import { malformed } from './shapes.ts'
import { isOwnSocket, makePrivateDirectory, socketPaths } from './socket-path.ts'

/** How long calls that are being served may go on when the server closes. */
const closeGraceMs = 2_000
/** How long a predecessor that is just closing may hold the socket. */
const predecessorMs = 2_000
/** At most so often does an import say how far it is. */
const progressMs = 100

export interface LocalServerOptions {
  dataDir: string
  env: Record<string, string | undefined>
  /** Told of a mistake of ours, of which the client only hears that it happened. */
  onUnexpected?: (error: unknown) => void
}

export interface LocalServer {
  readonly path: string
  /** Lets running calls end, for up to two seconds, and removes the socket. */
  close(): Promise<void>
}

/**
 * Offers a running device to this user's other commands. To be called by whoever holds the store's lock: a socket left
 * behind by a process that was killed is then nobody's, and is replaced.
 *
 * @throws HavenError `LISTEN_FAILED`, `STORE_BUSY`
 */
export async function serveLocally(
  operations: DeviceOperations,
  { dataDir, env, onUnexpected = () => {} }: LocalServerOptions,
): Promise<LocalServer> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    // What the socket has to say is learned where it is read and written.
    socket.on('error', () => {})
    void serveCall(socket, { operations, onUnexpected })
  })
  server.maxConnections = localLimits.connections
  const path = await listenAtFirst(server, await socketPaths(dataDir, env))
  return {
    path,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      const grace = setTimeout(() => {
        for (const socket of sockets) socket.destroy()
      }, closeGraceMs)
      await closed
      clearTimeout(grace)
    },
  }
}

/** Listens at the first of the places that can be used. */
async function listenAtFirst(server: Server, paths: readonly string[]): Promise<string> {
  let failure: unknown
  for (const path of paths) {
    try {
      await listenAt(server, path)
      return path
    } catch (error) {
      if (isHavenError(error, 'STORE_BUSY')) throw error
      failure ??= error
    }
  }
  if (isHavenError(failure)) throw failure
  throw new HavenError(
    'LISTEN_FAILED',
    'No place was found for the local socket: set XDG_RUNTIME_DIR to a directory of your own with a short path.',
    { cause: failure },
  )
}

async function listenAt(server: Server, path: string): Promise<void> {
  if (process.platform !== 'win32') {
    await makePrivateDirectory(dirname(path))
    await removeStaleSocket(path)
  }
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      server.off('error', reject)
      resolve()
    })
  })
  if (process.platform !== 'win32') await chmod(path, 0o600)
}

/** Nobody but this user can be in the directory; what is no socket of ours is left alone, and `listen` then fails. */
async function removeStaleSocket(path: string): Promise<void> {
  for (let waitedMs = 0; await isOwnSocket(path); waitedMs += 100) {
    if (!(await answers(path))) {
      await unlink(path).catch(ignoreMissing)
      return
    }
    if (waitedMs >= predecessorMs)
      throw new HavenError(
        'STORE_BUSY',
        'Another `haven up` answers for this data directory: stop it first.',
      )
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
}

async function serveCall(
  socket: Socket,
  {
    operations,
    onUnexpected,
  }: Pick<LocalServerOptions, 'onUnexpected'> & { operations: DeviceOperations },
): Promise<void> {
  const patience = setTimeout(() => socket.destroy(), localLimits.requestMs)
  const lines = readLines(socket.iterator({ destroyOnReturn: false }), localLimits.requestBytes)
  try {
    const first = await lines.next()
    clearTimeout(patience)
    if (first.done === true) return
    const result = await call(parseRequest(first.value), { operations, lines, socket })
    await send(socket, { result })
  } catch (error) {
    if (!isHavenError(error)) onUnexpected?.(error)
    await send(socket, { error: faultOf(error) }).catch(() => {})
  } finally {
    clearTimeout(patience)
    await leave(socket, lines)
  }
}

interface Call {
  operations: DeviceOperations
  /** What the client sends after its request. */
  lines: AsyncGenerator<string, void, undefined>
  socket: Socket
}

async function call(
  { method, kind, args }: Request,
  { operations, lines, socket }: Call,
): Promise<unknown> {
  if (kind === 'import')
    return operations.import(uploadedSources(lines), {
      // The table's shape has given it this type.
      ...(args[0] as ImportOptions | undefined),
      onProgress: atMostEvery(progressMs, (progress) => socket.write(line({ progress }))),
    })
  // The table's shapes have given the arguments the types that this method takes.
  const outcome: unknown = Reflect.apply(operations[method], operations, args)
  if (kind === 'call') return outcome
  for await (const item of outcome as AsyncIterable<unknown>) await send(socket, { item })
  return null
}

/**
 * The files that the client sends. One that the device does not read to its end is skipped.
 *
 * @throws HavenError `STOPPED` when the client goes away in the middle
 */
async function* uploadedSources(lines: Call['lines']): AsyncGenerator<ImportSource> {
  const next = async () => {
    const { value, done } = await lines.next()
    if (done === true) throw new HavenError('STOPPED', 'The command that was importing went away.')
    return parseUploadLine(value)
  }
  for (;;) {
    const opening = await next()
    if ('end' in opening) return
    if (!('source' in opening)) throw malformed()
    const chunks = uploadedChunks(next)
    yield { ...opening.source, chunks }
    // Ends the file where the device left off; nothing is left when it was read whole.
    for await (const _ of chunks.rest());
  }
}

/** The chunks of one file, and what remains of them after their reader stopped early. */
function uploadedChunks(next: () => Promise<ReturnType<typeof parseUploadLine>>) {
  let ended = false
  async function* rest(): AsyncGenerator<Uint8Array> {
    while (!ended) {
      const message = await next()
      if ('chunk' in message) yield Buffer.from(message.chunk, 'base64')
      else if ('sourceEnd' in message) ended = true
      else throw malformed()
    }
  }
  return { rest, [Symbol.asyncIterator]: rest }
}

function atMostEvery<T>(intervalMs: number, act: (value: T) => void): (value: T) => void {
  let nextMs = 0
  return (value) => {
    const nowMs = performance.now()
    if (nowMs < nextMs) return
    nextMs = nowMs + intervalMs
    act(value)
  }
}

/** @throws HavenError `STOPPED` when the client has gone */
async function send(socket: Socket, answer: Answer): Promise<void> {
  if (socket.writable && !socket.write(line(answer))) await drained(socket)
  if (!socket.writable) throw new HavenError('STOPPED', 'The command went away.')
}

/** What was not meant for people (a mistake of ours) does not travel in its own words, which may quote a record. */
function faultOf(error: unknown): { code: HavenError['code']; message: string } {
  if (isHavenError(error)) return { code: error.code, message: error.message }
  return {
    code: 'INTERNAL',
    message:
      'The running device met an unexpected problem: its log (standard error of `haven up`, with HAVEN_LOG=debug) has the details.',
  }
}

/** Ends after what was sent. What the client was still sending is read, since closing over unread bytes would take the answer with it. */
async function leave(socket: Socket, lines: Call['lines']): Promise<void> {
  socket.end()
  const patience = setTimeout(() => socket.destroy(), localLimits.requestMs)
  socket.on('close', () => clearTimeout(patience))
  await lines.return()
  socket.resume()
}

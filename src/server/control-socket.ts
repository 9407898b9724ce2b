/** The local socket of a running server, in its directory and for its user alone: where commands reach it. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { chmod, open, realpath, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { join } from 'node:path'
import { isHavenError } from '../core/errors.ts'
import { errorCodeOf } from '../store/file-errors.ts'
import {
  answerFrame,
  errorToSay,
  parseControlRequest,
  readAnswers,
  requestBytesMax,
  requestLine,
  serverGone,
} from './control-protocol.ts'
import type { ControlAnswer, ControlRequest } from './control-protocol.ts'
import type { MeshSummary } from './mesh-summary.ts'
import type { ServerControl } from './server-control.ts'

/** The kernel's limit is 108 bytes on Linux and 104 on macOS, the final zero included. */
const pathBytesMax = 99
/** Until a request is there. */
const requestMs = 10_000

export interface ControlSocket {
  close(): Promise<void>
}

/** To be called by whoever holds the lock of the directory: a socket that was left behind is nobody's. */
export async function offerControl(
  dataDir: string,
  control: ServerControl,
  onUnexpected: (error: unknown) => void,
): Promise<ControlSocket> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    // What the socket has to say is learned where it is written.
    socket.on('error', () => {})
    void answerCall(socket, control, onUnexpected)
  })
  const path = socketPath(dataDir)
  if (process.platform !== 'win32') await unlink(path).catch(ignoreMissing)
  await withShortPath(dataDir, (short) => listenAt(server, short))
  if (process.platform !== 'win32') await chmod(path, 0o600)
  return {
    async close() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
      if (process.platform !== 'win32') await unlink(path).catch(ignoreMissing)
    },
  }
}

/** @returns undefined where no server runs on this directory */
export async function reachControl(dataDir: string): Promise<ServerControl | undefined> {
  const socket = await dial(dataDir)
  if (socket === undefined) return undefined
  // It was only to see whether somebody is there; each call has its own.
  socket.destroy()
  const call = (request: ControlRequest) => callServer(dataDir, request)
  return {
    async meshes() {
      return (await resultOf(call({ version: 1, call: 'meshes' }))) as MeshSummary[]
    },
    async remove(mesh) {
      await resultOf(call({ version: 1, call: 'remove', mesh }))
    },
    async *backup() {
      for await (const answer of call({ version: 1, call: 'backup' })) {
        if (answer.kind === 'part') yield answer.part
        if (answer.kind === 'error') throw answer.error
      }
    },
  }
}

async function* callServer(
  dataDir: string,
  request: ControlRequest,
): AsyncGenerator<ControlAnswer> {
  const socket = await dial(dataDir)
  if (socket === undefined) throw serverGone()
  try {
    socket.end(requestLine(request))
    yield* readAnswers(socket)
  } finally {
    socket.destroy()
  }
}

async function resultOf(answers: AsyncIterable<ControlAnswer>): Promise<unknown> {
  for await (const answer of answers) {
    if (answer.kind === 'error') throw answer.error
    if (answer.kind === 'result') return answer.value
  }
  return undefined
}

async function answerCall(
  socket: Socket,
  control: ServerControl,
  onUnexpected: (error: unknown) => void,
): Promise<void> {
  const patience = setTimeout(() => socket.destroy(), requestMs)
  try {
    const request = parseControlRequest(await firstLine(socket))
    clearTimeout(patience)
    if (request.call === 'backup')
      for await (const part of control.backup()) await send(socket, { kind: 'part', part })
    const value =
      request.call === 'meshes'
        ? await control.meshes()
        : request.call === 'remove'
          ? await control.remove(request.mesh)
          : null
    await send(socket, { kind: 'result', value: value ?? null })
  } catch (error) {
    if (!isHavenError(error) && !isGone(socket)) onUnexpected(error)
    await send(socket, { kind: 'error', error: errorToSay(error) }).catch(() => {})
  } finally {
    clearTimeout(patience)
    socket.end()
  }
}

/** As fast as it is read. */
async function send(socket: Socket, answer: ControlAnswer): Promise<void> {
  if (isGone(socket)) throw new Error('the command went away')
  if (socket.write(answerFrame(answer))) return
  const ended = new AbortController()
  try {
    const { signal } = ended
    await Promise.race([once(socket, 'drain', { signal }), once(socket, 'close', { signal })])
  } finally {
    ended.abort()
  }
}

function isGone(socket: Socket): boolean {
  return socket.destroyed || !socket.writable
}

async function firstLine(socket: Socket): Promise<string> {
  let text = ''
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    text += String(chunk)
    const end = text.indexOf('\n')
    if (end !== -1) return text.slice(0, end)
    if (text.length > requestBytesMax) break
  }
  return ''
}

async function dial(dataDir: string): Promise<Socket | undefined> {
  try {
    return await withShortPath(dataDir, async (path) => {
      const socket = connect(path)
      await once(socket, 'connect')
      return socket
    })
  } catch {
    return undefined
  }
}

async function listenAt(server: Server, path: string): Promise<void> {
  server.listen(path)
  await once(server, 'listening')
}

function socketPath(dataDir: string): string {
  return join(dataDir, 'control')
}

/** Where the path is too long for a socket, Linux knows the directory by a short one. */
async function withShortPath<T>(dataDir: string, use: (path: string) => Promise<T>): Promise<T> {
  const path = socketPath(dataDir)
  if (process.platform === 'win32') return use(await pipeName(dataDir))
  if (Buffer.byteLength(path) <= pathBytesMax) return use(path)
  let directory: FileHandle | undefined
  try {
    directory = await open(dataDir, 'r')
    return await use(socketPath(`/proc/self/fd/${directory.fd}`))
  } finally {
    await directory?.close()
  }
}

async function pipeName(dataDir: string): Promise<string> {
  const directory = await realpath(dataDir)
  const name = createHash('sha256').update(directory).digest('hex').slice(0, 16)
  return `\\\\.\\pipe\\havenmesh-server-${name}`
}

function ignoreMissing(error: unknown): void {
  if (errorCodeOf(error) !== 'ENOENT') throw error
}
